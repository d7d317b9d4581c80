//! What an API server notes about an object, and whether something else changed.
use serde_json::{Map, Value};

/// What the server itself keeps in an object's metadata.
const BOOKKEEPING: &[&str] = &["resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"];

/// Whether two objects say the same, whatever the server noted about them.
pub(super) fn is_same_but_for_bookkeeping(one: &Value, other: &Value) -> bool {
    let (Value::Object(fields), Value::Object(others)) = (one, other) else { return one == other };
    let is_same = |name: &str, one: &Value, other: &Value| match (name, one, other) {
        ("metadata", Value::Object(one), Value::Object(other)) => {
            let count = |fields: &Map<String, Value>| fields.keys().filter(|name| !BOOKKEEPING.contains(&name.as_str())).count();
            let mut counting = one.iter().filter(|(name, _)| !BOOKKEEPING.contains(&name.as_str()));
            count(one) == count(other) && counting.all(|(name, value)| other.get(name) == Some(value))
        }
        _ => one == other,
    };
    fields.len() == others.len() && fields.iter().all(|(name, value)| others.get(name).is_some_and(|other| is_same(name, value, other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_keeps_is_no_change_and_everything_else_is() {
        let bare = json!({ "kind": "X", "metadata": { "name": "x", "labels": { "a": "1" } }, "spec": { "n": 1 } });
        let changed = |change: fn(&mut Value)| {
            let mut value = bare.clone();
            change(&mut value);
            value
        };
        let is_same = |change| is_same_but_for_bookkeeping(&bare, &changed(change)) && is_same_but_for_bookkeeping(&changed(change), &bare);
        assert!(is_same(|_| ()));
        assert!(is_same(|value| value["metadata"]["uid"] = json!("1-2")));
        assert!(is_same(|value| value["metadata"]["managedFields"] = json!([{ "manager": "kthw" }])));
        assert!(!is_same(|value| value["metadata"]["labels"]["a"] = json!("2")));
        assert!(!is_same(|value| value["metadata"]["annotations"] = json!({})));
        assert!(!is_same(|value| value["metadata"] = json!(null)));
        assert!(!is_same(|value| value["spec"]["n"] = json!(2)));
        assert!(!is_same(|value| value["spec"]["uid"] = json!("1-2")));
        assert!(!is_same(|value| value["status"] = json!({})));
    }
}
