//! A cluster that is made of a bundle alone: on booted hosts, with every source cut off.
use crate::peers_support::{Ends, World};
use kthw_peers::{HOSTS, KUBERNETES, TEST_DATA, ask};
use std::{
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    process::Stdio,
    time::Duration,
};

const NODES: [(&str, &str, u32); 2] = [("cp1", "control_plane", 1), ("wp1", "worker", 2)];
/// What a world serves: the relay to the distribution's packages, Kubernetes' packages, and a registry.
const SOURCES: [u32; 3] = [3142, 8080, 5000];

/// A registry whose images of Calico are the pause image, because Calico's own cannot be had; no pod asks for them here. The rest is the world's.
const DOCKER_HUB: &str = r#"
import http.server, re
class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = re.sub("^/v2/calico/[^/]+/(manifests/)v[0-9.]+$", r"/v2/pause/\g<1>3.10.2", self.path)
        self.send_response(307)
        self.send_header("Location", "http://10.77.0.1:5000" + path)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("10.77.0.1", 8097), Hub).serve_forever()
"#;

#[test]
fn a_cluster_comes_from_a_bundle_with_every_source_cut_off() {
    let Some(_) = ask([&HOSTS, &KUBERNETES, &TEST_DATA]) else { return };
    let mut world = World::up("bundle");
    for (name, _, number) in NODES {
        world.host(number, name);
    }
    let workspace = world.workspace("1.36.3", "containerd.io", &NODES, false);
    let file = Path::new(&workspace).join("workspace.yaml");
    let told = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with_sources(&world, &told, "bookworm")).unwrap();
    let hub = world.beside(&["python3", "-c", DOCKER_HUB]);
    let bundle = world.sandbox.path().join("peers.tar").to_string_lossy().into_owned();
    make(&mut world, &workspace, &bundle, &["containerd.io 2.4", "conntrack 1:", "iptables 1.8", "packages/distribution-1 bookworm main"]);
    drop(hub);

    cut_off(&world, &NODES);
    // The computer at the site has nothing yet of what the other one fetched.
    std::fs::remove_dir_all(world.sandbox.path().join("store/peers/artifacts")).unwrap();
    let log = world.sandbox.path().join("requests");
    let (server, printed) = serve(&world, &bundle, "10.77.0.1:8099", &log);
    let site = of_the_site(&told, &printed, "containerd.io");
    std::fs::write(&file, &site).unwrap();

    // A machine has lists of its image's sources, or none yet.
    world.inside(2, &["sh", "-c", "rm -rf /var/lib/apt/lists/*"]).ended_with(0);
    what_was_changed_on_the_way_is_refused(&world, &file, &site, &bundle);

    let run = |more: &[&str]| world.kthw(&[&["run", "recipes/debian/full.rhai", "-w", workspace.as_str()], more].concat());
    run(&["--yes"]).ended_with(0);
    let kubectl = |arguments: &[&str]| {
        world.inside(1, &[&["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"], arguments].concat()).ended_with(0).stdout
    };
    let nodes = kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ") && line.contains("v1.36.3")).count(), 2, "{nodes}");
    kubectl(&["wait", "-n", "kube-system", "--for=condition=Ready", "pod", "--all", "--timeout=180s"]);
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    // Everything came from it, and nothing else answered.
    let requests = std::fs::read_to_string(&log).unwrap().replace("/./", "/");
    for taken in [
        "/packages/kubernetes/InRelease",
        "/packages/kubernetes/amd64/kubelet_1.36.3-1.1_amd64.deb",
        "/packages/kubernetes/amd64/kubernetes-cni_",
        "/packages/containerd/amd64/containerd.io_",
        "/packages/distribution-1/dists/bookworm/InRelease",
        "/packages/distribution-1/pool/main/c/conntrack-tools/conntrack_",
        "/calico/v3.28.0/tigera-operator.yaml",
        "/v2/kube-apiserver/manifests/",
        "/v2/coredns/coredns/blobs/",
        "/v2/tigera/operator/blobs/",
    ] {
        assert!(requests.lines().any(|line| line.contains(&format!("200 GET {taken}"))), "{taken}\n{requests}");
    }
    // apt asks for the smallest form of an index first, which is not in a bundle.
    let is_fine = |line: &&str| line.starts_with("200 ") || line.starts_with("206 ") || line.contains("/binary-amd64/");
    let odd: Vec<&str> = requests.lines().filter(|line| line.contains(" /") && !is_fine(line)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    for (_, _, number) in NODES {
        assert!(cut(&world, number), "the sources are still cut off");
    }
    drop(server);
}

