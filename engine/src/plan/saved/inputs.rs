//! Where the recipes and the workspace are not those that a saved plan was made of.
use crate::recipe::RecipeStamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The longest value that is shown as it is, in characters.
const SHOWN: usize = 60;

/// How the recipes differ, one in a line.
pub(super) fn recipes(saved: &[RecipeStamp], now: &[RecipeStamp]) -> Vec<String> {
    let of = |recipes: &[RecipeStamp], name: &str| recipes.iter().find(|recipe| recipe.name == name).cloned();
    let mut facts = Vec::new();
    for was in saved {
        let RecipeStamp { name, version, .. } = was;
        match of(now, name) {
            None => facts.push(format!("recipe {name} {version}: is not needed any more")),
            Some(is) if is.version != *version => facts.push(format!("recipe {name}: {version} -> {}", is.version)),
            Some(is) if is.sha256 != was.sha256 => facts.push(format!("recipe {name} {version}: its text is another one")),
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|recipe| of(saved, &recipe.name).is_none());
    facts.extend(new.map(|recipe| format!("recipe {} {}: was not needed", recipe.name, recipe.version)));
    facts
}

/// How the workspace differs, one field in a line, spelled as `--set` spells it.
pub(super) fn workspace(saved: &Value, now: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    differ("", saved, now, &mut facts);
    facts.into_iter().map(|fact| format!("workspace: {fact}")).collect()
}

fn differ(path: &str, was: &Value, is: &Value, facts: &mut Vec<String>) {
    if was == is {
        return;
    }
    let before = facts.len();
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => differ_in_fields(path, was, is, facts),
        (Value::Array(was), Value::Array(is)) => match (by_name(was), by_name(is)) {
            (Some(was), Some(is)) => differ_in_fields(path, &was, &is, facts),
            _ => {
                for number in 0..was.len().max(is.len()) {
                    let of = |list: &[Value]| list.get(number).cloned().unwrap_or_default();
                    differ(&format!("{path}[{number}]"), &of(was), &of(is), facts);
                }
            }
        },
        (was, is) => facts.push(format!("{path} {} -> {}", shown(was), shown(is))),
    }
    if facts.len() == before {
        facts.push(format!("{path} stands in another order"));
    }
}

fn differ_in_fields(path: &str, was: &Map<String, Value>, is: &Map<String, Value>, facts: &mut Vec<String>) {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        differ(&below, &of(was), &of(is), facts);
    }
}

/// A list of things that have names, such as nodes, as fields by those names.
fn by_name(list: &[Value]) -> Option<Map<String, Value>> {
    list.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item.clone()))).collect()
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".into(),
        Value::String(text) if text.is_empty() => "\"\"".into(),
        Value::String(text) => text.replace('\n', " "),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn recipe(name: &str, version: &str, text: &str) -> RecipeStamp {
        RecipeStamp { name: name.into(), version: version.into(), sha256: text.into() }
    }

    #[test]
    fn recipes_are_compared_by_version_then_by_text() {
        let saved = [recipe("a", "1.2.0", "x"), recipe("b", "1.0.0", "x"), recipe("c", "1.0.0", "x"), recipe("d", "1.0.0", "x")];
        let now = [recipe("a", "1.3.0", "y"), recipe("b", "1.0.0", "y"), recipe("d", "1.0.0", "x"), recipe("e", "2.0.0", "x")];
        assert_eq!(
            recipes(&saved, &now),
            [
                "recipe a: 1.2.0 -> 1.3.0",
                "recipe b 1.0.0: its text is another one",
                "recipe c 1.0.0: is not needed any more",
                "recipe e 2.0.0: was not needed",
            ]
        );
        assert_eq!(recipes(&saved, &saved), [""; 0]);
    }

    #[test]
    fn each_field_of_a_workspace_that_differs_is_named_as_a_person_sets_it() {
        let was = json!({
            "machine": { "cores": 2, "cpu_type": "host" },
            "nodes": [{ "name": "a", "cores": null }, { "name": "b", "cores": 2 }],
            "dns": ["10.0.0.1", "10.0.0.2"],
            "endpoint": null,
            "same": {},
        });
        let is = json!({
            "machine": { "cores": 4, "cpu_type": "host" },
            "nodes": [{ "name": "a", "cores": 8 }, { "name": "c", "cores": 2 }],
            "dns": ["10.0.0.1"],
            "endpoint": "api.example:6443",
            "note": "a\nb",
            "same": {},
        });
        assert_eq!(
            workspace(&was, &is),
            [
                "workspace: dns[1] 10.0.0.2 -> nothing",
                "workspace: endpoint nothing -> api.example:6443",
                "workspace: machine.cores 2 -> 4",
                "workspace: nodes.a.cores nothing -> 8",
                "workspace: nodes.b {\"name\":\"b\",\"cores\":2} -> nothing",
                "workspace: nodes.c nothing -> {\"name\":\"c\",\"cores\":2}",
                "workspace: note nothing -> a b",
            ]
        );
    }

    #[test]
    fn the_order_of_a_list_counts_and_a_long_value_is_cut() {
        let nodes = |names: [&str; 2]| json!({ "nodes": names.map(|name| json!({ "name": name })) });
        assert_eq!(workspace(&nodes(["a", "b"]), &nodes(["b", "a"])), ["workspace: nodes stands in another order"]);
        let long = workspace(&json!({ "key": "ü".repeat(61) }), &json!({ "key": "ü".repeat(60) }));
        assert_eq!(long, [format!("workspace: key {}… -> {}", "ü".repeat(60), "ü".repeat(60))]);
        assert_eq!(workspace(&json!({ "key": "" }), &json!({ "key": "a" })), ["workspace: key \"\" -> a"]);
    }
}
