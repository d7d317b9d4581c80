//! Kernel modules, parameters and swap.
use super::super::{
    host::{Host, failed, printed},
    machine::Machine,
};
use super::{has, plain};
use kthw_engine::node::Output;

/// Modules that Ubuntu's kernel has and recipes ask for.
const KNOWN: &[&str] = &[
    "br_netfilter",
    "bridge",
    "dm_crypt",
    "ip_set",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_sh",
    "ip_vs_wrr",
    "iscsi_tcp",
    "nf_conntrack",
    "nvme_tcp",
    "overlay",
    "rbd",
    "vxlan",
    "wireguard",
    "xt_set",
];

/// Parameters that appear with a module, and their first value.
const WITH_MODULE: &[(&str, &[(&str, &str)])] = &[
    (
        "br_netfilter",
        &[
            ("net.bridge.bridge-nf-call-arptables", "1"),
            ("net.bridge.bridge-nf-call-ip6tables", "1"),
            ("net.bridge.bridge-nf-call-iptables", "1"),
        ],
    ),
    ("nf_conntrack", &[("net.netfilter.nf_conntrack_max", "262144")]),
];

/// Loads a module, if there is such a one.
fn load(machine: &mut Machine, name: &str) -> bool {
    let name = name.replace('-', "_");
    if !KNOWN.contains(&name.as_str()) && !machine.modules.contains(&name) {
        return false;
    }
    if name == "br_netfilter" {
        machine.modules.insert("bridge".into());
    }
    for (parameter, value) in WITH_MODULE.iter().find(|(module, _)| *module == name).map_or(&[][..], |(_, parameters)| parameters) {
        machine.sysctls.entry((*parameter).into()).or_insert_with(|| (*value).into());
    }
    machine.modules.insert(name);
    true
}

/// What systemd loads and sets when the machine starts.
pub(crate) fn load_at_boot(machine: &mut Machine) {
    if machine.boots == 1 {
        return;
    }
    machine.modules.retain(|name| !KNOWN.contains(&name.as_str()));
    machine.sysctls.retain(|name, _| !name.starts_with("net.bridge.") && !name.starts_with("net.netfilter."));
    machine.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
    for directory in ["/usr/lib/modules-load.d", "/etc/modules-load.d"] {
        let files: Vec<String> = machine.files.names(directory).iter().map(|name| format!("{directory}/{name}")).collect();
        let names: String = files.iter().map(|file| machine.files.text(file) + "\n").collect();
        for name in names.lines().map(str::trim) {
            load(machine, name);
        }
    }
    apply_all(machine);
    let mode = machine.files.text("/etc/selinux/config").lines().find_map(|line| Some(line.strip_prefix("SELINUX=")?.to_owned()));
    if let Some(mode) = mode.filter(|_| machine.files.exists("/sys/fs/selinux/enforce")) {
        let enforces = if mode == "enforcing" { "1\n" } else { "0\n" };
        let now_s = machine.booted_ms / 1000;
        machine.files.put("/sys/fs/selinux/enforce", enforces, 0o644, now_s);
    }
    let listed = machine.files.text("/etc/fstab").lines().any(|line| !line.trim_start().starts_with('#') && line.contains("swap"));
    machine.swaps = if listed { vec!["/swap.img".into()] } else { Vec::new() };
}

/// Runs modprobe.
pub(crate) fn modprobe(host: &mut Host, arguments: &[&str]) -> Output {
    for name in plain(arguments) {
        if has(arguments, &["-r", "--remove"]) {
            host.machine.modules.remove(name);
        } else if !load(&mut host.machine, name) {
            return failed(
                1,
                format!(
                    "modprobe: FATAL: Module {name} not found in directory /lib/modules/{}",
                    super::super::personality(&host.machine.os).kernel
                ),
            );
        }
    }
    host.took_ms += 50;
    printed("")
}

/// Runs lsmod.
pub(crate) fn lsmod(host: &mut Host, _: &[&str]) -> Output {
    printed(format!(
        "Module                  Size  Used by\n{}",
        host.machine.modules.iter().map(|name| format!("{name:<22} 32768  0\n")).collect::<String>()
    ))
}

/// Sets one parameter; `false` when the kernel has no such.
fn set(machine: &mut Machine, name: &str, value: &str) -> bool {
    let Some(current) = machine.sysctls.get_mut(&name.replace('/', ".")) else { return false };
    value.clone_into(current);
    true
}

fn apply_all(machine: &mut Machine) {
    for directory in ["/usr/lib/sysctl.d", "/etc/sysctl.d"] {
        let files: Vec<String> = machine.files.names(directory).iter().map(|name| format!("{directory}/{name}")).collect();
        for file in files {
            apply_file(machine, &file);
        }
    }
    apply_file(machine, "/etc/sysctl.conf");
}

fn apply_file(machine: &mut Machine, path: &str) -> bool {
    let text = machine.files.text(path);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let settings: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().trim_start_matches('-').to_owned(), value.trim().to_owned()))
        .collect();
    settings.iter().fold(true, |good, (name, value)| set(machine, name, value) && good)
}

/// Runs sysctl: reading (`-n NAME`), writing (`-w NAME=VALUE`), loading files (`--system`, `-p FILE`).
pub(crate) fn sysctl(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 10;
    if has(arguments, &["--system"]) {
        apply_all(&mut host.machine);
        return printed("");
    }
    let words = plain(arguments);
    if let Some(at) =
        arguments.iter().position(|argument| *argument == "-p" || argument.starts_with("-p") || argument.starts_with("--load"))
    {
        let path = arguments[at].split_once('=').map_or_else(|| words.first().copied().unwrap_or("/etc/sysctl.conf"), |(_, path)| path);
        let good = apply_file(&mut host.machine, path);
        return if good { printed("") } else { failed(1, "sysctl: cannot stat a key of /proc/sys: No such file or directory") };
    }
    let names_only = has(arguments, &["-n", "--values"]);
    let mut output = Output::default();
    for word in words {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let missing = format!("sysctl: cannot stat /proc/sys/{}: No such file or directory\n", name.replace('.', "/"));
        match value {
            Some(value) if !set(&mut host.machine, name, value) => {
                output.status = 1;
                output.stderr += &missing;
                continue;
            }
            _ => {}
        }
        match host.machine.sysctls.get(name) {
            Some(value) if names_only => output.stdout += &format!("{value}\n"),
            Some(value) => output.stdout += &format!("{name} = {value}\n"),
            None => {
                output.status = 1;
                output.stderr += &missing;
            }
        }
    }
    output
}

/// Runs swapoff.
pub(crate) fn swapoff(host: &mut Host, _: &[&str]) -> Output {
    host.machine.swaps.clear();
    host.took_ms += 200;
    printed("")
}

/// Runs swapon: `--show` lists, `-a` turns on what fstab lists.
pub(crate) fn swapon(host: &mut Host, arguments: &[&str]) -> Output {
    if has(arguments, &["-a", "--all"]) {
        let listed = host.machine.files.text("/etc/fstab").lines().any(|line| !line.trim_start().starts_with('#') && line.contains("swap"));
        host.machine.swaps = if listed { vec!["/swap.img".into()] } else { Vec::new() };
        return printed("");
    }
    let lines = host.machine.swaps.iter().map(|device| format!("{device} file 2G 0B -2\n")).collect::<String>();
    let header = if has(arguments, &["--noheadings"]) || lines.is_empty() { "" } else { "NAME TYPE SIZE USED PRIO\n" };
    printed(format!("{header}{lines}"))
}
