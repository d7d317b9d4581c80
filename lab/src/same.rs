//! Whether two worlds are the same but for what differs between any two runs.
use crate::{kubernetes, world::World};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the world comes to when nothing more is done to it and everything in it has its time, but for what differs between any two runs:
/// moments, random numbers, and the way there. The world itself stays where it is.
pub fn at_rest(world: &World) -> Value {
    let mut state = world.lock().fork();
    state.faults.clear();
    // One thing waits for the other, a pod for its node; and a token lasts for a quarter of an hour.
    for _ in 0..4 {
        state.now_ms += 5 * 60 * 1000;
        state.settle();
        kubernetes::settle(&mut state);
    }
    let mut state = serde_json::to_value(&state).unwrap_or_default();
    leave_out(&mut state);
    let clusters = state["clusters"].as_array_mut();
    clusters.into_iter().flatten().filter_map(|cluster| cluster["objects"].as_object_mut()).for_each(count_pods);
    state
}

/// The pods that a controller made have names that nobody chose, and are where there was room: how many there are is what counts.
fn count_pods(objects: &mut Map<String, Value>) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    objects.retain(|key, pod| {
        let Some(namespace) = key.strip_prefix("|pods|").and_then(|rest| rest.split('|').next()) else { return true };
        let owner = &pod["value"]["metadata"]["ownerReferences"][0];
        let (Some(kind), Some(name)) = (owner["kind"].as_str(), owner["name"].as_str()) else { return true };
        if kind == "Node" {
            return true;
        }
        let node = &pod["value"]["spec"]["nodeName"];
        let place = if kind == "DaemonSet" { node.as_str().unwrap_or("no node") } else { "any node" };
        let state = if pod["value"]["metadata"]["deletionTimestamp"].is_null() { "there" } else { "ending" };
        *counts.entry(format!("pods of {kind} {namespace}/{name} on {place}, {state}")).or_default() += 1;
        false
    });
    objects.extend(counts.into_iter().map(|(pods, count)| (pods, count.into())));
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()) && !name.ends_with("_ms") && !name.ends_with("_s"));
            // An API token.
            if fields.contains_key("privsep") {
                fields.remove("value");
            }
            for (name, value) in fields {
                // What kubeadm, cloud-init and ssh-keygen write holds keys: that it is there is what counts.
                if RANDOM.iter().any(|random| name.starts_with(random)) {
                    *value = Value::from("something random");
                }
                leave_out(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out),
        Value::String(text) => {
            leave_nonces_out(text);
            MADE_UP.iter().for_each(|(start, end)| leave_out_of(text, start, end));
        }
        _ => {}
    }
}

/// Leaves the nonces of marks out of a text; whose the marks are stays.
fn leave_nonces_out(text: &mut String) {
    let is_nonce = |word: &str| word.len() == 16 && word.chars().all(|digit| digit.is_ascii_hexdigit());
    let without = |word: &str| match word.trim_end().rsplit_once(':') {
        Some((mark, nonce)) if mark.starts_with("kthw:") && is_nonce(nonce) => word.replace(nonce, "…"),
        _ => word.to_owned(),
    };
    if text.contains("kthw:") {
        *text = text.split_inclusive(char::is_whitespace).map(without).collect();
    }
}

/// Leaves what comes behind `start` out of a text, up to one of the characters of `end`.
fn leave_out_of(text: &mut String, start: &str, end: &[char]) {
    let mut at = 0;
    while let Some(found) = text[at..].find(start) {
        let from = at + found + start.len();
        let to = text[from..].find(end).map_or(text.len(), |end| from + end);
        text.replace_range(from..to, "…");
        at = from;
    }
}

/// What is made up within a text, and where it ends: a MAC address, a key, the fingerprint of one.
const MADE_UP: &[(&str, &[char])] = &[("virtio=", &[',']), ("ssh-ed25519 ", &[' ', '\n']), ("SHA256:", &[' ', '\n'])];

const PASSING: &[&str] = &[
    "journal",
    "serial",
    "writes",
    "tasks",
    "sessions",
    "mac",
    "smbios1",
    "ctime",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "time",
    "lastTransitionTime",
    "lastHeartbeatTime",
    "revision",
    "ca_hash",
    "providerID",
    "machineID",
    "bootID",
    "last_run",
    "faults",
    "unknown",
    "seed",
];
const RANDOM: &[&str] = &[
    "/etc/kubernetes/pki/",
    "/etc/machine-id",
    "/etc/ssh/ssh_host_",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/controller-manager.conf",
    "proxmox.token",
    "ssh.private_key",
];

/// Where an end state differs from the one that is wanted, and how.
pub fn differences(one: &Value, wanted: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differ(one, wanted, "", &mut found);
    found
}

fn differ(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                differ(one.get(name).unwrap_or(&Value::Null), other.get(name).unwrap_or(&Value::Null), &format!("{path}/{name}"), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                differ(one, other, &format!("{path}/{number}"), found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let short = |value: &Value| value.to_string().chars().take(120).collect::<String>();
            found.push(format!("{path}: {} instead of {}", short(one), short(other)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_made_up_does_not_count_and_whose_it_is_does() {
        let world = |node: &str, nonce: &str, key: &str, value: &str| {
            let mut world = json!({
                "description": format!("mine\nkthw:ubuntu:{node}:{nonce}\nnode: homelab"),
                "authorized_keys": format!("ssh-ed25519 {key} kthw:ubuntu:ssh-key/k:2:2026-08-15 replaces SHA256:{key}\n"),
                "token": { "value": value, "privsep": true },
                "net0": format!("virtio=BC:24:11:00:00:{value},bridge=vmbr0"),
            });
            leave_out(&mut world);
            world
        };
        let one = world("cu1", "0123456789abcdef", "AAAA", "01");
        assert_eq!(differences(&one, &world("cu1", "fedcba9876543210", "BBBB", "02")), Vec::<String>::new());
        assert_eq!(differences(&one, &world("cu2", "0123456789abcdef", "AAAA", "01")).len(), 1);
        assert_eq!(one["net0"], "virtio=…,bridge=vmbr0");
    }

    #[test]
    fn pods_of_controllers_are_counted_and_others_are_compared() {
        let pod = |kind: &str, node: &str| {
            let owner = json!([{ "kind": kind, "name": "web" }]);
            json!({ "value": { "metadata": { "ownerReferences": owner }, "spec": { "nodeName": node } } })
        };
        let mut objects = json!({
            "|pods|a|web-1": pod("ReplicaSet", "wu1"), "|pods|a|web-2": pod("ReplicaSet", "wu2"), "|pods|a|web-3": pod("DaemonSet", "wu1"),
            "|pods|a|etcd": pod("Node", "cu1"), "|pods|a|own": json!({ "value": {} }), "|nodes||wu1": json!({}),
        });
        let objects = objects.as_object_mut().unwrap();
        count_pods(objects);
        let names: std::collections::BTreeSet<&str> = objects.keys().map(String::as_str).collect();
        let counted = ["pods of DaemonSet a/web on wu1, there", "pods of ReplicaSet a/web on any node, there"];
        assert_eq!(names, ["|nodes||wu1", "|pods|a|etcd", "|pods|a|own"].into_iter().chain(counted).collect());
        assert_eq!(objects[counted[1]], 2);
    }
}
