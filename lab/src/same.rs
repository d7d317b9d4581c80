//! Whether two worlds are the same but for what differs between any two runs.
use crate::world::World;
use serde_json::Value;

/// The whole world but for what differs between any two runs: time, random numbers, and the way there.
pub fn end_state(world: &World) -> Value {
    let mut state = world.with_state(|state| serde_json::to_value(&*state).unwrap_or_default());
    leave_out(&mut state);
    state
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()) && !name.ends_with("_ms") && !name.ends_with("_s"));
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
            for (start, length) in [("kthw:ubuntu:", None), ("virtio=", Some(17))] {
                let Some(from) = text.find(start) else { continue };
                let from = from + start.len();
                let end = length.map_or_else(|| text[from..].find('\n').map_or(text.len(), |line| from + line), |length| from + length);
                text.replace_range(from..end, "…");
            }
        }
        _ => {}
    }
}

const PASSING: &[&str] = &[
    "journal",
    "serial",
    "writes",
    "tasks",
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
