//! Texts that are checked where they enter, so that nobody behind has to ask what is in them.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, marker::PhantomData, ops::Deref, str::FromStr};

/// What a kind of text has to be like.
pub trait Rule: Copy + Ord + std::hash::Hash {
    /// What such a text is, with its article: `a storage of Proxmox VE`.
    const WHAT: &'static str;
    /// Of what it is made, for people: `use …`.
    const FORM: &'static str;
    /// A right one.
    const EXAMPLE: &'static str;

    /// Whether `text` is one.
    fn allows(text: &str) -> bool;
}

/// A text that its rule allows: there is no other way to have one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checked<R>(String, PhantomData<R>);

/// A text that its rule does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}; use {form}, such as `{example}`")]
pub struct NotAllowed {
    text: String,
    what: &'static str,
    form: &'static str,
    example: &'static str,
}

impl<R: Rule> FromStr for Checked<R> {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        if R::allows(text) {
            return Ok(Self(text.to_owned(), PhantomData));
        }
        let shown = text.chars().take(80).collect();
        Err(NotAllowed { text: shown, what: R::WHAT, form: R::FORM, example: R::EXAMPLE })
    }
}

impl<'de, R: Rule> Deserialize<'de> for Checked<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<R> Serialize for Checked<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<R> Checked<R> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<R> Deref for Checked<R> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<R> AsRef<str> for Checked<R> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<R> From<Checked<R>> for String {
    fn from(checked: Checked<R>) -> Self {
        checked.0
    }
}

impl<R> PartialEq<str> for Checked<R> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl<R> PartialEq<&str> for Checked<R> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<R> PartialEq<String> for Checked<R> {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

impl<R> fmt::Display for Checked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<R> fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What [`NotAllowed`] says is wrong, and what to do about it. Anything else is left whole.
pub(crate) fn with_advice(message: &str) -> (&str, Option<String>) {
    match message.rsplit_once("; use ") {
        Some((wrong, advice)) => (wrong, Some(format!("use {advice}"))),
        None => (message, None),
    }
}

/// Whether a text has one to `most` characters, all of them ASCII letters, digits or one of `signs`.
pub(crate) fn is_word(text: &str, most: usize, signs: &str) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}

/// Whether it also begins and ends with a letter or digit.
pub(crate) fn is_bounded_word(text: &str, most: usize, signs: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    is_word(text, most, signs) && text.starts_with(outer) && text.ends_with(outer)
}

/// Checks a rule by what it allows and what not; its own example is among the former.
#[cfg(test)]
pub(crate) fn check_rule<R: Rule>(allowed: &[&str], refused: &[&str]) {
    for text in [R::EXAMPLE].iter().chain(allowed) {
        assert!(R::allows(text), "{text:?} is {}", R::WHAT);
    }
    // What ends a property, a line, a path or a quoted text is in none of them.
    for text in ["", " ", "a b", "a,b", "a\nb", "a\"b", "a'b", "a;b", "..", "a\0", "ä"].iter().chain(refused) {
        assert!(!R::allows(text), "{text:?} is not {}", R::WHAT);
    }
}