/// Another apt, another program that verifies signatures, and containerd out of the distribution.
#[test]
fn a_node_of_debian_13_takes_its_packages_from_a_bundle() {
    let Some(_) = ask([&HOSTS, &KUBERNETES, &TEST_DATA]) else { return };
    let mut world = World::up("bundle-13");
    world.host_of_debian_13(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let file = Path::new(&workspace).join("workspace.yaml");
    let told = std::fs::read_to_string(&file).unwrap().replace("\ndistribution: debian\n", "\ndistribution: debian\nrelease: '13'\n");
    let own = told.find("  containerd_repository:").unwrap()..told.find("\ncontainerd:").unwrap();
    let told = format!("{}{}", &told[..own.start], &told[own.end..]);
    std::fs::write(&file, with_sources(&world, &told, "trixie")).unwrap();
    let hub = world.beside(&["python3", "-c", DOCKER_HUB]);
    let bundle = world.sandbox.path().join("peers.tar").to_string_lossy().into_owned();
    make(&mut world, &workspace, &bundle, &["containerd 1.7", "runc 1.", "conntrack 1:", "packages/distribution-1 trixie main"]);
    drop(hub);

    cut_off(&world, &NODES[..1]);
    world.inside(1, &["sh", "-c", "rm -rf /var/lib/apt/lists/*"]).ended_with(0);
    let (_server, printed) = serve(&world, &bundle, "10.77.0.1:8099", &world.sandbox.path().join("requests"));
    std::fs::write(&file, of_the_site(&told, &printed, "containerd")).unwrap();
    let run = || world.kthw(&["run", "tests/recipes/nodes.rhai", "-w", &workspace, "--yes"]).ended_with(0).stdout;
    run();
    assert!(run().contains("Nothing to change"));
    world.inside(1, &["sh", "-c", "dpkg -s kubelet kubeadm kubectl containerd runc conntrack >/dev/null && apt-get update -qq -o Dir::Etc::SourceList=/dev/null"]).ended_with(0);
}

/// The workspace at the site: what `serve` printed is in place of the sources.
fn of_the_site(told: &str, printed: &str, containerd: &str) -> String {
    let own = without(told, &["packages", "containerd", "artifacts"]).replace("  image_repository: 10.77.0.1:5000\n", "");
    format!("{own}{}", printed.replace("\ncontainerd:\n", &format!("\ncontainerd:\n  package: {containerd}\n")))
}

/// The workspace where there is a way to everything: the world's registry and repositories stand for upstream's, the relay for the way to Debian's.
fn with_sources(world: &World, told: &str, suite: &str) -> String {
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]).ended_with(0).stdout;
    let mirror = inside("sed -n 's/^deb \\([^ ]*\\) .*/\\1/p' /etc/apt/sources.list");
    let keyring = format!("/usr/share/keyrings/debian-archive-{suite}-automatic.gpg");
    let key = inside(&format!("gpg --batch --no-default-keyring --keyring {keyring} --armor --export 2>/dev/null"));
    let distribution = format!(
        "  distribution:\n    - url: {}\n      suite: {suite}\n      components: [main]\n      key: |\n        {}\n",
        mirror.trim(),
        key.trim().replace('\n', "\n        "),
    );
    told.replace("\npackages:\n", &format!("\npackages:\n{distribution}"))
        .replace("    \"10.77.0.1:5000\": ", "    registry.k8s.io: ")
        .replace("    docker.io: http://10.77.0.1:5000", "    docker.io: http://10.77.0.1:8097")
        .replace("  image_repository: 10.77.0.1:5000\n", "")
}

/// Makes the bundle twice, and looks at it.
fn make(world: &mut World, workspace: &str, bundle: &str, in_it: &[&str]) {
    world.more.insert("http_proxy".into(), world.value("APT_PROXY").into());
    world.more.insert("no_proxy".into(), "10.77.0.1".into());
    let sum = |file: &str| {
        let made = world.kthw(&["bundle", "make", "-w", workspace, "-o", file]).ended_with(0);
        assert!(!made.stderr.contains("Not in it"), "{}", made.stderr);
        made.stdout.split_once("sha256 ").unwrap().1.trim().to_owned()
    };
    let (first, second) = (sum(bundle), sum(&format!("{bundle}.second")));
    assert_eq!(first, second, "the same inputs make the same bytes");
    std::fs::remove_file(format!("{bundle}.second")).unwrap();
    world.more.clear();
    let shown = world.kthw(&["bundle", "show", bundle, "--verify"]).ended_with(0).stdout;
    for line in in_it.iter().chain(&["kubelet 1.36.3-1.1", "Every digest is right."]) {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("1.37.2"), "other versions stay out: {shown}");
}

