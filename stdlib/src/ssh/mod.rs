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
//! | [`Family::lock_holders`](crate::distribution::Family::lock_holders) | node, while it waits | `PID NAME FILE` for each holder of a package lock |
//! | `sh -c` [`MODULES_QUERY`] | kernel_module | lines of `modules.builtin`, then of `/proc/modules` |
//! | `sysctl -n KEY` | sysctl | the value; a status other than 0 when there is no such key |
//! | `sh -c` [`SYSCTL_QUERY`] | sysctl | `FILE:LINE` for every line of what sets kernel settings at a start, in the order in which it counts |
//! | `cat /proc/swaps`, `sh -c` [`SWAP_QUERY`] | swap | its content; `UNIT STATE …` of units that turn swap on |
//! | [`Family::list`](crate::distribution::Family::list) | package | `NAME STATE VERSION` for every package; the state is `ii `, or `hi ` when held |
//! | `cat /sys/fs/selinux/enforce` | selinux | `1` or `0`; status 1 where SELinux is off |
//! | `env TZ=UTC systemctl show` [`SERVICE_PROPERTIES`] `-- NAME` | service | `Property=value` lines |
//!
//! To change: `hostnamectl set-hostname NAME` (`hostname NAME` where that fails), `modprobe -- NAME`, `sysctl -w KEY=VALUE`,
//! `swapoff -a`, `setenforce 0|1`, what [`Family`](crate::distribution::Family) says of packages and repositories,
//! [`ENABLE_AGENT`](crate::distribution::ENABLE_AGENT) and [`CLEAN`](crate::distribution::CLEAN) on the machine that a template is built on,
//! `nginx -t -q -c FILE`, `kthw-checker --prepare FILE COMMAND…`, `mv -f -t FOLDER FILE` and `systemctl reload-or-restart -- nginx` (for `nginx`),
//! `systemctl reboot` (for `kubernetes::node_restarted`), `systemctl daemon-reload`, `systemctl mask -- UNIT`, `systemctl enable|disable|unmask|reset-failed|start|stop|restart|try-restart -- NAME`.

mod resources;
mod transport;

#[cfg(test)]
pub(crate) use resources::testing;
pub use resources::{
    InUse, Logins, MODULES_QUERY, SERVICE_PROPERTIES, SWAP_QUERY, SYSCTL_QUERY, module, private_key, public_half, restart_reasons,
};
pub(crate) use resources::{Package, Service, has_started, kind_field, restart_query, started_s, until_open};
pub use transport::{FirstUse, KnownHosts, KnownHostsError, SshError, SshNodes, SshSaid, Starts, TURN_LIMIT_S, UserConfig, Verdict};
