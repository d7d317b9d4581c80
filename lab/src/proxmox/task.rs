//! Tasks of the lab's Proxmox VE: begun at once, ended by the virtual clock, then carried out.
use super::{answer::Answer, power, request::Request, vm};
use crate::{
    fault::{Harm, Trigger},
    observer::ProxmoxWrite,
    state::State,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The node that it runs on.
    pub node: String,
    /// Its type, such as `qmclone`.
    pub kind: String,
    /// What it works on, such as a VM id.
    pub id: String,
    /// When it began, in seconds since 1970.
    pub begun_s: u64,
    /// When it ends, in virtual milliseconds.
    pub ends_ms: u64,
    /// What it does when it ends.
    pub work: TaskWork,
    /// How it ended.
    pub exit: Option<String>,
}

/// What a task does when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum TaskWork {
    /// Puts a file on a storage.
    Download {
        storage: String,
        #[serde(default)]
        node: String,
        name: String,
        size: u64,
    },
    /// Finishes a VM that was created: takes its lock away, or the VM if the task failed.
    Finish { vmid: u32, start: bool },
    /// Finishes a clone: its configuration is whole only then, and moves to its own node.
    Clone {
        vmid: u32,
        target: String,
        config: BTreeMap<String, String>,
        /// The VM whose disks are copied.
        #[serde(default)]
        source: u32,
    },
    /// Turns a VM into a template.
    Template { vmid: u32 },
    /// Starts a VM.
    Start { vmid: u32 },
    /// Stops a VM.
    Stop { vmid: u32 },
    /// Lets a VM go on that was halted.
    Resume { vmid: u32 },
    /// Stops a VM and starts it again.
    Reboot { vmid: u32 },
    /// Removes a VM, its disks and its machine.
    Destroy { vmid: u32 },
    /// Grows a disk to so many bytes.
    Resize { vmid: u32, disk: String, size: u64 },
    /// Nothing more; the change was made when the task began.
    Nothing,
}

/// Begins a task that takes `seconds` and returns its UPID.
pub(crate) fn begin(state: &mut State, node: &str, kind: &str, id: &str, seconds: u64, work: TaskWork) -> Value {
    let number = state.next_number();
    let begun_s = state.unix_s();
    let upid = format!("UPID:{node}:{:08X}:{:08X}:{begun_s:08X}:{kind}:{id}:root@pam!kthw:", 1000 + number, state.now_ms / 10);
    let ends_ms = state.now_ms + seconds * 1000;
    let task = Task { node: node.into(), kind: kind.into(), id: id.into(), begun_s, ends_ms, work, exit: None };
    state.agenda.add_task(ends_ms, &upid);
    state.pve.tasks.insert(upid.clone(), task);
    Value::String(upid)
}

/// Ends every task whose time has come, in order.
pub(crate) fn end_due_tasks(state: &mut State) {
    while let Some(upid) = state.agenda.next_task(state.now_ms) {
        let Some(task) = state.pve.tasks.get(&upid).filter(|task| task.exit.is_none()).cloned() else { continue };
        // What a task does happens when it ends, even if nobody looked until later.
        let now_ms = std::mem::replace(&mut state.now_ms, task.ends_ms);
        let strikes = |on: &Trigger| matches!(on, Trigger::Task { kind } if *kind == task.kind);
        let fault = state.strike_as(strikes, |outcome| match outcome {
            Harm::TaskEnds { exit } => Some((exit.clone(), true)),
            Harm::TaskStops { exit } => Some((exit.clone(), false)),
            _ => None,
        });
        let exit = match fault {
            Some((exit, true)) => {
                undo(state, &task.work);
                exit
            }
            Some((exit, false)) => exit,
            _ => carry_out(state, &task).map_or_else(|text| text, |()| "OK".into()),
        };
        state.now_ms = now_ms;
        if let Some(task) = state.pve.tasks.get_mut(&upid) {
            task.exit = Some(exit);
            // It is done, and nobody asks for it any more.
            task.work = TaskWork::Nothing;
        }
        let ended = ProxmoxWrite::Task { kind: &task.kind, id: &task.id };
        state.observers.tell(|observer| observer.proxmox(&ended, state));
    }
}

