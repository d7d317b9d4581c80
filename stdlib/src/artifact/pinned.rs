//! Artifacts from a content-addressed cache, else a mirror, else upstream. The digest is checked wherever they come from.
use super::{
    Artifact, ArtifactSource,
    download::{Whole, bring},
};
use crate::seams::Http;
use bytes::Bytes;
use kthw_engine::{BoxFuture, Error, Result};
use miette::Diagnostic;
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Fetches pinned files and keeps them in a folder by their digest.
pub struct PinnedSource {
    cache: PathBuf,
    mirror: Option<String>,
    http: Arc<dyn Http>,
}

impl PinnedSource {
    /// Keeps files under `cache`, and asks `mirror` (an absolute folder or an `http(s)` URL) instead of upstream if there is one.
    pub fn new(cache: impl Into<PathBuf>, mirror: Option<String>, http: Arc<dyn Http>) -> Self {
        Self { cache: cache.into(), mirror, http }
    }

    async fn get(&self, artifact: &Artifact) -> Result<Bytes> {
        let kept = self.cache.join("sha256").join(&artifact.sha256);
        if let Ok(bytes) = tokio::fs::read(&kept).await {
            // A damaged file in the cache is fetched anew.
            if digest(&bytes) == artifact.sha256 {
                return Ok(bytes.into());
            }
        }
        let Whole { place, bytes, .. } = bring(&*self.http, self.mirror.as_deref(), &artifact.upstream).await?;
        let found = digest(&bytes);
        if found != artifact.sha256 {
            return Err(Error::peer(WrongDigest::new(place, &artifact.sha256, found)));
        }
        keep(&kept, &bytes).map_err(|source| Error::peer(KeepArtifact { path: kept.clone(), source }))?;
        Ok(bytes)
    }
}

impl ArtifactSource for PinnedSource {
    fn fetch<'a>(&'a self, artifact: &'a Artifact) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(self.get(artifact))
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes beside the final name and renames, so that a reader never sees half a file.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{place} is not the file that kthw knows: sha256 {found}, expected {wanted}")]
#[diagnostic(
    code(kthw::artifact::digest),
    help("the file was changed, cut short, or replaced by an error page; look at it, and use another mirror")
)]
pub(crate) struct WrongDigest {
    place: String,
    wanted: String,
    found: String,
}

impl WrongDigest {
    /// That what came from `place` has the digest `found`.
    pub(crate) fn new(place: String, wanted: &str, found: String) -> Self {
        Self { place, wanted: wanted.into(), found }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot keep the file {}", path.display())]
#[diagnostic(code(kthw::artifact::keep), help("see that the folder can be written and the disk is not full"))]
struct KeepArtifact {
    path: PathBuf,
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::super::{
        Upstream,
        testing::{Page, Web},
    };
    use super::*;

    const URL: &str = "https://example.test/b";

    fn hello() -> Artifact {
        Artifact {
            upstream: Upstream { project: "a".into(), version: "v1".into(), file: "b".into(), url: "https://example.test/b".into() },
            sha256: digest(b"hello"),
        }
    }

    #[tokio::test]
    async fn it_downloads_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let web = Arc::new(Web::of([(URL, Page::text("hello"))]));
        let source = PinnedSource::new(folder.path(), None, web.clone());
        for _ in 0..2 {
            assert_eq!(source.fetch(&hello()).await.expect("fetched"), "hello");
        }
        std::fs::write(folder.path().join("sha256").join(digest(b"hello")), "hel").expect("damaged");
        assert_eq!(source.fetch(&hello()).await.expect("fetched"), "hello");
        assert_eq!(web.asked(), 2);
    }

    #[tokio::test]
    async fn a_wrong_digest_shows_both_and_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = PinnedSource::new(folder.path(), None, Arc::new(Web::of([(URL, Page::text("<html>"))])));
        let shown = source.fetch(&hello()).await.expect_err("refused").to_string();
        assert!(shown.contains(&digest(b"hello")) && shown.contains(&digest(b"<html>")), "{shown}");
        assert!(!folder.path().join("sha256").exists());
    }

    #[tokio::test]
    async fn a_mirror_may_be_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("mirror/a/v1")).expect("made");
        std::fs::write(folder.path().join("mirror/a/v1/b"), "hello").expect("written");
        let mirror = folder.path().join("mirror").display().to_string();
        let source = PinnedSource::new(folder.path().join("cache"), Some(mirror), Arc::new(Web::of([])));
        assert_eq!(source.fetch(&hello()).await.expect("fetched"), "hello");
    }

    #[tokio::test]
    async fn a_refusal_names_the_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = PinnedSource::new(folder.path(), None, Arc::new(Web::of([])));
        let shown = source.fetch(&hello()).await.expect_err("refused").to_string();
        assert_eq!(shown, "cannot fetch https://example.test/b: the server says that there is no such file (404)");
    }
}
