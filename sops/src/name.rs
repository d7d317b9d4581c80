//! Names of values, as people write them, and the one place that says what a name means.
//!
//! A name is the keys on the way to a value with dots between them, `proxmox.token`; an item of a list is named by its position from 0. Where
//! a key has a dot itself, the whole name is written as sops writes it: `["tls"]["ca.crt"]`. In a file of several documents `[1]` in front names
//! the second one: `[1].stringData.user`, `[1]["stringData"]["user"]`. A name without it counts where only one document has the value.
use super::{
    error::SopsError,
    text::{Step, dotted},
};

/// The name of the value at `path`; `document` in a file of several.
pub(super) fn spelled(document: Option<usize>, path: &[Step]) -> String {
    let plain = |step: &Step| !matches!(step, Step::Key(key) if key.is_empty() || key.contains('.') || key.starts_with('['));
    let name = if path.iter().all(plain) { dotted(path) } else { path.iter().map(bracketed).collect() };
    match document {
        Some(document) if name.starts_with('[') => format!("[{document}]{name}"),
        Some(document) => format!("[{document}].{name}"),
        None => name,
    }
}

fn bracketed(step: &Step) -> String {
    match step {
        Step::Key(key) => format!("[{}]", serde_json::Value::from(key.as_str())),
        Step::Index(index) => format!("[{index}]"),
    }
}

/// A name that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub document: Option<usize>,
    pub way: Way<'a>,
}

/// The way to a value inside of its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// With dots between keys, which may have dots themselves.
    Dotted(&'a str),
    /// In brackets: every step for itself.
    Steps(Vec<Step>),
}

impl<'a> Name<'a> {
    /// Reads a name; `None` when it is none.
    pub fn read(name: &'a str) -> Option<Self> {
        let (steps, rest) = brackets(name)?;
        match (&steps[..], rest) {
            (_, "") if steps.is_empty() => None,
            ([Step::Index(document), way @ ..], "") if !way.is_empty() => {
                Some(Self { document: Some(*document), way: Way::Steps(way.to_vec()) })
            }
            ([Step::Key(_), ..], "") => Some(Self { document: None, way: Way::Steps(steps) }),
            ([Step::Index(document)], rest) => Some(Self { document: Some(*document), way: Way::Dotted(rest.strip_prefix('.')?) }),
            ([], rest) => Some(Self { document: None, way: Way::Dotted(rest) }),
            _ => None,
        }
        .filter(|name| !matches!(name.way, Way::Dotted(way) if way.split('.').any(str::is_empty)))
    }

    /// Whether this names what stands at `path`.
    pub fn is(&self, document: usize, path: &[Step]) -> bool {
        self.document.is_none_or(|named| named == document)
            && match &self.way {
                Way::Dotted(way) => dotted(path) == *way,
                Way::Steps(steps) => steps == path,
            }
    }
}

/// The steps in brackets that a name begins with, and what follows them.
fn brackets(name: &str) -> Option<(Vec<Step>, &str)> {
    let (mut steps, mut rest) = (Vec::new(), name);
    while let Some(inner) = rest.strip_prefix('[') {
        let (step, behind) = if let Some(text) = inner.strip_prefix('\'') {
            let (key, behind) = text.split_once('\'')?;
            (Step::Key(key.to_owned()), behind)
        } else if inner.starts_with('"') {
            let mut keys = serde_json::Deserializer::from_str(inner).into_iter::<String>();
            let key = keys.next()?.ok()?;
            (Step::Key(key), &inner[keys.byte_offset()..])
        } else {
            let (index, _) = inner.split_once(']')?;
            (Step::Index(index.parse().ok()?), &inner[index.len()..])
        };
        steps.push(step);
        rest = behind.strip_prefix(']')?;
    }
    Some((steps, rest))
}

