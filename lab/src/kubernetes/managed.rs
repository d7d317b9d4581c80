//! Who changed which field last, as `metadata.managedFields` tells of whoever patches
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).
use serde_json::{Map, Value, json};

/// Notes in `value` that `manager` made it of `before`; what went has no manager any more.
pub(super) fn note(before: &Value, value: &mut Value, manager: &str, version: &str) {
    let changed = fields(before, value);
    let mut entries: Vec<Value> = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let is_update = |entry: &Value| entry["operation"] == "Update";
    for entry in entries.iter_mut().filter(|entry| is_update(entry)) {
        if let Some(fields) = entry["fieldsV1"].as_object_mut() {
            take_out(fields, &changed);
            keep_living(fields, value);
        }
    }
    match entries.iter_mut().find(|entry| is_update(entry) && entry["manager"] == manager) {
        Some(own) => super::merge::merge(&mut own["fieldsV1"], &Value::Object(changed)),
        None => entries.push(
            json!({ "manager": manager, "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": changed }),
        ),
    }
    entries.retain(|entry| !is_update(entry) || entry["fieldsV1"].as_object().is_some_and(|fields| !fields.is_empty()));
    value["metadata"]["managedFields"] = json!(entries);
}

/// The fields of `after` that `before` has not, or has otherwise: `f:spec`, in it `f:unschedulable`. A list counts as a whole.
fn fields(before: &Value, after: &Value) -> Map<String, Value> {
    const NOBODYS: [&str; 5] = ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"];
    let mut changed = Map::new();
    for (name, new) in after.as_object().into_iter().flatten().filter(|(name, _)| !NOBODYS.contains(&name.as_str())) {
        let old = &before[name.as_str()];
        let below = if new.is_object() { fields(old, new) } else { Map::new() };
        if !below.is_empty() || (!new.is_object() && old != new) {
            changed.insert(format!("f:{name}"), Value::Object(below));
        }
    }
    changed
}

/// Takes fields out of those of a manager.
fn take_out(fields: &mut Map<String, Value>, others: &Map<String, Value>) {
    fields.retain(|name, below| match (below.as_object_mut(), others.get(name).and_then(Value::as_object)) {
        (Some(below), Some(other)) if !other.is_empty() => {
            take_out(below, other);
            !below.is_empty()
        }
        (_, other) => other.is_none(),
    });
}

/// Leaves only the fields that `value` has.
fn keep_living(fields: &mut Map<String, Value>, value: &Value) {
    fields.retain(|name, below| {
        let live = &value[name.trim_start_matches("f:")];
        match below.as_object_mut().filter(|below| !below.is_empty()) {
            Some(below) => {
                keep_living(below, live);
                !below.is_empty()
            }
            None => !live.is_null(),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_belongs_to_whoever_changed_it_last_and_to_nobody_when_it_is_gone() {
        let owners = |value: &Value| {
            let entries = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
            entries
                .iter()
                .map(|entry| format!("{} {}", entry["manager"].as_str().unwrap_or_default(), entry["fieldsV1"]))
                .collect::<Vec<_>>()
        };
        let change = |before: &Value, manager: &str, path: &str, to: Value| {
            let mut value = before.clone();
            super::super::merge::merge_patch(&mut value, &json!({ "spec": { path: to } }));
            note(before, &mut value, manager, "v1");
            value
        };
        let node = json!({ "metadata": { "name": "wu1" }, "spec": { "podCIDR": "10.0.0.0/24" } });
        let ours = change(&change(&node, "kthw", "a", json!(1)), "kthw", "unschedulable", json!(true));
        assert_eq!(owners(&ours), [r#"kthw {"f:spec":{"f:a":{},"f:unschedulable":{}}}"#]);
        let free = change(&ours, "kubectl", "unschedulable", Value::Null);
        assert_eq!(owners(&free), [r#"kthw {"f:spec":{"f:a":{}}}"#]);
        let theirs = change(&free, "kubectl", "unschedulable", json!(true));
        assert_eq!(owners(&theirs), [r#"kthw {"f:spec":{"f:a":{}}}"#, r#"kubectl {"f:spec":{"f:unschedulable":{}}}"#]);
    }
}
