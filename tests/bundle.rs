//! `kthw bundle`: made from registries and files on the loopback network, then served with all of them gone.
use crate::support::{
    Sandbox, root,
    web::{Page, Web},
};
use kthw_peers::{Peer, ask, built};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

const SINGLE: &str = "application/vnd.oci.image.manifest.v1+json";
const OPERATOR: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: tigera-operator\n  namespace: tigera-operator\nspec:\n  template:\n    spec:\n      containers: [{ name: a, image: 'quay.io/tigera/operator:v1.42.3' }]\n";
const DEFINITIONS: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.example.test\n";
const IMAGE: &[u8] = b"QFI\xfb the disk of a machine";

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What a cluster of the workspace `current` runs: kubeadm's list, Calico's, and the operator.
fn images() -> Vec<(String, String)> {
    let kubernetes =
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"].map(|name| (name.to_owned(), "v1.36.3".to_owned()));
    let others = [("pause", "3.10.2"), ("etcd", "3.6.8-0"), ("coredns/coredns", "v1.14.2"), ("tigera/operator", "v1.42.3")];
    let calico = ["apiserver", "cni", "csi", "kube-controllers", "node", "node-driver-registrar", "pod2daemon-flexvol", "typha"];
    let calico = calico.map(|name| (format!("calico/{name}"), "v3.32.1".to_owned()));
    kubernetes.into_iter().chain(others.map(|(name, tag)| (name.into(), tag.into()))).chain(calico).collect()
}

/// The internet, on one port: mirrors of files and of both registries. Returns a layer that all images share.
fn serve_the_internet(web: &Web) -> String {
    web.serve("/calico/v3.32.1/operator-crds.yaml", Page::of(DEFINITIONS));
    web.serve("/calico/v3.32.1/tigera-operator.yaml", Page::of(OPERATOR));
    web.serve("/images/ubuntu-24.04/noble.img", Page::of(IMAGE));
    serve_all_packages(web);
    let shared = b"a layer that all of them share".as_slice();
    for (repository, tag) in images() {
        let layers = serde_json::json!({ "type": "layers", "diff_ids": [format!("sha256:{}", digest(shared))] });
        let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": layers, "of": repository }).to_string();
        let kind = |bytes: &[u8]| match () {
            () if bytes == shared => "application/vnd.oci.image.layer.v1.tar",
            () if bytes == config.as_bytes() => "application/vnd.oci.image.config.v1+json",
            () => SINGLE,
        };
        let descriptor = |bytes: &[u8]| {
            let digest = format!("sha256:{}", digest(bytes));
            serde_json::json!({ "mediaType": kind(bytes), "digest": digest, "size": bytes.len() })
        };
        for blob in [config.as_bytes(), shared] {
            web.serve(&format!("/v2/{repository}/blobs/sha256:{}", digest(blob)), Page::of(blob));
        }
        let single = serde_json::json!({ "schemaVersion": 2, "mediaType": SINGLE, "config": descriptor(config.as_bytes()), "layers": [descriptor(shared)] });
        let single = single.to_string();
        let mut ours = descriptor(single.as_bytes());
        ours["platform"] = serde_json::json!({ "os": "linux", "architecture": "amd64" });
        let list = serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [ours] })
            .to_string();
        web.serve(&format!("/v2/{repository}/manifests/sha256:{}", digest(single.as_bytes())), Page::of(single.as_str()));
        web.serve(&format!("/v2/{repository}/manifests/{tag}"), Page::of(list.as_str()));
    }
    digest(shared)
}

