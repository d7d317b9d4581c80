//! A Proxmox VE cluster that answers only what the official API allows, behind the seam for HTTP.
mod access;
mod agent;
mod answer;
mod check;
mod cluster;
mod config;
mod model;
mod patterns;
mod power;
mod request;
mod route;
#[cfg(test)]
mod schema_test;
mod storage;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod vm;

pub(crate) use access::FIRST_TOKEN;
pub use access::{ApiToken, Grant};
pub use model::{Pve, Storage, Vm, Volume};
pub(crate) use power::{halt, percent_decoded};
pub use route::LabHttp;
pub(crate) use task::end_due_tasks;
pub use task::{Task, TaskWork};

/// Where the lab's Proxmox VE answers; a client needs no other setting but a token that it knows, or any password.
pub const ENDPOINT: &str = "https://pve.lab:8006/api2/json";

/// Stops a VM and starts it again.
pub(crate) fn restart(state: &mut crate::state::State, vmid: u32) -> Result<(), String> {
    power::stop(state, vmid)?;
    power::start(state, vmid)
}
