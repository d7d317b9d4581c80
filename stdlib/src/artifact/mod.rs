//! Pinned upstream files: which ones kthw knows, and where their bytes come from.

mod known;
mod pinned;

pub use known::{calico_operator, calico_versions};
pub use pinned::PinnedSource;

use bytes::Bytes;
use kthw_engine::{BoxFuture, Result};
use std::sync::Arc;

/// One upstream file, pinned by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The project, such as `calico`.
    pub project: String,
    /// The project's version as it spells it, such as `v3.28.0`.
    pub version: String,
    /// The file's name.
    pub file: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// Where upstream serves it.
    pub url: String,
}

impl Artifact {
    /// Its place in a mirror: `<project>/<version>/<file>`.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.project, self.version, self.file)
    }
}

/// Brings the bytes of artifacts. The real one is [`PinnedSource`]; the lab answers with stand-ins.
pub trait ArtifactSource: Send + Sync {
    /// The bytes of `artifact`.
    ///
    /// # Errors
    /// When no place has it, or what came has another digest.
    fn fetch<'a>(&'a self, artifact: &'a Artifact) -> BoxFuture<'a, Result<Bytes>>;
}

/// What a run's [`Peers`](kthw_engine::Peers) hold for artifacts.
#[derive(Clone)]
pub struct Artifacts(Arc<dyn ArtifactSource>);

impl Artifacts {
    /// Artifacts from `source`.
    pub fn new(source: impl ArtifactSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// The bytes of `artifact`.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn fetch(&self, artifact: &Artifact) -> Result<Bytes> {
        self.0.fetch(artifact).await
    }
}
