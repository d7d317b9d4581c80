//! What is due when, and which machine has which address: found without a look at everything, so that a large world costs per machine what
//! a small one does.
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// Kept beside the state, and made anew from it when a saved world is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    /// Open tasks of Proxmox VE by the time at which they end.
    tasks: BTreeSet<(u64, String)>,
    /// Machines by the time at which their cloud-init has finished.
    first_starts: BTreeSet<(u64, String)>,
    /// Machines by their address. One that is gone or has another address by now may still be in it.
    addresses: BTreeMap<String, BTreeSet<String>>,
}

impl Agenda {
    /// The agenda of a world.
    pub fn of(state: &State) -> Self {
        let mut agenda = Self::default();
        for (upid, task) in state.pve.tasks.iter().filter(|(_, task)| task.exit.is_none()) {
            agenda.add_task(task.ends_ms, upid);
        }
        for (key, machine) in &state.machines {
            agenda.add_first_start(machine.cloud_init_until_ms, key);
            agenda.add_address(machine.ip(), key);
        }
        agenda
    }

    pub fn add_task(&mut self, ends_ms: u64, upid: &str) {
        self.tasks.insert((ends_ms, upid.to_owned()));
    }

    pub fn add_first_start(&mut self, until_ms: u64, key: &str) {
        self.first_starts.insert((until_ms, key.to_owned()));
    }

    pub fn add_address(&mut self, address: &str, key: &str) {
        self.addresses.entry(address.to_owned()).or_default().insert(key.to_owned());
    }

    /// Takes the task that ends next, if its time has come.
    pub fn next_task(&mut self, now_ms: u64) -> Option<String> {
        take_due(&mut self.tasks, now_ms)
    }

    /// Takes a machine whose first start is over.
    pub fn next_first_start(&mut self, now_ms: u64) -> Option<String> {
        take_due(&mut self.first_starts, now_ms)
    }

    /// The machines that had this address once.
    pub fn at(&self, address: &str) -> impl Iterator<Item = &String> {
        self.addresses.get(address).into_iter().flatten()
    }
}

fn take_due(agenda: &mut BTreeSet<(u64, String)>, now_ms: u64) -> Option<String> {
    let due = agenda.first().is_some_and(|(due_ms, _)| *due_ms <= now_ms);
    if due { agenda.pop_first().map(|(_, what)| what) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let mut agenda = Agenda::default();
        for (ends_ms, upid) in [(30, "c"), (10, "b"), (10, "a")] {
            agenda.add_task(ends_ms, upid);
        }
        let mut taken = || agenda.next_task(10);
        assert_eq!([taken(), taken(), taken()], [Some("a".into()), Some("b".into()), None]);
        assert_eq!(agenda.next_task(30).as_deref(), Some("c"));
    }
}
