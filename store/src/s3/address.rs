//! `s3://bucket/prefix`.
use kthw_engine::{Error, Result};
use std::{fmt, str::FromStr};

/// What such an address begins with.
const SCHEME: &str = "s3://";

/// A bucket and what the keys of all objects in it begin with; that may be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Address {
    bucket: String,
    prefix: String,
}

impl S3Address {
    /// Whether a text is meant as one.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The place of one workspace in it.
    ///
    /// # Errors
    /// When the workspace's name cannot be part of an object's key.
    pub fn below(&self, workspace: &str) -> Result<Self> {
        if !is_part(workspace) {
            return Err(Error::usage(BadAddress { why: format!("{workspace:?} cannot be a part of it") }));
        }
        let separator = if self.prefix.is_empty() { "" } else { "/" };
        Ok(Self { bucket: self.bucket.clone(), prefix: format!("{}{separator}{workspace}", self.prefix) })
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The text is not quoted when it is none: it may hold a password.
impl FromStr for S3Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> std::result::Result<Self, BadAddress> {
        let bad = |why: &str| BadAddress { why: why.into() };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("it does not begin with s3://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return Err(bad("its bucket is none: they are 3 to 63 of a-z, 0-9, `.` and `-`"));
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_part) {
            return Err(bad("its prefix may have letters, digits, `.`, `_` and `-` with `/` between parts"));
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.into() })
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_bucket(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || byte == b'.' || byte == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
}

fn is_part(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(fits)
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{}{separator}{}", self.bucket, self.prefix)
    }
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("this is no address of S3: {why}")]
#[diagnostic(
    code(kthw::store::s3_address),
    help("write s3://BUCKET/PREFIX; where the service is and who you are goes into AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and the like")
)]
pub struct BadAddress {
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("s3://team-kthw", "s3://team-kthw/ubuntu"),
            ("s3://team-kthw/", "s3://team-kthw/ubuntu"),
            ("s3://team-kthw/clusters", "s3://team-kthw/clusters/ubuntu"),
            ("s3://team.kthw/Clusters/of_us/", "s3://team.kthw/Clusters/of_us/ubuntu"),
        ] {
            let address: S3Address = text.parse().expect(text);
            assert_eq!(address.below("ubuntu").expect("a name").to_string(), expected);
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "s3://",
            "s3:///x",
            "s3://ab",
            "s3://Team/x",
            "s3://-team/x",
            "s3://team/../x",
            "s3://team//x",
            "s3://team/x//",
            "s3://team/x?y",
            "s3://team/ü",
            "s3://key:secret@team/x",
            "https://team/x",
            "/folder",
        ] {
            let error = text.parse::<S3Address>().expect_err(text);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let address: S3Address = "s3://team".parse().expect("an address");
        for workspace in ["", "..", "a/b", "a b"] {
            assert!(address.below(workspace).is_err(), "{workspace:?}");
        }
    }
}
