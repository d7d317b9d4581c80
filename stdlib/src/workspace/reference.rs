//! What `kthw help workspace` prints: every field of `workspace.yaml` with its doc comment, read from its JSON Schema.
use super::json_schema;
use serde_json::{Map, Value};
use std::fmt::Write;

/// A small cluster that is right.
const EXAMPLE: &str = include_str!("example.yaml");

/// What recipes see that is in no field.
const BESIDE: &str = "\
Recipes see each field under its name, as `cluster.network.dns`, and beside them:

cluster.control_planes, cluster.workers, cluster.load_balancers, cluster.members: lists of nodes
    Nodes with that role; `members` are all but those with `role: other`, and `cluster.nodes` has all.
cluster.load_balancer: block
    Of an edge, with the `address` of every cluster and all three numbers of every listener; `()` in a cluster. In an edge a recipe finds no field that
    clusters alone have, and says so.
cluster.add_ons: map
    Every add-on that `add_ons` may name, with its version, or `()` where it is not named.
node.fqdn: text
    The full name of a node, such as `cu1.bevz.net`.
cluster.os: block
    Facts of the nodes' operating system: `id` (such as `debian-12`), `title`, `package_manager`, `packages`, `module_packages`, `containerd`, `network`,
    `selinux`, `firewall`, `time`, `time_servers`, `updates`, `hosts_template`, `user`, `guest_agent` and `cpu_level`. What it does not have is `()`.
";

/// All fields of `workspace.yaml`, each with its type, its default and what it is for, after an example.
pub fn reference() -> String {
    let schema = json_schema();
    let mut text = format!(
        "A workspace is the data of one cluster, or of one edge (machines in front of clusters). A small cluster:\n\n{}\nIts fields:\n\n",
        indented(EXAMPLE, "    ")
    );
    Reference { root: &schema }.fields(&schema, "", &mut text);
    text.push_str(BESIDE);
    text
}

struct Reference<'a> {
    root: &'a Value,
}

impl<'a> Reference<'a> {
    fn fields(&self, block: &'a Value, prefix: &str, text: &mut String) {
        let required = block["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (name, field) in properties(block).into_iter().flatten() {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let needed = match &field["default"] {
                _ if required.iter().any(|required| required == name) => "required".to_owned(),
                _ if self.is_needed_by_clusters(prefix, name) => "required in a cluster".to_owned(),
                Value::String(value) => format!("default {value}"),
                value @ (Value::Number(_) | Value::Bool(_)) => format!("default {value}"),
                _ => "optional".to_owned(),
            };
            let words = field["description"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{path}: {}, {needed}\n{}", self.type_in_words(field), indented(words, "    "));
            match self.items(field) {
                Some(items) => self.fields(items, &format!("{path}[]"), text),
                None => self.fields(self.resolve(field), &path, text),
            }
        }
    }

    /// Whether it is optional only because an edge has none.
    fn is_needed_by_clusters(&self, block: &str, name: &str) -> bool {
        let clusters = &self.root["else"];
        let block = if block.is_empty() { clusters } else { &clusters["properties"][block] };
        block["required"].as_array().is_some_and(|needed| needed.iter().any(|needed| needed == name))
    }

    /// The schema behind a reference, and the one that is not `null` of two.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|name| self.root.pointer(name.strip_prefix('#')?));
        let some = || schema["anyOf"].as_array()?.iter().find(|one| one["type"] != "null" && schema["type"].is_null());
        match target.or_else(some) {
            Some(inner) => self.resolve(inner),
            None => schema,
        }
    }

    /// What the items of a list are.
    fn items(&self, schema: &'a Value) -> Option<&'a Value> {
        self.resolve(schema).get("items").map(|items| self.resolve(items))
    }

    fn type_in_words(&self, schema: &'a Value) -> String {
        if let Some(items) = self.items(schema) {
            return format!("list of {}", self.type_in_words(items));
        }
        let schema = self.resolve(schema);
        if let Some(title) = schema["title"].as_str() {
            return title.to_owned();
        }
        let values: Vec<&str> = values(schema).collect();
        if !values.is_empty() {
            return values.join(" | ");
        }
        let kinds = schema["type"].as_array().map_or_else(|| vec![&schema["type"]], |kinds| kinds.iter().collect());
        let kind = kinds.into_iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default();
        let words = match (kind, schema["format"].as_str()) {
            (_, Some("ipv4")) => "IPv4 address",
            ("boolean", _) => "true or false",
            ("integer" | "number", _) => "number",
            ("object", _) if properties(schema).is_some() => "block",
            ("object", _) => "map",
            _ => "text",
        };
        words.to_owned()
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// The values of an enumeration, with words of their own or without.
fn values(schema: &Value) -> impl Iterator<Item = &str> {
    let list = |name: &str| schema[name].as_array().map(Vec::as_slice).unwrap_or_default();
    list("enum").iter().chain(list("oneOf").iter().map(|one| &one["const"])).filter_map(Value::as_str)
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::WorkspaceFile;
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
        let more = "packages:\n  kubernetes: { url: https://mirror.bevz.net/ }\nload_balancer:\n  clusters: [blue]\n";
        let file = WorkspaceFile::parse("full.yaml", &format!("{EXAMPLE}{more}")).unwrap();
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
