//! What the real kubeadm of every minor version says of the files that kthw renders for it.
use super::{
    config::{ClusterSpec, certificate_names, certificates, init, join, names_of_kubeadm},
    config_tests::workspace,
    fixed::Made,
    kubelet::{self, Kubelet},
};
use crate::{
    ssh::testing::{a_file, printed},
    workspace::Workspace,
};
use kthw_engine::{Change, node::Finding};
use kthw_peers::{OPENSSL, Peer, ask, built};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Every kubeadm whose minor version kthw installs, with the version that it was built as (tests/peers/versions).
const KUBEADMS: [(Peer, &str); 9] = [
    (built(&["bin/kubeadm-1.29"]), "1.29.15"),
    (built(&["bin/kubeadm-1.30"]), "1.30.14"),
    (built(&["bin/kubeadm-1.31"]), "1.31.9"),
    (built(&["bin/kubeadm-1.32"]), "1.32.13"),
    (built(&["bin/kubeadm-1.33"]), "1.33.13"),
    (built(&["bin/kubeadm-1.34"]), "1.34.9"),
    (built(&["bin/kubeadm-1.35"]), "1.35.8"),
    (built(&["bin/kubeadm-1.36"]), "1.36.3"),
    (built(&["bin/kubeadm-1.37"]), "1.37.2"),
];

/// All of them with their versions; `None` once it has been said that the test is skipped.
#[track_caller]
fn kubeadms() -> Option<Vec<(PathBuf, &'static str)>> {
    let programs = ask(KUBEADMS.each_ref().map(|(peer, _)| peer))?;
    Some(programs.into_iter().zip(KUBEADMS.iter().map(|(_, version)| *version)).collect())
}

/// Every option that ends in a file.
const ALL_OPTIONS: &str = "kubeadm: {image_repository: 'registry.lab:5000', cgroup_driver: cgroupfs, fail_swap_on: false, \
     kubelet_extra_args: {v: '2', register-with-taints: ''}, cert_sans: [api.bevz.net]}\n";

fn spec_of(workspace: &Workspace) -> ClusterSpec {
    ClusterSpec {
        version: workspace.versions().expect("a cluster").kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods.expect("a cluster"),
        service_subnet: workspace.network.services.expect("a cluster"),
    }
}

/// The files of `kubeadm init` and `kubeadm join` for a Kubernetes version.
fn rendered(version: &str, more: &str) -> [String; 2] {
    let workspace = workspace(version, more);
    let (kubernetes, spec) = (workspace.versions().expect("a cluster").kubernetes.clone(), spec_of(&workspace));
    let hash = format!("sha256:{}", "0".repeat(64));
    let worker = join(&workspace, &workspace.nodes[1], &kubernetes, "abcdef.0123456789abcdef", &hash);
    [init(&workspace, &workspace.nodes[0], &spec), worker]
}

fn validated(kubeadm: &Path, text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeadm.yaml");
    std::fs::write(&file, text).expect("a file");
    Command::new(kubeadm).args(["config", "validate", "--config"]).arg(file).output().expect("kubeadm starts")
}

#[test]
fn kubeadm_takes_the_files_of_its_own_version_without_a_word() {
    let Some(programs) = kubeadms() else { return };
    for (kubeadm, version) in &programs {
        for more in ["", ALL_OPTIONS] {
            for text in rendered(version, more) {
                let said = validated(kubeadm, &text);
                let why = String::from_utf8_lossy(&said.stderr);
                assert!(said.status.success() && why.trim().is_empty(), "{version}: {why}\n{text}");
            }
        }
    }
}

