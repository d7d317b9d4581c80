//! What is done on the machine that a template is built on: the two scripts of `kthw_stdlib::distribution`, piece by piece.
use super::super::host::{Host, failed, printed};
use kthw_engine::node::Output;

const AGENT: &str = "qemu-guest-agent.service";

/// What `ENABLE_AGENT` does; nobody forbids the agent anything on a machine of the lab.
pub(super) fn enable_agent(host: &mut Host) -> Output {
    for verb in ["enable", "restart"] {
        let output = host.run(&["systemctl", verb, AGENT].map(str::to_owned), &[]);
        if output.status != 0 {
            return output;
        }
    }
    printed("")
}

/// What `CLEAN` does. It asks for the user that was made for the build.
pub(super) fn clean(host: &mut Host, arguments: &[&str]) -> Output {
    let [user] = arguments else { return failed(2, "kthw-clean: a user") };
    let forgets = host.run(&["cloud-init", "clean", "--logs"].map(str::to_owned), &[]);
    if forgets.status != 0 {
        return forgets;
    }
    let now_s = host.now_s();
    host.took_ms += 1500;
    let files = &mut host.machine.files;
    for path in ["/etc/netplan/50-cloud-init.yaml", "/root/.ssh/authorized_keys"] {
        let _ = files.remove(path);
    }
    files.remove_tree(&format!("/home/{user}"));
    for name in files.names("/etc/ssh").into_iter().filter(|name| name.starts_with("ssh_host_")).map(str::to_owned).collect::<Vec<_>>() {
        let _ = files.remove(&format!("/etc/ssh/{name}"));
    }
    for name in ["/etc/hostname", "/etc/machine-id"] {
        files.put(name, "", 0o644, now_s);
    }
    // Nobody can log in any more.
    host.machine.user.clear();
    host.machine.has_keys = false;
    printed("")
}
