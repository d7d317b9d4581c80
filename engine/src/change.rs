//! What has to happen to one resource: the result of comparing what is wanted with what was found.
use crate::{
    field::{Cost, Field},
    redact::presentable,
};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::borrow::Cow;

/// The difference between what a recipe declares and what reading found.
///
/// There is no replacement: nothing is ever destroyed because one of its fields differs. Such a difference is [refused](Change::Refused).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing to change.
    None,
    /// It is not there yet; the fields say how it will be.
    Create(Vec<Field>),
    /// It is there and differs in these fields.
    Update(Vec<Field>),
    /// It is there and has to go.
    Delete,
    /// It could not be looked at, for this reason. It is looked at again at its turn.
    Unknown(String),
    /// What is declared is never done as asked.
    Refused(Refusal),
}

/// Why something is never done as asked, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in one line.
    pub why: String,
    /// What a person can do about it.
    pub next: String,
    /// The fields that are the reason, if it is about fields.
    pub fields: Vec<Field>,
}

impl Change {
    /// None or update; refused when a differing field was fixed when the thing was made.
    pub fn between(fields: impl IntoIterator<Item = Option<Field>>) -> Self {
        let fields: Vec<Field> = fields.into_iter().flatten().collect();
        match fields.iter().map(|field| field.cost).max() {
            None => Self::None,
            Some(Cost::Replacement | Cost::Everything) => Self::Refused(Refusal {
                why: "it would have to be replaced, which is never done on its own".into(),
                next: "set the field back, or remove the old one yourself and run again".into(),
                fields,
            }),
            Some(_) => Self::Update(fields),
        }
    }

    /// Something that is not there yet and will have these fields.
    pub fn create(fields: impl IntoIterator<Item = Field>) -> Self {
        Self::Create(fields.into_iter().collect())
    }

    /// The same change as a person may see it: what is live now may hold the value of a secret, or control a terminal.
    #[must_use]
    pub(crate) fn presentable(mut self) -> Self {
        let clean = |text: &mut String| {
            if let Cow::Owned(without) = presentable(text) {
                *text = without;
            }
        };
        match &mut self {
            Self::Unknown(why) => clean(why),
            Self::Refused(refusal) => {
                clean(&mut refusal.why);
                clean(&mut refusal.next);
            }
            _ => {}
        }
        if let Self::Create(fields) | Self::Update(fields) | Self::Refused(Refusal { fields, .. }) = &mut self {
            fields.iter_mut().flat_map(|field| field.live.iter_mut().chain([&mut field.want]).chain(&mut field.because)).for_each(clean);
        }
        self
    }

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The plan's mark for this change: `=`, `+`, `~`, `-`, `?` (unknown) or `!` (refused).
    pub fn mark(&self) -> char {
        match self {
            Self::None => '=',
            Self::Create(_) => '+',
            Self::Update(_) => '~',
            Self::Delete => '-',
            Self::Unknown(_) => '?',
            Self::Refused(_) => '!',
        }
    }

