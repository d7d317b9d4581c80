//! `cluster.os`: what recipes see of the table.
use super::{AutomaticUpdates, Network, Release, Security, Time};
use crate::workspace::Workspace;
use rhai::{Array, Dynamic, Map};

/// The facts of a release, for scripts: `id`, `title`, `package_manager`, `hosts_template`, `packages`, `module_packages`, `containerd`,
/// `network`, `selinux`, `firewall`, `time`, `time_servers`, `updates`, `user`, `guest_agent`, `cpu_level`. What it does not have is `()`.
///
/// `time` is the service that keeps the clock; `time_servers` is how it is told those of `network.ntp`: `package`, `folder`, `file`, `content`,
/// `include_file` and `include_line`; `()` where the workspace names none. `updates` is what its policy of updates wants: `package`, `files` (each a `path`
/// and its `content`), and timers that are `on` and `off`; `()` where it has none.
pub fn facts(release: &Release, workspace: &Workspace) -> Map {
    let list = |names: &[&str]| -> Dynamic { names.iter().map(|name| Dynamic::from((*name).to_owned())).collect::<Array>().into() };
    let word = |word: Option<&str>| word.map_or(Dynamic::UNIT, |word| Dynamic::from(word.to_owned()));
    let network = match release.network {
        Network::Networkd => "networkd",
        Network::NetworkManager => "NetworkManager",
        Network::Wicked => "wicked",
    };
    let facts: [(&str, Dynamic); 16] = [
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
        ("time", release.time.service.into()),
        ("time_servers", time_servers(release.time, workspace)),
        ("updates", workspace.updates.map_or(Dynamic::UNIT, |updates| told(release.distribution.family().automatic_updates(updates)))),
        ("user", release.user.into()),
        ("guest_agent", release.has_guest_agent.into()),
        ("cpu_level", i64::from(release.cpu_level).into()),
    ];
    facts.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn time_servers(time: &Time, workspace: &Workspace) -> Dynamic {
    let servers = &workspace.network.ntp;
    if servers.is_empty() {
        return Dynamic::UNIT;
    }
    let word = |word: Option<&str>| word.map_or(Dynamic::UNIT, |word| Dynamic::from(word.to_owned()));
    let folder = time.file.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let told: [(&str, Dynamic); 6] = [
        ("package", time.package.into()),
        ("folder", folder.into()),
        ("file", time.file.into()),
        ("content", time.content(servers.iter().map(|server| server.as_str())).into()),
        ("include_file", word(time.include.map(|(file, _)| file))),
        ("include_line", word(time.include.map(|(_, line)| line))),
    ];
    Dynamic::from_map(told.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn told(updates: AutomaticUpdates) -> Dynamic {
    let list =
        |names: Vec<&'static str>| -> Dynamic { names.into_iter().map(|name| Dynamic::from(name.to_owned())).collect::<Array>().into() };
    let file = |(path, content): (&'static str, String)| {
        Dynamic::from_map(Map::from_iter([("path".into(), Dynamic::from(path.to_owned())), ("content".into(), Dynamic::from(content))]))
    };
    let told: [(&str, Dynamic); 4] = [
        ("package", updates.package.map_or(Dynamic::UNIT, |package| Dynamic::from(package.to_owned()))),
        ("files", updates.files.into_iter().map(file).collect::<Array>().into()),
        ("on", list(updates.on)),
        ("off", list(updates.off)),
    ];
    Dynamic::from_map(told.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
