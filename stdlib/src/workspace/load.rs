//! Reading the types of `workspace.yaml`: what serde reports becomes a problem with its place and the next step.
use super::{
    Workspace,
    file::{WorkspaceFile, clip, place, place_of_key},
    problem::{Problem, WorkspaceError},
};
use crate::{
    checked::with_advice,
    yaml::{Node, Value},
};
use kthw_engine::nearest;
use miette::NamedSource;
use serde_saphyr::Error;
use std::{ops::Range, sync::Arc};

impl Workspace {
    /// Reads a workspace and checks it as a whole. The text is known to people as `label`.
    ///
    /// # Errors
    /// [`WorkspaceError`]: where the text does not fit the schema, or else every problem that the checks found.
    pub fn parse(label: &str, text: &str) -> Result<Self, WorkspaceError> {
        WorkspaceFile::parse(label, text)?.into_checked(&[])
    }

    /// Reads a workspace, applies each `--set` of `set` in order, and checks the result as a whole and beside its `neighbours`,
    /// which are labels and texts of other workspaces. A neighbour that cannot be read is left out: it is reported on its own.
    ///
    /// # Errors
    /// [`WorkspaceError`], as [`Workspace::parse`], or for a `--set` that does not fit the schema.
    pub fn load(label: &str, text: &str, set: &[String], neighbours: &[(String, String)]) -> Result<Self, WorkspaceError> {
        let mut file = WorkspaceFile::parse(label, text)?;
        for argument in set {
            file.set(argument)?;
        }
        let others: Vec<WorkspaceFile> = neighbours.iter().filter_map(|(label, text)| WorkspaceFile::parse(label, text).ok()).collect();
        file.into_checked(&others.iter().collect::<Vec<_>>())
    }
}

/// Reads the text that `tree` was parsed from.
pub(super) fn typed(source: &Arc<NamedSource<String>>, tree: &Node) -> Result<Workspace, Problem> {
    let text = source.inner();
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Workspace>(text, options).map_err(|error| problem(source, tree, &error))
}

fn problem(source: &Arc<NamedSource<String>>, tree: &Node, error: &Error) -> Problem {
    let error = error.without_snippet();
    let text = source.inner();
    let offset = error.location().and_then(|location| location.span().byte_offset()).unwrap_or_default();
    let offset = usize::try_from(offset).unwrap_or_default().min(text.len());
    let (path, span) = node_at(tree, offset);
    let span = span.unwrap_or_else(|| clip(text, offset));
    let make = |code, message: String, help: String, label: &str| Problem::new(code, message, source.clone(), help).at(span.clone(), label);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => make(
            "kthw::workspace::unknown_field",
            format!("unknown field `{field}`{}", within(&path)),
            unknown_field_help(field, expected.iter().copied()),
            "not a field",
        ),
        Error::SerdeMissingField { field, .. } => {
            // The parser is behind the block by now, so its key is what to point at.
            let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            let message = format!("`{field}` is missing{}", within(&path));
            let help = format!("add `{field}:`; `kthw help workspace` says what it is");
            Problem::new("kthw::workspace::missing_field", message, source.clone(), help).at(place(tree, parent), "in this block")
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => make(
            "kthw::workspace::unknown_value",
            format!("`{variant}` is not a value of `{path}`"),
            unknown_value_help(variant, expected.iter().copied()),
            "not one of its values",
        ),
        Error::DuplicateMappingKey { key, .. } => {
            let first = place_of_key(tree, &path).filter(|first| *first != span);
            let problem = make(
                "kthw::workspace::duplicate_key",
                format!("the key `{}` is written twice", key.as_deref().unwrap_or("?")),
                "keep one of the two; nothing says which one counts".into(),
                "the second one",
            );
            first.map_or(problem.clone(), |first| problem.at(first, "the first one"))
        }
        other => {
            let message = plain(other);
            let (message, advice) = with_advice(&message);
            make(
                "kthw::workspace::wrong_type",
                format!("`{path}`: {message}"),
                advice.unwrap_or_else(|| hint(&path, rest_of_line(text, span.start))),
                "this value",
            )
        }
    }
}

