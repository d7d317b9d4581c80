//! What `kthw help workspace` prints: every field of `workspace.yaml` with its doc comment.
//!
//! It is read from the schema's own source, so that a field is described in one place only.
use super::WorkspaceFile;
use serde_json::Value;
use std::fmt::Write;

const SCHEMA: &str = include_str!("schema.rs");
/// A small workspace that is right; it is also where default values are read from.
const EXAMPLE: &str = include_str!("example.yaml");

/// Texts that follow a rule of their own; what it is stands in the field's words.
const NAMES: [&str; 11] = [
    "Bridge",
    "CertSan",
    "CpuType",
    "ImageFile",
    "ImageRepository",
    "NodeName",
    "PoolId",
    "PveNode",
    "RegistryHost",
    "StorageId",
    "TemplateName",
];

/// A `struct` or `enum` of the schema.
struct Type {
    name: &'static str,
    doc: String,
    /// Whether every field has a default.
    all_default: bool,
    /// Whether the values of an enum are in lower case instead of snake case.
    lowercase: bool,
    members: Vec<Member>,
}

/// A field, or a value of an enum.
struct Member {
    name: &'static str,
    ty: &'static str,
    doc: String,
    default: bool,
}

/// All fields of `workspace.yaml`, each with its type, its default and what it is for, after an example.
pub fn reference() -> String {
    let types = types();
    let defaults = WorkspaceFile::parse("example.yaml", EXAMPLE).ok().and_then(|file| serde_json::to_value(file.workspace()).ok());
    let mut text = format!("A workspace is one cluster's data. A small one:\n\n{}\n", indented(EXAMPLE, "    "));
    let _ = writeln!(text, "Its fields:\n");
    fields(&types, "Workspace", "", defaults.as_ref().unwrap_or(&Value::Null), &mut text);
    text
}

fn fields(types: &[Type], of: &str, prefix: &str, defaults: &Value, text: &mut String) {
    let Some(found) = types.iter().find(|ty| ty.name == of) else { return };
    for member in &found.members {
        let path = if prefix.is_empty() { member.name.to_owned() } else { format!("{prefix}.{}", member.name) };
        let (inner, words) = in_words(types, member.ty);
        let default = defaults.get(member.name).unwrap_or(&Value::Null);
        let needed = match (found.all_default || member.default || member.ty.starts_with("Option<"), default) {
            (false, _) => "required".to_owned(),
            (true, Value::String(value)) => format!("default {value}"),
            (true, Value::Number(_) | Value::Bool(_)) => format!("default {default}"),
            (true, _) => "optional".to_owned(),
        };
        let _ = writeln!(text, "{path}: {words}, {needed}\n{}", indented(&member.doc, "    "));
        let below = if member.ty.starts_with("Vec<") { format!("{path}[]") } else { path };
        let first = default.get(0).unwrap_or(default);
        if types.iter().any(|ty| ty.name == inner && ty.members.iter().all(|member| !member.ty.is_empty())) {
            fields(types, inner, &below, if member.ty.starts_with("Vec<") { &Value::Null } else { first }, text);
        }
    }
}

/// The type inside `Option` and `Vec`, and the whole in words.
fn in_words<'a>(types: &[Type], ty: &'a str) -> (&'a str, String) {
    if let Some(inner) = ty.strip_prefix("Option<").and_then(|ty| ty.strip_suffix('>')) {
        return in_words(types, inner);
    }
    if let Some(inner) = ty.strip_prefix("Vec<").and_then(|ty| ty.strip_suffix('>')) {
        let (inner, words) = in_words(types, inner);
        return (inner, format!("list of {words}"));
    }
    let words = match ty {
        "String" => "text".into(),
        "bool" => "true or false".into(),
        "char" => "letter".into(),
        "u16" | "u32" => "number".into(),
        "Ipv4Addr" => "IPv4 address".into(),
        "Ipv4Net" => "IPv4 range".into(),
        "semver::Version" => "version".into(),
        _ if NAMES.contains(&ty) => "text".into(),
        _ if ty.contains("Map<") => "map".into(),
        _ => match types.iter().find(|known| known.name == ty) {
            Some(known) if known.members.iter().all(|member| member.ty.is_empty()) => {
                let spell = |member: &Member| if known.lowercase { member.name.to_lowercase() } else { snake_case(member.name) };
                known.members.iter().map(spell).collect::<Vec<_>>().join(" | ")
            }
            Some(known) if !known.doc.is_empty() => "block".into(),
            _ => ty.to_owned(),
        },
    };
    (ty, words)
}

