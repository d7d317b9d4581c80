//! One field of a resource that differs, and what making it right costs.
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

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
    pub cost: Cost,
    /// Why it is as it was found, where that is told: a peer's own words, which may be others the next time. No part of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What changing a field costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Nothing: it takes effect at once.
    Nothing,
    /// A restart of the machine, before which it has no effect.
    Reboot,
    /// Making the whole thing anew, which kthw never does by itself.
    Replacement,
    /// Making everything anew: others were told this value too, so a run under another one begins nothing at all.
    Everything,
}

impl Cost {
    /// What a plan says of it behind the field; nothing where it costs nothing.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Reboot => "  (needs a reboot)",
            Self::Replacement => "  (needs replacement)",
            Self::Everything => "  (cannot be changed)",
        }
    }
}

/// Compares one field; `None` when it is as wanted.
pub fn field<T: PartialEq + fmt::Display>(name: impl Into<Cow<'static, str>>, live: T, want: T) -> Option<Field> {
    (live != want).then(|| Field { live: Some(live.to_string()), ..Field::new(name, want) })
}

/// A field whose values must not be shown, only that they differ.
pub fn secret_field(name: impl Into<Cow<'static, str>>, differs: bool) -> Option<Field> {
    differs.then(|| Field { live: Some("<secret>".into()), ..Field::new(name, "<secret>") })
}

impl Field {
    /// A field of something that does not exist yet.
    pub fn new(name: impl Into<Cow<'static, str>>, want: impl fmt::Display) -> Self {
        Self { name: name.into(), live: None, want: want.to_string(), cost: Cost::Nothing, because: None }
    }

    /// The same field, with the reason why it is as it was found.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.because = Some(why.into());
        self
    }

    /// The same field at another cost.
    #[must_use]
    pub fn at(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }
}

/// How many lines of a long text a plan shows.
const SHOWN_LINES: usize = 40;

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = self.cost.note();
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
            Some(live) => {
                let because = self.because.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                write!(f, "{}: {}{because} -> {}{note}", self.name, shown(live), shown(&self.want))
            }
            None if self.want.contains('\n') => {
                let lines = self.want.lines().count();
                write!(f, "{}: {lines} line{}", self.name, if lines == 1 { "" } else { "s" })
            }
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
    fn long_texts_show_as_line_diffs() {
        let shown = field("content", "a\nb\nc\n", "a\nB\nc\n").unwrap();
        expect![[r#"
            content:
                -b
                +B"#]]
        .assert_eq(&shown.to_string());
    }
}
