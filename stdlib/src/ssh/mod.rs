//! Nodes over SSH: the transport, the shell that queries and changes compile to, and the resources of a node.

mod connection;
mod error;
mod identity;
mod known_hosts;
mod nodes;
mod shell;
#[cfg(test)]
mod sshd_tests;
mod stream;

pub use error::SshError;
pub use known_hosts::{KnownHosts, KnownHostsError, Verdict};
pub use nodes::SshNodes;

/// The `ssh` module, for scripts.
pub fn module() -> rhai::Module {
    rhai::Module::new()
}
