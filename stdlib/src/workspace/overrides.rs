//! `--set key.path=value`: one field of a workspace from the command line, with the type that the schema gives it.
use super::{
    Workspace,
    load::{hint, unknown_field_help, unknown_value_help},
    problem::Problem,
};
use crate::checked::with_advice;
use kthw_engine::nearest;
use miette::NamedSource;
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// A `--set` that was applied.
pub(super) struct Applied {
    pub workspace: Workspace,
    /// The field, with list positions written as `[2]`.
    pub path: String,
    /// The argument, for problems that the new value makes.
    pub source: Arc<NamedSource<String>>,
    /// Where the value stands in it.
    pub value: Range<usize>,
}

/// The workspace with `argument` applied.
pub(super) fn apply(workspace: &Workspace, argument: &str) -> Result<Applied, Problem> {
    let source = Arc::new(NamedSource::new("--set", argument.to_owned()));
    let Some((key, text)) = argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(Problem::new(
            "kthw::workspace::set",
            "`--set` takes a field and its value",
            source,
            "write it as `--set machine.cores=4` or `--set nodes.wu1.memory_mib=8192`",
        )
        .at(0..argument.len(), "no `=` after a field"));
    };
    let value_span = key.len() + 1..argument.len();
    let whole = serde_json::to_value(workspace).expect("a workspace that was read can be written");
    let mut refused = None;
    for candidate in candidates(text) {
        let mut changed = whole.clone();
        let path = place(&mut changed, key.trim(), candidate).map_err(|(wrong, message, help)| {
            let start = argument.find(wrong.as_str()).unwrap_or_default();
            Problem::new("kthw::workspace::set", message, source.clone(), help).at(start..start + wrong.len(), "not here")
        })?;
        match serde_json::from_value::<Workspace>(changed) {
            Ok(workspace) => return Ok(Applied { workspace, path, source, value: value_span }),
            Err(error) => refused = refused.or(Some((path, error.to_string()))),
        }
    }
    let (path, message) = refused.expect("there is at least one candidate");
    Err(refusal(source, argument, key.trim(), value_span, &path, &message))
}

/// What `text` may mean, likeliest first: the YAML value, or else the text itself.
fn candidates(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let yaml = serde_saphyr::from_str_with_options::<Value>(text, options).ok();
    let text = Value::String(text.to_owned());
    yaml.into_iter().filter(|value| *value != text).chain([text.clone()]).collect()
}

/// Puts `value` at the dotted `path`; a list item is named by its `name` or its position. Returns the path with positions.
fn place(root: &mut Value, path: &str, value: Value) -> Result<String, (String, String, String)> {
    let mut at = root;
    let mut spelled = String::new();
    let steps: Vec<&str> = path.split(['.', '[']).map(|step| step.trim_end_matches(']')).collect();
    for step in &steps {
        if let Value::Array(items) = at {
            let index = step.parse::<usize>().ok().or_else(|| items.iter().position(|item| item["name"] == **step));
            let Some(index) = index.filter(|index| *index < items.len()) else {
                let names: Vec<&str> = items.iter().filter_map(|item| item["name"].as_str()).collect();
                let help = nearest(step, names.iter().copied())
                    .map_or_else(|| format!("it has: {}", names.join(", ")), |name| format!("did you mean `{name}`?"));
                return Err(((*step).to_owned(), format!("`{spelled}` has no `{step}`"), help));
            };
            spelled.push_str(&format!("[{index}]"));
            at = &mut items[index];
            continue;
        }
        if at.is_null() {
            *at = Value::Object(serde_json::Map::new());
        }
        let Value::Object(fields) = at else {
            return Err(((*step).to_owned(), format!("`{spelled}` is a single value and has no fields"), hint(&spelled, "")));
        };
        if !spelled.is_empty() {
            spelled.push('.');
        }
        spelled.push_str(step);
        at = fields.entry((*step).to_owned()).or_insert(Value::Null);
    }
    *at = value;
    Ok(spelled)
}

