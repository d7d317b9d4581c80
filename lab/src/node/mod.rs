//! Machines without a shell: a file system, packages, units and kernel settings that answer probes and actions.
mod boot;
mod files;
mod host;
mod machine;
mod personality;
mod programs;
mod script;
mod seam;
mod shared;
#[cfg(test)]
mod tests;
mod text_or_base64;
#[cfg(test)]
mod unknown_tests;
mod work;

pub(crate) use boot::{Seed, boot, finish_first_starts, keep_layer, overlay, power_off, vm_key};
pub use files::{Entry, Files, Kind};
pub(crate) use host::Host;
pub use machine::{Machine, Package, Unit};
pub(crate) use personality::{in_image, of as personality};
pub(crate) use programs::{ApiServerCertificate, INIT_PHASES, boot_id, containerd_version};
pub use script::{AtWork, InProgram, Outlived};
pub use seam::LabNodes;
pub(crate) use seam::{key_of, run_by_agent};
pub(crate) use shared::sharing;
