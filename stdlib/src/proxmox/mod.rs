//! Proxmox VE 8 and 9: templates and virtual machines, through the REST API alone.
//!
//! # The guest agent
//!
//! Proxmox's own cloud-init fields set the address, the user and its keys, but cannot install packages, and many cloud images (Ubuntu's and
//! Debian's among them) lack `qemu-guest-agent`. Uploading a cloud-init file of one's own needs SSH to the Proxmox host, which kthw does not
//! ask for. So:
//!
//! - the agent's channel is always enabled in the machine;
//! - when the agent answers, the machine's SSH host keys are read through it and pinned before the first connection;
//! - where the workspace names `template.build_address`, the agent is built into the template (ADR 14), and answers from a machine's first start on;
//! - when it stays silent for `agent_timeout_s`, the machine is used at its configured address, and the run says aloud that its host key
//!   will be taken on first use;
//! - whoever wants it otherwise names a cloud-init vendor file that already lies on a storage (`vendor_snippet` of the template), with
//!   `packages: [qemu-guest-agent]` in it, or uses an image that has it. A recipe may also install the package over SSH; it then answers from
//!   the next boot on.
//!
//! Packages are never upgraded on the first boot (`ciupgrade: 0`): that would hold the package lock for minutes and differ from day to day.

mod access;
mod agent;
mod call;
mod client;
mod config;
mod device;
mod error;
mod guest;
mod host_keys;
mod inventory;
pub mod names;
mod orphans;
mod ownership;
mod property;
pub(crate) mod restart;
mod script;
mod session;
mod task;
mod template;
#[cfg(test)]
mod tests;
mod texts;
mod token;
mod vm;

pub use access::{Access, AccessError, Credentials, Endpoint, SECRETS, access_from};
pub use call::{Call, Read, Write};
pub use client::Client;
pub use error::{BadAnswer, Failure, NoAnswer, Refused};
pub use host_keys::HostKeys;
pub use orphans::Orphans;
pub use ownership::Mark;
pub(crate) use restart::is_there;
pub use script::module;
pub use session::SecondFactor;
pub(crate) use task::wait_for_left as wait_for_left_task;
pub use task::{Task, TaskFailed, retry_locked};
pub use template::{BadBuild, BadImage, BuildSpec, Template, TemplateSpec};
pub(crate) use token::remove_left as remove_left_token;
pub use vm::{Vm, VmSpec};