/// The message of any other error, without what miette shows anyway.
fn plain(error: &Error) -> String {
    match error {
        Error::Message { msg, .. } => msg.clone(),
        Error::SerdeInvalidType { unexpected, expected, .. } => format!("expected {expected}, found {unexpected}"),
        Error::SerdeInvalidValue { unexpected, expected, .. } => format!("expected {expected}, not {unexpected}"),
        Error::NullIntoString { .. } | Error::InvalidCharNull { .. } => "nothing is written here".into(),
        Error::InvalidCharNotSingleScalar { .. } => "expected a single letter".into(),
        Error::InvalidBooleanStrict { .. } => "expected `true` or `false`".into(),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => "expected a single value".into(),
        Error::TaggedEnumMismatch { .. } => "a tag means nothing here".into(),
        Error::InvalidScalar { ty, .. } => format!("this is not {}", type_in_words(ty)),
        Error::Unexpected { expected, .. } => format!("expected {}", type_in_words(expected)),
        other => {
            let text = other.to_string();
            let end = text.find(" at line ").or_else(|| text.find("\n")).unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

/// What the parser calls a type, in plain words.
fn type_in_words(ty: &str) -> &str {
    match ty {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "bool" | "boolean" => "`true` or `false`",
        "string scalar" | "char" => "a single value",
        "sequence start" | "sequence" => "a list",
        "mapping start" | "mapping" => "a block of fields",
        other => other,
    }
}

fn rest_of_line(text: &str, start: usize) -> &str {
    text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

/// Whether one of the words is an address or a range of IPv6.
fn names_ipv6(value: &str) -> bool {
    let words = value.split(|sign: char| !sign.is_ascii_alphanumeric() && !":./".contains(sign));
    words.filter_map(|word| word.split('/').next()).any(|word| word.parse::<std::net::Ipv6Addr>().is_ok())
}

/// What to do about a value of the wrong type, by the field that it is in.
pub(super) fn hint(path: &str, value: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    if names_ipv6(value) {
        return "kthw makes clusters of IPv4 and does not know IPv6 or dual stack yet, although Kubernetes and Calico do: it would neither give \
                machines their second address nor tell kubelets of it. Write the IPv4 value alone"
            .into();
    }
    match last {
        "kubernetes" | "calico" if path.starts_with("versions") => {
            "write the full version, such as `1.31.9`, as upstream's releases are called".into()
        }
        "address" | "gateway" => "write an IPv4 address, such as `10.10.10.116`".into(),
        "nodes" | "pods" | "services" if path.starts_with("network") => "write a range as address/length, such as `10.10.10.0/24`".into(),
        "release_letter" => "write one lower-case letter, such as `u`".into(),
        _ if path.starts_with("load_balancer.clusters") => {
            "write the name of a workspace beside this one, such as `ubuntu`, or `{ name: other, address: 10.10.10.210 }`".into()
        }
        _ if last.starts_with("dns_search") => "write domains, such as `[bevz.net]`".into(),
        _ if last.starts_with("dns") => "write IPv4 addresses, such as `[10.10.10.100]`".into(),
        _ => "see `kthw help workspace` for what this field takes".into(),
    }
}

pub(super) fn unknown_field_help<'a>(field: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(field, known.clone()) {
        Some(name) => format!("did you mean `{name}`? see `kthw help workspace` for all fields"),
        None => format!("the fields here are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

pub(super) fn unknown_value_help<'a>(value: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let all = known.clone().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(value, known) {
        Some(name) => format!("did you mean `{name}`? it takes one of {all}"),
        None => format!("it takes one of {all}"),
    }
}

fn within(path: &str) -> String {
    let parent = path.rsplit_once('.').map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
    parent.map(|parent| format!(" in `{parent}`")).unwrap_or_default()
}

/// The path of the deepest key or value at `offset`, and the span to point at.
fn node_at(tree: &Node, offset: usize) -> (String, Option<Range<usize>>) {
    let mut path = String::new();
    let mut node = tree;
    loop {
        match &node.value {
            Value::Map(entries) => {
                if let Some(entry) = entries.iter().find(|entry| entry.key_span.contains(&offset)) {
                    join(&mut path, &entry.key);
                    return (path, Some(entry.key_span.clone()));
                }
                // A value that is not there has no bytes, and the parser points just behind its key.
                if let Some(entry) = entries.iter().find(|entry| entry.node.span.is_empty() && entry.key_span.end == offset) {
                    join(&mut path, &entry.key);
                    return (path, Some(entry.key_span.clone()));
                }
                let Some(entry) = entries.iter().find(|entry| entry.node.span.contains(&offset)) else { return (path, None) };
                join(&mut path, &entry.key);
                node = &entry.node;
            }
            Value::List(items) => {
                let Some((index, item)) = items.iter().enumerate().find(|(_, item)| item.span.contains(&offset)) else {
                    return (path, None);
                };
                path.push_str(&format!("[{index}]"));
                node = item;
            }
            Value::Scalar { .. } => return (path, Some(node.span.clone())),
        }
    }
}

fn join(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

#[cfg(test)]
mod tests {
    use crate::workspace::{Workspace, WorkspaceFile};
    use miette::Diagnostic;

    const EXAMPLE: &str = include_str!("example.yaml");

    /// Puts `new` in place of `old` and returns what is said of it: the text pointed at, the message and the next step.
    fn read(old: &str, new: &str) -> String {
        assert!(EXAMPLE.contains(old), "{old}");
        let text = EXAMPLE.replacen(old, new, 1);
        match WorkspaceFile::parse("w.yaml", &text) {
            Ok(_) => "right".into(),
            Err(error) => {
                let label = error.labels().and_then(|mut labels| labels.next()).expect("it has a place");
                let place = &text[label.offset()..label.offset() + label.len()];
                format!("[{place}] {error}")
            }
        }
    }

    #[test]
    fn a_workspace_is_read_beside_its_neighbours() {
        let load = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|argument| (*argument).to_owned()).collect();
            let green = EXAMPLE.replace("name: blue", "name: green").replace("tpl-ubuntu", "tpl-green");
            let neighbours = [("green.yaml".to_owned(), green), ("broken.yaml".to_owned(), "name: [".to_owned())];
            Workspace::load("blue.yaml", EXAMPLE, &set, &neighbours).map_err(|error| error.problems().len())
        };
        assert_eq!(load(&[]).unwrap_err(), 6, "letter, two addresses, three ids");
        let apart = [
            "release_letter=c",
            "nodes.cb1.address=10.10.10.7",
            "nodes.wb1.address=10.10.10.8",
            "nodes.cb1.vmid=701",
            "nodes.wb1.vmid=702",
        ];
        assert_eq!(load(&apart).unwrap_err(), 1, "the template's id");
        let workspace = load(&[&apart[..], &["template.vmid=9421", "machine.cores=8"]].concat()).unwrap();
        assert_eq!((workspace.machine.cores, workspace.release_letter), (8, 'c'));
    }

    #[test]
    fn wrong_types_are_said_in_plain_words() {
        for (old, new, expected) in [
            ("name: blue", "name: 123", "right"),
            ("release_letter: b", "release_letter: n", "right"),
            ("name: blue", "name: ", "[name] `name`: nothing is written here"),
            ("name: blue", "name: ~", "[~] `name`: nothing is written here"),
            ("name: blue", "name: {a: b}", "[{] `name`: expected a single value"),
            ("release_letter: b", "release_letter: bb", "[bb] `release_letter`: expected a single letter"),
            ("release_letter: b", "release_letter: ~", "[~] `release_letter`: nothing is written here"),
            ("3.28.0", "3.28.0\n  unsupported: yes", "[yes] `versions.unsupported`: expected `true` or `false`"),
            ("3.28.0", "3", "[3] `versions.calico`: `3` is not a full version"),
            ("3.28.0", "[3]", "[[] `versions.calico`: expected a single value"),
            ("[10.10.10.100]", "10.10.10.100", "[10.10.10.100] `network.dns`: expected a list"),
            ("[10.10.10.100]", "[a]", "[a] `network.dns[0]`: invalid IPv4 address syntax"),
            ("vmid: 9420", "vmid: -1", "[-1] `template.vmid`: this is not a whole number from 0 to 4294967295"),
            ("vmid: 9420", "vmid: 1.5", "[1.5] `template.vmid`: this is not a whole number from 0 to 4294967295"),
            ("network:\n", "network: []\nnet:\n", "[[] `network`: expected a block of fields"),
            ("nodes:\n  -", "nodes: {}\nvalues:\n  a:\n  -", "[{] `nodes`: expected a list"),
            ("local-lvm", "*x", "[*] while parsing node, found unknown anchor"),
            ("local-lvm", "local-lvm\n\tvlan: 1", "[l] while scanning a plain scalar, found a tab"),
            ("distribution: ubuntu", "distribution: [ubuntu]", "[[] `distribution`: expected a single value"),
            ("distribution: ubuntu", "distribution: !x ubuntu", "[ubuntu] `distribution`: a tag means nothing here"),
        ] {
            assert_eq!(read(old, new), expected, "{new:?}");
        }
    }
}
