//! A part of an apt repository: what its publisher signs, exactly as it was signed, and of the packages those that are needed, at their own paths.
//!
//! Each package is checked against the index, and the index against the signed file. The signature is not: every node does that, with the keys
//! that the workspace pins, when it takes the packages.
mod closure;
mod index;
mod relation;
mod release;
mod version;

pub use closure::Wanted;
pub(super) use closure::{Missing, closure};
pub(super) use index::Package;

use super::{Cache, PackageFile, RepositoryRow};
use crate::{
    artifact::{Answer, download, is_sha256},
    seams::Http,
    workspace::{Repository, SigningKey},
};
use flate2::read::MultiGzDecoder;
use kthw_engine::{Error, Result};
use release::{Named, Release};
use sha2::{Digest, Sha256};
use std::io::{BufReader, Read};
use url::Url;

/// The largest index that is read, in bytes as it is written out. Debian's largest has a tenth of it.
const LARGEST_INDEX: u64 = 1 << 30;

/// A repository whose indexes were read.
pub(super) struct Opened {
    /// Its keys, its signed file and its indexes.
    pub(super) row: RepositoryRow,
    /// All its packages for amd64.
    pub(super) packages: Vec<Package>,
    url: String,
}

/// Fetches what a repository says of itself.
///
/// # Errors
/// When something of it cannot be had, or is not what the signed file says.
pub(super) async fn open(http: &dyn Http, cache: &Cache, name: &str, repository: &Repository) -> Result<Opened> {
    let bad = |reason: String| Error::peer(NoRepository { url: repository.url.clone(), reason });
    let (url, mut files, mut keys) = (repository.url.clone(), Vec::new(), Vec::new());
    for one in repository.signing_keys() {
        let (sha256, size) = key(http, cache, &one).await?;
        files.push(PackageFile::plain(key_path(&sha256), &sha256, size));
        keys.push(sha256);
    }
    let folder = repository.suite.as_ref().map_or_else(String::new, |suite| format!("dists/{suite}/"));
    let mut text = None;
    for (name, must) in [("InRelease", false), ("Release", true), ("Release.gpg", true)] {
        let path = format!("{folder}{name}");
        match get(http, &url, &path).await? {
            Some(answer) => {
                let bytes = answer.whole().await?;
                let sha256 = hex::encode(Sha256::digest(&bytes));
                cache.keep(&sha256, &bytes)?;
                files.push(PackageFile::plain(path, &sha256, bytes.len() as u64));
                text.get_or_insert_with(|| String::from_utf8_lossy(&bytes).into_owned());
                if !must {
                    break;
                }
            }
            None if must => return Err(bad(format!("it has neither {folder}InRelease nor {path}"))),
            None => {}
        }
    }
    let release = Release::read(&text.unwrap_or_default());
    let components: Vec<Option<&str>> = match repository.suite {
        Some(_) => repository.components.iter().map(|component| Some(component.as_str())).collect(),
        None => vec![None],
    };
    let mut packages = Vec::new();
    for component in components {
        for named in release.indexes(component).map_err(bad)? {
            let path = format!("{folder}{}", named.path);
            fetch_index(http, cache, &url, &path, &named, release.by_hash).await?;
            let bytes = std::fs::read(cache.path(&named.sha256)).map_err(|error| bad(error.to_string()))?;
            if hex::encode(Sha256::digest(&bytes)) != named.sha256 {
                return Err(bad(format!("{} was changed after it had come", cache.path(&named.sha256).display())));
            }
            packages.extend(read_index(&named.path, &bytes).map_err(|error| bad(format!("{path}: {error}")))?);
            files.push(PackageFile::plain(path, &named.sha256, named.size));
        }
    }
    let (suite, components) = (repository.suite.clone(), repository.components.clone());
    let row = RepositoryRow { name: name.to_owned(), suite, components, keys, until: release.until, files };
    Ok(Opened { row, packages, url })
}

impl Opened {
    /// Fetches a package of it, unless it has come before.
    ///
    /// # Errors
    /// When it cannot be had, or is not what the index says.
    pub(super) async fn fetch(&mut self, http: &dyn Http, cache: &Cache, package: &Package, tell: &dyn Fn(&str)) -> Result<()> {
        let (title, sha256) = (format!("{} {}", package.name, package.version), &package.sha256);
        if cache.size(sha256) != Some(package.size) {
            tell(&format!("{title}, {} bytes", package.size));
            bring(http, cache, &self.url, &package.path, sha256, package.size).await?;
        }
        self.row.files.push(PackageFile { package: Some(title), ..PackageFile::plain(package.path.clone(), sha256, package.size) });
        Ok(())
    }
}

