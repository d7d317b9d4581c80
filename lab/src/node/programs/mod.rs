//! The programs that a machine of the lab has; one line each. An unknown one exits 127 and is remembered.
mod apt;
mod apt_lists;
mod catalog;
mod containerd;
mod dpkg;
mod files;
mod firewall;
mod kernel;
mod kubeadm;
mod kubectl;
mod nginx;
mod openssl;
mod rpm;
mod shell;
mod system;
mod systemctl;
mod template;

use super::{
    host::{Host, failed},
    personality,
};
use kthw_engine::node::Output;

pub(crate) use catalog::update_lists;
pub(crate) use containerd::version as containerd_version;
pub(crate) use files::boot_id;
pub(crate) use firewall::load as load_firewall;
pub(crate) use kernel::load_at_boot;
pub(crate) use kubeadm::{Certificate as ApiServerCertificate, INIT_PHASES};
pub(crate) use nginx::write_status as write_checker_status;

type Program = fn(&mut Host, &[&str]) -> Output;

/// Every program by name; the slice holds its arguments without the name.
const PROGRAMS: &[(&str, Program)] = &[
    ("apt-cache", apt::cache),
    ("apt-get", apt::get),
    ("apt-helper", apt_lists::helper),
    ("apt-mark", apt::mark),
    ("cat", files::cat),
    ("cloud-init", system::cloud_init),
    ("containerd", containerd::containerd),
    ("crictl", containerd::crictl),
    ("ctr", containerd::ctr),
    ("dnf", rpm::dnf),
    ("dpkg", dpkg::dpkg),
    ("dpkg-query", dpkg::query),
    ("false", system::fails),
    ("fuser", system::nobody),
    ("getent", system::getent),
    ("grep", files::grep),
    ("hostname", system::hostname),
    ("hostnamectl", system::hostnamectl),
    ("id", system::id),
    ("kthw-checker", nginx::checker),
    ("kthw-firewall", firewall::firewall),
    ("kubeadm", kubeadm::kubeadm),
    ("kubectl", kubectl::kubectl),
    ("kubelet", kubeadm::kubelet),
    ("ls", files::ls),
    ("lsmod", kernel::lsmod),
    ("mkdir", files::mkdir),
    ("modprobe", kernel::modprobe),
    ("mv", files::mv),
    ("nginx", nginx::nginx),
    ("nproc", system::nproc),
    ("openssl", openssl::openssl),
    ("pgrep", kubeadm::pgrep),
    ("readlink", files::readlink),
    ("reboot", systemctl::reboot),
    ("rm", files::rm),
    ("rpm", rpm::rpm),
    ("setenforce", system::setenforce),
    ("sh", shell::sh),
    ("sha256sum", files::sha256sum),
    ("sleep", system::sleep),
    ("swapoff", kernel::swapoff),
    ("swapon", kernel::swapon),
    ("sync", system::succeeds),
    ("sysctl", kernel::sysctl),
    ("systemctl", systemctl::systemctl),
    ("systemd-detect-virt", system::virtualization),
    ("test", files::test),
    ("true", system::succeeds),
    ("uname", system::uname),
    ("zypper", rpm::zypper),
];

/// Programs that come with a package, and the packages that have it.
const FROM_PACKAGE: &[(&str, &[&str])] = &[
    ("containerd", containerd::PACKAGES),
    ("crictl", &["cri-tools"]),
    ("ctr", containerd::PACKAGES),
    ("kubeadm", &["kubeadm"]),
    ("kubectl", &["kubectl"]),
    ("kubelet", &["kubelet"]),
    ("nginx", &["nginx"]),
];

/// Programs of one package manager, which a machine with another one does not have.
const OF_MANAGER: &[(&str, &[&str])] = &[
    ("apt", &["apt-cache", "apt-get", "apt-helper", "apt-mark", "dpkg", "dpkg-query"]),
    ("dnf", &["dnf", "rpm"]),
    ("zypper", &["rpm", "zypper"]),
];

/// Whether a program is there, as far as that depends on the package manager.
fn is_there(name: &str, manager: &str) -> bool {
    let of_any = OF_MANAGER.iter().any(|(_, programs)| programs.contains(&name));
    !of_any || OF_MANAGER.iter().any(|(known, programs)| *known == manager && programs.contains(&name))
}

/// Runs `argv`. Wrappers such as `env` and `sudo` are looked through.
pub(crate) fn run(host: &mut Host, argv: &[&str]) -> Output {
    let Some((program, arguments)) = argv.split_first() else { return failed(127, "no command") };
    match *program {
        "env" => {
            let rest = arguments.iter().position(|word| !word.contains('=') && !word.starts_with('-')).unwrap_or(arguments.len());
            return run(host, &arguments[rest..]);
        }
        "sudo" => return run(host, arguments.iter().position(|word| !word.starts_with('-')).map_or(&[][..], |at| &arguments[at..])),
        _ => {}
    }
    let name = program.rsplit('/').next().unwrap_or(program);
    if !is_there(name, personality(&host.machine.os).package_manager()) {
        return failed(127, format!("{name}: command not found"));
    }
    let packaged = FROM_PACKAGE.iter().find(|(known, _)| *known == name);
    if packaged.is_some_and(|(_, packages)| !packages.iter().any(|package| host.machine.packages.contains_key(*package))) {
        return failed(127, format!("{name}: command not found"));
    }
    match PROGRAMS.iter().find(|(known, _)| *known == name) {
        Some((_, program)) => program(host, arguments),
        None => {
            host.state.cannot_play(format!("{} $ {}", host.name, argv.join(" ")));
            failed(127, format!("{name}: command not found"))
        }
    }
}

/// Options among `arguments`: a flag that stands alone.
pub(super) fn has(arguments: &[&str], flags: &[&str]) -> bool {
    arguments.iter().any(|argument| flags.contains(argument))
}

/// The value of an option, written `--name value` or `--name=value`.
pub(super) fn option<'a>(arguments: &[&'a str], name: &str) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| match argument.strip_prefix(name)? {
        "" => arguments.get(at + 1).copied(),
        rest => rest.strip_prefix('='),
    })
}

/// The arguments that are no options.
pub(super) fn plain<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().copied().filter(|argument| !argument.starts_with('-')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_sorted_and_named_once() {
        let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn options_are_found_in_both_spellings() {
        assert_eq!(option(&["--config", "a"], "--config"), Some("a"));
        assert_eq!(option(&["--config=a"], "--config"), Some("a"));
        assert_eq!(option(&["--configs=a"], "--config"), None);
    }
}
