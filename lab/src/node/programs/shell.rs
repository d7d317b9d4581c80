//! The few shell texts that kthw's own resources run, and a stand-in for everybody else's.
use super::super::{
    host::{Host, failed, printed},
    personality,
};
use super::{apt::numbers, containerd::write_config, files::content, rpm, template};
use kthw_engine::node::Output;
use kthw_stdlib::{
    distribution::{
        APT_CHECK_SOURCE, APT_DISPLACED, APT_INSTALL, APT_LOCK_HOLDERS, APT_UPDATE, CLEAN, DNF_DISPLACED, DNF_FORGET_KEY, DNF_HOLD,
        DNF_INSTALL, DNF_LIST, DNF_LOCK_HOLDERS, DNF_REFRESH, ENABLE_AGENT, FETCH_KEY, RPM_TRUST_KEY, ZYPPER_DISPLACED, ZYPPER_FETCH,
        ZYPPER_FORGET_KEY, ZYPPER_HOLD, ZYPPER_INSTALL, ZYPPER_LIST, ZYPPER_LOCK_HOLDERS, ZYPPER_REFRESH,
    },
    kubeadm::CONTAINERD_CONFIG,
    ssh::{MODULES_QUERY, SWAP_QUERY, SYSCTL_QUERY},
};
use std::collections::BTreeMap;

/// Runs `sh -c TEXT NAME ARGUMENT…`.
pub(crate) fn sh(host: &mut Host, arguments: &[&str]) -> Output {
    let Some(at) = arguments.iter().position(|argument| *argument == "-c") else { return failed(2, "sh: the lab runs only `sh -c`") };
    let given = &arguments[(at + 3).min(arguments.len())..];
    let text = arguments.get(at + 1).copied().unwrap_or_default();
    // A script of another package manager calls programs that are not there.
    let manager = match text {
        APT_CHECK_SOURCE | APT_DISPLACED | APT_INSTALL | APT_UPDATE => Some("apt"),
        DNF_DISPLACED | DNF_FORGET_KEY | DNF_HOLD | DNF_INSTALL | DNF_LIST | DNF_REFRESH => Some("dnf"),
        ZYPPER_DISPLACED | ZYPPER_FETCH | ZYPPER_FORGET_KEY | ZYPPER_HOLD | ZYPPER_INSTALL | ZYPPER_LIST | ZYPPER_REFRESH => Some("zypper"),
        _ => None,
    };
    if let Some(manager) = manager.filter(|manager| *manager != personality(&host.machine.os).package_manager()) {
        return failed(127, format!("sh: 1: {manager}: not found"));
    }
    match text {
        // Nobody else works on a machine of the lab, so nobody holds a lock.
        APT_LOCK_HOLDERS | DNF_LOCK_HOLDERS | ZYPPER_LOCK_HOLDERS => printed(""),
        DNF_LIST | ZYPPER_LIST => rpm::list(host),
        DNF_INSTALL | ZYPPER_INSTALL => rpm::install(host, given),
        DNF_HOLD | ZYPPER_HOLD => rpm::hold(host, given),
        DNF_REFRESH | ZYPPER_REFRESH => rpm::refresh(host, given),
        RPM_TRUST_KEY => rpm::trust(host, given),
        DNF_FORGET_KEY | ZYPPER_FORGET_KEY => rpm::forget(host, given),
        ZYPPER_FETCH => rpm::fetch(host),
        APT_DISPLACED | DNF_DISPLACED | ZYPPER_DISPLACED => displaced(host, given),
        FETCH_KEY => fetch(host, given),
        MODULES_QUERY => printed(String::from_utf8_lossy(&content(host, "/proc/modules").unwrap_or_default()).into_owned()),
        // Nobody else writes sources on a machine of the lab.
        APT_CHECK_SOURCE => printed(""),
        // Swap of a machine of the lab comes from /etc/fstab alone.
        SWAP_QUERY => printed(""),
        SYSCTL_QUERY => printed(settings_at_start(host)),
        APT_UPDATE => {
            let update = ["apt-get", "update"].iter().chain(given).map(|word| (*word).to_owned());
            host.run(&update.collect::<Vec<_>>(), &[])
        }
        APT_INSTALL => install(host, given),
        CONTAINERD_CONFIG => write_config(host, given),
        ENABLE_AGENT => template::enable_agent(host),
        CLEAN => template::clean(host, given),
        text => somebody_elses(host, text),
    }
}

/// What [`APT_INSTALL`] says: finish what dpkg left; fetch, where that fails with lists that were brought up to date; place.
fn install(host: &mut Host, packages: &[&str]) -> Output {
    let mut run = |words: &[&str]| host.run(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &[]);
    if !run(&["dpkg", "--audit"]).stdout.is_empty() {
        let configured = run(&["dpkg", "--configure", "-a"]);
        if configured.status != 0 {
            return configured;
        }
    }
    let install = |how| [&["apt-get", "install", "-y", "--allow-change-held-packages", how], packages].concat();
    if run(&install("--download-only")).status != 0 {
        let update = run(&["apt-get", "update"]);
        let again = run(&install("--download-only"));
        if again.status != 0 {
            return Output { stderr: update.stderr + again.stderr.as_str(), ..again };
        }
    }
    run(&install("--no-download"))
}

/// What the dry runs tell: in the lab no package is in another's way, so it is a lower version of the package itself or nothing.
fn displaced(host: &Host, arguments: &[&str]) -> Output {
    let [name, version] = arguments else { return printed("") };
    // A version may leave out the package's own revision.
    let is_it = |there: &str| there == *version || there.strip_prefix(version).is_some_and(|rest| rest.starts_with('-'));
    let is_lower = |there: &str| !is_it(there) && numbers(version) < numbers(there);
    let is_lower = host.machine.packages.get(*name).is_some_and(|package| is_lower(&package.version));
    printed(if is_lower { format!("{name}\n") } else { String::new() })
}

/// What [`FETCH_KEY`] does: as apt-helper, a file with words of its own.
fn fetch(host: &mut Host, arguments: &[&str]) -> Output {
    let [url, path, sha256] = arguments else { return failed(2, "kthw-key: an address, a path and a digest") };
    super::apt_lists::download(host, url, path, Some(sha256))
}

/// What [`SYSCTL_QUERY`] prints: of several files with one name that of the first folder, in the order of the names.
fn settings_at_start(host: &Host) -> String {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for folder in ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"] {
        for name in host.machine.files.names(folder).into_iter().filter(|name| name.ends_with(".conf")) {
            files.entry(name.to_owned()).or_insert_with(|| format!("{folder}/{name}"));
        }
    }
    let lines = |path: &String| host.machine.files.text(path).lines().map(|line| format!("{path}:{line}\n")).collect::<String>();
    files.values().map(lines).collect()
}

/// A text that the lab does not understand. It is remembered. To let such resources settle all the same, one that is asked while
/// looking fails until some other one has been run on the machine, and one that is run makes the files that it redirects into.
fn somebody_elses(host: &mut Host, text: &str) -> Output {
    host.state.cannot_play(format!("{} $ sh -c {text:?}", host.name));
    if host.looking {
        return failed(i32::from(host.machine.scripts == 0), "");
    }
    host.machine.scripts += 1;
    let now_s = host.now_s();
    for target in text.split('>').skip(1) {
        let path = target.trim_start().split([' ', ';', '\n', '&', '|']).next().unwrap_or_default().trim_matches('"');
        if path.starts_with('/') && !path.starts_with("/dev/") {
            host.machine.files.put(path, "the lab wrote this for a script\n", 0o644, now_s);
        }
    }
    printed("")
}
