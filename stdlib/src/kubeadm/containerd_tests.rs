//! The texts of all formats, and the script that chooses among them, run by the machine's own shell.
use super::{super::config_tests::workspace, *};
use expect_test::expect;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

/// A format's text for a cluster.
fn text(format: Format, cluster: &Workspace) -> String {
    format.text(cluster, &cluster.versions().expect("a cluster").kubernetes)
}

#[test]
fn format_2_has_one_plugin() {
    expect![[r#"
        # Kept by kthw: changes here are undone by the next run.
        version = 2
        disabled_plugins = []

        [plugins."io.containerd.grpc.v1.cri"]
          sandbox_image = "registry.k8s.io/pause:3.10"

        [plugins."io.containerd.grpc.v1.cri".registry]
          config_path = "/etc/containerd/certs.d"

        [plugins."io.containerd.grpc.v1.cri".containerd]
          default_runtime_name = "runc"

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
          SystemdCgroup = true
    "#]]
    .assert_eq(&text(Format::Two, &workspace("1.31.9", "")));
}

#[test]
fn formats_3_and_4_have_one_for_images_and_one_for_containers() {
    let cluster = workspace("1.30.5", "kubeadm: {cgroup_driver: cgroupfs, image_repository: 'r.lab:5000'}\n");
    expect![[r#"
        # Kept by kthw: changes here are undone by the next run.
        version = 4
        disabled_plugins = []

        [plugins."io.containerd.cri.v1.images".pinned_images]
          sandbox = "r.lab:5000/pause:3.9"

        [plugins."io.containerd.cri.v1.images".registry]
          config_path = "/etc/containerd/certs.d"

        [plugins."io.containerd.cri.v1.runtime".containerd]
          default_runtime_name = "runc"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
          SystemdCgroup = false
    "#]]
    .assert_eq(&text(Format::Four, &cluster));
    assert_eq!(text(Format::Three, &cluster), text(Format::Four, &cluster).replace("version = 4", "version = 3"));
}

/// What builds of containerd say of themselves, and the format that they get.
const SAID: &[(&str, Option<Format>)] = &[
    ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1", Some(Format::Two)),
    ("containerd github.com/containerd/containerd 1.7.27 ", Some(Format::Two)),
    ("containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da", Some(Format::Two)),
    ("containerd github.com/containerd/containerd/v2 v2.0.0 207ad711eabd375a01713109a8a197d197ff6542", Some(Format::Three)),
    ("containerd github.com/containerd/containerd/v2 2.2.1 ", Some(Format::Three)),
    ("containerd containerd.io v2.2.1 dea7da592f5d1d2b7755e3a161be07f43fad8f75", Some(Format::Three)),
    ("containerd github.com/containerd/containerd/v2 v2.3.0-rc.1 ", Some(Format::Four)),
    ("containerd github.com/containerd/containerd/v2 v2.4.2 ", Some(Format::Four)),
    ("containerd github.com/containerd/containerd/v2 v2.10.0+unknown", Some(Format::Four)),
    ("containerd github.com/containerd/containerd/v3 v3.0.0", Some(Format::Four)),
    ("containerd github.com/containerd/containerd 1.5.9 ", None),
    ("containerd github.com/containerd/containerd unknown ", None),
    ("containerd", None),
    ("", None),
];

#[test]
fn the_version_decides() {
    for (said, format) in SAID {
        assert_eq!(Version::parse(said).and_then(Format::of), *format, "{said}");
    }
    assert_eq!(Version::parse(SAID[0].0).map(|version| version.to_string()).as_deref(), Some("1.6"));
}

/// Runs what [`write`] says, with a containerd that says `said`, on a file in a folder of its own.
fn written(name: &str, said: &str) -> (bool, Option<String>, PathBuf) {
    let folder = std::env::temp_dir().join(format!("kthw-containerd-{}-{name}", std::process::id()));
    let (program, path) = (folder.join("containerd"), folder.join("config.toml"));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(&program, format!("#!/bin/sh\necho '{said}'\n")).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program that runs");
    let Action::Run { argv, .. } = write(&workspace("1.36.3", ""), &"1.36.3".parse().expect("a version")) else {
        panic!("a program is run")
    };
    let output = Command::new(&argv[0])
        .args(argv[1..].iter().map(|word| if word == PATH { path.to_str().expect("a plain path") } else { word }))
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .expect("a shell");
    (output.status.success(), fs::read_to_string(path).ok(), folder)
}

#[test]
fn the_script_on_the_node_decides_the_same() {
    for (number, (said, format)) in SAID.iter().enumerate() {
        let (succeeded, kept, folder) = written(&number.to_string(), said);
        assert_eq!((succeeded, kept), (format.is_some(), format.map(|format| text(format, &workspace("1.36.3", "")))), "{said}");
        let left: Vec<_> = fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 1 + usize::from(format.is_some()), "{left:?}");
        if format.is_some() {
            let mode = fs::metadata(folder.join("config.toml")).expect("the file").permissions().mode();
            assert_eq!(mode & 0o7777, 0o644);
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}
