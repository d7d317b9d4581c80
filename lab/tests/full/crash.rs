//! A run that dies at any effect, and a plain run after it: the same world as if nothing had happened.
use super::{FULL, Lab, changes, failures};
use kthw_engine::{MemoryLedger, RunOptions, run, silent};
use kthw_lab::{EndsAt, Moment, World};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// The whole world but for what differs between any two runs: time, random numbers, and the way there.
fn end_state(world: &World) -> Value {
    let mut state = world.with_state(|state| serde_json::to_value(&*state).unwrap());
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

impl Lab {
    /// The world when everything in it has had its time.
    async fn at_rest(&self) -> Value {
        for _ in 0..2 {
            self.peers.clock().sleep(Duration::from_secs(600)).await;
            self.plan(FULL).await;
        }
        end_state(&self.world)
    }
}

/// Where two worlds differ, and how.
fn differences(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                differences(
                    one.get(name).unwrap_or(&Value::Null),
                    other.get(name).unwrap_or(&Value::Null),
                    &format!("{path}/{name}"),
                    found,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, &format!("{path}/{number}"), found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let short = |value: &Value| value.to_string().chars().take(120).collect::<String>();
            found.push(format!("{path}: {} instead of {}", short(one), short(other)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_at_any_effect_a_plain_run_ends_in_the_same_world() {
    let lab = Lab::new("crash-none");
    let ledger = Arc::new(MemoryLedger::default());
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    assert_eq!(failures(&run(lab.plan(FULL).await, &lab.peers, &silent(), &options).await), "");
    let wanted = lab.at_rest().await;
    let effects = ledger.effects();
    let (mut boundaries, mut faults, mut for_a_journal) = (0, Vec::new(), Vec::new());
    for effect in &effects {
        let number = effect.entry.number;
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let name = format!("{moment:?} effect {number}, {} ({})", effect.entry.intent.what, effect.entry.intent.peer);
            let lab = Lab::new(&format!("crash-{number}-{moment:?}"));
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            let plan = lab.plan(FULL).await;
            let ended = ends.cut(run(plan, &lab.peers, &silent(), &options)).await;
            assert!(ended.is_none(), "{name}: the run went on");
            boundaries += 1;
            let mut wrong: Vec<String> = failures(&lab.again().apply(FULL).await).lines().map(str::to_owned).collect();
            wrong.extend(changes(&lab.again().plan(FULL).await));
            // A token whose value died with the run ends by itself after a quarter of an hour; only a journal knows to take it back at once.
            let tokens = lab.world.with_state(|state| state.clusters[0].tokens.len());
            if tokens > 0 {
                for_a_journal.push(format!("{name}: {tokens}\n"));
            }
            differences(&lab.at_rest().await, &wanted, "", &mut wrong);
            if !wrong.is_empty() {
                faults.push(format!("{name}:\n    {}\n", wrong.join("\n    ")));
            }
        }
    }
    println!(
        "{boundaries} boundaries of {} effects; bootstrap tokens that live on, which only a journal can settle, after {}:\n{}",
        effects.len(),
        for_a_journal.len(),
        for_a_journal.concat()
    );
    assert!(boundaries > 100);
    assert!(faults.is_empty(), "{}", faults.concat());
}
