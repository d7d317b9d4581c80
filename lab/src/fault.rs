//! Faults on a script: which request or command goes wrong, how, and how often.
use crate::state::State;
use serde::{Deserialize, Serialize};

/// One entry of the fault table. It happens `times` times and is then used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it strikes.
    pub on: Trigger,
    /// What comes instead of the answer.
    pub outcome: Harm,
    /// Matching requests that pass unharmed before it begins.
    pub after: u32,
    /// How often it strikes.
    pub times: u32,
}

/// What a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// A request to Proxmox VE: method, and a piece of its path.
    Http {
        /// Such as `GET`.
        method: String,
        /// Such as `/status`.
        path_contains: String,
    },
    /// A task of Proxmox VE of this type, such as `qmclone`.
    Task {
        /// The type in its UPID.
        kind: String,
    },
    /// A command on a node: its argv begins with these words.
    Command {
        /// The node's name.
        node: String,
        /// Such as `["apt-get", "install"]`.
        begins: Vec<String>,
    },
    /// Any round trip to a node.
    Node {
        /// The node's name.
        node: String,
    },
    /// A new login on a node, beside the connection of a run.
    Login {
        /// The node's name.
        node: String,
    },
    /// A batch of changes on a node.
    Batch {
        /// The node's name.
        node: String,
    },
    /// A connection that a node makes: the node, and how `host:port` begins.
    Network {
        /// The node's name.
        node: String,
        /// Such as `10.96.0.10:53`.
        to: String,
    },
    /// Writing the secrets file.
    Secrets,
    /// The store of locks and journals.
    Store {
        /// Whether it is written or read.
        writes: bool,
    },
    /// A request to the Kubernetes API: method, and a piece of its path.
    Kubernetes {
        /// Such as `PATCH`.
        method: String,
        /// Such as `/installations/`.
        path_contains: String,
    },
}

/// What comes instead of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Harm {
    /// This status and text; nothing was done.
    Refused {
        /// HTTP status, or exit status of a command.
        status: u16,
        /// Message or standard error.
        text: String,
    },
    /// The connection breaks before the request was read; nothing was done.
    BrokenBefore,
    /// The connection breaks after the request was carried out.
    BrokenAfter,
    /// No answer ever comes. Who asked has to give up by itself.
    Hangs {
        /// Whether the request was carried out.
        carried_out: bool,
    },
    /// A batch stops after so many of its blocks, and the connection breaks.
    StopsAfter {
        /// How many blocks are carried out.
        blocks: usize,
    },
    /// A program is killed when it comes to this part of its work; what it did before stays.
    Dies {
        /// As the lab's program calls the part, such as `upload-config/kubeadm` of `kubeadm init`.
        during: String,
    },
    /// A task is interrupted: it ends so, and what it had half made stays, locked.
    TaskStops {
        /// Its exit status, such as `received interrupt`.
        exit: String,
    },
    /// A task ends so; what it should have done is not done.
    TaskEnds {
        /// Its exit status, such as `can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout`.
        exit: String,
    },
}

impl Fault {
    /// `outcome` strikes `on` once, at the first chance.
    pub fn once(on: Trigger, outcome: Harm) -> Self {
        Self { on, outcome, after: 0, times: 1 }
    }

    /// Proxmox VE answers a request with `status` and `text`, once.
    pub fn http(method: &str, path_contains: &str, status: u16, text: &str) -> Self {
        Self::once(Trigger::http(method, path_contains), Harm::refused(status, text))
    }

    /// The connection to Proxmox VE breaks, before (`false`) or after (`true`) the request was carried out, once.
    pub fn http_broken(method: &str, path_contains: &str, carried_out: bool) -> Self {
        Self::once(Trigger::http(method, path_contains), Harm::broken(carried_out))
    }

    /// A task of this type ends with `exit`, once.
    pub fn task(kind: &str, exit: &str) -> Self {
        Self::once(Trigger::Task { kind: kind.into() }, Harm::TaskEnds { exit: exit.into() })
    }

    /// A task of this type is interrupted and leaves what it had half made, once.
    pub fn task_stops(kind: &str, exit: &str) -> Self {
        Self::once(Trigger::Task { kind: kind.into() }, Harm::TaskStops { exit: exit.into() })
    }

    /// A command on a node fails, once.
    pub fn command(node: &str, begins: &[&str], status: u16, stderr: &str) -> Self {
        let begins = begins.iter().map(|word| (*word).to_owned()).collect();
        Self::once(Trigger::Command { node: node.into(), begins }, Harm::refused(status, stderr))
    }

