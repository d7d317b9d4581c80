//! dnf, zypper and rpm, as far as the scripts of `kthw_stdlib::distribution` call them.
use super::super::{
    host::{Host, failed, printed},
    machine::Machine,
};
use super::{
    apt::{choose, configure, numbers, place, with_dependencies},
    catalog::{Source, pending, update_lists},
};
use kthw_engine::node::Output;

/// Every repository that a `.repo` file names.
pub(super) fn sources(machine: &Machine) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["/etc/yum.repos.d", "/etc/zypp/repos.d"] {
        for name in machine.files.names(folder).into_iter().filter(|name| name.ends_with(".repo")) {
            let file = format!("{folder}/{name}");
            let text = machine.files.text(&file);
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
            // The lists of several lines that these files know go on with spaces.
            let keys: Vec<String> = text.split_whitespace().filter_map(|word| Some(word.split_once("file://")?.1.to_owned())).collect();
            found.extend(field("baseurl=").map(|url| Source { file: file.clone(), url, keys }));
        }
    }
    found
}

/// What both lists print: name, state, version.
pub(super) fn list(host: &Host) -> Output {
    let line = |(name, package): (&String, &super::super::machine::Package)| {
        let state = match (package.held, host.machine.unconfigured.contains(name)) {
            (true, false) => "hi ",
            (false, false) => "ii ",
            (_, true) => return String::new(),
        };
        format!("{name} {state} {}\n", package.version)
    };
    printed(host.machine.packages.iter().map(line).collect::<String>())
}

/// Fetches the index of one repository, named as its file is: `NAME KEY_FILE…`.
pub(super) fn refresh(host: &mut Host, arguments: &[&str]) -> Output {
    let name = arguments.first().copied().unwrap_or_default();
    host.took_ms += 1500;
    let file = |source: &Source| source.file.ends_with(&format!("/{name}.repo"));
    let Some(source) = sources(&host.machine).into_iter().find(file) else {
        return failed(1, format!("Error: Unknown repo: '{name}'"));
    };
    if source.keys.iter().any(|key| key.starts_with("/etc/pki/") && !host.machine.files.exists(key)) {
        return failed(1, format!("Error: Failed to retrieve GPG key for repo '{name}'"));
    }
    update_lists(&mut host.machine, Some(&source.file));
    printed("Metadata cache created.\n")
}

/// Fetches the index of every repository.
pub(super) fn fetch(host: &mut Host) -> Output {
    host.took_ms += 4000;
    update_lists(&mut host.machine, None);
    printed("")
}

/// What both installing scripts do: `NAME [VERSION]`.
pub(super) fn install(host: &mut Host, arguments: &[&str]) -> Output {
    let Some((name, version)) = arguments.split_first() else { return failed(1, "Error: Need to pass a list of pkgs to install") };
    let version = version.first().copied();
    if !host.machine.unconfigured.is_empty() {
        let configured = configure(host);
        if configured.status != 0 {
            return configured;
        }
    }
    let exact = |host: &Host| match version {
        Some(version) if !version.contains('-') => host.machine.catalog.get(*name).and_then(|offered| {
            let of_it = |offer: &&String| offer.rsplit_once('-').is_some_and(|(start, _)| start == version);
            offered.iter().rev().find(of_it).cloned()
        }),
        _ => None,
    };
    if choose(&host.machine, name, exact(host).as_deref().or(version)).is_err() {
        update_lists(&mut host.machine, None);
        host.took_ms += 4000;
    }
    let Ok(chosen) = choose(&host.machine, name, exact(host).as_deref().or(version)) else {
        let what = version.map_or_else(|| (*name).to_owned(), |version| format!("{name}-{version}"));
        return failed(1, format!("Error: Unable to find a match: {what}"));
    };
    let is_lower = host.machine.packages.get(*name).is_some_and(|package| numbers(&chosen) < numbers(&package.version));
    if is_lower {
        let text = format!(
            "installing {name}-{chosen} would remove or lower {name}, which the plan does not say: remove them yourself if that is meant"
        );
        return failed(1, text);
    }
    let wanted = with_dependencies(&host.machine, vec![((*name).to_owned(), chosen)]);
    host.took_ms += 2000 * wanted.len() as u64;
    place(host, wanted)
}

/// Holds a package (`add NAME`), or lets it go (`remove NAME`).
pub(super) fn hold(host: &mut Host, arguments: &[&str]) -> Output {
    let [how, name] = arguments else { return failed(1, "kthw-hold: add or remove, and a name") };
    host.took_ms += 300;
    if let Some(package) = host.machine.packages.get_mut(*name) {
        package.held = *how == "add";
    }
    printed("")
}

/// Makes rpm know the key in a file.
pub(super) fn trust(host: &Host, arguments: &[&str]) -> Output {
    match arguments {
        [file] if host.machine.files.exists(file) => printed(""),
        _ => failed(1, format!("error: {}: import read failed(2).", arguments.join(" "))),
    }
}

/// Takes a key and its file away: `FILE`, and for zypper what it fetches then.
pub(super) fn forget(host: &mut Host, arguments: &[&str]) -> Output {
    let removed = arguments.first().map_or(Ok(()), |file| host.machine.files.remove(file));
    removed.map_or_else(|text| failed(1, text), |()| printed(""))
}

/// Runs dnf: `--repo NAME … makecache`.
pub(crate) fn dnf(host: &mut Host, arguments: &[&str]) -> Output {
    match (arguments.iter().position(|word| *word == "--repo"), arguments.contains(&"makecache")) {
        (Some(at), true) => refresh(host, &arguments[(at + 1).min(arguments.len())..]),
        _ if *arguments == ["clean", "all"] => printed(""),
        (None, true) => fetch(host),
        (None, false) if arguments.contains(&"--upgrades") => {
            let only_security = arguments.contains(&"--security");
            let pending = pending(&host.machine).into_iter().filter(|(.., security)| *security || !only_security);
            printed(pending.map(|(name, _, to, _)| format!("{name} {to}\n")).collect::<String>())
        }
        _ => host.does_not_play("dnf", arguments),
    }
}

/// Runs zypper: `… refresh … NAME`.
pub(crate) fn zypper(host: &mut Host, arguments: &[&str]) -> Output {
    if let Some(what) = ["patch", "update"].into_iter().find(|what| arguments.contains(what) && arguments.contains(&"--dry-run")) {
        let pending = pending(&host.machine).into_iter().filter(|(.., security)| *security || what == "update");
        let line = |(name, from, to, _): (String, String, String, bool)| {
            format!("<solvable type=\"package\" name=\"{name}\" edition=\"{to}\" arch=\"x86_64\" edition-old=\"{from}\"/>\n")
        };
        return printed(format!("<stream>\n<to-upgrade>\n{}</to-upgrade>\n</stream>\n", pending.map(line).collect::<String>()));
    }
    match (arguments.contains(&"refresh"), arguments.last()) {
        (true, Some(name)) => refresh(host, &[*name]),
        _ if arguments.contains(&"clean") => printed(""),
        _ => host.does_not_play("zypper", arguments),
    }
}

/// Runs rpm: `--import FILE`.
pub(crate) fn rpm(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["--import", file] if host.machine.files.exists(file) => printed(""),
        ["--import", file] => failed(1, format!("error: {file}: import read failed(2).")),
        _ => host.does_not_play("rpm", arguments),
    }
}
