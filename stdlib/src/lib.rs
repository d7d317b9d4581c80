//! The typed modules that recipes call, one file or folder each, and what they stand on.

/// Declares the modules that scripts call, and the table of them. A new module is one line here.
macro_rules! modules {
    ($($name:ident,)*) => {
        $(pub mod $name;)*

        /// All modules with their makers, in the order in which help lists them. Help and example tests are derived from it.
        pub const MODULES: &[Entry] = &[$((stringify!($name), $name::module)),*];
    };
}

modules! {
    proxmox,
    ssh,
    kubeadm,
    kubernetes,
    calico,
    metallb,
    traefik,
    nginx,
    dns,
    firewall,
    sops,
}

pub mod add_ons;
pub mod artifact;
pub mod bundle;
pub mod checked;
pub mod distribution;
pub mod help;
pub mod lint;
pub mod openpgp;
mod proxy;
pub mod recovery;
mod refusals;
pub mod restart;
pub mod rotation;
mod script_engine;
pub mod seams;
pub mod secret_text;
pub mod validation;
pub mod versions;
pub mod workspace;

pub use kthw_http as http;
use kthw_yaml as yaml;
pub use rhai::Dynamic;
pub use script_engine::{Entry, script_engine};

#[cfg(test)]
#[path = "../tests/support/nodes.rs"]
mod fake_nodes;