fn carry_out(state: &mut State, task: &Task) -> Result<(), String> {
    match &task.work {
        TaskWork::Nothing => Ok(()),
        TaskWork::Download { storage, node, name, size } => {
            super::storage::put_file(state, storage, node, name, *size);
            Ok(())
        }
        TaskWork::Finish { vmid, start } => {
            vm::finish(state, *vmid);
            if *start { power::start(state, *vmid) } else { Ok(()) }
        }
        TaskWork::Clone { vmid, target, config, source } => {
            crate::node::overlay(state, *source, *vmid);
            if let Some(vm) = state.pve.vms.get_mut(vmid) {
                target.clone_into(&mut vm.node);
                vm.config.clone_from(config);
            }
            vm::finish(state, *vmid);
            Ok(())
        }
        TaskWork::Template { vmid } => vm::make_template(state, *vmid),
        TaskWork::Start { vmid } => power::start(state, *vmid),
        TaskWork::Stop { vmid } => power::stop(state, *vmid),
        TaskWork::Resume { vmid } => power::resume(state, *vmid),
        TaskWork::Reboot { vmid } => super::restart(state, *vmid),
        TaskWork::Destroy { vmid } => {
            vm::remove(state, *vmid);
            Ok(())
        }
        TaskWork::Resize { vmid, disk, size } => vm::grow(state, *vmid, disk, *size),
    }
}

/// A create or clone that fails leaves nothing behind.
fn undo(state: &mut State, work: &TaskWork) {
    if let TaskWork::Finish { vmid, .. } | TaskWork::Clone { vmid, .. } = work {
        vm::remove(state, *vmid);
    }
}

/// `GET /nodes/{node}/tasks/{upid}/status`.
pub(crate) fn status(state: &State, upid: &str) -> Answer {
    match state.pve.tasks.get(upid) {
        Some(task) => Ok(shown(upid, task)),
        None => super::answer::refuse(500, format!("no such task '{upid}'")),
    }
}

/// `GET /nodes/{node}/tasks`: the ended ones, those that are at work, or all.
pub(crate) fn list(state: &State, request: &Request) -> Answer {
    let wanted = |task: &Task| match request.given("source") {
        Some("active") => task.exit.is_none(),
        Some("all") => true,
        _ => task.exit.is_some(),
    };
    let id = request.given("vmid");
    let tasks = state.pve.tasks.iter().filter(|(_, task)| task.node == request.text("node") && wanted(task));
    Ok(tasks.filter(|(_, task)| id.is_none_or(|id| id == task.id)).map(|(upid, task)| shown(upid, task)).collect())
}

/// `GET /nodes/{node}/tasks/{upid}/log`.
pub(crate) fn log(state: &State, upid: &str) -> Answer {
    let Some(task) = state.pve.tasks.get(upid) else { return super::answer::refuse(500, format!("no such task '{upid}'")) };
    let last = match task.exit.as_deref() {
        None => return Ok(json!([{ "n": 1, "t": format!("{} {}", task.kind, task.id) }])),
        Some("OK") => "TASK OK".to_owned(),
        Some(exit) => format!("TASK ERROR: {exit}"),
    };
    Ok(json!([{ "n": 1, "t": format!("{} {}", task.kind, task.id) }, { "n": 2, "t": last }]))
}

fn shown(upid: &str, task: &Task) -> Value {
    let number = |at: usize| upid.split(':').nth(at).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
    let mut shown = json!({
        "upid": upid, "node": task.node, "type": task.kind, "id": task.id, "user": "root@pam", "tokenid": "kthw",
        "pid": number(2), "pstart": number(3), "starttime": task.begun_s,
        "status": if task.exit.is_some() { "stopped" } else { "running" },
    });
    if let Some(exit) = &task.exit {
        shown["exitstatus"] = json!(exit);
    }
    shown
}