fn snake_case(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The schema's types. Its source keeps to one form: a doc comment, attributes, `pub struct` or `pub enum`, one member a line.
fn types() -> Vec<Type> {
    let (mut types, mut doc, mut attributes) = (Vec::<Type>::new(), String::new(), String::new());
    let mut inside = false;
    for line in SCHEMA.lines() {
        let bare = line.trim();
        if let Some(comment) = bare.strip_prefix("///") {
            doc.push_str(comment.trim_start());
            doc.push('\n');
            continue;
        }
        if bare.starts_with("#[") {
            attributes.push_str(bare);
            continue;
        }
        let head = bare.strip_prefix("pub struct ").or_else(|| bare.strip_prefix("pub enum ")).and_then(|rest| rest.strip_suffix(" {"));
        if let Some(name) = head.filter(|_| !line.starts_with(' ')) {
            let all_default = attributes.contains("deny_unknown_fields, default");
            let lowercase = attributes.contains("\"lowercase\"");
            types.push(Type { name, doc: std::mem::take(&mut doc), all_default, lowercase, members: Vec::new() });
            inside = true;
        } else if line == "}" {
            inside = false;
        } else if let (true, Some(ty)) = (inside, types.last_mut()) {
            let written = bare.trim_end_matches(',');
            let (name, member) = written.strip_prefix("pub ").and_then(|field| field.split_once(": ")).unwrap_or((written, ""));
            let default = attributes.contains("default");
            ty.members.push(Member { name, ty: member, doc: std::mem::take(&mut doc), default });
        }
        doc.clear();
        attributes.clear();
    }
    types
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_example_is_right() {
        WorkspaceFile::parse("example.yaml", EXAMPLE).unwrap().validate(&[]).unwrap();
    }

    /// The paths of all fields that serde writes, which are all that there are.
    fn paths(prefix: &str, value: &Value, found: &mut Vec<String>) {
        if let Value::Object(fields) = value {
            for (name, value) in fields {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                found.push(path.clone());
                match value {
                    Value::Array(items) if items.first().is_some_and(Value::is_object) => paths(&format!("{path}[]"), &items[0], found),
                    _ => paths(&path, value, found),
                }
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        let repository = "packages:\n  kubernetes: { url: https://mirror.bevz.net/ }\n";
        let file = WorkspaceFile::parse("full.yaml", &format!("{EXAMPLE}{repository}")).unwrap();
        let mut known = Vec::new();
        paths("", &serde_json::to_value(file.workspace()).unwrap(), &mut known);
        assert!(known.len() > 60, "{}", known.len());
        let text = reference();
        let described: Vec<&str> =
            text.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(": ")).map(|(path, _)| path).collect();
        for path in &known {
            assert!(described.contains(&path.as_str()), "`{path}` is not described in\n{text}");
        }
        for line in text.lines().zip(text.lines().skip(1)).filter(|(line, _)| !line.starts_with(' ') && line.contains(": ")) {
            assert!(line.1.starts_with("    "), "{} has no words", line.0);
        }
    }

    #[test]
    fn a_field_is_shown_with_type_and_default() {
        let text = reference();
        let from = text.find("\nmachine: ").unwrap() + 1;
        let to = text.find("\nnodes: ").unwrap() + 1;
        expect![[r#"
            machine: block, optional
                What machines are like unless a node says otherwise.

            machine.cores: number, default 2
                CPU cores. A control plane needs 2.

            machine.memory_mib: number, default 4096
                Memory in MiB. A control plane needs 1700, and 4096 is comfortable.

            machine.disk_gib: number, default 20
                System disk in GiB, at least 10.

            machine.cpu_type: text, default x86-64-v2-AES
                CPU type as Proxmox names it; `x86-64-v2-AES` runs every supported distribution. Rocky Linux does not start on `kvm64`.

            machine.on_boot: true or false, default true
                Whether it starts with its host.

        "#]]
        .assert_eq(&text[from..to]);
    }
}
