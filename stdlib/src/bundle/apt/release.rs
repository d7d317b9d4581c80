//! The file of an apt repository that its publisher signs, `InRelease` or `Release`: <https://wiki.debian.org/DebianRepository/Format#A.22Release.22_files>.
use crate::artifact::is_sha256;
use std::collections::BTreeMap;

/// What a signed file says of the indexes. The signature itself is looked at by the nodes, which have the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Release {
    /// When apt takes it no more, as it is written there.
    pub(super) until: Option<String>,
    /// Whether indexes can be had by their digests too.
    pub(super) by_hash: bool,
    /// Whether packages for all architectures are in the index of each.
    all_in_each: bool,
    /// Digest and size of each file, by its path beside this one.
    files: BTreeMap<String, (String, u64)>,
}

/// An index, as the signed file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Beside the signed file.
    pub(super) path: String,
    pub(super) sha256: String,
    /// In bytes.
    pub(super) size: u64,
}

impl Release {
    /// Reads it; in `InRelease` what stands around the signed text does not count.
    pub(super) fn read(text: &str) -> Self {
        let (mut release, mut last) = (Self::default(), String::new());
        for line in signed(text) {
            if line.starts_with([' ', '\t']) {
                if let Some((path, named)) = file(line).filter(|_| last == "sha256") {
                    release.files.insert(path, named);
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            last = name.to_ascii_lowercase();
            match last.as_str() {
                "valid-until" => release.until = Some(value.trim().to_owned()),
                "acquire-by-hash" => release.by_hash = value.trim() == "yes",
                "no-support-for-architecture-all" => release.all_in_each = value.trim() == "Packages",
                _ => {}
            }
        }
        release
    }

    /// The indexes of a component (none for a flat repository) with packages for amd64: what has to be there first, then what may be. Each in the
    /// form that takes the least to read.
    ///
    /// # Errors
    /// In words, where it has none that can be read.
    pub(super) fn indexes(&self, component: Option<&str>) -> Result<Vec<Named>, String> {
        let folder = |architecture: &str| component.map_or_else(String::new, |name| format!("{name}/binary-{architecture}/"));
        let find = |folder: &str| ["Packages.gz", "Packages"].into_iter().find_map(|name| self.named(&format!("{folder}{name}")));
        let first = folder("amd64");
        let Some(index) = find(&first) else {
            let others = self.files.keys().filter(|path| path.strip_prefix(&first).is_some_and(|name| name.starts_with("Packages")));
            return Err(match others.map(String::as_str).collect::<Vec<_>>()[..] {
                [] => format!("it names no {first}Packages with a SHA-256"),
                ref others => format!("of {first}Packages it has {} alone, and kthw reads Packages and Packages.gz", others.join(", ")),
            });
        };
        let all = component.filter(|_| !self.all_in_each).and_then(|_| find(&folder("all")));
        Ok([Some(index), all].into_iter().flatten().collect())
    }

    fn named(&self, path: &str) -> Option<Named> {
        let (sha256, size) = self.files.get(path)?;
        Some(Named { path: path.to_owned(), sha256: sha256.clone(), size: *size })
    }
}

/// A line `SHA256 SIZE PATH`: the path, and the two before it.
fn file(line: &str) -> Option<(String, (String, u64))> {
    let mut words = line.split_whitespace();
    let (sha256, size, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    is_sha256(sha256).then(|| (path.trim_start_matches("./").to_owned(), (sha256.to_owned(), size)))
}

/// The lines that a signature in the same file is about (RFC 9580 section 7); all lines where it has none.
fn signed(text: &str) -> impl Iterator<Item = &str> {
    let has_signature = text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----");
    let lines = text.lines().map(str::trim_end);
    // Behind the heads of the signature comes an empty line.
    let lines = lines.skip_while(move |line| has_signature && !line.is_empty());
    lines.take_while(|line| *line != "-----BEGIN PGP SIGNATURE-----").map(|line| line.strip_prefix("- ").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_found_with_their_digests() {
        let [a, b] = ["a", "b"].map(|digit| digit.repeat(64));
        let text = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: x\nValid-Until: Sun, 06 Dec 2026 00:00:00 UTC\nMD5Sum:\n 00 1 main/binary-amd64/Packages.gz\n\
             SHA256:\n {a} 10 main/binary-amd64/Packages\n {b} 5 main/binary-amd64/Packages.gz\n {a} 7 main/binary-all/Packages\n {b} 3 Packages\n \
             {a} 1 other/binary-amd64/Packages.xz\n-----BEGIN PGP SIGNATURE-----\n\nSHA256:\n {b} 1 Packages\n-----END PGP SIGNATURE-----\n"
        );
        let release = Release::read(&text);
        assert_eq!(release.until.as_deref(), Some("Sun, 06 Dec 2026 00:00:00 UTC"));
        let told = |release: &Release, component| {
            let found = release.indexes(component)?;
            Ok::<_, String>(
                found.iter().map(|one| format!("{} {} {}", one.path, one.size, &one.sha256[..1])).collect::<Vec<_>>().join(", "),
            )
        };
        assert_eq!(told(&release, Some("main")).expect("two"), "main/binary-amd64/Packages.gz 5 b, main/binary-all/Packages 7 a");
        assert_eq!(told(&release, None).expect("one"), "Packages 3 b", "what stands behind the signature does not count");
        let each = Release::read(&text.replace("Origin: x", "No-Support-for-Architecture-all: Packages"));
        assert_eq!(told(&each, Some("main")).expect("one"), "main/binary-amd64/Packages.gz 5 b");
        assert!(told(&release, Some("other")).expect_err("xz").contains("other/binary-amd64/Packages.xz alone"));
        assert!(told(&release, Some("none")).expect_err("none").contains("it names no none/binary-amd64/Packages"));
        assert_eq!(told(&Release::read(&format!("SHA256:\n {a} 1 ./Packages\n")), None).expect("plain"), "Packages 1 a");
    }
}