/// Which of `known`, names of a file, the name `asked` means: none, or the only one.
///
/// # Errors
/// When it means several. The message lists them.
pub fn resolve<'n>(file: &str, known: impl IntoIterator<Item = &'n str>, asked: &str) -> Result<Option<usize>, SopsError> {
    let Some(name) = Name::read(asked) else { return Ok(None) };
    let is = |known: &str| {
        Name::read(known).is_some_and(|known| {
            let same_way = match (&known.way, &name.way) {
                (Way::Dotted(known), Way::Dotted(asked)) => known == asked,
                (Way::Steps(known), Way::Steps(asked)) => known == asked,
                (Way::Steps(steps), Way::Dotted(way)) => dotted(steps) == *way,
                // Keys without dots: then every dot is one between two steps.
                (Way::Dotted(way), Way::Steps(steps)) => {
                    let texts = steps.iter().map(|step| dotted(std::slice::from_ref(step)));
                    texts.eq(way.split('.'))
                }
            };
            same_way && (name.document.is_none() || name.document == known.document.or(Some(0)))
        })
    };
    let found: Vec<(usize, &str)> = known.into_iter().enumerate().filter(|(_, known)| is(known)).collect();
    match &found[..] {
        [] => Ok(None),
        [(only, _)] => Ok(Some(*only)),
        several => Err(ambiguous(file, asked, several.iter().map(|(_, name)| (*name).to_owned()).collect())),
    }
}

/// A name that means one value where `asked` means several: in brackets, when it is spelled as that.
fn alone(name: &str, asked: &str) -> String {
    match Name::read(name) {
        Some(Name { document: None, way: Way::Dotted(way) }) if way == asked => {
            let step = |part: &str| part.parse().map_or_else(|_| Step::Key(part.to_owned()), Step::Index);
            way.split('.').map(|part| bracketed(&step(part))).collect()
        }
        _ => name.to_owned(),
    }
}

/// The error about a name that means several values.
pub(super) fn ambiguous(file: &str, asked: &str, names: Vec<String>) -> SopsError {
    let names: Vec<String> = names.iter().map(|name| alone(name, asked)).collect();
    let same = names.windows(2).any(|two| two[0] == two[1]);
    let help = if same {
        format!("no name tells them apart; change one with `kthw secrets edit {file}`")
    } else {
        format!("name one of them: {}", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or "))
    };
    SopsError::Ambiguous { file: file.into(), name: asked.into(), count: names.len(), help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_reads_back() {
        let key = |key: &str| Step::Key(key.into());
        for (document, path, expected) in [
            (None, vec![key("a"), Step::Index(0)], "a.0"),
            (None, vec![key("tls"), key("ca.crt")], r#"["tls"]["ca.crt"]"#),
            (Some(1), vec![key("a"), key("b c")], "[1].a.b c"),
            (Some(0), vec![key("q\"]."), Step::Index(2)], r#"[0]["q\"]."][2]"#),
            (None, vec![key("")], r#"[""]"#),
        ] {
            let name = spelled(document, &path);
            assert_eq!(name, expected);
            let read = Name::read(&name).expect("it is a name");
            assert!(read.document == document && read.is(document.unwrap_or_default(), &path), "{name}");
        }
        for none in ["", ".", "a..b", "[", "[1]", "[1]a", "['a'", "[\"a\"].b", "[x]"] {
            assert_eq!(Name::read(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_means_one_value_or_is_an_error() {
        let known = ["a.b", r#"["a.b"]"#, "[0].c", "[1].c", "[1].d", "e", "e"];
        let said = |asked: &str| match resolve("f", known, asked) {
            Ok(found) => format!("{found:?}"),
            Err(error) => format!("{error}: {}", miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default()),
        };
        assert_eq!(said("d"), "Some(4)");
        assert_eq!(said("[1].c"), "Some(3)");
        assert_eq!(said("['a']['b']"), "Some(0)");
        assert_eq!(said("['a.b']"), "Some(1)");
        assert_eq!(said("z"), "None");
        assert_eq!(said("a.b"), r#"`a.b` means 2 values in f: name one of them: '["a"]["b"]' or '["a.b"]'"#);
        assert_eq!(said("c"), "`c` means 2 values in f: name one of them: '[0].c' or '[1].c'");
        assert_eq!(said("e"), "`e` means 2 values in f: no name tells them apart; change one with `kthw secrets edit f`");
    }
}
