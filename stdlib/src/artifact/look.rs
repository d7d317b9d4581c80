//! What a file that nobody has pinned yet is: its digest, its size, what it holds, and who vouches for it.
use super::{
    Kind, Upstream,
    download::{FetchArtifact, Whole, bring, download, web_place},
    sums::{Sum, listed, places},
};
use crate::{kubernetes::Document, seams::Http};
use http::header;
use kthw_engine::{Error, Result, presentable};
use miette::Diagnostic;
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;

/// A file as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it came from.
    pub place: String,
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// What it holds.
    pub holds: Holds,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Objects of Kubernetes: how many of each kind.
    Objects(BTreeMap<String, usize>),
    /// The disk of a machine.
    Image(Vouched),
    /// A program that needs nothing else of the machine that it runs on.
    Program,
}

/// Whether the publisher's list of checksums says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// It does. Its signature is not looked at.
    By(String),
    /// There is none beside it that names it.
    Nobody,
}

/// Fetches a file and looks at it. It comes from `mirror` if there is one, an image only from one that Proxmox could reach too; nothing is kept.
///
/// # Errors
/// When it cannot be had, is not what its kind says, or is not what its publisher lists.
pub async fn look(http: &dyn Http, mirror: Option<&str>, kind: Kind, upstream: &Upstream) -> Result<Seen> {
    match kind {
        Kind::Manifest => manifest(bring(http, mirror, upstream).await?),
        Kind::Program => program(bring(http, mirror, upstream).await?),
        Kind::Image => image(http, &web_place(mirror, upstream), &upstream.file).await,
    }
}

fn manifest(whole: Whole) -> Result<Seen> {
    let Whole { place, content_type, bytes } = whole;
    let other = |reason: String| Error::peer(OtherFile::new(&place, &content_type, &bytes, reason));
    let text = std::str::from_utf8(&bytes).map_err(|_| other("it is not a text".into()))?;
    let documents = Document::parse(text).map_err(|error| other(error.to_string()))?;
    let mut kinds = BTreeMap::new();
    for document in documents {
        *kinds.entry(document.kind).or_insert(0) += 1;
    }
    if kinds.is_empty() {
        return Err(other("it holds no object of Kubernetes".into()));
    }
    let (sha256, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
    Ok(Seen { place, sha256, size, holds: Holds::Objects(kinds) })
}

/// What a program for nodes begins with: ELF, of 64 bits, little-endian; `e_machine` is x86-64 (elf(5)).
fn program(whole: Whole) -> Result<Seen> {
    let Whole { place, content_type, bytes } = whole;
    let other = |reason: &str| Error::peer(OtherFile::new(&place, &content_type, &bytes, reason.into()));
    let is_elf = bytes.starts_with(b"\x7fELF\x02\x01") && bytes.get(18..20) == Some(&[62, 0][..]);
    match is_elf.then(|| loader(&bytes)) {
        None => return Err(other("it is not a Linux program for x86-64")),
        Some(None) => return Err(other("it is cut short")),
        Some(Some(true)) => return Err(other("it is linked dynamically: build it with `RUSTFLAGS=-Ctarget-feature=+crt-static`")),
        Some(Some(false)) => {}
    }
    let (sha256, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
    Ok(Seen { place, sha256, size, holds: Holds::Program })
}

/// Whether a program names a loader, that is a `PT_INTERP` among its program headers; `None` for one that ends too early.
fn loader(bytes: &[u8]) -> Option<bool> {
    let number = |at: usize, length: usize| {
        let field = bytes.get(at..at.checked_add(length)?)?;
        usize::try_from(field.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))).ok()
    };
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kinds: Option<Vec<usize>> = (0..count).map(|at| number(headers.checked_add(at * size)?, 4)).collect();
    Some(kinds?.contains(&PT_INTERP))
}

const PT_INTERP: usize = 3;

async fn image(http: &dyn Http, url: &str, file: &str) -> Result<Seen> {
    let Some(coming) = download(http, url).await? else { return Err(Error::peer(FetchArtifact::absent(url))) };
    let (place, content_type) = (coming.place.clone(), coming.header(header::CONTENT_TYPE).to_owned());
    let (mut short, mut long, mut head) = (Sha256::new(), Sha512::new(), Vec::new());
    let size = coming
        .each(|piece| {
            short.update(piece);
            long.update(piece);
            head.extend_from_slice(&piece[..piece.len().min(HEAD.saturating_sub(head.len()))]);
            Ok(())
        })
        .await?;
    if size == 0 || head.trim_ascii_start().starts_with(b"<") {
        return Err(Error::peer(OtherFile::new(&place, &content_type, &head, "it is not the disk of a machine".into())));
    }
    let (sha256, sha512) = (hex::encode(short.finalize()), hex::encode(long.finalize()));
    let vouched = match list(http, url, file).await? {
        None => Vouched::Nobody,
        Some((list, sum)) => {
            let (same, listed) = match sum {
                Sum::Sha256(listed) => (listed == sha256, listed),
                Sum::Sha512(listed) => (listed == sha512, listed),
            };
            if !same {
                let found = if listed.len() == sha256.len() { sha256 } else { sha512 };
                return Err(Error::peer(NotAsListed { place, list, listed, found }));
            }
            Vouched::By(list)
        }
    };
    Ok(Seen { place, sha256, size, holds: Holds::Image(vouched) })
}

