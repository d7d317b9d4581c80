//! What has to happen to one resource: the result of comparing what is wanted with what was found.
use crate::watch::blank;
use serde::Serialize;
use std::{borrow::Cow, fmt};

/// The difference between what a recipe declares and what reading found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change", content = "fields")]
pub enum Change {
    /// Nothing to change.
    None,
    /// It is not there yet; the fields say how it will be.
    Create(Vec<Field>),
    /// It is there and differs in these fields.
    Update(Vec<Field>),
    /// It is there, and a field differs that can only be changed by making it anew. Never done implicitly.
    Replace(Vec<Field>),
    /// It is there and has to go.
    Delete,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The field's name, as the recipe or the peer spells it.
    pub name: Cow<'static, str>,
    /// What was found, as text; `None` where there was nothing.
    pub live: Option<String>,
    /// What is wanted, as text.
    pub want: String,
    /// What making it so costs.
    pub effect: Effect,
}

/// What changing a field costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Takes effect at once.
    Live,
    /// Takes effect after the machine was restarted.
    Reboot,
    /// Needs the thing to be made anew.
    Replace,
}

/// Compares one field; `None` when it is as wanted.
pub fn field<T: PartialEq + fmt::Display>(name: impl Into<Cow<'static, str>>, live: T, want: T) -> Option<Field> {
    (live != want).then(|| Field { name: name.into(), live: Some(live.to_string()), want: want.to_string(), effect: Effect::Live })
}

/// A field whose values must not be shown, only that they differ.
pub fn secret_field(name: impl Into<Cow<'static, str>>, differs: bool) -> Option<Field> {
    differs.then(|| Field { name: name.into(), live: Some("<secret>".into()), want: "<secret>".into(), effect: Effect::Live })
}

impl Field {
    /// A field of something that does not exist yet.
    pub fn new(name: impl Into<Cow<'static, str>>, want: impl fmt::Display) -> Self {
        Self { name: name.into(), live: None, want: want.to_string(), effect: Effect::Live }
    }

    /// The same field with another effect.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }
}

impl Change {
    /// None, update or replace, whatever the costliest of the differing fields asks for.
    pub fn between(fields: impl IntoIterator<Item = Option<Field>>) -> Self {
        let fields: Vec<Field> = fields.into_iter().flatten().collect();
        match fields.iter().map(|field| field.effect).max() {
            None => Self::None,
            Some(Effect::Replace) => Self::Replace(fields),
            Some(_) => Self::Update(fields),
        }
    }

    /// Something that is not there yet and will have these fields.
    pub fn create(fields: impl IntoIterator<Item = Field>) -> Self {
        Self::Create(fields.into_iter().collect())
    }

    /// The same change, with every value of a used secret taken out of its fields: what is live now may hold one.
    #[must_use]
    pub(crate) fn blanked(mut self) -> Self {
        if let Self::Create(fields) | Self::Update(fields) | Self::Replace(fields) = &mut self {
            for field in fields {
                for text in field.live.iter_mut().chain([&mut field.want]) {
                    if let Cow::Owned(without) = blank(text) {
                        *text = without;
                    }
                }
            }
        }
        self
    }

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The plan's mark for this change: `=`, `+`, `~`, `±` or `-`.
    pub fn mark(&self) -> char {
        match self {
            Self::None => '=',
            Self::Create(_) => '+',
            Self::Update(_) => '~',
            Self::Replace(_) => '±',
            Self::Delete => '-',
        }
    }

    /// The word for this change.
    pub fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Replace(_) => "replace",
            Self::Delete => "delete",
        }
    }

    /// The fields that differ.
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Create(fields) | Self::Update(fields) | Self::Replace(fields) => fields,
            Self::None | Self::Delete => &[],
        }
    }

    /// Whether doing `self` stays within what a plan announced as `planned`: less is fine, more is not.
    ///
    /// A planned create may turn out to be an update or nothing; it may never become a replace or a delete.
    pub fn is_within(&self, planned: &Self) -> bool {
        match self {
            Self::None => true,
            Self::Create(_) => !planned.is_none(),
            Self::Update(_) => matches!(planned, Self::Create(_) | Self::Update(_) | Self::Replace(_)),
            Self::Replace(_) => matches!(planned, Self::Replace(_)),
            Self::Delete => matches!(planned, Self::Delete),
        }
    }
}

/// How many lines of a long text a plan shows.
const SHOWN_LINES: usize = 40;

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = match self.effect {
            Effect::Live => "",
            Effect::Reboot => "  (needs a reboot)",
            Effect::Replace => "  (needs replacement)",
        };
        match &self.live {
            Some(live) if live.contains('\n') || self.want.contains('\n') => {
                writeln!(f, "{}:{note}", self.name)?;
                let diff = similar::TextDiff::from_lines(live.as_str(), self.want.as_str());
                let lines: Vec<String> = diff
                    .iter_all_changes()
                    .filter(|line| line.tag() != similar::ChangeTag::Equal)
                    .map(|line| format!("    {}{}", line.tag(), line.value().trim_end_matches('\n')))
                    .collect();
                f.write_str(&lines.iter().take(SHOWN_LINES).cloned().collect::<Vec<_>>().join("\n"))?;
                if lines.len() > SHOWN_LINES {
                    write!(f, "\n    … {} more lines", lines.len() - SHOWN_LINES)?;
                }
                Ok(())
            }
            Some(live) => write!(f, "{}: {} -> {}{note}", self.name, shown(live), shown(&self.want)),
            None if self.want.contains('\n') => write!(f, "{}: {} lines", self.name, self.want.lines().count()),
            None => write!(f, "{}: {}", self.name, shown(&self.want)),
        }
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "\"\"" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_costliest_field_decides() {
        let cores = field("cores", 2, 4);
        let storage = field("storage", "a", "b").map(|field| field.with_effect(Effect::Replace));
        assert_eq!(Change::between([None, field("x", 1, 1)]), Change::None);
        assert_eq!(Change::between([cores.clone()]).word(), "update");
        assert_eq!(Change::between([cores, storage]).word(), "replace");
    }

    #[test]
    fn less_than_planned_is_fine_and_more_is_not() {
        let (create, update, replace) = (Change::Create(vec![]), Change::Update(vec![]), Change::Replace(vec![]));
        assert!(Change::None.is_within(&create));
        assert!(update.is_within(&create));
        assert!(!replace.is_within(&create));
        assert!(!Change::Delete.is_within(&update));
        assert!(!update.is_within(&Change::None));
    }

    #[test]
    fn long_texts_show_as_line_diffs() {
        let shown = Field { name: "content".into(), live: Some("a\nb\nc\n".into()), want: "a\nB\nc\n".into(), effect: Effect::Live };
        expect![[r#"
            content:
                -b
                +B"#]]
        .assert_eq(&shown.to_string());
    }
}
