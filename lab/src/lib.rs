//! The simulated world behind `--lab`: Proxmox VE, nodes and a Kubernetes API in one process, with a virtual clock.
//!
//! The lab answers at the same seams as the real world: HTTP requests, probes and actions on nodes, requests of a Kubernetes client.
//! It is deterministic: the same calls give the same world, down to every made-up identity.

mod agenda;
mod boundaries;
mod clock;
mod crash;
mod fault;
mod kubernetes;
mod node;
mod observer;
mod peers;
mod pihole;
mod play;
mod proxmox;
mod random;
mod reach;
mod records;
mod same;
mod schedule;
mod show;
mod stand_ins;
mod state;
mod told;
mod world;

pub use boundaries::{Boundaries, Boundary};
pub use clock::{LabClock, pass_waits_at_once};
pub use crash::{EndsAt, Moment};
pub use fault::{Fault, Harm, Trigger};
pub use kubernetes::{BootstrapToken, Cluster, LabKubernetes, Member, Members, Object};
pub use node::{AtWork, Entry, Files, InProgram, Kind, LabNodes, Machine, Outlived, Package, Unit};
pub use observer::{Observer, ProxmoxWrite};
pub use peers::{PUBLIC_KEY, peers, pin, stand_in_secrets};
pub use pihole::{LabPiHole, PiHole};
pub use play::{Audience, Played, a_run_that_is_gone, play};
pub use proxmox::{ApiToken, ENDPOINT, Grant, LabHttp, Pve, Storage, Task, TaskWork, Vm, Volume};
pub use random::{Dice, LabRandom};
pub use reach::LabReach;
pub use records::LabRecords;
pub use same::{at_rest, differences};
pub use schedule::Schedule;
pub use state::State;
pub use world::World;