/// Packages of Kubernetes, as `pkgs.k8s.io` has them: name, fields, and what is in place of the package.
const OF_KUBERNETES: [(&str, &str); 5] = [
    ("kubelet", "Version: 1.36.3-1.1\nDepends: iptables (>= 1.4.21), kubernetes-cni (>= 1.2.0), util-linux"),
    ("kubectl", "Version: 1.36.3-1.1"),
    ("kubeadm", "Version: 1.36.3-1.1\nDepends: cri-tools (>= 1.30.0)"),
    ("kubernetes-cni", "Version: 1.9.1-1.1"),
    ("cri-tools", "Version: 1.37.0-1.1"),
];
/// Packages of the distribution.
const OF_UBUNTU: [(&str, &str); 8] = [
    ("conntrack", "Version: 1:1.4.8-1\nDepends: libc6 (>= 2.38)"),
    ("socat", "Version: 1.8.0\nDepends: libc6"),
    ("ethtool", "Version: 1:6.7-1"),
    ("containerd", "Version: 2.2.1-0ubuntu1~24.04.2\nDepends: runc (>= 1.1)"),
    ("runc", "Version: 1.3.0"),
    ("iptables", "Version: 1.8.10"),
    ("libc6", "Version: 2.39-0ubuntu8"),
    ("util-linux", "Version: 2.39\nPriority: required\nDepends: never-looked-at"),
];

/// An apt repository at `place`, whose signed file and indexes are in `folder` of it, with the indexes in `component` of that. Nobody looks at its
/// signature before a node does.
fn serve_packages(web: &Web, place: &str, folder: &str, component: &str, packages: &[(&str, &str)]) {
    let mut list = String::new();
    for (name, fields) in packages {
        let (path, bytes) = (format!("pool/{name}+1~2.deb"), format!("the package {name}"));
        list += &format!("Package: {name}\n{fields}\nArchitecture: amd64\nFilename: {path}\nSize: {}\n", bytes.len());
        list += &format!("SHA256: {}\n\n", digest(bytes.as_bytes()));
        web.serve(&format!("{place}/{path}"), Page::of(bytes));
    }
    let until = if folder.is_empty() { "" } else { "Valid-Until: Sun, 06 Dec 2026 00:00:00 UTC\n" };
    let signed = format!("Suite: x\n{until}SHA256:\n {} {} {component}Packages\n", digest(list.as_bytes()), list.len());
    web.serve(&format!("{place}/{folder}{component}Packages"), Page::of(list));
    web.serve(&format!("{place}/{folder}InRelease"), Page::of(signed));
}

fn serve_all_packages(web: &Web) {
    serve_packages(web, "/packages/kubernetes", "", "", &OF_KUBERNETES);
    serve_packages(web, "/packages/distribution-1", "dists/noble/", "main/binary-amd64/", &OF_UBUNTU);
}

