//! Merging objects: server-side apply with field managers, and merge patches.
use serde_json::{Map, Value};

/// Lists whose items are told apart by these keys; all others are replaced whole.
const ITEM_KEYS: &[&str] = &["name", "type", "key", "containerPort", "port", "mountPath"];

/// Lays `applied` over `live`.
pub(crate) fn merge(live: &mut Value, applied: &Value) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            for (name, value) in applied {
                merge(live.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(live), Value::Array(applied))
            if item_key(applied).is_some() && (live.is_empty() || item_key(live) == item_key(applied)) =>
        {
            let key = item_key(applied).unwrap_or_default();
            for item in applied {
                match live.iter_mut().find(|known| known[key] == item[key]) {
                    Some(known) => merge(known, item),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

/// Removes from `live` what `before` had and `now` has not: a manager gives up a field by no longer applying it.
pub(crate) fn give_up(live: &mut Value, before: &Value, now: &Value) {
    match (live, before) {
        (Value::Object(live), Value::Object(before)) => {
            for (name, old) in before {
                match (now.get(name), live.get_mut(name)) {
                    (None, _) => {
                        live.remove(name);
                    }
                    (Some(new), Some(live)) => give_up(live, old, new),
                    _ => {}
                }
            }
        }
        (Value::Array(live), Value::Array(before)) if item_key(before).is_some() => {
            let key = item_key(before).unwrap_or_default();
            let kept = |item: &Value| now.as_array().is_some_and(|now| now.iter().any(|new| new[key] == item[key]));
            live.retain(|item| !before.iter().any(|old| old[key] == item[key]) || kept(item));
        }
        _ => {}
    }
}

/// The first field on which what two managers applied differs, as a path.
pub(crate) fn conflict(theirs: &Value, ours: &Value, path: &str) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let both = ours.iter().filter_map(|(name, ours)| Some((name, theirs.get(name)?, ours)));
            both.filter(|(name, ..)| !(path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind")))
                .find_map(|(name, theirs, ours)| conflict(theirs, ours, &format!("{path}.{name}")))
        }
        (Value::Array(_), Value::Array(ours)) if item_key(ours).is_some() => None,
        (theirs, ours) => (theirs != ours).then(|| path.to_owned()),
    }
}

/// A JSON merge patch (RFC 7386): null removes.
pub(crate) fn merge_patch(live: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *live = patch.clone();
        return;
    };
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Value::Object(live) = live else { return };
    for (name, value) in patch {
        if value.is_null() {
            live.remove(name);
        } else {
            merge_patch(live.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn item_key(items: &[Value]) -> Option<&'static str> {
    let has = |key: &str| !items.is_empty() && items.iter().all(|item| item.get(key).is_some_and(|value| !value.is_null()));
    ITEM_KEYS.iter().copied().find(|key| has(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn applying_merges_maps_and_named_items() {
        let mut live = json!({ "a": 1, "c": [{ "name": "x", "image": "1" }, { "name": "sidecar" }], "l": [1, 2] });
        merge(&mut live, &json!({ "b": { "d": 2 }, "c": [{ "name": "x", "image": "2" }], "l": [3] }));
        assert_eq!(live, json!({ "a": 1, "c": [{ "name": "x", "image": "2" }, { "name": "sidecar" }], "l": [3], "b": { "d": 2 } }));
    }

    #[test]
    fn what_is_no_longer_applied_goes() {
        let mut live = json!({ "spec": { "a": 1, "b": 2, "theirs": 3 }, "c": [{ "name": "x" }, { "name": "y" }, { "name": "theirs" }] });
        give_up(
            &mut live,
            &json!({ "spec": { "a": 1, "b": 2 }, "c": [{ "name": "x" }, { "name": "y" }] }),
            &json!({ "spec": { "a": 1 }, "c": [{ "name": "x" }] }),
        );
        assert_eq!(live, json!({ "spec": { "a": 1, "theirs": 3 }, "c": [{ "name": "x" }, { "name": "theirs" }] }));
    }

    #[test]
    fn conflicts_name_the_field() {
        let theirs = json!({ "kind": "X", "spec": { "replicas": 1, "x": 1 } });
        assert_eq!(conflict(&theirs, &json!({ "kind": "X", "spec": { "replicas": 2 } }), ""), Some(".spec.replicas".into()));
        assert_eq!(conflict(&theirs, &json!({ "spec": { "replicas": 1, "y": 5 } }), ""), None);
    }

    #[test]
    fn merge_patches_remove_with_null() {
        let mut live = json!({ "a": { "b": 1, "c": 2 } });
        merge_patch(&mut live, &json!({ "a": { "b": null, "d": 3 } }));
        assert_eq!(live, json!({ "a": { "c": 2, "d": 3 } }));
    }
}
