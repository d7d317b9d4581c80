//! `cluster.os`: what recipes see of the table.
use super::{Network, Release, Security};
use rhai::{Array, Dynamic, Map};

/// The facts of a release, for scripts: `id`, `title`, `package_manager`, `hosts_template`, `packages`, `module_packages`, `containerd`,
/// `network`, `selinux`, `firewall`, `time`, `user`, `guest_agent`, `cpu_level`. What it does not have is `()`.
pub fn facts(release: &Release) -> Map {
    let list = |names: &[&str]| -> Dynamic { names.iter().map(|name| Dynamic::from((*name).to_owned())).collect::<Array>().into() };
    let word = |word: Option<&str>| word.map_or(Dynamic::UNIT, |word| Dynamic::from(word.to_owned()));
    let network = match release.network {
        Network::Networkd => "networkd",
        Network::NetworkManager => "NetworkManager",
        Network::Wicked => "wicked",
    };
    let facts: [(&str, Dynamic); 14] = [
        ("id", release.id().into()),
        ("title", release.title.into()),
        ("package_manager", release.distribution.family().name().into()),
        ("hosts_template", release.hosts_template.into()),
        ("packages", list(release.packages)),
        ("module_packages", list(release.module_packages)),
        ("containerd", word(release.containerd.map(|(package, _)| package))),
        ("network", network.into()),
        ("selinux", (release.security == Security::SeLinux).into()),
        ("firewall", word(release.firewall)),
        ("time", release.time.into()),
        ("user", release.user.into()),
        ("guest_agent", release.has_guest_agent.into()),
        ("cpu_level", i64::from(release.cpu_level).into()),
    ];
    facts.into_iter().map(|(name, value)| (name.into(), value)).collect()
}
