//! The index of an apt repository, `Packages`: <https://wiki.debian.org/DebianRepository/Format#A.22Packages.22_Indices>.
use crate::artifact::is_sha256;
use std::io::{BufRead, Error, ErrorKind, Result};

/// The longest line that is read, in bytes. The longest of Debian's has a few thousand.
const LONGEST_LINE: u64 = 1 << 20;
/// The machines that clusters run on.
const ARCHITECTURES: [&str; 2] = ["amd64", "all"];

/// A package as an index names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::bundle) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// `Pre-Depends` and `Depends`.
    pub(super) depends: String,
    pub(super) provides: String,
    /// Its word for how much every machine needs it: `required`, `important`, `standard`, `optional`, `extra`.
    pub(super) priority: String,
    /// Whether every machine has it, without being asked.
    pub(super) essential: bool,
    /// Where it is in its repository.
    pub(super) path: String,
    /// In bytes.
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Package {
    /// Whether every machine of the distribution has it.
    pub(super) fn is_required(&self) -> bool {
        self.essential || self.priority == "required"
    }

    /// Whether most machines have it: what an installation of the distribution brings that nobody chose anything for.
    pub(super) fn is_usual(&self) -> bool {
        self.is_required() || matches!(self.priority.as_str(), "important" | "standard")
    }
}

/// Reads the packages for amd64 out of an index.
///
/// # Errors
/// When it cannot be read, and for a package of which the index does not say where it is, how large it is, and its SHA-256.
pub(super) fn read(mut text: impl BufRead) -> Result<Vec<Package>> {
    let (mut packages, mut one, mut line) = (Vec::new(), Stanza::default(), Vec::new());
    loop {
        line.clear();
        let read = std::io::Read::take(&mut text, LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read as u64 == LONGEST_LINE {
            return Err(bad("it has a line that is longer than any".into()));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            packages.extend(std::mem::take(&mut one).end()?);
        } else {
            one.line(text);
        }
        if read == 0 {
            return Ok(packages);
        }
    }
}

/// A paragraph, as far as it was read.
#[derive(Default)]
struct Stanza {
    package: Package,
    architecture: String,
    size: String,
    /// The field that a line beginning with a space goes on with.
    last: String,
}

impl Stanza {
    fn line(&mut self, text: &str) {
        let (name, value) = match text.split_once(':') {
            _ if text.starts_with([' ', '\t']) => (std::mem::take(&mut self.last), text.trim()),
            Some((name, value)) => (name.to_ascii_lowercase(), value.trim()),
            None => return,
        };
        let package = &mut self.package;
        match name.as_str() {
            "package" => package.name.push_str(value),
            "version" => package.version.push_str(value),
            "architecture" => self.architecture.push_str(value),
            "depends" | "pre-depends" => package.depends.push_str(&format!("{value},")),
            "provides" => package.provides.push_str(value),
            "priority" => package.priority.push_str(value),
            "essential" => package.essential = value == "yes",
            "filename" => package.path.push_str(value.trim_start_matches("./")),
            "size" => self.size.push_str(value),
            "sha256" => package.sha256.push_str(value),
            _ => {}
        }
        self.last = name;
    }

    fn end(self) -> Result<Option<Package>> {
        let Self { mut package, architecture, size, .. } = self;
        if package.name.is_empty() || !ARCHITECTURES.contains(&architecture.as_str()) {
            return Ok(None);
        }
        let fault = |what: &str| Err(bad(format!("of {} {} it does not say {what}", package.name, package.version)));
        if !is_inside(&package.path) {
            return fault("where in the repository it is");
        }
        if !is_sha256(&package.sha256) {
            return fault("the SHA-256");
        }
        let Ok(size) = size.parse() else { return fault("the size") };
        package.size = size;
        Ok(Some(package))
    }
}

/// Whether a path leads to something below the folder that it stands in.
pub(super) fn is_inside(path: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
    path.len() < 1000 && !path.contains('\\') && path.split('/').all(is_name)
}

fn bad(reason: String) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_for_amd64_are_read_with_their_fields() {
        let digest = "0".repeat(64);
        let text = format!(
            "Package: kubelet\nVersion: 1.36.3-1.1\nArchitecture: amd64\nDepends: iptables (>= 1.4.21),\n mount\nPre-Depends: libc6\nDescription: a\n \
             Depends: not this\nFilename: ./amd64/kubelet.deb\nSize: 7\nSHA256: {digest}\n\n\n\
             Package: kubelet\nVersion: 1.36.3-1.1\nArchitecture: arm64\n\n\
             Package: bash\nVersion: 5\nArchitecture: all\nEssential: yes\nPriority: required\nFilename: pool/b.deb\nSize: 8\nSHA256: {digest}"
        );
        let read = read(text.as_bytes()).expect("an index");
        let told: Vec<_> = read.iter().map(|one| (one.name.as_str(), one.depends.as_str(), one.path.as_str(), one.size)).collect();
        assert_eq!(told, [("kubelet", "iptables (>= 1.4.21),,mount,libc6,", "amd64/kubelet.deb", 7), ("bash", "", "pool/b.deb", 8)]);
        assert!(read[1].is_required() && read[1].is_usual() && !read[0].is_usual());
    }

    #[test]
    fn what_cannot_be_checked_or_leads_outside_is_an_error() {
        let digest = "0".repeat(64);
        for (fields, told) in [
            (format!("Filename: ../a.deb\nSize: 1\nSHA256: {digest}"), "of a 1 it does not say where in the repository it is"),
            (format!("Filename: /etc/a.deb\nSize: 1\nSHA256: {digest}"), "it does not say where"),
            (format!("Size: 1\nSHA256: {digest}"), "it does not say where"),
            (format!("Filename: a.deb\nSHA256: {digest}"), "the size"),
            ("Filename: a.deb\nSize: 1\nMD5sum: 00".into(), "the SHA-256"),
        ] {
            let error = read(format!("Package: a\nVersion: 1\nArchitecture: all\n{fields}\n").as_bytes()).expect_err("refused").to_string();
            assert!(error.contains(told), "{error}");
        }
        let long = format!("Package: a\nDescription: {}\n", "x".repeat(2 << 20));
        assert!(read(long.as_bytes()).expect_err("refused").to_string().contains("longer than any"));
    }
}
