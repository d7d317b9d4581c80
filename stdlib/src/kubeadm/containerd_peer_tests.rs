//! What real containerds say of the configuration that kthw renders for them.
use super::{
    config_tests::workspace,
    containerd::{Format, Version},
};
use kthw_peers::{Peer, ask, built};
use std::process::{Command, Output};

/// The oldest containerd that kthw knows, the newest, and one on either side of each change of format (tests/peers/versions).
const CONTAINERDS: [Peer; 4] =
    [built(&["bin/containerd-1.7"]), built(&["bin/containerd-2.1"]), built(&["bin/containerd-2.3"]), built(&["bin/containerd"])];

/// What `config dump` prints of a format's file, and what it complains about.
fn dumped(containerd: &std::path::Path, format: Format) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format.text(&workspace("1.35.8", ""), &"1.35.8".parse().expect("a version"))).expect("a file");
    Command::new(containerd).arg("--config").arg(&file).args(["config", "dump"]).output().expect("containerd starts")
}

#[test]
fn every_containerd_takes_its_own_format_without_a_word_and_migrates_older_ones() {
    let Some(programs) = ask(CONTAINERDS.each_ref()) else { return };
    let mut own = Vec::new();
    for containerd in &programs {
        let said = Command::new(containerd).arg("--version").output().expect("containerd starts");
        let version = Version::parse(&String::from_utf8_lossy(&said.stdout)).expect("a version");
        let newest = Format::of(version).expect("a format");
        own.push(newest.number());
        for format in Format::ALL.into_iter().filter(|format| format.number() <= newest.number()) {
            let said = dumped(containerd, format);
            let (dump, why) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            assert!(said.status.success(), "{version}: {why}");
            for wanted in ["registry.k8s.io/pause:3.10.1", "SystemdCgroup = true", "/etc/containerd/certs.d"] {
                assert!(dump.contains(wanted), "{wanted} is in effect in {version} from format {}:\n{dump}", format.number());
            }
            let lines: Vec<&str> = why.lines().collect();
            match format.number() == newest.number() {
                true => assert!(lines.is_empty(), "{version}: {why}"),
                // From 2.3 on it is said.
                false => assert!(lines.is_empty() || lines.len() == 1 && why.contains("migrated"), "{version}: {why}"),
            }
        }
    }
    assert_eq!(own, [2, 3, 4, 4]);
}

/// A file in a format that is newer than containerd stops it: which is why the format follows what is installed.
#[test]
fn a_format_that_is_too_new_is_refused() {
    let Some([old, _, _, _]) = ask(CONTAINERDS.each_ref()) else { return };
    let said = dumped(&old, Format::Three);
    assert!(!said.status.success(), "{said:?}");
}