/// Words for what serde says about the changed workspace.
fn refusal(source: Arc<NamedSource<String>>, argument: &str, key: &str, value: Range<usize>, path: &str, message: &str) -> Problem {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().unwrap_or_default();
    let known = quoted.collect::<Vec<_>>().into_iter();
    if message.starts_with("unknown field") {
        let start = argument.find(wrong).unwrap_or_default();
        let message = format!("unknown field `{wrong}` in `--set {key}`");
        let help = unknown_field_help(wrong, known);
        return Problem::new("kthw::workspace::unknown_field", message, source, help).at(start..start + wrong.len(), "not a field");
    }
    let (message, advice) = with_advice(message);
    let help = match advice {
        Some(advice) => advice,
        None if message.starts_with("unknown variant") => unknown_value_help(wrong, known),
        None => hint(path, argument.get(value.clone()).unwrap_or_default()),
    };
    Problem::new("kthw::workspace::wrong_type", format!("`{path}`: {message}"), source, help).at(value, "this value")
}

#[cfg(test)]
mod tests {
    use crate::workspace::WorkspaceFile;
    use miette::Diagnostic;

    const UBUNTU: &str = include_str!("../../../workspaces/ubuntu/workspace.yaml");

    fn set(argument: &str) -> Result<WorkspaceFile, String> {
        let mut file = WorkspaceFile::parse("workspace.yaml", UBUNTU).expect("the shipped workspace is right");
        match file.set(argument) {
            Ok(()) => Ok(file),
            Err(error) => Err(format!("{error}; {}", error.help().expect("every problem has a next step"))),
        }
    }

    #[test]
    fn the_schema_decides_the_type() {
        assert_eq!(set("machine.cores=4").unwrap().workspace().machine.cores, 4);
        assert_eq!(set("domain=123").unwrap().workspace().domain, "123");
        assert_eq!(set("versions.kubernetes=v1.30.8").unwrap().workspace().versions().unwrap().kubernetes.to_string(), "1.30.8");
        assert_eq!(set("network.dns=[10.10.10.1, 10.10.10.2]").unwrap().workspace().network.dns.len(), 2);
        assert_eq!(set("nodes.wu1.memory_mib=8192").unwrap().workspace().nodes[1].memory_mib, Some(8192));
        assert_eq!(set("nodes[2].cores=8").unwrap().workspace().nodes[2].cores, Some(8));
        assert_eq!(set("values.team.name=blue").unwrap().workspace().values["team"]["name"], "blue");
        assert_eq!(set("proxmox.vlan=7").unwrap().workspace().proxmox.as_ref().unwrap().vlan, Some(7));
        assert_eq!(set("ssh.key_file=a=b").unwrap().workspace().ssh.key_file.as_deref(), Some("a=b"));
    }

    #[test]
    fn what_does_not_fit_is_explained() {
        for (argument, expected) in [
            (
                "machine.coers=4",
                "unknown field `coers` in `--set machine.coers`; did you mean `cores`? see `kthw help workspace` for all fields",
            ),
            (
                "machine.cores=many",
                "`machine.cores`: invalid type: string \"many\", expected u32; see `kthw help workspace` for what this field takes",
            ),
            (
                "machine.cpu_type=host,flags=+aes",
                "`machine.cpu_type`: \"host,flags=+aes\" is not a CPU type of Proxmox VE; use the type alone, without flags behind a comma, \
                 such as `x86-64-v2-AES`",
            ),
            ("nodes.wu9.cores=4", "`nodes` has no `wu9`; did you mean `wu2`?"),
            ("name.first=x", "`name` is a single value and has no fields; see `kthw help workspace` for what this field takes"),
            (
                "distribution=ubunto",
                "`distribution`: unknown variant `ubunto`, expected one of `ubuntu`, `debian`, `rocky`, `suse`; did you mean `ubuntu`? it takes one of `ubuntu`, `debian`, `rocky`, `suse`",
            ),
            (
                "machine.cores",
                "`--set` takes a field and its value; write it as `--set machine.cores=4` or `--set nodes.wu1.memory_mib=8192`",
            ),
        ] {
            assert_eq!(set(argument).unwrap_err(), expected);
        }
    }
}