/// Where a key is in a repository of a bundle.
pub(super) fn key_path(sha256: &str) -> String {
    format!("keys/{sha256}")
}

/// Keeps a key as a node would have it, and returns its digest and size.
async fn key(http: &dyn Http, cache: &Cache, key: &SigningKey) -> Result<(String, u64)> {
    if let Some(text) = &key.key {
        let text = format!("{}\n", text.trim());
        let sha256 = hex::encode(Sha256::digest(&text));
        cache.keep(&sha256, text.as_bytes())?;
        return Ok((sha256, text.len() as u64));
    }
    let (url, sha256) = (key.url.clone().unwrap_or_default(), key.sha256.clone().unwrap_or_default());
    if !is_sha256(&sha256) {
        return Err(Error::usage(NoRepository { url, reason: "this key has no SHA-256".into() }));
    }
    if let Some(size) = cache.size(&sha256) {
        return Ok((sha256, size));
    }
    let missing = || Error::peer(NoRepository { url: url.clone(), reason: "this key is not there any more (404)".into() });
    let answer = download(http, &url).await?.ok_or_else(missing)?;
    let size = cache.fill(&sha256, answer).await?;
    Ok((sha256, size))
}

/// An index; where its repository keeps them by their digests too, it is asked for there, so that one which is renewed meanwhile does no harm.
async fn fetch_index(http: &dyn Http, cache: &Cache, url: &str, path: &str, named: &Named, by_hash: bool) -> Result<()> {
    if cache.size(&named.sha256) == Some(named.size) {
        return Ok(());
    }
    let folder = path.rsplit_once('/').filter(|_| by_hash).map(|(folder, _)| folder);
    if let Some(folder) = folder
        && let Some(answer) = get(http, url, &format!("{folder}/by-hash/SHA256/{}", named.sha256)).await?
    {
        return cache.fill(&named.sha256, answer).await.map(|_| ());
    }
    bring(http, cache, url, path, &named.sha256, named.size).await
}

async fn bring(http: &dyn Http, cache: &Cache, url: &str, path: &str, sha256: &str, size: u64) -> Result<()> {
    let bad = |reason: String| Error::peer(NoRepository { url: url.to_owned(), reason });
    let answer = get(http, url, path).await?.ok_or_else(|| bad(format!("it names {path}, and has no such file (404)")))?;
    let came = cache.fill(sha256, answer).await?;
    // The digest was right, so the index is wrong about the size, and apt would not take the file.
    if came == size { Ok(()) } else { Err(bad(format!("{path} has {came} bytes, and its index says {size}"))) }
}

/// Asks a repository for a file; nothing where it has none.
async fn get(http: &dyn Http, url: &str, path: &str) -> Result<Option<Answer>> {
    let failed = |error: Error| Error::peer(NoRepository { url: url.to_owned(), reason: error.to_string() });
    download(http, &place(url, path)?).await.map_err(failed)
}

fn read_index(path: &str, bytes: &[u8]) -> std::io::Result<Vec<Package>> {
    let text: Box<dyn Read + '_> = if path.ends_with(".gz") { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut text = BufReader::with_capacity(1 << 18, text.take(LARGEST_INDEX));
    let packages = index::read(&mut text)?;
    match text.get_ref().limit() {
        0 => Err(std::io::Error::other("it is larger than any")),
        _ => Ok(packages),
    }
}

/// The address of a path in a repository.
fn place(url: &str, path: &str) -> Result<String> {
    let bad = |reason: String| Error::usage(NoRepository { url: url.to_owned(), reason });
    let mut place = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    match place.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(path.split('/')),
        Err(()) => return Err(bad("nothing can be below this address".into())),
    };
    Ok(place.into())
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no packages can be taken from {url}: {reason}")]
#[diagnostic(
    code(kthw::bundle::repository),
    help("look at this repository in `packages` of the workspace: its URL, suite, components and keys")
)]
struct NoRepository {
    url: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn paths_are_written_as_addresses() {
        for (url, path, expected) in [
            ("https://pkgs.k8s.io/core:/stable:/v1.36/deb/", "amd64/a.deb", "https://pkgs.k8s.io/core:/stable:/v1.36/deb/amd64/a.deb"),
            ("http://a.test/debian", "pool/g++_1.2+deb~1.deb", "http://a.test/debian/pool/g++_1.2+deb~1.deb"),
            ("http://a.test", "x_5%3a1 b.deb", "http://a.test/x_5%253a1%20b.deb"),
        ] {
            assert_eq!(place(url, path).expect("an address"), expected);
        }
    }
}
