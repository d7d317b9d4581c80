//! Names of records: texts that are a path in any folder and a key in any object storage.
use std::{fmt, str::FromStr};

/// The longest name in bytes. A path may have 4096 and an object's key 1024, what stands before the name included.
const LONGEST: usize = 512;
/// The longest part in bytes: file systems end at 255, and a temporary file's name is longer than its record's.
const LONGEST_PART: usize = 200;
/// How many digits say at which byte of a log a piece of it begins, where a log is kept in pieces.
pub(crate) const OFFSET_DIGITS: usize = 20;

/// What a record or a log is called below its workspace: parts of `[a-z0-9._-]` with `/` between them, such as `journal/7`.
///
/// A part begins with a letter, a digit or `_`, so that none is hidden or leads upwards, and is no number of 20 digits: that is what pieces
/// of a log are called in object storage. No name lies below another: where `journal` is a record, `journal/7` is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{text:?} cannot be the name of a record")]
#[diagnostic(code(kthw::store::name), help("use lower-case letters, digits, `.`, `_` and `-` with `/` between parts, such as `journal/7`"))]
pub struct BadName {
    text: String,
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with `other` and a `/`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() <= LONGEST && text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadName { text: text.chars().take(80).collect() })
    }
}

fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    part.len() <= LONGEST_PART
        && part.bytes().next().is_some_and(plain)
        && part.bytes().all(|byte| plain(byte) || byte == b'.' || byte == b'-')
        && !is_offset(part)
}

/// Whether `part` says at which byte of a log something begins.
pub(crate) fn is_offset(part: &str) -> bool {
    part.len() == OFFSET_DIGITS && part.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_that_leads_nowhere_else() {
        for text in ["lease", "known_hosts", "journal/7", "a/b.c/d-e_f", "7", "0000000000000000000", "000000000000000000000", "_x"] {
            assert_eq!(text.parse::<Name>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".hidden", "-x", "A", "a b", "a\nb", "ä", "a%2f", "a/00000000000000000007"]
        {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        assert!("a".repeat(LONGEST_PART).parse::<Name>().is_ok());
        assert!("a".repeat(LONGEST_PART + 1).parse::<Name>().is_err());
        assert!("a/".repeat(LONGEST / 2).parse::<Name>().is_err());
        assert!(format!("{}a", "a/".repeat(LONGEST / 2 - 1)).parse::<Name>().is_ok());
        assert!(format!("{}a", "a/".repeat(LONGEST / 2)).parse::<Name>().is_err());
    }
}
