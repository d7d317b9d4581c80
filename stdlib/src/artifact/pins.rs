//! The file beside a workspace that holds the digests which a person pinned.
use super::{Upstream, is_sha256};
use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::{Deserialize, Serialize};
use std::{io::Write, path::Path};

/// Its name.
pub const PINS_FILE: &str = "artifacts.lock.yaml";

/// What stands above the rows.
const HEAD: &str = "# Written by `kthw artifacts pin`: upstream's files with the digests that they had when somebody looked at them. Keep it with the workspace.\n";

/// One pinned file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The project, such as `calico`.
    pub project: String,
    /// Its version, such as `v3.32.1`.
    pub version: String,
    /// The file's name.
    pub file: String,
    /// Where upstream serves it.
    pub url: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The day on which it was pinned, such as `2026-11-29`.
    pub date: String,
}

impl Pin {
    /// The pin of a file.
    pub fn of(upstream: Upstream, sha256: String, size: u64, date: String) -> Self {
        let Upstream { project, version, file, url } = upstream;
        Self { project, version, file, url, sha256, size, date }
    }

    fn is_of(&self, other: &Upstream) -> bool {
        (&self.project, &self.version, &self.file, &self.url) == (&other.project, &other.version, &other.file, &other.url)
    }

    fn upstream(&self) -> Upstream {
        let Self { project, version, file, url, .. } = self.clone();
        Upstream { project, version, file, url }
    }
}

/// The pins of a workspace, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(Vec<Pin>);

impl Pins {
    /// Reads the text of [`PINS_FILE`], known to people as `label`.
    ///
    /// # Errors
    /// [`BadPins`] with the place of what is wrong.
    pub fn parse(label: &str, text: &str) -> Result<Self, BadPins> {
        let bad = |reason: String, offset: usize| BadPins {
            reason,
            text: NamedSource::new(label, text.to_owned()),
            place: (offset.min(text.len()), usize::from(offset < text.len())).into(),
        };
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let rows: Option<Vec<Pin>> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let offset = error.location().and_then(|location| location.span().byte_offset()).unwrap_or(0);
            bad(error.to_string(), usize::try_from(offset).unwrap_or(0))
        })?;
        let mut pins = Self::default();
        for pin in rows.unwrap_or_default() {
            let at = text.find(&pin.sha256).unwrap_or(0);
            if !is_sha256(&pin.sha256) {
                return Err(bad(format!("`{}` is not a SHA-256 in lower-case hexadecimal digits", pin.sha256), at));
            }
            if pins.get(&pin.upstream()).is_some() {
                return Err(bad(format!("{} is pinned twice", pin.upstream().path()), text.rfind(&pin.sha256).unwrap_or(0)));
            }
            pins.0.push(pin);
        }
        pins.0.sort();
        Ok(pins)
    }

    /// Reads the file in `folder`; without one nothing is pinned.
    ///
    /// # Errors
    /// [`BadPins`], also when it cannot be read.
    pub fn beside(folder: &Path) -> Result<Self, BadPins> {
        let path = folder.join(PINS_FILE);
        let label = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&label, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(BadPins { reason: error.to_string(), text: NamedSource::new(label, String::new()), place: 0.into() }),
        }
    }

    /// The pin of a file at its address.
    pub fn get(&self, upstream: &Upstream) -> Option<&Pin> {
        self.0.iter().find(|pin| pin.is_of(upstream))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.0.iter()
    }

    /// Adds a pin. One with another digest takes the place of what was pinned only if `replace` says so; one with the same changes nothing.
    ///
    /// # Errors
    /// [`OtherDigest`].
    pub fn add(&mut self, pin: Pin, replace: bool) -> Result<(), OtherDigest> {
        match self.0.iter_mut().find(|old| old.is_of(&pin.upstream())) {
            Some(old) if old.sha256 == pin.sha256 => {}
            Some(old) if replace => *old = pin,
            Some(old) => return Err(OtherDigest::new(&pin.upstream(), &format!("pinned on {}", old.date), &old.sha256, &pin.sha256)),
            None => self.0.push(pin),
        }
        self.0.sort();
        Ok(())
    }

    /// Writes the file in `folder`: whole or not at all.
    ///
    /// # Errors
    /// When the folder may not be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let rows = serde_saphyr::to_string(&self.0).map_err(std::io::Error::other)?;
        let mut file = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // No secret is in it, and a team shares it; the process's mask is applied.
            file.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = file.tempfile_in(folder)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(rows.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(folder.join(PINS_FILE)).map(|_| ()).map_err(|error| error.error)
    }
}

