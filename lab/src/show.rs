//! The world for a person: virtual machines, what runs on them, clusters.
use crate::{
    kubernetes::{Cluster, has_condition},
    node::{Machine, personality},
    proxmox::Vm,
    state::{State, rfc3339},
};
use std::fmt::{self, Display, Write};

/// What a world holds, in lines. Nothing in it is a secret.
pub(crate) fn show(state: &State) -> String {
    let mut text = format!("Time:  {} ({} after the beginning), seed {}\n", rfc3339(state.unix_s()), span(state.now_ms / 1000), state.seed);
    if state.pve.vms.is_empty() && state.machines.is_empty() {
        text.push_str("It is empty: `kthw run RECIPE --lab` makes something in it.\n");
    }
    section(&mut text, "Virtual machines", state.pve.vms.iter().map(|(vmid, vm)| vm_line(*vmid, vm)));
    section(&mut text, "Machines", state.machines.values().filter(|machine| !machine.hostname.is_empty()).map(machine_lines));
    for (number, cluster) in state.clusters.iter().enumerate() {
        let up = if crate::kubernetes::is_up(state, number) { "answers" } else { "does not answer" };
        section(&mut text, &format!("Cluster: Kubernetes {} at {}, {up}", cluster.version, cluster.endpoint), cluster_lines(cluster));
    }
    section(&mut text, "Faults that are still to strike", state.faults.iter().map(ToString::to_string));
    let mut unknown = state.unknown.clone();
    unknown.dedup();
    section(&mut text, "Asked for, and not played here", unknown.into_iter());
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = impl Display>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{title}:");
        text.extend(lines.map(|line| format!("  {line}\n")));
    }
}

fn vm_line(vmid: u32, vm: &Vm) -> String {
    let name = vm.config.get("name").map_or("(no name)", String::as_str);
    let state = match (vm.is_template(), vm.running) {
        (true, _) => "template",
        (false, true) => "running",
        (false, false) => "stopped",
    };
    let lock = vm.lock.as_ref().map(|lock| format!(", locked ({lock})")).unwrap_or_default();
    let waits = if vm.pending.is_empty() { "" } else { ", changes wait for a restart" };
    format!("{vmid:<6} {name:<32} {:<10} {state}{lock}{waits}", vm.node)
}

fn machine_lines(machine: &Machine) -> String {
    let state = if machine.running { "on" } else { "off" };
    let mut text = format!("{:<6} {:<18} {state}, user {}", machine.hostname, machine.address, machine.user);
    let os = personality(&machine.os);
    let packages = machine.packages.iter().filter(|(name, _)| !os.has_package(name));
    let held = |held: bool| if held { " (held)" } else { "" };
    list(&mut text, "packages", packages.map(|(name, package)| format!("{name} {}{}", package.version, held(package.held))));
    let units = machine.units.iter().filter(|(name, _)| !os.has_unit(name));
    let word = |name: &str| if machine.runs(name) { "runs" } else { "does not run" };
    list(&mut text, "services", units.map(|(name, _)| format!("{} {}", name.trim_end_matches(".service"), word(name))));
    text
}

fn cluster_lines(cluster: &Cluster) -> impl Iterator<Item = String> {
    let role = |name: &str| if cluster.members.get(name).is_some_and(|member| member.control_plane) { "control plane" } else { "worker" };
    let named = |key: &str| key.splitn(4, '|').nth(3).unwrap_or_default().to_owned();
    let ready = |is: bool| if is { "Ready" } else { "NotReady" };
    let nodes = cluster.beginning("|nodes|").map(|(key, node)| {
        let name = named(key);
        let version = node.value.pointer("/status/nodeInfo/kubeletVersion").and_then(|version| version.as_str()).unwrap_or_default();
        format!("{name:<32} {:<9} {:<14} {version}", ready(has_condition(&node.value, "Ready")), role(&name))
    });
    let mut text = String::new();
    let of = |begins: &'static str, word: &'static str| {
        cluster.beginning(begins).map(move |(key, _)| {
            let mut parts = key.splitn(4, '|').skip(2);
            let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if namespace.is_empty() { format!("{word} {name}") } else { format!("{word} {namespace}/{name}") }
        })
    };
    let add_ons = of("apps|deployments|", "deployment")
        .chain(of("apps|daemonsets|", "daemonset"))
        .chain(of("operator.tigera.io|installations|", "Calico installation"));
    list(&mut text, "add-ons", add_ons);
    nodes.chain((!text.is_empty()).then(|| text.trim_start().to_owned())).collect::<Vec<_>>().into_iter()
}

/// A list below a line, with its title, if there is anything in it.
fn list(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        let _ = write!(text, "\n         {title}: {}", items.join(", "));
    }
}

/// A span in hours, minutes and seconds.
fn span(seconds: u64) -> impl Display {
    struct Span(u64);
    impl Display for Span {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}:{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60, self.0 % 60)
        }
    }
    Span(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Fault, node::Package};
    use expect_test::expect;

    #[test]
    fn an_empty_world_says_so() {
        expect![[r#"
            Time:  2026-08-15T08:00:00Z (0:00:00 after the beginning), seed 0
            It is empty: `kthw run RECIPE --lab` makes something in it.
        "#]]
        .assert_eq(&show(&State::default()));
    }

    #[test]
    fn what_is_half_made_shows() {
        let mut state = State { seed: 7, now_ms: 3_723_000, ..State::default() };
        let vm = Vm { node: "homelab".into(), lock: Some("clone".into()), ..Vm::default() };
        state.pve.vms.insert(401, vm);
        let package = Package { version: "1.31.9-1.1".into(), held: true };
        let packages = [("kubelet".to_owned(), package.clone()), ("bash".to_owned(), package)].into();
        let machine =
            Machine { hostname: "cu1".into(), address: "10.0.0.5/24".into(), user: "kthw".into(), packages, ..Machine::default() };
        state.machines.insert("vm/401".into(), machine);
        state.faults.push(Fault::node_reset("cu1", true));
        state.cannot_play("cu1 $ nonsense");
        expect![[r#"
            Time:  2026-08-15T09:02:03Z (1:02:03 after the beginning), seed 7

            Virtual machines:
              401    (no name)                        homelab    stopped, locked (clone)

            Machines:
              cu1    10.0.0.5/24        off, user kthw
                     packages: kubelet 1.31.9-1.1 (held)

            Faults that are still to strike:
              on a round trip to cu1: it breaks the connection after everything was done

            Asked for, and not played here:
              cu1 $ nonsense
        "#]]
        .assert_eq(&show(&state));
    }
}
