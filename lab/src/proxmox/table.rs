//! The table of requests that the lab's Proxmox VE knows, read from `table.txt`.
use std::{collections::BTreeMap, sync::LazyLock};

/// One request: method, path template, parameters.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: &'static str,
    pub path: &'static str,
    pub parameters: Vec<Parameter>,
}

/// One parameter of a request.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// `net[n]` stands for `net0`, `net1`, ….
    pub name: &'static str,
    pub required: bool,
    pub kind: Kind,
    /// Upstream's name of its format.
    pub format: Option<&'static str>,
    /// The name of its pattern in `patterns.rs`.
    pub pattern: Option<&'static str>,
    pub max_length: Option<usize>,
    /// The keys of a property string; empty for anything else.
    pub keys: Vec<&'static str>,
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer { minimum: Option<i64>, maximum: Option<i64> },
    String,
    List,
    Enum(Vec<String>),
}

/// All requests.
pub(crate) static TABLE: LazyLock<Vec<Call>> = LazyLock::new(|| parse(include_str!("table.txt")));

impl Call {
    /// Finds the request for `method` and `path`, and the values in the path (`node`, `vmid`, …).
    pub fn find<'p>(method: &str, path: &'p str) -> Option<(&'static Self, BTreeMap<&'static str, &'p str>)> {
        TABLE.iter().filter(|call| call.method == method).find_map(|call| Some((call, match_path(call.path, path)?)))
    }

    /// The parameter called `name`; numbered ones by any number.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.is_called(name))
    }
}

impl Parameter {
    fn is_called(&self, name: &str) -> bool {
        match self.name.strip_suffix("[n]") {
            None => self.name == name,
            Some(stem) => {
                name.strip_prefix(stem).is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            }
        }
    }
}

/// Compares segment by segment; the last placeholder of a path takes the rest only if it is the volume of a storage.
fn match_path<'p>(template: &'static str, path: &'p str) -> Option<BTreeMap<&'static str, &'p str>> {
    let mut values = BTreeMap::new();
    let mut left = path.trim_start_matches('/');
    for segment in template.trim_start_matches('/').split('/') {
        if segment == "{volume}" {
            values.insert("volume", left);
            return (!left.is_empty()).then_some(values);
        }
        let (head, rest) = left.split_once('/').unwrap_or((left, ""));
        match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if head.is_empty() => return None,
            Some(name) => {
                values.insert(name, head);
            }
            None if segment != head => return None,
            None => {}
        }
        left = rest;
    }
    left.is_empty().then_some(values)
}

fn parse(text: &'static str) -> Vec<Call> {
    let mut blocks: BTreeMap<&str, Vec<Parameter>> = BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut block = None;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let Some(entry) = line.strip_prefix("    ") else {
            let (method, path) = line.split_once(' ').expect("a line of the table has a method and a path");
            block = (method == "block").then_some(path);
            if block.is_none() {
                calls.push(Call { method, path, parameters: Vec::new() });
            }
            continue;
        };
        let found = match entry.strip_prefix('@') {
            Some(name) => blocks.get(name).cloned().expect("a block stands above its first use"),
            None => vec![parse_parameter(entry)],
        };
        match (block, calls.last_mut()) {
            (Some(name), _) => blocks.entry(name).or_default().extend(found),
            (None, call) => call.expect("parameters stand below their request").parameters.extend(found),
        }
    }
    calls
}

fn parse_parameter(entry: &'static str) -> Parameter {
    let mut words = entry.split_whitespace();
    let name = words.next().expect("a parameter has a name");
    let (kind, format) = {
        let word = words.next().expect("a parameter has a type");
        word.split_once(':').map_or((word, None), |(kind, format)| (kind, Some(format)))
    };
    let mut rest: Vec<&str> = words.collect();
    let kind = match kind {
        "boolean" => Kind::Boolean,
        "list" => Kind::List,
        "enum" => Kind::Enum(rest.drain(..).flat_map(expand).collect()),
        "integer" => {
            let (minimum, maximum) = rest.first().and_then(|range| range.split_once("..")).unwrap_or_default();
            Kind::Integer { minimum: minimum.parse().ok(), maximum: maximum.parse().ok() }
        }
        _ => Kind::String,
    };
    let keys = rest.iter().position(|word| *word == "=").map(|at| rest.drain(at..).skip(1).collect()).unwrap_or_default();
    let pattern = rest.iter().find_map(|word| word.strip_prefix('~'));
    let max_length = rest.iter().position(|word| *word == "max").and_then(|at| rest.get(at + 1)?.parse().ok());
    Parameter { name: name.trim_end_matches('!'), required: name.ends_with('!'), kind, format, pattern, max_length, keys }
}

/// `scsi[0-2]` is `scsi0`, `scsi1`, `scsi2`.
fn expand(word: &str) -> Vec<String> {
    let range = word.split_once('[').and_then(|(stem, range)| {
        let (first, last) = range.strip_suffix(']')?.split_once('-')?;
        Some((stem, first.parse::<u32>().ok()?, last.parse::<u32>().ok()?))
    });
    match range {
        Some((stem, first, last)) => (first..=last).map(|number| format!("{stem}{number}")).collect(),
        None => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_by_method_and_path() {
        let (call, values) = Call::find("POST", "/nodes/homelab/qemu/401/clone").unwrap();
        assert_eq!(call.path, "/nodes/{node}/qemu/{vmid}/clone");
        assert_eq!(values, BTreeMap::from([("node", "homelab"), ("vmid", "401")]));
        let (_, values) = Call::find("DELETE", "/nodes/a/storage/local/content/local:import/x.qcow2").unwrap();
        assert_eq!(values["volume"], "local:import/x.qcow2");
        for (method, path) in [("POST", "/version"), ("GET", "/nodes/a/lxc"), ("GET", "/nodes/a/qemu/1/clone/2"), ("GET", "/nodes//qemu")] {
            assert!(Call::find(method, path).is_none(), "{method} {path}");
        }
    }

    #[test]
    fn numbered_parameters_are_one_entry() {
        let (call, _) = Call::find("PUT", "/nodes/a/qemu/1/config").unwrap();
        assert_eq!(call.parameter("net12").unwrap().name, "net[n]");
        assert!(call.parameter("net").is_none() && call.parameter("netx").is_none());
        let (call, _) = Call::find("PUT", "/nodes/a/qemu/1/resize").unwrap();
        assert!(matches!(&call.parameter("disk").unwrap().kind, Kind::Enum(known) if known.contains(&"scsi30".to_owned())));
    }
}
