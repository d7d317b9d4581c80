//! Nodes over SSH: the transport, the shell that queries and changes compile to, and the resources of a node.
//!
//! The resources speak the language of [`kthw_engine::node`]: besides paths and lines, these programs are run, and no others (what a
//! recipe gives to `ssh::command` and `ssh::script` comes on top). Whoever stands in for a node has to answer them.
//!
//! To look (without side effects):
//!
//! | program | asked by | answer |
//! |---|---|---|
//! | `hostname` | node | the host name |
//! | `sh -c` [`LOCK_HOLDERS`] | node, while it waits | `PID NAME FILE` for each holder of a package lock |
//! | `sh -c` [`MODULES_QUERY`] | kernel_module | lines of `modules.builtin`, then of `/proc/modules` |
//! | `sysctl -n KEY` | sysctl | the value; a status other than 0 when there is no such key |
//! | `cat /proc/swaps` | swap | its content |
//! | `dpkg-query -W` [`DPKG_FORMAT`] | package | `NAME STATE VERSION` for every package; the state is `ii `, or `hi ` when held |
//! | `env TZ=UTC systemctl show` [`SERVICE_PROPERTIES`] `-- NAME` | service | `Property=value` lines |
//!
//! To change: `hostnamectl set-hostname NAME` (`hostname NAME` where that fails), `modprobe -- NAME`, `sysctl -w KEY=VALUE`,
//! `swapoff -a`, `sh -c` [`APT_INSTALL`] `kthw-install NAME[=VERSION]`, `apt-mark hold|unhold NAME`,
//! `apt-get update -o Dir::Etc::SourceList=FILE …`, `/usr/lib/apt/apt-helper download-file URL PATH SHA256:DIGEST`,
//! `systemctl daemon-reload`, `systemctl enable|disable|unmask|reset-failed|start|stop|restart|try-restart -- NAME`.

mod command;
mod connection;
mod declare;
mod directory;
mod error;
mod file;
mod identity;
mod kernel_module;
mod known_hosts;
mod line;
mod node;
mod nodes;
mod package;
mod repository;
mod script;
mod secret_file;
mod service;
mod shell;
#[cfg(test)]
mod sshd_tests;
mod stream;
mod swap;
mod symlink;
mod sysctl;
#[cfg(test)]
mod testing;

pub use error::SshError;
pub use kernel_module::MODULES_QUERY;
pub use known_hosts::{KnownHosts, KnownHostsError, Verdict};
pub use node::LOCK_HOLDERS;
pub use nodes::SshNodes;
pub use package::{APT_INSTALL, DPKG_FORMAT};
pub use service::PROPERTIES as SERVICE_PROPERTIES;

use rhai::{Module, plugin::*};

/// The `ssh` module, for scripts.
pub fn module() -> Module {
    let mut module = Module::new();
    module
        .combine(exported_module!(node::api))
        .combine(exported_module!(file::api))
        .combine(exported_module!(directory::api))
        .combine(exported_module!(symlink::api))
        .combine(exported_module!(line::api))
        .combine(exported_module!(repository::api))
        .combine(exported_module!(package::api))
        .combine(exported_module!(service::api))
        .combine(exported_module!(kernel_module::api))
        .combine(exported_module!(sysctl::api))
        .combine(exported_module!(swap::api))
        .combine(exported_module!(command::api))
        .combine(exported_module!(script::api));
    module
}