/// The first list beside an image that names it.
async fn list(http: &dyn Http, url: &str, file: &str) -> Result<Option<(String, Sum)>> {
    for place in places(url) {
        // A server that refuses what it has not, instead of saying so, has no list either.
        let Ok(Some(list)) = download(http, &place).await else { continue };
        let Ok(bytes) = list.whole().await else { continue };
        if let Some(sum) = listed(&String::from_utf8_lossy(&bytes), file) {
            return Ok(Some((place, sum)));
        }
    }
    Ok(None)
}

/// How much of an image is looked at, in bytes: enough to tell a web page.
const HEAD: usize = 64;

/// What came is another thing than what was asked for.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{place} is not what it should be: {reason}; what came {said}begins with {begin}")]
#[diagnostic(
    code(kthw::artifact::other_file),
    help(
        "a proxy, a sign-in page or an error page often comes in a file's place; open the address in a browser, or name a mirror in `artifacts.mirror`"
    )
)]
struct OtherFile {
    place: String,
    said: String,
    begin: String,
    reason: String,
}

impl OtherFile {
    fn new(place: &str, content_type: &str, bytes: &[u8], reason: String) -> Self {
        let said = if content_type.is_empty() { String::new() } else { format!("is called {} and ", presentable(content_type)) };
        let begin: String = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]).split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        Self { place: place.into(), said, begin: format!("`{}`", presentable(&begin)), reason }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{place} is not the file that {list} lists: {found}, listed {listed}")]
#[diagnostic(
    code(kthw::artifact::not_as_listed),
    help("the file or the list was changed, or the publisher is just replacing both; try again later, or name an image of a dated folder")
)]
struct NotAsListed {
    place: String,
    list: String,
    listed: String,
    found: String,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Page, Web};
    use super::*;

    fn upstream(url: &str) -> Upstream {
        Upstream { project: "p".into(), version: "v1".into(), file: "f.img".into(), url: url.into() }
    }

    async fn seen<const N: usize>(kind: Kind, pages: [(&'static str, Page); N]) -> String {
        match look(&Web::of(pages), None, kind, &upstream("https://a.test/f.img")).await {
            Ok(seen) => format!("{} {:?}", seen.size, seen.holds),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_manifest_is_counted_and_anything_else_refused_with_its_beginning() {
        let manifest =
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n---\napiVersion: v1\nkind: Namespace\nmetadata: { name: b }\n";
        assert_eq!(seen(Kind::Manifest, [("https://a.test/f.img", Page::text(manifest))]).await, r#"110 Objects({"Namespace": 2})"#);
        for (came, why) in [
            ("<!DOCTYPE html>\n<title>Sign in</title>", "begins with `<!DOCTYPE html> <title>Sign in</title>`"),
            ("# nothing\n", "it holds no object of Kubernetes"),
            ("a: [", "is not what it should be"),
            ("kind: Namespace\n", "apiVersion"),
        ] {
            let said = seen(Kind::Manifest, [("https://a.test/f.img", Page::text(came))]).await;
            assert!(said.contains(why) && said.starts_with("https://a.test/f.img is not what it should be: "), "{said}");
        }
    }

    #[test]
    fn a_program_stands_by_itself() {
        let program = |machine: u8, kind: u8| {
            let mut bytes = vec![0; 64 + 56];
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (machine, 64, 56, 1, kind);
            bytes
        };
        for (bytes, why) in [
            (b"#!/bin/sh\n".to_vec(), "not a Linux program"),
            (program(183, 1), "not a Linux program"),
            (program(62, 3), "linked dynamically"),
            (program(62, 1)[..60].to_vec(), "cut short"),
        ] {
            let whole = Whole { place: "p".into(), content_type: String::new(), bytes: bytes.into() };
            let said = super::program(whole).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let whole = Whole { place: "p".into(), content_type: String::new(), bytes: program(62, 1).into() };
        assert_eq!(super::program(whole).unwrap().holds, Holds::Program);
    }

    /// The digests of `hello` are `sha256sum`'s and `sha512sum`'s.
    #[tokio::test]
    async fn an_image_is_compared_with_the_list_beside_it() {
        const SHORT: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        const LONG: &str = "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043";
        let image = ("https://a.test/f.img", Page::text("hello"));
        assert_eq!(seen(Kind::Image, [image.clone()]).await, "5 Image(Nobody)");
        for (list, digits) in [("SHA256SUMS", SHORT), ("SHA512SUMS", LONG), ("f.img.CHECKSUM", SHORT)] {
            let (place, text) = (format!("https://a.test/{list}").leak(), format!("{digits}  f.img\n").leak());
            let said = seen(Kind::Image, [image.clone(), (place, Page::text(text))]).await;
            assert_eq!(said, format!("5 Image(By(\"{place}\"))"));
        }
        let other = format!("{}  f.img", SHORT.replace('2', "3")).leak();
        let said = seen(Kind::Image, [image.clone(), ("https://a.test/SHA256SUMS", Page::text(other))]).await;
        assert!(said.contains(SHORT) && said.contains(&other[..64]), "{said}");
        let page = seen(Kind::Image, [("https://a.test/f.img", Page::text("\n<html>"))]).await;
        assert!(page.contains("not the disk of a machine") && page.contains("<html>"), "{page}");
    }
}
