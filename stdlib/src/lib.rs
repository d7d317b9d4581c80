//! The typed modules that recipes call, one folder each, and what they stand on.

pub mod artifact;
pub mod calico;
pub mod help;
pub mod http;
pub mod kubeadm;
pub mod kubernetes;
mod modules;
pub mod proxmox;
pub mod sops;
pub mod workspace;
pub mod world;
mod yaml;

pub use modules::{Entry, MODULES, script_engine};
pub use rhai::Dynamic;
