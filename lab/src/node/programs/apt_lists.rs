//! What apt knows to exist: sources, the lists that are made from them, and files that are fetched.
use super::super::{
    host::{Host, failed, printed},
    machine::Machine,
    ubuntu::ARCHIVE,
};
use kthw_engine::node::Output;
use std::collections::BTreeMap;

/// Packages of the Kubernetes repository besides the three of its version.
const KUBERNETES_EXTRAS: &[(&str, &str)] = &[("cri-tools", "1.31.1-1.1"), ("kubernetes-cni", "1.5.1-1.1")];
/// What Docker's repository offers of containerd.
const DOCKER: &[(&str, &[&str])] =
    &[("containerd.io", &["1.7.28-1~ubuntu.24.04~noble", "2.2.1-1~ubuntu.24.04~noble", "2.4.2-1~ubuntu.24.04~noble"])];
/// The newest patch release in the lab of every minor version.
const NEWEST_PATCH: u32 = 14;

/// Brings the lists up to date from the sources on the machine, without looking at signatures.
/// Only from one file, and beside what is known already, when that is named.
pub(crate) fn update_lists(machine: &mut Machine, only: Option<&str>) {
    let mut catalog: BTreeMap<String, Vec<String>> = if only.is_some() { machine.catalog.clone() } else { BTreeMap::new() };
    for (_, url, _) in sources(machine).into_iter().filter(|(file, ..)| only.is_none_or(|only| only == file)) {
        if let Some(minor) = url.split("/core:/stable:/v").nth(1).and_then(|rest| rest.split('/').next()) {
            for name in ["kubelet", "kubeadm", "kubectl"] {
                let versions = (0..=NEWEST_PATCH).map(|patch| format!("{minor}.{patch}-1.1"));
                catalog.insert(name.into(), versions.collect());
            }
            catalog.extend(KUBERNETES_EXTRAS.iter().map(|(name, version)| ((*name).to_owned(), vec![(*version).to_owned()])));
        } else if url.contains("ubuntu.com/") || url.contains("download.docker.com/") {
            let archive = if url.contains("ubuntu.com/") { ARCHIVE } else { DOCKER };
            let offered = archive.iter().filter(|(_, versions)| !versions.is_empty());
            catalog.extend(
                offered.map(|(name, versions)| ((*name).to_owned(), versions.iter().map(|version| (*version).to_owned()).collect())),
            );
        } else {
            // What somebody's own repository holds is not known; it has whatever version is asked for.
            for name in ["kubelet", "kubeadm", "kubectl", "cri-tools", "kubernetes-cni"] {
                catalog.entry(name.into()).or_insert_with(|| vec!["*".into()]);
            }
        }
    }
    for (name, package) in &machine.packages {
        catalog.entry(name.clone()).or_insert_with(|| vec![package.version.clone()]);
    }
    machine.catalog = catalog;
}

/// Runs `apt-get update`.
pub(super) fn update(host: &mut Host, arguments: &[&str]) -> Output {
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("Dir::Etc::SourceList="));
    host.took_ms += if only.is_some() { 1500 } else { 4000 };
    for (file, url, key) in sources(&host.machine).into_iter().filter(|(file, ..)| only.is_none_or(|only| only == file)) {
        if key.is_some_and(|key| key.starts_with('/') && !host.machine.files.exists(&key)) {
            let text = format!("E: The repository '{url}' is not signed. (from {file})");
            return failed(100, text);
        }
    }
    update_lists(&mut host.machine, only);
    printed("Reading package lists...\n")
}

/// Every source: its file, its URL and the key file that signs it.
fn sources(machine: &Machine) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    let mut files = vec!["/etc/apt/sources.list".to_owned()];
    files.extend(machine.files.names("/etc/apt/sources.list.d").iter().map(|name| format!("/etc/apt/sources.list.d/{name}")));
    for file in files {
        let text = machine.files.text(&file);
        if file.ends_with(".sources") {
            for stanza in text.split("\n\n") {
                let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
                if field("Enabled:").is_none_or(|enabled| enabled != "no") {
                    found.extend(field("URIs:").map(|url| (file.clone(), url, field("Signed-By:"))));
                }
            }
        } else {
            for line in text.lines().filter(|line| line.trim_start().starts_with("deb ")) {
                let key = line.split("signed-by=").nth(1).and_then(|rest| rest.split([']', ' ']).next()).map(str::to_owned);
                let url = line.split_whitespace().find(|word| word.contains("://") || word.starts_with("file:"));
                found.extend(url.map(|url| (file.clone(), url.to_owned(), key)));
            }
        }
    }
    found
}

/// Runs apt-helper: `download-file URL PATH SHA256:DIGEST`. The lab has no network; the file gets words of its own.
pub(crate) fn helper(host: &mut Host, arguments: &[&str]) -> Output {
    let ["download-file", url, path, ..] = arguments else { return failed(1, "E: Invalid operation") };
    host.took_ms += 800;
    let (now_s, digest) = (host.now_s(), arguments.get(3).and_then(|digest| digest.strip_prefix("SHA256:")));
    match host.machine.files.write(path, format!("what {url} serves\n").into_bytes(), 0o644, now_s) {
        Ok(()) => {
            if let Some(entry) = host.machine.files.get_mut(path) {
                entry.stands_for = digest.map(str::to_owned);
            }
            printed("")
        }
        Err(text) => failed(100, format!("E: {text}")),
    }
}