    /// A command on a node is killed when it comes to a part of its work, once.
    pub fn dies(node: &str, begins: &[&str], during: &str) -> Self {
        Self { outcome: Harm::Dies { during: during.into() }, ..Self::command(node, begins, 137, "") }
    }

    /// The SSH connection to a node is reset, before (`false`) or after (`true`) the work was done, once.
    pub fn node_reset(node: &str, carried_out: bool) -> Self {
        Self::once(Trigger::Node { node: node.into() }, Harm::broken(carried_out))
    }

    /// The Kubernetes API answers a request with `status` and `text`, once.
    pub fn kubernetes(method: &str, path_contains: &str, status: u16, text: &str) -> Self {
        Self::once(Trigger::kubernetes(method, path_contains), Harm::refused(status, text))
    }

    /// The same fault, so many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The same fault, after so many matching requests that pass unharmed.
    #[must_use]
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }
}

impl Trigger {
    /// A request to Proxmox VE.
    pub fn http(method: &str, path_contains: &str) -> Self {
        Self::Http { method: method.into(), path_contains: path_contains.into() }
    }

    /// A request to the Kubernetes API.
    pub fn kubernetes(method: &str, path_contains: &str) -> Self {
        Self::Kubernetes { method: method.into(), path_contains: path_contains.into() }
    }

    /// Whether it is any round trip to this node.
    pub(crate) fn is_node(&self, name: &str) -> bool {
        matches!(self, Self::Node { node } if node == name)
    }
}

impl Harm {
    /// An answer with this status and text; nothing was done.
    pub fn refused(status: u16, text: &str) -> Self {
        Self::Refused { status, text: text.into() }
    }

    fn broken(carried_out: bool) -> Self {
        if carried_out { Self::BrokenAfter } else { Self::BrokenBefore }
    }
}

impl State {
    /// Takes the outcome of the first fault whose turn it is among those that `strikes`, counts all of them down, and tells of it.
    pub(crate) fn strike(&mut self, strikes: impl Fn(&Trigger) -> bool) -> Option<Harm> {
        let mut index = None;
        for (position, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| strikes(&fault.on)) {
            if fault.after == 0 {
                index = Some(position);
                break;
            }
            fault.after -= 1;
        }
        let index = index?;
        let fault = self.faults[index].clone();
        if fault.times > 1 {
            self.faults[index].times -= 1;
        } else {
            self.faults.remove(index);
        }
        self.journal.push(format!("fault {fault}"));
        self.observers.tell(|observer| observer.fault(&fault));
        Some(fault.outcome)
    }

    /// As [`strike`](Self::strike), where only some outcomes mean anything: another one is noted as not played, and does nothing.
    pub(crate) fn strike_as<T>(&mut self, strikes: impl Fn(&Trigger) -> bool, means: impl Fn(&Harm) -> Option<T>) -> Option<T> {
        let outcome = self.strike(strikes)?;
        let meant = means(&outcome);
        if meant.is_none() {
            self.cannot_play(format!("the fault that {outcome}, at this place"));
        }
        meant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clones() -> impl Fn(&Trigger) -> bool {
        |on| matches!(on, Trigger::Task { kind } if kind == "qmclone")
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_says_and_no_more() {
        let mut state = State { faults: vec![Fault::task("qmclone", "locked").times(2).after(1)], ..State::default() };
        let mut strike = || state.strike(clones()).is_some();
        assert_eq!([strike(), strike(), strike(), strike()], [false, true, true, false]);
    }

    #[test]
    fn a_fault_that_waits_does_not_hide_another_one() {
        let faults = vec![Fault::task("qmclone", "late").after(2), Fault::task("qmclone", "soon").after(1)];
        let mut state = State { faults, ..State::default() };
        let mut strike = || match state.strike(clones()) {
            Some(Harm::TaskEnds { exit }) => exit,
            _ => String::new(),
        };
        assert_eq!([strike(), strike(), strike(), strike()], ["", "soon", "late", ""]);
    }

    #[test]
    fn a_fault_that_means_nothing_where_it_strikes_is_not_played() {
        let mut state = State { faults: vec![Fault::once(Trigger::Secrets, Harm::BrokenBefore)], ..State::default() };
        assert_eq!(state.strike_as(|on| *on == Trigger::Secrets, |_| None::<()>), None);
        assert_eq!(state.unknown, ["the fault that breaks the connection before anything is done, at this place"]);
    }
}