/// A copy of the workspace `current`, whose files, images and packages come from `address`.
fn workspace(folder: &Path, address: &str) -> PathBuf {
    let folder = folder.join("mine");
    fs::create_dir_all(&folder).unwrap();
    let shipped = fs::read_to_string(root().join("workspaces/current/workspace.yaml")).unwrap();
    // Of its add-ons no byte is at hand here.
    let shipped = shipped.split("\nmetallb:").next().unwrap();
    let lines = shipped.lines().filter(|line| !line.contains("sha256:")).map(|line| match line.trim() {
        url if url.starts_with("url:") => "    url: https://images.example/noble.img".to_owned(),
        "domain: bevz.net" => "domain: home.example".into(),
        _ => line.to_owned(),
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    let packages = format!(
        "packages:\n  kubernetes: {{ url: '{address}/packages/kubernetes/', key: KEY }}\n  distribution:\n    - {{ url: '{address}/packages/distribution-1/', \
         suite: noble, components: [main], key: KEY }}\n"
    );
    let mirrors =
        format!("artifacts:\n  mirror: {address}\ncontainerd:\n  mirrors:\n    quay.io: {address}\n    registry.k8s.io: {address}\n");
    fs::write(folder.join("workspace.yaml"), format!("{lines}\n{mirrors}{packages}")).unwrap();
    folder
}

/// A `kthw bundle serve` that ends with its owner.
struct Server {
    process: Child,
    address: String,
    said: String,
}

impl Server {
    fn start(sandbox: &Sandbox, file: &Path) -> Self {
        let mut command = sandbox.command(&["bundle", "serve", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut reader = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        while reader.read_line(&mut said).unwrap() > 0 && !said.contains("  distribution:") {}
        for _ in 0..5 {
            reader.read_line(&mut said).unwrap();
        }
        let address = said.split_once(" at ").unwrap().1.split_once(". A workspace").unwrap().0.to_owned();
        Self { process, address, said }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_a_bundle_serves_makes_the_same_bundle_again() {
    let (sandbox, web) = (Sandbox::new(), Web::new());
    let shared = serve_the_internet(&web);
    let folder = workspace(sandbox.path(), &web.address());
    let (mine, file) = (folder.to_str().unwrap(), sandbox.path().join("first.tar"));
    let make = |sandbox: &Sandbox, mine: &str, file: &Path| sandbox.kthw(&["bundle", "make", "-w", mine, "-o", file.to_str().unwrap()]);

    let refused = make(&sandbox, mine, &file).ended_with(1).stderr;
    assert!(refused.contains("has no digest") && refused.contains("kthw artifacts pin"), "{refused}");
    sandbox.kthw(&["artifacts", "pin", "-w", mine, "--yes"]).ended_with(0);
    let made = make(&sandbox, mine, &file).ended_with(0);
    let end = "Nodes take nothing from packages/distribution-1 after Sun, 06 Dec 2026 00:00:00 UTC.";
    assert!(made.stderr.contains(end) && !made.stderr.contains("packages/kubernetes after"), "{}", made.stderr);
    assert!(
        made.stdout.contains("3 files, 16 images, 12 packages,") && made.stdout.contains(&digest(&fs::read(&file).unwrap())),
        "{}",
        made.stdout
    );
    let shown = sandbox.kthw(&["bundle", "show", file.to_str().unwrap(), "--verify"]).ended_with(0).stdout;
    for name in [
        "registry.k8s.io/coredns/coredns:v1.14.2",
        "quay.io/tigera/operator:v1.42.3",
        "quay.io/calico/node:v3.32.1",
        "  kubelet 1.36.3-1.1",
        "packages/distribution-1 noble main",
        "  libc6 2.39-0ubuntu8",
        "Every digest is right",
    ] {
        assert!(shown.contains(name), "{name}: {shown}");
    }

    // All sources are gone; another computer that has nothing yet takes everything from the bundle.
    web.end();
    let server = Server::start(&sandbox, &file);
    let elsewhere = Sandbox::new();
    let there = workspace(elsewhere.path(), &server.address);
    fs::copy(folder.join("artifacts.lock.yaml"), there.join("artifacts.lock.yaml")).unwrap();
    let compared = elsewhere.kthw(&["artifacts", "pin", "calico", "images", "-w", there.to_str().unwrap()]).ended_with(0).stdout;
    assert!(compared.contains("the files are as they were"), "{compared}");
    let second = elsewhere.path().join("second.tar");
    make(&elsewhere, there.to_str().unwrap(), &second).ended_with(0);
    assert_eq!(digest(&fs::read(&second).unwrap()), digest(&fs::read(&file).unwrap()));

    // The guide's commands, but for the one that only Ctrl-C ends.
    let guide = fs::read_to_string(root().join("docs/guides/bundles.md")).unwrap();
    let calls: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ kthw ")).collect();
    assert!(calls.len() == 4 && calls[3].starts_with("bundle serve "), "{calls:?}");
    for call in &calls[..3] {
        let words: Vec<&str> = call.split('#').next().unwrap().split_whitespace().collect();
        let output = elsewhere.command(&words).current_dir(elsewhere.path()).output().unwrap();
        crate::support::said(output).ended_with(0);
    }

    // What it says of itself is what a workspace takes.
    for line in ["artifacts:\n  mirror: http://127.0.0.1:", "containerd:\n  mirrors:\n    quay.io: http://127.0.0.1:"] {
        assert!(server.said.contains(line), "{}", server.said);
    }
    let printed = server.said.split_once("\n\n").unwrap().1;
    let key = digest(b"KEY\n");
    assert!(printed.contains(&format!("sha256: \"{key}\"")) && printed.contains("      suite: noble\n"), "{printed}");
    let text = fs::read_to_string(there.join("workspace.yaml")).unwrap();
    fs::write(there.join("workspace.yaml"), format!("{}{printed}", text.split_once("artifacts:\n").unwrap().0)).unwrap();
    let third = elsewhere.path().join("third.tar");
    make(&elsewhere, there.to_str().unwrap(), &third).ended_with(0);
    assert_eq!(digest(&fs::read(&third).unwrap()), digest(&fs::read(&file).unwrap()));
    // Each blob is in it once.
    let bytes = fs::read(&file).unwrap();
    let place = format!("blobs/sha256/{shared}");
    assert_eq!(bytes.windows(place.len()).filter(|window| *window == place.as_bytes()).count(), 1);
}

#[test]
fn an_image_that_breaks_off_or_was_swapped_leaves_no_bundle() {
    let (sandbox, web) = (Sandbox::new(), Web::new());
    let shared = serve_the_internet(&web);
    let folder = workspace(sandbox.path(), &web.address());
    let (mine, file) = (folder.to_str().unwrap(), sandbox.path().join("first.tar"));
    sandbox.kthw(&["artifacts", "pin", "-w", mine, "--yes"]).ended_with(0);
    let good = b"a layer that all of them share".as_slice();
    for page in [Page { cut: Some(5), ..Page::of(good) }, Page::of(b"a layer of somebody else's mak".as_slice())] {
        for (repository, _) in images() {
            web.serve(&format!("/v2/{repository}/blobs/sha256:{shared}"), page.clone());
        }
        let failed = sandbox.kthw(&["bundle", "make", "-w", mine, "-o", file.to_str().unwrap()]).ended_with(3).stderr;
        assert!(failed.contains("broke off after 5 bytes") || failed.contains("is not the file"), "{failed}");
        assert!(!file.exists());
        let cached = sandbox.path().join("store/current/artifacts/sha256").join(&shared);
        assert!(!cached.exists(), "what is wrong is not kept");
    }
    for (repository, _) in images() {
        web.serve(&format!("/v2/{repository}/blobs/sha256:{shared}"), Page::of(good));
    }
    sandbox.kthw(&["bundle", "make", "-w", mine, "-o", file.to_str().unwrap()]).ended_with(0);
}

#[test]
fn a_package_that_is_missing_or_was_swapped_leaves_no_bundle() {
    let (sandbox, web) = (Sandbox::new(), Web::new());
    serve_the_internet(&web);
    let folder = workspace(sandbox.path(), &web.address());
    let (mine, file) = (folder.to_str().unwrap(), sandbox.path().join("first.tar"));
    sandbox.kthw(&["artifacts", "pin", "-w", mine, "--yes"]).ended_with(0);
    let make = |more: &[&str]| sandbox.kthw(&[&["bundle", "make", "-w", mine, "-o", file.to_str().unwrap()], more].concat());
    let refused = |said: crate::support::Said, code: i32, words: &[&str]| {
        let said = said.ended_with(code).stderr;
        assert!(words.iter().all(|word| said.contains(word)) && !file.exists(), "{said}");
    };
    let swap = |path: &str, text: &str| web.serve(path, Page::of(text));

    refused(make(&["--package", "nfs-common"]), 2, &["no repository of the workspace has nfs-common", "packages.distribution"]);
    serve_packages(&web, "/packages/distribution-1", "dists/noble/", "main/binary-amd64/", &OF_UBUNTU[1..6]);
    refused(make(&[]), 2, &["conntrack", "libc6, which socat needs"]);
    serve_packages(&web, "/packages/kubernetes", "", "", &[("kubelet", "Version: 1.36.4-1.1")]);
    refused(make(&[]), 2, &["kubelet (= 1.36.3-1.1); there are 1.36.4-1.1"]);
    // A package that is not the index's, an index that is not the signed file's, and no signed file.
    serve_all_packages(&web);
    swap("/packages/kubernetes/pool/kubeadm+1~2.deb", "the package KUBEADM");
    refused(make(&[]), 3, &["kubeadm+1~2.deb", "is not the file"]);
    serve_all_packages(&web);
    swap("/packages/kubernetes/Packages", "Package: kubelet\n");
    // An index that has come stays, as all else does.
    fs::remove_dir_all(sandbox.path().join("store/current/artifacts")).unwrap();
    refused(make(&[]), 3, &["/packages/kubernetes/Packages", "is not the file"]);
    serve_all_packages(&web);
    web.serve("/packages/kubernetes/InRelease", Page { status: 404, ..Page::of("no") });
    refused(make(&[]), 3, &["it has neither InRelease nor"]);
    serve_all_packages(&web);
    make(&[]).ended_with(0);

    // Without the distribution's repositories nodes take the rest from their own.
    fs::remove_file(&file).unwrap();
    let text = fs::read_to_string(folder.join("workspace.yaml")).unwrap();
    fs::write(folder.join("workspace.yaml"), text.split("  distribution:").next().unwrap()).unwrap();
    let made = make(&[]).ended_with(0);
    assert!(made.stdout.contains(" 5 packages, "), "{}", made.stdout);
    let left =
        "Not in it, so nodes take them from their own sources: conntrack, containerd, ethtool, iptables (>= 1.4.21), socat, util-linux.";
    assert!(made.stderr.contains(left) && made.stderr.contains("packages.distribution"), "{}", made.stderr);
    assert!(sandbox.kthw(&["bundle", "show", file.to_str().unwrap()]).ended_with(0).stdout.contains(left));
    // Those of dnf and zypper are not put into bundles yet.
    web.serve("/images/rocky-9/noble.img", Page::of(IMAGE));
    let rocky = ["distribution=rocky", "release=9", "packages.containerd_repository={url: http://a.test/, key: K}"];
    let rocky: Vec<&str> = rocky.into_iter().flat_map(|set| ["--set", set]).collect();
    sandbox.kthw(&[&["artifacts", "pin", "-w", mine, "--yes"], &rocky[..]].concat()).ended_with(0);
    let said = make(&rocky).ended_with(0);
    assert!(said.stdout.contains(" 0 packages, ") && said.stderr.contains("with apt alone so far"), "{}", said.stderr);
}

#[test]
fn what_recipes_install_is_what_a_bundle_looks_for() {
    let sandbox = Sandbox::new();
    let settings = [
        &["--set", "network.ntp=[10.0.0.1]", "--set", "updates={policy: security, unattended: true}"][..],
        &["--set", "containerd.package=containerd.io", "--set", "packages.containerd_repository={url: http://a.test/, key: KEY}"],
        &[],
    ];
    for (name, recipe) in [("ubuntu", "ubuntu/full"), ("debian", "debian/full"), ("current", "current/full")] {
        for set in settings {
            let call = ["run", recipe, "-w", &format!("workspaces/{name}"), "--lab", "--dry-run"];
            let plan = sandbox.kthw(&[&call[..], set].concat()).ended_with(0).stdout;
            let installed = plan.lines().filter_map(|line| line.trim().strip_prefix("+ ssh.package/")?.split_once('/'));
            let installed: std::collections::BTreeSet<&str> = installed.map(|(_, name)| name).collect();
            let mut workspace: kthw_stdlib::workspace::Workspace =
                serde_saphyr::from_str(&fs::read_to_string(root().join(format!("workspaces/{name}/workspace.yaml"))).unwrap()).unwrap();
            if set.iter().any(|word| word.contains("ntp")) {
                workspace.network.ntp = vec!["10.0.0.1".parse().unwrap()];
                let policy = kthw_stdlib::workspace::UpdatePolicy::Security;
                workspace.updates = Some(kthw_stdlib::workspace::Updates { policy, unattended: true });
            }
            if set.iter().any(|word| word.contains("containerd.io")) {
                workspace.containerd.package = "containerd.io".into();
            }
            let wanted = kthw_stdlib::bundle::wanted_packages(&workspace);
            assert_eq!(installed, wanted.iter().map(|one| one.name.as_str()).collect(), "{name} {set:?}");
        }
    }
}

#[test]
fn the_distributions_repositories_are_there_before_the_first_package() {
    let sandbox = Sandbox::new();
    let set = "packages.distribution=[{url: 'http://m.lab/ubuntu/', suite: noble, components: [main], key: KEY}, {url: 'http://m.lab/own/', key: K2}]";
    let run =
        |more: &str| sandbox.kthw(&["run", "ubuntu/full", "-w", "workspaces/ubuntu", "--lab", "--set", set, more]).ended_with(0).stdout;
    let plan = run("--dry-run");
    let place = |what: &str| plan.find(&format!("+ {what}\n")).unwrap_or_else(|| panic!("{what}: {plan}"));
    let order = ["ssh.repository/cu1/distribution-1", "ssh.repository/cu1/distribution-2", "ssh.package/cu1/conntrack"].map(place);
    assert!(order.is_sorted(), "{plan}");
    run("--yes");
    assert!(run("--yes").contains("Nothing to change"));
}

const CONTAINERD: Peer = built(&["bin/containerd"]);
const CTR: Peer = built(&["bin/ctr"]);

/// A containerd of its own, with nothing but its stores, that ends with its owner.
struct Containerd {
    process: Child,
    ctr: PathBuf,
    socket: PathBuf,
}

impl Containerd {
    fn start(folder: &Path, containerd: &Path, ctr: PathBuf) -> Self {
        let (file, socket) = (folder.join("containerd.toml"), folder.join("containerd.sock"));
        let place = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "version = 3\nroot = '{}'\nstate = '{}'\ndisabled_plugins = ['io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = '{}'\n[ttrpc]\naddress = '{}'\n",
            place("root"),
            place("state"),
            socket.display(),
            place("containerd.sock.ttrpc"),
        );
        fs::write(&file, config).unwrap();
        let log = fs::File::create(folder.join("containerd.log")).unwrap();
        let process = std::process::Command::new(containerd).arg("--config").arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let started = Self { process, ctr, socket };
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while started.ctr(&["version"]).0 != Some(0) {
            let log = || fs::read_to_string(folder.join("containerd.log")).unwrap();
            assert!(std::time::Instant::now() < until, "containerd does not answer\n{}", log());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        started
    }

    fn ctr(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = std::process::Command::new(&self.ctr).arg("--address").arg(&self.socket).args(arguments).output().unwrap();
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_real_containerd_pulls_from_a_bundle_and_imports_it() {
    let Some([containerd, ctr]) = ask([&CONTAINERD, &CTR]) else { return };
    let (sandbox, web) = (Sandbox::new(), Web::new());
    let shared = serve_the_internet(&web);
    let folder = workspace(sandbox.path(), &web.address());
    let (mine, file) = (folder.to_str().unwrap(), sandbox.path().join("first.tar"));
    sandbox.kthw(&["artifacts", "pin", "-w", mine, "--yes"]).ended_with(0);
    sandbox.kthw(&["bundle", "make", "-w", mine, "-o", file.to_str().unwrap()]).ended_with(0);
    web.end();
    let server = Server::start(&sandbox, &file);
    // As `kubeadm::registry_mirror` writes it for containerd, with a registry behind it that is not there.
    let hosts = sandbox.path().join("hosts");
    for registry in ["registry.k8s.io", "quay.io"] {
        fs::create_dir_all(hosts.join(registry)).unwrap();
        let text = format!("server = \"http://127.0.0.1:1\"\n\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n", server.address);
        fs::write(hosts.join(registry).join("hosts.toml"), text).unwrap();
    }
    let pulling = Containerd::start(&tempfile::tempdir_in(sandbox.path()).unwrap().keep(), &containerd, ctr.clone());
    for name in ["registry.k8s.io/coredns/coredns:v1.14.2", "registry.k8s.io/pause:3.10.2", "quay.io/calico/node:v3.32.1"] {
        let (code, said) = pulling.ctr(&["content", "fetch", "--hosts-dir", hosts.to_str().unwrap(), name]);
        assert_eq!(code, Some(0), "{name}: {said}");
    }
    let (_, content) = pulling.ctr(&["content", "ls", "-q"]);
    assert!(content.contains(&shared), "{content}");
    let (code, said) = pulling.ctr(&["content", "fetch", "--hosts-dir", hosts.to_str().unwrap(), "registry.k8s.io/etcd:1.0.0"]);
    assert!(code != Some(0) && said.contains("not found"), "{said}");

    let importing = Containerd::start(&tempfile::tempdir_in(sandbox.path()).unwrap().keep(), &containerd, ctr);
    let (code, said) = importing.ctr(&["images", "import", "--local", "--no-unpack", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let (_, names) = importing.ctr(&["images", "ls", "-q"]);
    for (repository, tag) in images() {
        assert!(names.lines().any(|name| name.ends_with(&format!("/{repository}:{tag}"))), "{repository}: {names}");
    }
}