/// What kubeadm writes for a phase of `init` on `cu1`, by file, and what it says. It is a dry run: the files come into a folder of our own.
fn dry_run(kubeadm: &Path, workspace: &Workspace, phase: &[&str], files: &[&str]) -> (Vec<String>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("kubeadm.yaml");
    std::fs::write(&config, init(workspace, &workspace.nodes[0], &spec_of(workspace))).expect("a file");
    let mut command = Command::new(kubeadm);
    let ran = command.args(["init", "phase"]).args(phase).arg("--dry-run").arg("--config").arg(config);
    let ran = ran.env("KUBEADM_INIT_DRYRUN_DIR", folder.path()).output().expect("kubeadm starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // Until 1.32 it makes a folder of its own inside.
    let inside = std::fs::read_dir(folder.path().join("tmp")).ok().and_then(|mut all| all.next()).and_then(Result::ok);
    let made = inside.map_or_else(|| folder.path().to_owned(), |inside| inside.path());
    let text = |name: &&str| std::fs::read_to_string(made.join(name)).expect("what kubeadm wrote");
    (files.iter().map(text).collect(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn what_kubeadm_has_written_is_no_difference() {
    let Some(programs) = kubeadms() else { return };
    for (kubeadm, version) in &programs {
        for more in ["", ALL_OPTIONS] {
            let workspace = workspace(version, more);
            let (node, spec) = (&workspace.nodes[0], spec_of(&workspace));
            let (pods, _) =
                dry_run(kubeadm, &workspace, &["control-plane", "all"], &["kube-apiserver.yaml", "kube-controller-manager.yaml"]);
            let made = Made::of(&pods[0], &pods[1], "server: https://cu1.bevz.net:6443");
            assert!(
                [&made.name, &made.version, &made.registry, &made.address, &made.pods, &made.services].iter().all(|one| one.is_some()),
                "{made:?}"
            );
            assert_eq!(made.refusals(&workspace, node, &spec), Vec::new(), "{version} {more}");

            let (files, _) = dry_run(kubeadm, &workspace, &["kubelet-start"], &["config.yaml", "kubeadm-flags.env"]);
            let file = |text: &str| Finding::Path(Some(a_file(text, false)));
            let live = Kubelet::live(&[file(&files[0]), file(&files[1]), printed("ExecMainStartTimestamp=Thu 1970-01-01 00:16:40 UTC\n")]);
            let kubelet = Kubelet::of(&workspace, node);
            assert_eq!(kubelet::change(kubelet.refusals(&live), kubelet.fields(&live)), Change::None, "{version} {more}\n{files:?}");

            let (_, said) = dry_run(kubeadm, &workspace, &["certs", "all"], &[]);
            let line = said.lines().find(|line| line.contains("apiserver serving cert is signed for")).expect("the names");
            let inside = line.split(['[', ']']).skip(1).step_by(2).skip(1).flat_map(str::split_whitespace);
            let mut signed: Vec<String> = inside.map(str::to_owned).collect();
            let mut known = certificate_names(&workspace, &spec.endpoint);
            known.extend(names_of_kubeadm(node, &spec));
            for names in [&mut signed, &mut known] {
                names.sort();
                names.dedup();
            }
            assert_eq!(signed, known, "{version} {more}");
        }
    }
}

#[test]
fn kubeadm_makes_a_certificate_beside_links_to_its_authority() {
    let Some([kubeadm, openssl]) = ask([&KUBEADMS[7].0, &OPENSSL]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = workspace("1.36.3", ALL_OPTIONS);
    let spec = spec_of(&workspace);
    let phase = |name: &str, certificates_in: &Path| {
        std::fs::create_dir_all(certificates_in).expect("a folder");
        let file = folder.path().join("renewal.yaml");
        std::fs::write(&file, certificates(&workspace, &workspace.nodes[0], &spec, &certificates_in.display().to_string()))
            .expect("a file");
        Command::new(&kubeadm).args(["init", "phase", "certs", name, "--config"]).arg(&file).output().expect("kubeadm starts")
    };
    let (pki, beside) = (folder.path().join("pki"), folder.path().join("beside"));
    assert!(phase("ca", &pki).status.success());
    assert!(!phase("apiserver", &beside).status.success(), "without an authority there is no certificate");
    for name in ["ca.crt", "ca.key"] {
        std::os::unix::fs::symlink(pki.join(name), beside.join(name)).expect("a link");
    }
    let made = phase("apiserver", &beside);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let probe = super::control_plane::certificate_probe(&beside.join("apiserver.crt").display().to_string());
    let shown = Command::new(openssl).args(&probe[1..]).output().expect("openssl starts");
    let text = String::from_utf8_lossy(&shown.stdout);
    let live = super::control_plane::certificate_shown(&text, shown.status.code().unwrap_or(-1));
    let wanted = certificate_names(&workspace, &spec.endpoint);
    assert_eq!((live.fields(&wanted), live.more(&wanted, &names_of_kubeadm(&workspace.nodes[0], &spec))), (vec![], vec![]), "{text}");
}

/// A cluster that was made by an older kubeadm keeps its file until the next upgrade, and the kubeadm of that upgrade has to read it.
#[test]
fn newer_kubeadms_read_the_oldest_api_until_1_36() {
    let Some(programs) = kubeadms() else { return };
    for (kubeadm, version) in &programs[2..] {
        for text in rendered("1.30.14", "") {
            assert!(text.contains("kubeadm.k8s.io/v1beta3"), "{text}");
            let said = validated(kubeadm, &text.replace("kubernetesVersion: v1.30.14", &format!("kubernetesVersion: v{version}")));
            let why = String::from_utf8_lossy(&said.stderr);
            match *version {
                "1.36.3" => assert!(said.status.success() && why.contains("deprecated API spec"), "{why}"),
                "1.37.2" => assert!(!said.status.success() && why.contains("old API spec"), "{why}"),
                _ => assert!(said.status.success() && why.trim().is_empty(), "{version}: {why}"),
            }
        }
    }
}

/// The table of versions against its source.
#[test]
fn the_images_beside_kubernetes_are_those_that_kubeadm_lists() {
    let Some(programs) = kubeadms() else { return };
    for (kubeadm, version) in &programs {
        let mut asked = Command::new(kubeadm);
        let said =
            asked.args(["config", "images", "list", "--kubernetes-version"]).arg(format!("v{version}")).output().expect("kubeadm starts");
        let listed = String::from_utf8_lossy(&said.stdout);
        let tag = |image: &str| listed.lines().find_map(|line| line.strip_prefix(&format!("registry.k8s.io/{image}:"))).map(str::to_owned);
        let known = crate::versions::kubernetes::images_of(&version.parse().expect("a version"));
        let wanted = [("etcd", known.etcd), ("coredns/coredns", known.coredns), ("pause", known.pause)];
        for (image, wanted) in wanted {
            assert_eq!(tag(image).as_deref(), Some(wanted), "{image} of {version}: {listed}{}", String::from_utf8_lossy(&said.stderr));
        }
    }
}

#[test]
fn a_field_that_is_none_is_told() {
    let Some([kubeadm]) = ask([&KUBEADMS[8].0]) else { return };
    let [text, _] = rendered("1.37.2", "");
    let said = validated(&kubeadm, &text.replace("clusterName:", "clusterNaem:"));
    assert!(String::from_utf8_lossy(&said.stderr).contains("clusterNaem"), "{said:?}");
}
