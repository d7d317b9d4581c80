//! Writes a bundle: the same inputs make the same bytes.
use super::{Cache, INDEX, Index, cache::Hashed, index::blob_place};
use kthw_engine::{Error, Result};
use serde_json::json;
use std::{
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Writes `index` and all that it names, from `cache`, into the file `to`: whole or not at all.
///
/// # Errors
/// When something is missing in the cache or damaged there, and when the file cannot be written.
pub fn pack(index: &Index, cache: &Cache, to: &Path) -> Result<Packed> {
    let failed = |source| Error::usage(CannotWrite { file: to.to_owned(), source });
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().tempfile_in(folder).map_err(failed)?;
    let mut tar = Builder::new(Hashed::over(BufWriter::new(file)));
    let texts =
        [(INDEX, json(index)), ("oci-layout", json(&json!({ "imageLayoutVersion": "1.0.0" }))), ("index.json", json(&layout(index)))];
    for (name, text) in texts {
        append(&mut tar, name, text.len() as u64, text.as_bytes()).map_err(failed)?;
    }
    for (place, sha256, size) in index.places() {
        from_cache(&mut tar, cache, &place, sha256, size, to)?;
    }
    for (digits, size) in index.blobs() {
        from_cache(&mut tar, cache, &blob_place(digits), digits, size, to)?;
    }
    let (buffer, sha256) = tar.into_inner().map_err(failed)?.end();
    let file = buffer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    let size = file.as_file().metadata().map_err(failed)?.len();
    file.persist(to).map_err(|error| failed(error.error))?;
    Ok(Packed { sha256, size })
}

/// `index.json` of an OCI image layout: each image by the name that containerd and others import it under.
fn layout(index: &Index) -> serde_json::Value {
    let manifests: Vec<serde_json::Value> = index
        .images
        .iter()
        .filter_map(|image| {
            let (root, tag) = (image.manifests.first()?, image.name.rsplit_once(':')?.1);
            let annotations = json!({ "io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag });
            Some(json!({ "mediaType": root.media_type, "digest": root.digest, "size": root.size, "annotations": annotations }))
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests })
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("an index can always be written as JSON");
    format!("{text}\n")
}

fn from_cache<W: Write>(tar: &mut Builder<W>, cache: &Cache, name: &str, sha256: &str, size: u64, to: &Path) -> Result<()> {
    let path = cache.path(sha256);
    let damaged = || Error::usage(Damaged { path: path.clone() });
    if cache.size(sha256) != Some(size) {
        return Err(damaged());
    }
    let mut bytes = Hashed::open(&path).map_err(|_| damaged())?;
    append(tar, name, size, &mut bytes).map_err(|source| Error::usage(CannotWrite { file: to.to_owned(), source }))?;
    let (_, found) = bytes.end();
    if found == sha256 { Ok(()) } else { Err(damaged()) }
}

/// One entry that says nothing of who wrote it and when.
fn append<W: Write>(tar: &mut Builder<W>, name: &str, size: u64, bytes: impl Read) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, bytes)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} is not what its name says", path.display())]
#[diagnostic(code(kthw::bundle::damaged), help("remove that file and call again: it is fetched anew"))]
struct Damaged {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write the bundle {}", file.display())]
#[diagnostic(code(kthw::bundle::write), help("name a file in a folder that you may write, on a disk with room for all images"))]
struct CannotWrite {
    file: PathBuf,
    source: std::io::Error,
}
