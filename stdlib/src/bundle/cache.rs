//! Files by their digest, as they are gathered for a bundle: what has come once is not fetched again.
use crate::artifact::{Answer, is_sha256};
use kthw_engine::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// A folder of files that are called by their SHA-256.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is made when something comes.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where a file is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        debug_assert!(is_sha256(sha256));
        self.folder.join(sha256)
    }

    /// The size of a file that has come. Whether its bytes are still right shows when they are used.
    pub fn size(&self, sha256: &str) -> Option<u64> {
        std::fs::metadata(self.path(sha256)).ok().filter(|file| file.is_file()).map(|file| file.len())
    }

    /// Keeps bytes whose digest is known to be right.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, sha256: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin()?;
        file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.end(file, sha256)
    }

    /// Keeps a file as it comes, and returns its size. One that is cut short or has another digest leaves nothing.
    ///
    /// # Errors
    /// When it does not come, is another one, or cannot be written.
    pub async fn fill(&self, sha256: &str, answer: Answer) -> Result<u64> {
        let (place, mut hash, mut file) = (answer.place.clone(), Sha256::new(), self.begin()?);
        let size = answer
            .each(|piece| {
                hash.update(piece);
                file.write_all(piece).map_err(|source| self.failed(source))
            })
            .await?;
        let found = hex::encode(hash.finalize());
        if found != sha256 {
            return Err(Error::peer(crate::artifact::WrongDigest::new(place, sha256, found)));
        }
        self.end(file, sha256)?;
        Ok(size)
    }

    fn begin(&self) -> Result<tempfile::NamedTempFile> {
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| tempfile::NamedTempFile::new_in(&self.folder))
            .map_err(|source| self.failed(source))
    }

    fn end(&self, file: tempfile::NamedTempFile, sha256: &str) -> Result<()> {
        file.as_file().sync_all().map_err(|source| self.failed(source))?;
        file.persist(self.path(sha256)).map(|_| ()).map_err(|error| self.failed(error.error))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::usage(CannotKeep { folder: self.folder.clone(), source })
    }
}

/// Reads a file and takes its digest on the way.
pub(super) struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl Hashed<std::fs::File> {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { inner: std::fs::File::open(path)?, hash: Sha256::new() })
    }
}

impl<R> Hashed<R> {
    pub(super) fn over(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// The digest of what was read or written.
    pub(super) fn end(self) -> (R, String) {
        (self.inner, hex::encode(self.hash.finalize()))
    }
}

impl<R: std::io::Read> std::io::Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot keep what comes in {}", folder.display())]
#[diagnostic(code(kthw::bundle::keep), help("see that the folder can be written and the disk is not full; `--store` names another"))]
struct CannotKeep {
    folder: PathBuf,
    source: std::io::Error,
}
