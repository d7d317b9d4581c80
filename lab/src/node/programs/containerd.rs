//! containerd and its clients, as far as recipes look at them.
use super::super::{
    host::{Host, failed, printed},
    machine::Machine,
};
use kthw_engine::node::Output;

/// The packages that bring it: the distribution's, and Docker's.
pub(super) const PACKAGES: &[&str] = &["containerd", "containerd.io"];

/// The installed version without the package's revision, such as `2.2.1`.
pub(crate) fn version(machine: &Machine) -> Option<String> {
    let package = PACKAGES.iter().find_map(|name| machine.packages.get(*name))?;
    Some(package.version.split(['-', '~', '+']).next().unwrap_or_default().to_owned())
}

/// Major and minor.
fn numbers(machine: &Machine) -> (u64, u64) {
    let version = version(machine).unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next())
}

/// The newest format of its configuration that the installed one understands.
fn newest_format(machine: &Machine) -> u64 {
    match numbers(machine) {
        (0 | 1, _) => 2,
        (2, 0..=2) => 3,
        _ => 4,
    }
}

/// The format that its file says to have; without a file, and without such a line, it is the oldest.
fn format(machine: &Machine) -> u64 {
    let text = machine.files.text("/etc/containerd/config.toml");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("version")?.trim_start().strip_prefix('='));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(1)
}

/// Whether it understands its file. It migrates older formats; one that is newer than itself stops it.
pub(super) fn understands_its_file(machine: &Machine) -> bool {
    format(machine) <= newest_format(machine)
}

/// Whether its file lets systemd manage control groups. The setting has to be under the plugin that its format has.
pub(super) fn uses_systemd(machine: &Machine) -> bool {
    let plugin = if format(machine) <= 2 { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" };
    let section = format!("[plugins.\"{plugin}\".containerd.runtimes.runc.options]");
    let text = machine.files.text("/etc/containerd/config.toml");
    let inside = text.lines().map(str::trim).skip_while(|line| *line != section).skip(1);
    inside.take_while(|line| !line.starts_with('[')).any(|line| line == "SystemdCgroup = true")
}

/// Runs containerd: `--version` and `config`.
pub(crate) fn containerd(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["--version" | "-v"] => {
            printed(format!("containerd github.com/containerd/containerd {} \n", version(&host.machine).unwrap_or_default()))
        }
        ["config", "default"] => printed(format!("version = {}\n", newest_format(&host.machine))),
        ["config", "dump"] if !understands_its_file(&host.machine) => {
            let (found, newest) = (format(&host.machine), newest_format(&host.machine));
            failed(1, format!("containerd: expected containerd config version equal to or less than `{newest}`, got `{found}`"))
        }
        ["config", "dump"] => printed(host.machine.files.text("/etc/containerd/config.toml")),
        _ => host.does_not_play("containerd", arguments),
    }
}

/// What kthw's script does that writes the configuration: the file, then major, minor and text of each format, oldest first.
pub(super) fn write_config(host: &mut Host, arguments: &[&str]) -> Output {
    if version(&host.machine).is_none() {
        return failed(127, "sh: 2: containerd: not found");
    }
    let Some((path, formats)) = arguments.split_first() else { return failed(1, "sh: 1: shift: can't shift that many") };
    let since = |words: &[&str]| (words[0].parse().unwrap_or(u64::MAX), words[1].parse().unwrap_or(u64::MAX));
    let installed = numbers(&host.machine);
    match formats.chunks_exact(3).rev().find(|words| since(words) <= installed) {
        Some(words) => {
            let now_s = host.now_s();
            host.machine.files.write(path, words[2].as_bytes().to_vec(), 0o644, now_s).map_or_else(|text| failed(1, text), |()| printed(""))
        }
        None => failed(1, format!("containerd {}.{} is older than every format", installed.0, installed.1)),
    }
}

/// Runs crictl: answers while containerd runs.
pub(crate) fn crictl(host: &mut Host, arguments: &[&str]) -> Output {
    match (host.machine.runs("containerd.service"), arguments.last()) {
        (false, _) => failed(1, "validate service connection: connect: no such file or directory"),
        (true, Some(&"info")) => printed("{\"status\":{\"conditions\":[{\"type\":\"RuntimeReady\",\"status\":true}]}}\n"),
        (true, _) => host.does_not_play("crictl", arguments),
    }
}

/// Runs ctr: `version`, while containerd runs.
pub(crate) fn ctr(host: &mut Host, arguments: &[&str]) -> Output {
    match (host.machine.runs("containerd.service"), arguments) {
        (false, _) => failed(1, "ctr: failed to dial \"/run/containerd/containerd.sock\""),
        (true, ["version"]) => printed(format!("Server:\n  Version:  {}\n", version(&host.machine).unwrap_or_default())),
        (true, _) => host.does_not_play("ctr", arguments),
    }
}
