//! Where a peer is: what a variable says, else its place in the cache, else the search path.
use crate::{Get, Peer};
use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where servers are, which the search path of an ordinary user leaves out.
const SERVERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The folder that `KTHW_PEERS` names, or the usual one.
pub fn cache(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    variable("KTHW_PEERS").filter(|path| !path.is_empty()).map_or_else(|| "/var/cache/kthw-peers".into(), PathBuf::from)
}

/// The peer's path, or why it cannot be used and what a person does about it.
pub fn find(peer: &Peer, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, (String, Get)> {
    if peer.needs_root && !rustix::process::geteuid().is_root() {
        return Err((format!("not root, as {} wants", peer.name), Get::Words("run the tests as root")));
    }
    let found = look(peer, &variable).and_then(|path| if peer.proof.is_empty() { Ok(path) } else { proven(path, peer.proof) });
    found.map_err(|reason| (reason, peer.get))
}

fn look(peer: &Peer, variable: &impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
    if let Some(name) = peer.variable
        && let Some(path) = variable(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    {
        return if path.exists() { Ok(path) } else { Err(format!("{name} names {}, which is not there", path.display())) };
    }
    let cache = cache(variable);
    if let Some(first) = peer.cached.first()
        && peer.cached.iter().all(|path| cache.join(path).exists())
    {
        return Ok(cache.join(first));
    }
    let path = variable("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVERS.map(PathBuf::from));
    let found = peer.program.and_then(|name| folders.map(|folder| folder.join(name)).find(|path| is_program(path)));
    found.ok_or_else(|| format!("no {}", peer.name))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn proven(program: PathBuf, arguments: &[&str]) -> Result<PathBuf, String> {
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it says nothing").trim();
            Err(format!("{} does not work ({last})", program.display()))
        }
        Err(error) => Err(format!("{} does not start ({error})", program.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{FAKEPVE, HOSTS, KUBERNETES, SOPS, VIM};
    use std::fs;

    /// Looks with these variables, `{}` in them standing for a folder that holds these files, each with its text.
    fn found(peer: &Peer, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(if name.ends_with(".txt") { 0o644 } else { 0o755 })).unwrap();
        }
        let value = |name: &str| variables.iter().find(|known| known.0 == name).map(|known| known.1.replace("{}", place).into());
        let shown = |text: String| text.replace(place, "{}");
        find(peer, value).map(|path| shown(path.display().to_string())).map_err(|(reason, _)| shown(reason))
    }

    const BOTH: &[(&str, &str)] = &[("venv/bin/sops", ""), ("path/sops", ""), ("mine", "")];
    const ALL_SET: [(&str, &str); 3] = [("KTHW_SOPS", "{}/mine"), ("KTHW_PEERS", "{}"), ("PATH", "/nowhere:{}/path")];

    #[test]
    fn a_variable_counts_before_the_cache_and_that_before_the_search_path() {
        assert_eq!(found(&SOPS, BOTH, &ALL_SET), Ok("{}/mine".into()));
        assert_eq!(found(&SOPS, BOTH, &ALL_SET[1..]), Ok("{}/venv/bin/sops".into()));
        assert_eq!(found(&SOPS, &BOTH[1..], &ALL_SET[1..]), Ok("{}/path/sops".into()));
        assert_eq!(found(&SOPS, &[], &ALL_SET[1..]), Err("no sops".into()));
        assert_eq!(found(&SOPS, BOTH, &[("KTHW_SOPS", ""), ("KTHW_PEERS", "{}")]), Ok("{}/venv/bin/sops".into()));
    }

    #[test]
    fn a_variable_that_names_nothing_is_not_passed_over() {
        let reason = found(&SOPS, BOTH, &[("KTHW_SOPS", "{}/gone"), ("KTHW_PEERS", "{}")]);
        assert_eq!(reason, Err("KTHW_SOPS names {}/gone, which is not there".into()));
    }

    #[test]
    fn what_consists_of_two_things_needs_both() {
        assert_eq!(found(&KUBERNETES, &[("registry/.stamp", "")], &[("KTHW_PEERS", "{}")]), Err(format!("no {}", KUBERNETES.name)));
        let both = [("kubernetes/apt/.stamp", ""), ("registry/.stamp", "")];
        assert_eq!(found(&KUBERNETES, &both, &[("KTHW_PEERS", "{}")]), Ok("{}/kubernetes/apt/.stamp".into()));
    }

    #[test]
    fn a_text_of_that_name_is_no_program_and_a_broken_one_does_not_count() {
        let text = Peer { program: Some("vim.txt"), ..VIM };
        assert_eq!(found(&text, &[("vim.txt", "")], &[("PATH", "{}")]), Err("no vim".into()));
        let broken = [("venv/bin/python", "#!/bin/sh\necho a line >&2; echo no such module >&2; exit 1\n")];
        assert_eq!(found(&FAKEPVE, &broken, &[("KTHW_PEERS", "{}")]), Err("{}/venv/bin/python does not work (no such module)".into()));
        assert_eq!(found(&VIM, &[("vim", "#!/bin/sh\n")], &[("PATH", "{}")]), Ok("{}/vim".into()));
    }

    #[test]
    fn hosts_are_for_root() {
        let hosts = found(&HOSTS, &[("base.stamp", ""), ("base-trixie.stamp", "")], &[("KTHW_PEERS", "{}")]);
        let root = rustix::process::geteuid().is_root();
        assert_eq!(hosts, if root { Ok("{}/base.stamp".into()) } else { Err("not root, as a test host wants".into()) });
    }
}
