//! Pinned upstream files: which ones a workspace needs, where their digests come from, and where their bytes.

mod checker;
mod download;
mod look;
mod needed;
mod pinned;
mod pins;
mod sums;
#[cfg(test)]
mod testing;

pub use checker::checker_file;
pub use download::{Answer, FetchArtifact};
pub(crate) use download::{ask, bring, download};
pub use look::{Holds, Seen, Vouched, look};
pub(crate) use needed::digest_of;
pub use needed::{DigestFrom, Kind, Needed, TwoDigests, image_place, needed, on_request, pin_image, pins_agree};
pub use pinned::PinnedSource;
pub(crate) use pinned::WrongDigest;
pub use pins::{BadPins, OtherDigest, PINS_FILE, Pin, Pins};

use bytes::Bytes;
use kthw_engine::{BoxFuture, Result};
use std::sync::Arc;

/// One file of upstream's, whether anybody knows its digest or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The project, such as `calico`; `images` for cloud images.
    pub project: String,
    /// The project's version as it spells it, such as `v3.28.0`; for a cloud image the release, such as `ubuntu-24.04`.
    pub version: String,
    /// The file's name.
    pub file: String,
    /// Where upstream serves it; empty for a file that comes from a mirror alone.
    pub url: String,
}

impl Upstream {
    /// Its place in a mirror: `<project>/<version>/<file>`.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.project, self.version, self.file)
    }

    /// The file with these contents and no others.
    pub fn with_digest(self, sha256: &str) -> Artifact {
        Artifact { upstream: self, sha256: sha256.into() }
    }
}

/// One upstream file, pinned by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Which file it is.
    pub upstream: Upstream,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
}

impl Artifact {
    /// Its place in a mirror: `<project>/<version>/<file>`.
    pub fn path(&self) -> String {
        self.upstream.path()
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

/// Whether a text is a SHA-256 in lower-case hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