/// Ends everything that the world serves.
fn cut_off(world: &World, nodes: &[(&str, &str, u32)]) {
    assert!(!cut(world, 1), "the sources are there at first");
    let pid = std::fs::read_to_string(Path::new(world.value("KTHW_WORLD")).join("serve.pid")).unwrap();
    let pid = pid.split_whitespace().next().unwrap();
    assert!(std::process::Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap().success());
    let begun = std::time::Instant::now();
    while !nodes.iter().all(|(_, _, number)| cut(world, *number)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the world's sources still answer");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether all that the world served refuses this host.
fn cut(world: &World, number: u32) -> bool {
    let refused =
        |port: u32| world.inside(number, &["bash", "-c", &format!("exec 3<>/dev/tcp/10.77.0.1/{port}")]).stderr.contains("refused");
    SOURCES.into_iter().all(refused)
}

/// Serves a bundle, and returns what it prints of a workspace. Its requests go into `log`.
fn serve(world: &World, bundle: &str, listen: &str, log: &Path) -> (Ends, String) {
    let mut command = world.kthw_command(&["bundle", "serve", bundle, "--listen", listen]);
    let mut process = Ends(command.stdout(Stdio::piped()).stderr(std::fs::File::create(log).unwrap()).spawn().unwrap());
    let mut reader = BufReader::new(process.0.stdout.take().unwrap());
    let mut said = String::new();
    while reader.read_line(&mut said).unwrap() > 0 && !said.ends_with("\n\n") {}
    said.clear();
    while reader.read_line(&mut said).unwrap() > 0 && !said.lines().last().unwrap().starts_with("        - { url:") {}
    assert!(said.contains("packages:") && said.contains("  distribution:"), "{said}");
    (process, said)
}

/// The text without these blocks.
fn without(text: &str, blocks: &[&str]) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = blocks.iter().any(|block| line.starts_with(&format!("{block}:")));
        }
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// One byte of a package, and one of a signed file, in the bundle's file.
fn what_was_changed_on_the_way_is_refused(world: &World, workspace: &Path, site: &str, bundle: &str) {
    let changed = format!("{bundle}.changed");
    std::fs::write(workspace, site.replace(":8099", ":8098")).unwrap();
    let body = "let from = ssh::repository(node, \"kubernetes\", kubeadm::repository(cluster)); ssh::package(node, \"kubectl\", #{ version: kubeadm::package_version(cluster), needs: [from] });";
    let recipe = super::super::peers::recipe(world, "changed", body);
    for (name, at, told) in [
        ("packages/kubernetes/InRelease", 80, ["packages/kubernetes", "BADSIG"]),
        ("packages/kubernetes/amd64/kubectl_1.36.3-1.1_amd64.deb", 5000, ["Hashes of expected file", "Hashes of received file"]),
    ] {
        std::fs::copy(bundle, &changed).unwrap();
        change(&changed, name, at);
        let refused = world.kthw(&["bundle", "show", &changed, "--verify"]).ended_with(2).stderr;
        assert!(refused.contains("was changed"), "{refused}");
        let (server, _) = serve(world, &changed, "10.77.0.1:8098", &world.sandbox.path().join("changed-requests"));
        let refused = world
            .kthw(&["run", &recipe, "-w", &workspace.parent().unwrap().to_string_lossy(), "--yes", "--node", "cp1"])
            .ended_with(3)
            .stderr;
        assert!(told.iter().all(|word| refused.contains(word)), "{refused}");
        world.inside(1, &["sh", "-c", "! dpkg -s kubectl 2>/dev/null"]).ended_with(0);
        drop(server);
    }
    std::fs::remove_file(&changed).unwrap();
    std::fs::write(workspace, site).unwrap();
}

/// Turns one byte of a file in a tar into another.
fn change(tar: &str, name: &str, at: u64) {
    let mut file = std::fs::File::options().read(true).write(true).open(tar).unwrap();
    let (mut head, mut begin) = ([0; 512], 0);
    while !head.starts_with(format!("{name}\0").as_bytes()) {
        file.seek(SeekFrom::Start(begin)).unwrap();
        file.read_exact(&mut head).unwrap();
        let size = std::str::from_utf8(&head[124..135]).unwrap();
        let size = u64::from_str_radix(size, 8).unwrap_or_else(|_| panic!("{name} is not in {tar}, up to {begin}"));
        begin += 512 + size.next_multiple_of(512);
    }
    let size = u64::from_str_radix(std::str::from_utf8(&head[124..135]).unwrap(), 8).unwrap();
    let (mut byte, place) = ([0], SeekFrom::Start(begin - size.next_multiple_of(512) + at));
    file.seek(place).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(place).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}