/// A file that came is not the one that is known.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{path} has changed: sha256 {found}, {known} with {wanted}")]
#[diagnostic(
    code(kthw::artifact::other_digest),
    help("upstream does not change what it released: find out why. If the new file is the right one, `--repin {path}` takes it")
)]
pub struct OtherDigest {
    path: String,
    known: String,
    wanted: String,
    found: String,
}

impl OtherDigest {
    /// That `upstream`, which is `known` (in words) with the digest `wanted`, came with `found`.
    pub fn new(upstream: &Upstream, known: &str, wanted: &str, found: &str) -> Self {
        Self { path: upstream.path(), known: known.into(), wanted: wanted.into(), found: found.into() }
    }
}

/// [`PINS_FILE`] cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read {}: {reason}", text.name())]
#[diagnostic(
    code(kthw::artifact::bad_pins),
    help("`kthw artifacts pin` writes this file; take it from your version control again, or remove it and pin anew")
)]
pub struct BadPins {
    reason: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    place: SourceSpan,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(file: &str, digit: char) -> Pin {
        let upstream = Upstream {
            project: "calico".into(),
            version: "v3.32.1".into(),
            file: file.into(),
            url: format!("https://example.test/{file}?a=1#b"),
        };
        Pin::of(upstream, digit.to_string().repeat(64), 7, "2026-11-29".into())
    }

    #[test]
    fn what_is_written_is_read_and_its_order_is_always_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = |files: [&str; 2]| {
            let mut pins = Pins::default();
            files.into_iter().for_each(|file| pins.add(pin(file, '1'), false).expect("new"));
            pins.write(folder.path()).expect("written");
            assert_eq!(Pins::beside(folder.path()).expect("read"), pins);
            std::fs::read_to_string(folder.path().join(PINS_FILE)).expect("a text")
        };
        let first = text(["a.yaml", "b.yaml"]);
        assert_eq!(first, text(["b.yaml", "a.yaml"]));
        assert!(first.starts_with("# Written by") && first.contains("size: 7"), "{first}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn another_digest_is_refused_and_both_are_shown() {
        let mut pins = Pins::default();
        pins.add(pin("a", '1'), false).expect("new");
        pins.add(pin("a", '1'), false).expect("the same");
        let error = pins.add(pin("a", '2'), false).expect_err("another").to_string();
        assert!(error.contains(&"1".repeat(64)) && error.contains(&"2".repeat(64)), "{error}");
        pins.add(pin("a", '2'), true).expect("asked for");
        assert_eq!(pins.iter().map(|pin| pin.sha256.clone()).collect::<Vec<_>>(), ["2".repeat(64)]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let mut pins = Pins::default();
        pins.add(pin("a", '1'), false).expect("new");
        let text = serde_saphyr::to_string(&pins.0).expect("a text");
        let error = |text: &str| Pins::parse("artifacts.lock.yaml", text).expect_err("wrong");
        let short = error(&text.replace(&"1".repeat(64), "11"));
        assert!(short.to_string().contains("`11` is not a SHA-256"), "{short}");
        assert!(error(&format!("{text}{text}")).to_string().contains("pinned twice"));
        assert!(error(&text.replace("size", "siez")).to_string().contains("siez"));
        assert_eq!(Pins::parse("a", "").expect("nothing"), Pins::default());
    }
}