    /// The word for this change.
    pub fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Delete => "delete",
            Self::Unknown(_) => "unknown",
            Self::Refused(_) => "refused",
        }
    }

    /// The fields that differ.
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Create(fields) | Self::Update(fields) | Self::Refused(Refusal { fields, .. }) => fields,
            Self::None | Self::Delete | Self::Unknown(_) => &[],
        }
    }

    /// What of `self` a person who saw `planned` has not agreed to, in words; `None` when there is nothing.
    ///
    /// Less than planned is fine. Consent is per field: only when this run itself changed something that the resource needs (`touched`) may
    /// further fields differ than were shown. What could not be looked at may turn out to be missing or different, never to be removed.
    pub(crate) fn beyond(&self, planned: &Self, touched: bool) -> Option<String> {
        match (self, planned) {
            (Self::None, _) | (Self::Create(_), Self::Create(_) | Self::Unknown(_)) | (Self::Delete, Self::Delete) => None,
            (Self::Update(_), Self::Create(_) | Self::Unknown(_)) => None,
            // It was there when the plan was made: somebody removed it meanwhile, and making it anew is what is declared.
            (Self::Create(_), Self::Update(_)) => None,
            (Self::Update(_), Self::Update(_)) if touched => None,
            (Self::Update(now), Self::Update(shown)) => {
                let new: Vec<&str> =
                    now.iter().filter(|field| !shown.iter().any(|shown| shown.name == field.name)).map(|field| &*field.name).collect();
                (!new.is_empty()).then(|| format!("also change {}", new.join(", ")))
            }
            (now, _) => Some(now.word().into()),
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut change = serializer.serialize_struct("Change", 4)?;
        change.serialize_field("change", self.word())?;
        if !self.fields().is_empty() {
            change.serialize_field("fields", self.fields())?;
        }
        match self {
            Self::Unknown(why) => change.serialize_field("why", why)?,
            Self::Refused(Refusal { why, next, .. }) => {
                change.serialize_field("why", why)?;
                change.serialize_field("next", next)?;
            }
            Self::None | Self::Create(_) | Self::Update(_) | Self::Delete => {}
        }
        change.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;

    fn update(names: &[&'static str]) -> Change {
        Change::between(names.iter().map(|name| field(*name, 1, 2)))
    }

    #[test]
    fn the_costliest_field_decides() {
        let storage = field("storage", "a", "b").map(|field| field.at(Cost::Replacement));
        assert_eq!(Change::between([None, field("x", 1, 1)]), Change::None);
        assert_eq!(update(&["cores"]).word(), "update");
        assert_eq!(Change::between([field("cores", 2, 4), storage]).word(), "refused");
    }

    #[test]
    fn less_than_planned_is_fine_and_more_is_not() {
        let (create, unknown) = (Change::Create(vec![]), Change::Unknown("no route to host".into()));
        assert_eq!(Change::None.beyond(&create, false), None);
        assert_eq!(update(&["a"]).beyond(&create, false), None);
        assert_eq!(create.beyond(&unknown, false), None);
        assert_eq!(update(&["a"]).beyond(&unknown, false), None);
        assert_eq!(Change::Delete.beyond(&unknown, true), Some("delete".into()));
        assert_eq!(Change::Delete.beyond(&update(&["a"]), true), Some("delete".into()));
        assert_eq!(update(&["a"]).beyond(&Change::None, true), Some("update".into()));
    }

    #[test]
    fn consent_is_per_field_unless_the_run_itself_moved_it() {
        let planned = update(&["mode", "owner"]);
        assert_eq!(update(&["mode"]).beyond(&planned, false), None);
        assert_eq!(update(&["mode", "content"]).beyond(&planned, false), Some("also change content".into()));
        assert_eq!(update(&["mode", "content"]).beyond(&planned, true), None);
    }

    #[test]
    fn a_secret_is_in_no_part_of_what_a_person_sees() {
        let secret = crate::Secret::new("correct horse battery staple");
        let echo = format!("it is {}", secret.expose());
        let fields = vec![Field { live: Some(echo.clone()), ..Field::new("key", &echo) }.because(&echo)];
        let refusal = Refusal { why: echo.clone(), next: echo.clone(), fields: fields.clone() };
        for change in [Change::Create(fields.clone()), Change::Update(fields), Change::Unknown(echo), Change::Refused(refusal)] {
            let shown = serde_json::to_string(&change.presentable()).unwrap();
            assert!(shown.contains("it is <secret>") && !shown.contains("horse"), "{shown}");
        }
    }

    #[test]
    fn what_a_peer_says_controls_no_terminal() {
        let said = "cu1\u{1b}[2J\u{202e}";
        let fields = vec![Field { live: Some(said.into()), ..Field::new("name", said) }.because(said)];
        let refusal = Refusal { why: said.into(), next: said.into(), fields: fields.clone() };
        for change in [Change::Create(fields.clone()), Change::Update(fields), Change::Unknown(said.into()), Change::Refused(refusal)] {
            let shown = format!("{:?}", change.presentable());
            assert!(shown.contains(r"cu1\\u{1b}[2J\\u{202e}") && !shown.contains(r"cu1\u"), "{shown}");
        }
    }

    #[test]
    fn json_says_why() {
        let told = |change: &Change| serde_json::to_value(change).unwrap();
        assert_eq!(told(&Change::None), serde_json::json!({ "change": "none" }));
        assert_eq!(told(&Change::Unknown("it is silent".into())), serde_json::json!({ "change": "unknown", "why": "it is silent" }));
        assert_eq!(
            told(&Change::create([Field::new("cores", 2)])),
            serde_json::json!({ "change": "create", "fields": [{ "name": "cores", "live": null, "want": "2", "cost": "nothing" }] })
        );
    }
}
