//! apt: lists, installing with dependencies, and holding.
use super::super::{
    host::{Host, failed, killed, printed},
    machine::{Machine, Package, Unit},
};
use super::{apt_lists::update, has, plain};
use kthw_engine::node::Output;
use std::collections::BTreeSet;

/// Packages that bring others, and units that packages bring (started at once, as Debian's packages do).
const DEPENDS: &[(&str, &[&str])] = &[
    ("containerd", &["runc"]),
    ("kubeadm", &["kubelet", "kubectl", "cri-tools"]),
    ("kubelet", &["kubernetes-cni", "conntrack", "ethtool", "socat"]),
    ("libnginx-mod-stream", &["nginx"]),
];
const BRINGS_UNIT: &[(&str, &str)] = &[
    ("chrony", "chrony.service"),
    ("containerd", "containerd.service"),
    ("containerd.io", "containerd.service"),
    ("dnf-automatic", "dnf-automatic.timer"),
    ("haproxy", "haproxy.service"),
    ("keepalived", "keepalived.service"),
    ("kubelet", "kubelet.service"),
    ("nginx", "nginx.service"),
    ("open-iscsi", "iscsid.service"),
    ("qemu-guest-agent", "qemu-guest-agent.service"),
];
/// Runs apt-get.
pub(crate) fn get(host: &mut Host, arguments: &[&str]) -> Output {
    let words = without_settings(arguments);
    let words = plain(&words);
    match words.split_first() {
        Some((&"update", _)) => update(host, arguments),
        Some((&"upgrade", _)) if has(arguments, &["-s", "--simulate"]) => {
            let line = |(name, from, to, security): (String, String, String, bool)| {
                let origin = if security { "Lab:1/stable-security" } else { "Lab:1/stable" };
                format!("Inst {name} [{from}] ({to} {origin} [amd64])\n")
            };
            printed(super::catalog::pending(&host.machine).into_iter().map(line).collect::<String>())
        }
        Some((&("install" | "upgrade" | "dist-upgrade" | "remove" | "purge"), _)) if !host.machine.unconfigured.is_empty() => {
            failed(100, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.")
        }
        Some((&("install" | "upgrade" | "dist-upgrade"), names)) => install(host, names, arguments),
        Some((&("remove" | "purge"), names)) => remove(host, names, arguments),
        Some((&("clean" | "autoclean" | "autoremove" | "check"), _)) => printed(""),
        _ => {
            host.state.cannot_play(format!("{} $ apt-get {}", host.name, arguments.join(" ")));
            failed(100, "E: Invalid operation")
        }
    }
}

/// Runs apt-mark.
pub(crate) fn mark(host: &mut Host, arguments: &[&str]) -> Output {
    let words = plain(arguments);
    let Some((verb, names)) = words.split_first() else { return failed(100, "E: No operation") };
    match *verb {
        "showhold" => printed(
            host.machine.packages.iter().filter(|(_, package)| package.held).map(|(name, _)| format!("{name}\n")).collect::<String>(),
        ),
        "hold" | "unhold" => {
            let mut stdout = String::new();
            for name in names {
                let Some(package) = host.machine.packages.get_mut(*name) else {
                    return failed(100, format!("E: Unable to locate package {name}"));
                };
                package.held = *verb == "hold";
                stdout += &format!("{name} {}\n", if package.held { "set on hold." } else { "was already not hold." });
            }
            host.took_ms += 300;
            printed(stdout)
        }
        "auto" | "manual" => printed(""),
        _ => host.does_not_play("apt-mark", arguments),
    }
}

/// Runs apt-cache: `policy` and `madison`.
pub(crate) fn cache(host: &mut Host, arguments: &[&str]) -> Output {
    let words = plain(arguments);
    let Some((verb, names)) = words.split_first() else { return failed(100, "E: No operation") };
    if !matches!(*verb, "madison" | "policy") {
        return host.does_not_play("apt-cache", arguments);
    }
    let mut stdout = String::new();
    for name in names {
        let versions = host.machine.catalog.get(*name).cloned().unwrap_or_default();
        let installed = host.machine.packages.get(*name).map_or("(none)".to_owned(), |package| package.version.clone());
        match *verb {
            "madison" => stdout.extend(versions.iter().rev().map(|version| format!(" {name} | {version} | lab Packages\n"))),
            "policy" if versions.is_empty() && installed == "(none)" => {}
            _ => stdout += &format!("{name}:\n  Installed: {installed}\n  Candidate: {}\n", versions.last().unwrap_or(&installed)),
        }
    }
    printed(stdout)
}

fn install(host: &mut Host, names: &[&str], arguments: &[&str]) -> Output {
    if !has(arguments, &["-y", "--yes", "--assume-yes", "-qy", "-yq", "-qqy", "-yqq"]) {
        return failed(1, "Abort.");
    }
    let mut wanted: Vec<(String, String)> = Vec::new();
    for word in names {
        let (name, version) = word.split_once('=').map_or((*word, None), |(name, version)| (name, Some(version)));
        match choose(&host.machine, name, version) {
            Ok(version) => wanted.push((name.to_owned(), version)),
            Err(text) => return failed(100, text),
        }
    }
    let wanted = with_dependencies(&host.machine, wanted);
    for (name, version) in &wanted {
        let Some(package) = host.machine.packages.get(name) else { continue };
        if package.held && !has(arguments, &["--allow-change-held-packages"]) {
            return failed(100, "E: Held packages were changed and -y was used without --allow-change-held-packages.");
        }
        if numbers(version) < numbers(&package.version) && !has(arguments, &["--allow-downgrades"]) {
            return failed(100, "E: Packages were downgraded and -y was used without --allow-downgrades.");
        }
    }
    let stdout = String::from("Reading package lists...\nBuilding dependency tree...\n");
    if has(arguments, &["--download-only"]) {
        host.took_ms += 2000 * wanted.len() as u64;
        return printed(stdout + "Download complete and in download only mode\n");
    }
    let output = place(host, wanted);
    Output { stdout: stdout + output.stdout.as_str(), ..output }
}

/// These packages, and what they bring that is not there yet; without those that are there in that version.
pub(super) fn with_dependencies(machine: &Machine, mut wanted: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut at = 0;
    while at < wanted.len() {
        let needed = DEPENDS.iter().find(|(name, _)| *name == wanted[at].0).map_or(&[][..], |(_, needed)| needed);
        for name in needed {
            let known = machine.packages.contains_key(*name) || wanted.iter().any(|(wanted, _)| wanted == name);
            if let (false, Ok(version)) = (known, choose(machine, name, None)) {
                wanted.push(((*name).to_owned(), version));
            }
        }
        at += 1;
    }
    wanted.retain(|(name, version)| machine.packages.get(name).is_none_or(|package| package.version != *version));
    wanted
}

/// Unpacks packages and configures them.
pub(super) fn place(host: &mut Host, wanted: Vec<(String, String)>) -> Output {
    for (name, version) in wanted {
        let held = host.machine.packages.get(&name).is_some_and(|package| package.held);
        host.machine.packages.insert(name.clone(), Package { version, held });
        host.machine.unconfigured.insert(name);
    }
    configure(host)
}

/// Configures what was unpacked: what others depend on first, as dpkg does.
pub(super) fn configure(host: &mut Host) -> Output {
    let mut stdout = String::new();
    while let Some(name) = next_to_configure(&host.machine.unconfigured) {
        if host.dies_during("configure") {
            return killed();
        }
        stdout += &format!("Setting up {name} ({}) ...\n", host.machine.packages[&name].version);
        host.took_ms += 2000;
        if let Some((_, unit)) = BRINGS_UNIT.iter().find(|(package, _)| *package == name) {
            let now_ms = host.now_ms();
            let known = host.machine.units.entry((*unit).to_owned()).or_insert(Unit { enabled: true, ..Unit::default() });
            if !known.masked {
                host.machine.start_unit(unit, now_ms);
            }
        }
        lay_out(host, &name);
        if name == "systemd" && host.machine.updates.contains_key(&name) {
            // As its script after configuring does.
            let now_s = host.now_s();
            host.machine.files.put("/run/reboot-required", "*** System restart required ***\n", 0o644, now_s);
        }
        host.machine.unconfigured.remove(&name);
    }
    if host.dies_during("configure") {
        return killed();
    }
    if !stdout.is_empty() {
        // What waits for all packages, such as the index of manuals.
        host.took_ms += 1500;
    }
    printed(stdout)
}

/// One of these packages that depends on none of the others; any where they go round in circles.
fn next_to_configure(names: &BTreeSet<String>) -> Option<String> {
    let needed_by = |name: &str| DEPENDS.iter().find(|(package, _)| *package == name).map_or(&[][..], |(_, needed)| *needed);
    let is_free = |name: &&String| needed_by(name).iter().all(|needed| !names.contains(*needed));
    names.iter().find(is_free).or(names.first()).cloned()
}

/// Directories that packages bring.
fn lay_out(host: &mut Host, name: &str) {
    let now_s = host.now_s();
    let directories: &[&str] = match name {
        "containerd" | "containerd.io" => &["/etc/containerd", "/var/lib/containerd", "/run/containerd"],
        "kubelet" => &["/etc/kubernetes/manifests", "/var/lib/kubelet", "/usr/lib/systemd/system/kubelet.service.d"],
        "kubernetes-cni" => &["/opt/cni/bin"],
        "keepalived" => &["/etc/keepalived"],
        "nginx" => &["/etc/nginx/conf.d", "/etc/nginx/modules-enabled", "/var/log/nginx"],
        _ => &[],
    };
    for path in directories {
        host.machine.files.make_directory(path, 0o755, now_s);
    }
}

fn remove(host: &mut Host, names: &[&str], arguments: &[&str]) -> Output {
    for name in names {
        let held = host.machine.packages.get(*name).is_some_and(|package| package.held);
        if held && !has(arguments, &["--allow-change-held-packages"]) {
            return failed(100, "E: Held packages were changed and -y was used without --allow-change-held-packages.");
        }
        host.machine.packages.remove(*name);
        if let Some((_, unit)) = BRINGS_UNIT.iter().find(|(package, _)| package == name) {
            host.machine.units.remove(*unit);
        }
        host.took_ms += 2000;
    }
    printed("")
}

/// The version that would be installed.
pub(super) fn choose(machine: &Machine, name: &str, version: Option<&str>) -> Result<String, String> {
    let Some(offered) = machine.catalog.get(name) else { return Err(format!("E: Unable to locate package {name}")) };
    let any = offered.iter().any(|offer| offer == "*");
    match version {
        None if any => Ok("1.0-lab".into()),
        None => Ok(offered.last().cloned().unwrap_or_default()),
        Some(version) if any || offered.iter().any(|offer| offer == version) => Ok(version.to_owned()),
        Some(version) => Err(format!("E: Version '{version}' for '{name}' was not found")),
    }
}

/// The numbers in a version, for comparing.
pub(super) fn numbers(version: &str) -> Vec<u64> {
    version.split(|character: char| !character.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The arguments without `-o Setting=value` and the like.
fn without_settings<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let valued = |at: usize| at > 0 && matches!(arguments[at - 1], "-o" | "-t" | "-c" | "--option");
    arguments.iter().enumerate().filter(|(at, _)| !valued(*at)).map(|(_, word)| *word).collect()
}
