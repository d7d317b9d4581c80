//! The way to nodes: connections, who logs in, host keys, and the shell that queries and changes compile to.

mod aloud;
mod connection;
mod error;
mod handshake;
mod host_key;
mod identity;
mod known_hosts;
mod lenient;
mod login;
mod nodes;
mod routes;
mod shell;
#[cfg(test)]
mod sshd_tests;
mod starts;
mod stream;
mod sudo;
mod user_config;

pub use error::SshError;
pub(super) use identity::parse_private;
pub(super) use known_hosts::fingerprint;
pub use known_hosts::{FirstUse, KnownHosts, KnownHostsError, Verdict};
pub use nodes::SshNodes;
pub use routes::SshSaid;
pub use shell::WAIT_S as TURN_LIMIT_S;
pub use starts::Starts;
pub use user_config::UserConfig;
