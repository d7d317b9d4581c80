//! Who watches a world: faults as they strike, every write of Proxmox VE, and how far scripts and programs on machines have come.
use crate::{
    fault::Fault,
    node::{AtWork, InProgram},
    state::State,
};
use std::{fmt, sync::Arc};

/// Watches a world. It is told while the world is being worked on, so it looks at what it is given and asks the world nothing.
pub trait Observer: Send + Sync {
    /// A fault strikes.
    fn fault(&self, _fault: &Fault) {}

    /// Proxmox VE was asked to change something, or a task of it has ended; `state` is the world after that.
    fn proxmox(&self, _write: &ProxmoxWrite, _state: &State) {}

    /// A script on a machine is about to do its next action.
    fn script(&self, _script: &AtWork) {}

    /// A program on a machine comes to a part of its work.
    fn program(&self, _program: &InProgram) {}
}

/// A write of the Proxmox VE model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxmoxWrite<'a> {
    /// A request that may change something.
    Request {
        /// The workspace whose run sends it.
        by: &'a str,
        /// Such as `POST`.
        method: &'a str,
        /// As upstream's schema writes it, such as `/nodes/{node}/qemu/{vmid}/clone`.
        path: &'a str,
        /// The VM that it is about: the new one of a clone.
        vmid: Option<u32>,
        /// Whether the model said no.
        refused: bool,
    },
    /// A task that has ended, and what it did.
    Task {
        /// Its type, such as `qmclone`.
        kind: &'a str,
        /// The VM that it worked on; a clone's is its source.
        id: &'a str,
    },
}

impl fmt::Display for ProxmoxWrite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { by, method, path, vmid, .. } => {
                let vmid = vmid.map(|vmid| format!(" for VM {vmid}")).unwrap_or_default();
                write!(f, "{method} {path}{vmid} by {by}")
            }
            Self::Task { kind, id } => write!(f, "the task {kind} {id}"),
        }
    }
}

/// The observers of a world, in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub fn add(&mut self, observer: Arc<dyn Observer>) {
        self.0.push(observer);
    }

    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn tell(&self, of: impl Fn(&dyn Observer)) {
        self.0.iter().for_each(|observer| of(&**observer));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}
