//! Nodes over SSH: the way to them (`transport/`), and what recipes declare on them (`resources/`).
//!
//! The resources speak the language of [`kthw_engine::node`]: besides paths and lines, these programs are run, and no others (what a
//! recipe gives to `ssh::command` and `ssh::script` comes on top). Whoever stands in for a node has to answer them.
//!
//! To look (without side effects):
//!
//! | program | asked by | answer |
//! |---|---|---|
//! | `uname -nr` | node | the host name and the running kernel |
//! | `cat /proc/sys/kernel/random/boot_id`, `cat /proc/uptime` | `kubernetes::node_restarted` | which boot it is in, and for how long |
//! | `cat /run/cloud-init/result.json` | node | `{"v1": {"errors": []}}` when cloud-init has finished; status 1 before |
//! | `sh -c` [`LOCK_HOLDERS`] | node, while it waits | `PID NAME FILE` for each holder of a package lock |
//! | `sh -c` [`MODULES_QUERY`] | kernel_module | lines of `modules.builtin`, then of `/proc/modules` |
//! | `sysctl -n KEY` | sysctl | the value; a status other than 0 when there is no such key |
//! | `sh -c` [`SYSCTL_QUERY`] | sysctl | `FILE:LINE` for every line of what sets kernel settings at a start, in the order in which it counts |
//! | `cat /proc/swaps`, `sh -c` [`SWAP_QUERY`] | swap | its content; `UNIT STATE …` of units that turn swap on |
//! | `dpkg-query -W` [`DPKG_FORMAT`] | package | `NAME STATE VERSION` for every package; the state is `ii `, or `hi ` when held |
//! | `env TZ=UTC systemctl show` [`SERVICE_PROPERTIES`] `-- NAME` | service | `Property=value` lines |
//!
//! To change: `hostnamectl set-hostname NAME` (`hostname NAME` where that fails), `modprobe -- NAME`, `sysctl -w KEY=VALUE`,
//! `swapoff -a`, `sh -c` [`APT_INSTALL`] `kthw-install NAME[=VERSION]`, `apt-mark hold|unhold NAME`,
//! `sh -c` [`APT_CHECK_SOURCE`] `kthw-source FILE TEXT` (fails where another source names another key for its address),
//! `sh -c` [`APT_UPDATE`] `kthw-update -o Dir::Etc::SourceList=FILE …`, `/usr/lib/apt/apt-helper download-file URL PATH SHA256:DIGEST`,
//! `systemctl reboot` (for `kubernetes::node_restarted`), `systemctl daemon-reload`, `systemctl mask -- UNIT`, `systemctl enable|disable|unmask|reset-failed|start|stop|restart|try-restart -- NAME`.

mod resources;
mod transport;

#[cfg(test)]
pub(crate) use resources::testing;
pub use resources::{
    APT_CHECK_SOURCE, APT_INSTALL, APT_UPDATE, DPKG_FORMAT, InUse, KeyLogin, LOCK_HOLDERS, MODULES_QUERY, SERVICE_PROPERTIES, SWAP_QUERY,
    SYSCTL_QUERY, module, private_key, public_half, restart_reasons,
};
pub(crate) use resources::{has_started, kind_field, restart_query, started_s};
pub use transport::{FirstUse, KnownHosts, KnownHostsError, SshError, SshNodes, SshSaid, Starts, TURN_LIMIT_S, UserConfig, Verdict};
