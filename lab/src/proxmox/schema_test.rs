//! Compares the table of requests with the official schema (`tests/peers/install pve` extracts it).
use super::{
    patterns::PATTERNS,
    table::{Kind, Parameter, TABLE},
};
use kthw_peers::{PVE_SCHEMA, ask};
use serde_json::{Value, json};

/// What the table says and the schema does not; empty when they agree.
fn differences(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for call in TABLE.iter() {
        let place = format!("{} {}", call.method, call.path);
        let official = &schema[call.path][call.method];
        if official.is_null() {
            found.push(format!("{place}: no such request"));
            continue;
        }
        for parameter in &call.parameters {
            let place = format!("{place} {}", parameter.name);
            found.extend(compare(parameter, &official["params"][parameter.name]).into_iter().map(|text| format!("{place}: {text}")));
        }
        for (name, parameter) in official["params"].as_object().into_iter().flatten() {
            let in_path = call.path.contains(&format!("{{{name}}}"));
            if parameter["optional"].is_null() && !in_path && call.parameter(name).is_none() {
                found.push(format!("{place}: required parameter {name} is missing from the table"));
            }
        }
    }
    found
}

fn compare(parameter: &Parameter, official: &Value) -> Vec<String> {
    if official.is_null() {
        return vec!["no such parameter".into()];
    }
    let mut found = Vec::new();
    let mut same = |what: &str, ours: Value, theirs: &Value| {
        if ours != *theirs {
            found.push(format!("{what} is {ours} in the table, {theirs} in the schema"));
        }
    };
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(value.clone(), |number| json!(number));
    let name = match &parameter.kind {
        Kind::Boolean => "boolean",
        Kind::Integer { minimum, maximum } => {
            same("minimum", json!(minimum), &number(&official["minimum"]));
            same("maximum", json!(maximum), &number(&official["maximum"]));
            "integer"
        }
        Kind::List => "array",
        Kind::String => "string",
        Kind::Enum(known) => {
            let sorted = |mut words: Vec<String>| {
                words.sort();
                json!(words)
            };
            let theirs = official["enum"].as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
            same("enum", sorted(known.clone()), &sorted(theirs));
            "string"
        }
    };
    same("type", json!(name), &official["type"]);
    same("required", json!(parameter.required), &json!(official["optional"].is_null()));
    same("maximum length", json!(parameter.max_length), &number(&official["maxLength"]));
    if let Some((_, pattern, _)) = PATTERNS.iter().find(|(name, ..)| parameter.pattern == Some(name)) {
        same("pattern", json!(pattern), &official["pattern"]);
    }
    if let Some(format) = parameter.format {
        same("format", json!(format), &official["format"]);
    }
    for (at, key) in parameter.keys.iter().enumerate() {
        let theirs = &official["format"][key];
        if official["format"].is_object() && theirs.is_null() {
            same("key", json!(key), theirs);
        } else if official["format"].is_object() {
            same(&format!("default key {key}"), json!(at == 0), &json!(!theirs["default_key"].is_null()));
        }
    }
    found
}

#[test]
fn the_table_agrees_with_the_official_schema() {
    let Some([path]) = ask([&PVE_SCHEMA]) else { return };
    let schema = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let found = differences(&schema);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn differences_are_found() {
    let schema = json!({ "/nodes/{node}/qemu/{vmid}/resize": { "PUT": { "params": { "disk": { "type": "integer" }, "extra": { "type": "string" } } } } });
    let found: Vec<String> =
        differences(&schema).into_iter().filter(|text| text.starts_with("PUT /nodes/{node}/qemu/{vmid}/resize")).collect();
    assert!(found.iter().any(|text| text.ends_with("disk: type is \"string\" in the table, \"integer\" in the schema")), "{found:#?}");
    assert!(found.iter().any(|text| text.ends_with("required parameter extra is missing from the table")), "{found:#?}");
    assert!(found.iter().any(|text| text.ends_with("size: no such parameter")), "{found:#?}");
}
