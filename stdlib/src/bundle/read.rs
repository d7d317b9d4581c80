//! Reads a bundle: its index, and where in the file everything is.
use super::{
    Descriptor, FORMAT, INDEX, Index, PackageFile,
    index::{blob_place, file_place, package_place},
};
use kthw_engine::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The largest index that is read, in bytes.
const LARGEST_INDEX: u64 = 16 << 20;

/// A piece of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins, in bytes.
    pub(super) at: u64,
    /// In bytes.
    pub(super) size: u64,
}

/// A bundle whose index was read.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    index: Index,
    parts: HashMap<String, Part>,
}

impl Bundle {
    /// Reads the index of a bundle, and looks whether all that it names is there.
    ///
    /// # Errors
    /// A file that is no bundle, of another format, or not whole.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::usage(NoBundle { path: path.to_owned(), reason });
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut archive = tar::Archive::new(file);
        let mut parts = HashMap::new();
        for entry in archive.entries_with_seek().map_err(|error| bad(error.to_string()))? {
            let entry = entry.map_err(|error| bad(error.to_string()))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            parts.insert(name, Part { at: entry.raw_file_position(), size: entry.size() });
        }
        let part = parts.get(INDEX).copied().ok_or_else(|| bad(format!("it has no {INDEX}")))?;
        let bundle = Self { path: path.to_owned(), index: Index::default(), parts };
        if part.size > LARGEST_INDEX {
            return Err(bad(format!("its {INDEX} is larger than any")));
        }
        let text = bundle.bytes(part).map_err(|error| bad(error.to_string()))?;
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if value.get("format") != Some(&FORMAT.into()) {
            return Err(bad(format!(
                "its format is {}, and this kthw reads {FORMAT}",
                value.get("format").unwrap_or(&serde_json::Value::Null)
            )));
        }
        let index: Index = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        let bundle = Self { index, ..bundle };
        bundle.check_parts().map_err(|what| bad(format!("it is not whole: {what} is missing or has another size")))?;
        Ok(bundle)
    }

    /// What is in it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_parts(&self) -> std::result::Result<(), String> {
        let files = self.index.places().into_iter().map(|(place, _, size)| (place, size));
        let blobs = self.index.blobs().into_iter().map(|(digits, size)| (blob_place(digits), size)).collect::<Vec<_>>();
        for (name, size) in files.chain(blobs) {
            let end = self.parts.get(&name).filter(|part| part.size == size).map(|part| part.at + part.size);
            if end.is_none_or(|end| std::fs::metadata(&self.path).map_or(0, |file| file.len()) < end) {
                return Err(name);
            }
        }
        Ok(())
    }

    /// Reads all of it and compares every digest.
    ///
    /// # Errors
    /// The first part that is not what the index says.
    pub fn verify(&self) -> Result<()> {
        let files = self.index.places().into_iter().map(|(place, sha256, _)| (place, sha256.to_owned()));
        let blobs = self.index.blobs().into_keys().map(|digits| (blob_place(digits), digits.to_owned())).collect::<Vec<_>>();
        for (name, wanted) in files.chain(blobs) {
            let bad = |reason: String| Error::usage(NoBundle { path: self.path.clone(), reason });
            let mut hash = Sha256::new();
            let mut reader = self.reader(self.parts[&name]).map_err(|error| bad(error.to_string()))?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match reader.read(&mut buffer).map_err(|error| bad(error.to_string()))? {
                    0 => break,
                    read => hash.update(&buffer[..read]),
                }
            }
            let found = hex::encode(hash.finalize());
            if found != wanted {
                return Err(bad(format!("{name} was changed: sha256 {found}, in the index {wanted}")));
            }
        }
        Ok(())
    }

    /// One of upstream's files.
    pub(super) fn file(&self, path: &str) -> Option<Part> {
        self.index.files.iter().find(|row| row.path == path).and_then(|row| self.parts.get(&file_place(&row.path))).copied()
    }

    /// A file of a package repository. Indexes are found by their digests too, as apt asks for them where their publisher allows it.
    pub(super) fn package(&self, repository: &str, path: &str) -> Option<Part> {
        let row = self.index.repositories.iter().find(|row| row.name == repository)?;
        let by_hash = path.rsplit_once("by-hash/SHA256/");
        let is_it = |file: &&PackageFile| match by_hash {
            None => file.path == path,
            Some((folder, sha256)) => {
                file.sha256 == sha256 && file.path.rsplit_once('/').map_or("", |(own, _)| own) == folder.trim_end_matches('/')
            }
        };
        let file = row.files.iter().find(is_it)?;
        self.parts.get(&package_place(repository, &file.path)).copied()
    }

    /// A blob of an image.
    pub(super) fn blob(&self, blob: &Descriptor) -> Option<Part> {
        self.parts.get(&blob_place(blob.digits())).copied()
    }

    fn reader(&self, part: Part) -> std::io::Result<impl Read> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(part.at))?;
        Ok(file.take(part.size))
    }

    fn bytes(&self, part: Part) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(part)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} cannot be used as a bundle: {reason}", path.display())]
#[diagnostic(code(kthw::bundle::none), help("`kthw bundle make` writes one; compare the SHA-256 that it printed with that of this file"))]
struct NoBundle {
    path: PathBuf,
    reason: String,
}
