//! Which values of a file are encrypted, decided by the keys on the way to them or by the comments above them.
//!
//! <https://github.com/getsops/sops/blob/v3.11.0/sops.go> (`shouldBeEncrypted`) is the reference.
use super::{pattern::Pattern, text::Step};

/// The default of sops: everything is encrypted but what is below a key with this ending.
pub(super) const UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// The one rule of a file.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Encrypts all but what is below a key with this ending.
    UnencryptedSuffix(String),
    /// Encrypts what is below a key with this ending.
    EncryptedSuffix(String),
    /// Encrypts all but what is below a key that this matches.
    UnencryptedRegex(Pattern),
    /// Encrypts what is below a key that this matches.
    EncryptedRegex(Pattern),
    /// Encrypts all but what follows a comment that this matches.
    UnencryptedCommentRegex(Pattern),
    /// Encrypts what follows a comment that this matches.
    EncryptedCommentRegex(Pattern),
}

impl Default for Rules {
    fn default() -> Self {
        Self::UnencryptedSuffix(UNENCRYPTED_SUFFIX.into())
    }
}

impl Rules {
    /// The fields of the `sops` block and of `.sops.yaml` that can hold a rule.
    pub(super) const FIELDS: [&'static str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];

    /// The rule that a field holds.
    ///
    /// # Errors
    /// In words, when the text is not a regular expression, or the field holds no rule.
    pub(super) fn of_field(field: &str, text: &str) -> Result<Self, String> {
        let regex = || Pattern::new(text).map_err(|_| format!("`{field}` is not a regular expression that kthw understands"));
        Ok(match field {
            "unencrypted_suffix" => Self::UnencryptedSuffix(text.into()),
            "encrypted_suffix" => Self::EncryptedSuffix(text.into()),
            "unencrypted_regex" => Self::UnencryptedRegex(regex()?),
            "encrypted_regex" => Self::EncryptedRegex(regex()?),
            "unencrypted_comment_regex" => Self::UnencryptedCommentRegex(regex()?),
            "encrypted_comment_regex" => Self::EncryptedCommentRegex(regex()?),
            _ => return Err(format!("`{field}` holds no rule")),
        })
    }

    /// The field that holds it, and the text.
    pub(super) fn field(&self) -> (&'static str, &str) {
        match self {
            Self::UnencryptedSuffix(suffix) => ("unencrypted_suffix", suffix),
            Self::EncryptedSuffix(suffix) => ("encrypted_suffix", suffix),
            Self::UnencryptedRegex(regex) => ("unencrypted_regex", regex.as_str()),
            Self::EncryptedRegex(regex) => ("encrypted_regex", regex.as_str()),
            Self::UnencryptedCommentRegex(regex) => ("unencrypted_comment_regex", regex.as_str()),
            Self::EncryptedCommentRegex(regex) => ("encrypted_comment_regex", regex.as_str()),
        }
    }

    /// Whether what stands below `keys` is encrypted; `comments` are those above it and above everything that it stands in, and
    /// `is_comment` says that the last of them is the one in question.
    pub(super) fn encrypts(&self, keys: &[&str], comments: &[&str], is_comment: bool) -> bool {
        match self {
            Self::UnencryptedSuffix(suffix) => !keys.iter().any(|key| key.ends_with(suffix.as_str())),
            Self::EncryptedSuffix(suffix) => keys.iter().any(|key| key.ends_with(suffix.as_str())),
            Self::UnencryptedRegex(regex) => !keys.iter().any(|key| regex.is_match(key)),
            Self::EncryptedRegex(regex) => keys.iter().any(|key| regex.is_match(key)),
            Self::UnencryptedCommentRegex(regex) => !comments.iter().any(|comment| regex.is_match(comment)),
            Self::EncryptedCommentRegex(regex) => {
                // A comment that asks for encryption stays readable itself.
                let above = if is_comment { comments.len().saturating_sub(1) } else { comments.len() };
                comments[..above].iter().any(|comment| regex.is_match(comment))
            }
        }
    }

    /// Whether comments decide.
    pub(super) fn by_comments(&self) -> bool {
        matches!(self, Self::UnencryptedCommentRegex(_) | Self::EncryptedCommentRegex(_))
    }
}

/// The comments above the leaf that a walk has reached: at every level those since the last item that is over.
#[derive(Debug, Default)]
pub(super) struct CommentsAbove {
    levels: Vec<Level>,
    document: usize,
}

#[derive(Debug, Default)]
struct Level {
    comments: Vec<String>,
    /// The item that the comments belong to, once it has begun.
    item: Option<Step>,
}

impl CommentsAbove {
    /// Goes on to a comment inside the map or list at `path`.
    pub fn comment(&mut self, document: usize, path: &[Step], text: &str) {
        self.value(document, path);
        self.levels.resize_with(path.len() + 1, Level::default);
        let level = &mut self.levels[path.len()];
        if level.item.take().is_some() {
            level.comments.clear();
        }
        level.comments.push(text.to_owned());
    }

    /// Goes on to the value at `path`.
    pub fn value(&mut self, document: usize, path: &[Step]) {
        if document != self.document {
            self.levels.clear();
            self.document = document;
        }
        for (depth, step) in path.iter().enumerate() {
            if self.levels.len() == depth {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[depth];
            if level.item.as_ref() == Some(step) {
                continue;
            }
            if level.item.replace(step.clone()).is_some() {
                level.comments.clear();
            }
            self.levels.truncate(depth + 1);
        }
    }

    /// All of them, the outermost first.
    pub fn all(&self) -> Vec<&str> {
        self.levels.iter().flat_map(|level| level.comments.iter().map(String::as_str)).collect()
    }
}

/// The rule among the fields of a `sops` block or a creation rule; the default of sops when there is none.
///
/// # Errors
/// When two fields hold one, or one is no rule.
pub(super) fn only_one<'a>(fields: impl Iterator<Item = (&'static str, &'a str)>) -> Result<Option<Rules>, String> {
    let mut found: Option<Rules> = None;
    for (field, text) in fields {
        let rules = Rules::of_field(field, text)?;
        if let Some(other) = found.replace(rules) {
            return Err(format!("`{}` and `{field}` exclude each other; keep one", other.field().0));
        }
    }
    Ok(found)
}
