//! One resource of a saved plan, and when it is the same as one that is planned now.
use crate::{
    change::{Change, Refusal},
    field::{Cost, Field},
    id::Id,
    plan::Planned,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A text that is longer than this many bytes, such as the content of a file, is kept as its digest.
const LONGEST: usize = 4096;

/// The longest line that a message shows as it is, and how much it shows of a longer one, in characters.
const SHOWN: usize = 80;

/// A resource and what would change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedResource {
    pub id: Id,
    /// The recipe that declares it.
    pub phase: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it was a part of what was asked for.
    pub chosen: bool,
    pub change: Word,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<SavedField>,
    /// Why it is unknown or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What a person can do about what is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The words for changes, see [`Change::word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    None,
    Create,
    Update,
    Delete,
    Unknown,
    Refused,
}

/// A field that differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedField {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<SavedText>,
    pub want: SavedText,
    pub cost: Cost,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A text, or what is kept of a long one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SavedText {
    Whole(String),
    Long(LongText),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongText {
    bytes: usize,
    /// Lower-case hex SHA-256 of the text.
    sha256: String,
}

impl Word {
    /// Whether what needs something with this change may have been hidden by it.
    pub fn may_hide(self) -> bool {
        matches!(self, Self::Create | Self::Unknown | Self::Refused)
    }
}

impl From<&Planned> for SavedResource {
    fn from(planned: &Planned) -> Self {
        let (word, why, next) = match &planned.change {
            Change::None => (Word::None, None, None),
            Change::Create(_) => (Word::Create, None, None),
            Change::Update(_) => (Word::Update, None, None),
            Change::Delete => (Word::Delete, None, None),
            Change::Unknown(why) => (Word::Unknown, Some(why.clone()), None),
            Change::Refused(Refusal { why, next, .. }) => (Word::Refused, Some(why.clone()), Some(next.clone())),
        };
        Self {
            id: planned.id.clone(),
            phase: planned.phase.clone(),
            node: planned.node.clone(),
            chosen: planned.chosen,
            change: word,
            fields: planned.change.fields().iter().map(SavedField::from).collect(),
            why,
            next,
        }
    }
}

impl SavedResource {
    /// What counts when two are compared. A reason does not: nothing is done because of it, and it may tell a time. Neither does whether it was
    /// chosen, which follows from what was asked for.
    pub fn facts(&self) -> impl PartialEq + Serialize + '_ {
        let fields: Vec<_> = self.fields.iter().map(SavedField::facts).collect();
        (&self.id, &self.phase, &self.node, self.change, fields)
    }
}

impl SavedField {
    /// What counts when two are compared: the value, not why it is that.
    pub fn facts(&self) -> impl PartialEq + Serialize + '_ {
        (&self.name, &self.live, &self.want, self.cost)
    }
}

impl From<&Field> for SavedField {
    fn from(field: &Field) -> Self {
        let (live, want) = (field.live.as_deref().map(SavedText::from), SavedText::from(field.want.as_str()));
        Self { name: field.name.clone().into_owned(), live, want, cost: field.cost, because: field.because.clone() }
    }
}

/// The values alone, without the name: `0644 -> 0600`.
impl fmt::Display for SavedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(live) = &self.live {
            let because = self.because.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            write!(f, "{live}{because} -> ")?;
        }
        write!(f, "{}{}", self.want, self.cost.note())
    }
}

impl From<&str> for SavedText {
    fn from(text: &str) -> Self {
        match text.len() > LONGEST {
            true => Self::Long(LongText { bytes: text.len(), sha256: hex::encode(Sha256::digest(text)) }),
            false => Self::Whole(text.into()),
        }
    }
}

/// A short line as it is; of anything longer, enough to tell two apart.
impl fmt::Display for SavedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(text) if text.is_empty() => f.write_str("\"\""),
            Self::Whole(text) if !text.contains('\n') && text.chars().count() <= SHOWN => f.write_str(text),
            Self::Whole(text) => {
                let begins: String =
                    if text.contains('\n') { String::new() } else { text.chars().take(SHOWN).chain("… ".chars()).collect() };
                write!(f, "{begins}{} bytes ({}…)", text.len(), &hex::encode(Sha256::digest(text))[..8])
            }
            Self::Long(LongText { bytes, sha256 }) => write!(f, "{bytes} bytes ({}…)", sha256.get(..8).unwrap_or(sha256)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;

    fn saved(field: Field) -> SavedResource {
        let (id, change) = (Id::new("tiny.file", "a/one"), Change::Update(vec![field]));
        SavedResource::from(&Planned { id, phase: "one".into(), node: None, change, chosen: true, hides: false })
    }

    #[test]
    fn a_value_counts_and_what_it_costs_and_not_why_it_is_that() {
        let ready = |live, why: &str| field("ready", live, "true").unwrap().because(why);
        let first = saved(ready("false", "seen 3 s ago"));
        let is_same = |other: Field| {
            let other = saved(other);
            first.facts() == other.facts()
        };
        assert!(is_same(ready("false", "seen 4 s ago")));
        assert!(!is_same(ready("unknown", "seen 3 s ago")));
        assert!(!is_same(ready("false", "seen 3 s ago").at(Cost::Reboot)));
        assert_eq!(first.fields[0].to_string(), "false (seen 3 s ago) -> true");
        let text = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::to_string(&serde_json::from_str::<SavedResource>(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn of_a_long_text_a_message_shows_enough_to_tell_it_from_another() {
        let shown = |text: &str| SavedText::from(text).to_string();
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown(&"ü".repeat(80)), "ü".repeat(80));
        assert_eq!(shown(&"x".repeat(81)), format!("{}… 81 bytes (4d1f7bb8…)", "x".repeat(80)));
        assert_eq!(shown("a\n"), "2 bytes (87428fc5…)");
        assert_eq!(shown(&"x".repeat(LONGEST)), format!("{}… 4096 bytes (a2e659da…)", "x".repeat(80)));
        assert_eq!(shown(&"x".repeat(LONGEST + 1)), "4097 bytes (3e97197f…)");
    }
}
