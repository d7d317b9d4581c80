//! One checked request: path values and parameters, with the questions that handlers ask.
use super::{
    answer::{Refusal, refuse},
    check::{Parameters, as_boolean},
    model::Vm,
};
use crate::state::State;

/// A request that fits the table.
pub(crate) struct Request {
    pub method: String,
    /// The template of its path.
    pub path: &'static str,
    /// Values in the path and parameters.
    pub values: Parameters,
    /// Who sends it: `user@realm`, or `user@realm!token`.
    pub who: String,
}

impl Request {
    /// The first value of `name`; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The first value of `name`.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    /// All values of `name`.
    pub fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the flag `name` is set.
    pub fn flag(&self, name: &str) -> bool {
        self.given(name).and_then(as_boolean).unwrap_or(false)
    }

    /// The number under `name`.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.given(name)?.parse().ok()
    }

    /// The VM in the path.
    ///
    /// # Errors
    /// When that node has no such VM.
    pub fn vm<'s>(&self, state: &'s State) -> Result<(u32, &'s Vm), Refusal> {
        let vmid = self.number("vmid").unwrap_or(0);
        match state.pve.vms.get(&vmid).filter(|vm| vm.node == self.text("node")) {
            Some(vm) => Ok((vmid, vm)),
            None => refuse(500, format!("Configuration file 'nodes/{}/qemu-server/{vmid}.conf' does not exist", self.text("node"))),
        }
    }

    /// The VM in the path, to change it.
    ///
    /// # Errors
    /// When that node has no such VM, or it is locked.
    pub fn vm_mut<'s>(&self, state: &'s mut State) -> Result<(u32, &'s mut Vm), Refusal> {
        let (vmid, vm) = self.vm(state)?;
        if let Some(lock) = &vm.lock {
            return refuse(500, format!("VM is locked ({lock})"));
        }
        Ok((vmid, state.pve.vms.get_mut(&vmid).expect("it was just found")))
    }
}
