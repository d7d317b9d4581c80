//! The law of every recipe against real peers: a dry run writes nothing; apply; again: nothing to change.
use crate::peers_support::World;
use kthw_peers::{FAKEPVE, HOSTS, KUBERNETES, ask};
use kthw_stdlib::distribution::{CLEAN, ENABLE_AGENT};

const NODES: [(&str, &str, u32); 3] = [("cp1", "control_plane", 1), ("wp1", "worker", 2), ("wp2", "worker", 3)];

#[test]
fn proxmox_template_and_machines() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let mut world = World::up("pve");
    world.learn(&["pve", "--no-hosts"]);
    let workspace = world.workspace("1.36.3", "containerd", &NODES, true);
    let kthw = |verb: &str, more: &[&str]| {
        let mut command = world.sandbox.command(&[&[verb, "tests/recipes/virtual-machines.rhai", "-w", workspace.as_str()], more].concat());
        command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
        command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
        crate::support::said(command.output().unwrap())
    };
    let run = |more: &[&str]| kthw("run", more);

    let planned = run(&["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("Plan: 4 to create, 0 unchanged."), "{}", planned.stdout);
    assert_eq!(world.pve_writes(), 0, "a dry run writes nothing");

    run(&["--yes"]).ended_with(0);
    let states = world.pve("{str(vm.vmid): vm.status for vm in pve.vms}");
    for vmid in ["401", "402", "403"] {
        assert_eq!(states[vmid], "running", "{states}");
    }
    let addresses = world.pve("[vm.config['ipconfig0'] for vm in sorted(pve.vms, key=lambda vm: vm.vmid) if vm.vmid in (401, 402, 403)]");
    assert_eq!(
        addresses,
        serde_json::json!(["ip=10.77.0.11/24,gw=10.77.0.1", "ip=10.77.0.12/24,gw=10.77.0.1", "ip=10.77.0.13/24,gw=10.77.0.1"])
    );

    // A second network card, in requests that Proxmox' own schema allows; a workspace that does not name it leaves it.
    let storage = [
        "--set",
        "network.more=[{name: storage, range: 10.30.0.0/24, bridge: vmbr1, vlan: 30, mtu: 9000}]",
        "--set",
        "nodes.wp1.networks={storage: 10.30.0.12}",
    ];
    let planned = run(&[&["--dry-run"][..], &storage].concat()).ended_with(0);
    assert!(planned.stdout.contains("network storage: none -> vmbr1, VLAN 30, MTU 9000"), "{}", planned.stdout);
    run(&[&["--yes"][..], &storage].concat()).ended_with(0);
    let card = "[[c.get('net1', '').split(',', 1)[-1], c.get('ipconfig1')] for c in ({**vm.config, **vm.pending} for vm in pve.vms if vm.vmid == 402)]";
    let card = world.pve(card);
    assert_eq!(card, serde_json::json!([["bridge=vmbr1,mtu=9000,tag=30", "ip=10.30.0.12/24"]]));
    let again = run(&[&["--yes"][..], &storage].concat()).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    let writes = world.pve_writes();
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change: all 4 resources are as declared."), "{}", again.stdout);

    let more_cores = run(&["--dry-run", "--set", "machine.cores=4"]).ended_with(0);
    let differing: Vec<&str> = more_cores.stdout.lines().filter(|line| line.starts_with("      ")).map(str::trim).collect();
    assert_eq!(differing.len(), 3, "{}", more_cores.stdout);
    assert!(differing.iter().all(|line| line.starts_with("cores: 2 -> 4")), "{differing:?}");
    assert_eq!(world.pve_writes(), writes, "neither a settled run nor a dry run writes");

    // Taken back: all of ours, and nothing of others.
    world.pve("pve.add_vm(499, 'payroll', config={'cores': 8}) and None");
    let planned = kthw("destroy", &["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("4 to delete"), "{}", planned.stdout);
    kthw("destroy", &[]).ended_with(2);
    assert_eq!(world.pve_writes(), writes, "nothing goes in a dry run or before the workspace's name was typed");
    kthw("destroy", &["--confirm", "peers"]).ended_with(0);
    assert_eq!(world.pve("[vm.vmid for vm in pve.vms]"), serde_json::json!([499]));
    let again = kthw("destroy", &[]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

#[test]
fn a_foreign_machine_is_refused_and_left_alone() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let mut world = World::up("foreign");
    world.learn(&["pve", "--no-hosts"]);
    world.pve("pve.add_vm(402, 'payroll', config={'cores': 8}) and None");
    let workspace = world.workspace("1.36.3", "containerd", &NODES, true);
    let mut command = world.sandbox.command(&["run", "tests/recipes/virtual-machines.rhai", "-w", &workspace, "--yes"]);
    command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
    command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
    let said = crate::support::said(command.output().unwrap());
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("402") && said.stderr.contains("payroll"), "{}", said.stderr);
    let writes: Vec<_> = world.pve_requests().into_iter().filter(|(method, path)| method != "GET" && path.contains("/qemu/402")).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn nodes_are_prepared_settled_and_repaired() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("nodes");
    for (name, _, number) in NODES {
        world.host(number, name);
    }
    let workspace = world.workspace("1.36.3", "containerd", &NODES, false);
    let run = |more: &[&str]| world.kthw(&[&["run", "tests/recipes/nodes.rhai", "-w", workspace.as_str()], more].concat());

    let asked = run(&[]).ended_with(2);
    assert!(asked.stdout.contains("to create") && asked.stderr.contains("--yes"), "nobody to ask: {}", asked.stderr);

    run(&["--yes"]).ended_with(0);
    assert_eq!(world.inside(2, &["sysctl", "-n", "net.ipv4.ip_forward"]).stdout.trim(), "1");
    assert_eq!(runtime(&world, 3), "1.6");
    assert!(world.inside(1, &["apt-mark", "showhold"]).stdout.contains("kubeadm"));

    let execs = || (1..=3).map(|number| sessions(&world, number)).collect::<Vec<_>>();
    let before = execs();
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    for (before, after) in before.iter().zip(execs()) {
        assert!(after - before <= 2, "a settled node costs at most two execs, not {}", after - before);
    }

    world.inside(2, &["sh", "-c", "sed -i 's/^127.0.0.1 localhost$/127.0.0.1 elsewhere/' /etc/hosts"]).ended_with(0);
    let planned = run(&["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("~ ssh.file/wp1/etc/hosts"), "{}", planned.stdout);
    assert!(planned.stdout.contains("-127.0.0.1 elsewhere") && planned.stdout.contains("+127.0.0.1 localhost"), "{}", planned.stdout);
    run(&["--yes"]).ended_with(0);
    assert!(world.inside(2, &["cat", "/etc/hosts"]).stdout.starts_with("127.0.0.1 localhost\n"));

    world.inside(3, &["sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh"]).ended_with(0);
    let refused = run(&["--dry-run"]).ended_with(3);
    assert!(refused.stderr.contains("wp2") && refused.stderr.to_lowercase().contains("host key"), "{}", refused.stderr);
}

#[test]
fn a_node_of_debian_13_is_prepared_and_settled() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("debian-13");
    world.host_of_debian_13(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let release = ["--set", "release=13", "--set", "packages.containerd_repository=null"];
    let run = |more: &[&str]| world.kthw(&[&["run", "tests/recipes/nodes.rhai", "-w", workspace.as_str()], &release[..], more].concat());

    run(&["--yes"]).ended_with(0);
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    assert_eq!(runtime(&world, 1), "1.7");

    world.restart(1);
    let again = run(&["--dry-run"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "after a start: {}", again.stdout);
    assert_eq!(runtime(&world, 1), "1.7");
}

/// Asks a host's containerd over CRI whether it is up, and for its minor version.
fn runtime(world: &World, number: u32) -> String {
    let said = world.inside(number, &["crictl", "info"]).ended_with(0);
    let info: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout));
    let conditions = info["status"]["conditions"].as_array().unwrap_or_else(|| panic!("{info}"));
    let ready = conditions.iter().find(|condition| condition["type"] == "RuntimeReady").unwrap_or_else(|| panic!("{info}"));
    assert_eq!(ready["status"], true, "{info}");
    let version = world.inside(number, &["crictl", "version"]).ended_with(0).stdout;
    let version = version.lines().find_map(|line| line.strip_prefix("RuntimeVersion:")).unwrap_or_else(|| panic!("{version}"));
    version.trim().trim_start_matches('v').split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A recipe in a file of its own that opens every node and declares this on it.
fn recipe(world: &World, name: &str, body: &str) -> String {
    let path = world.sandbox.path().join(format!("{name}.rhai"));
    let text = format!(
        "const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n    for node in cluster.nodes {{\n        ssh::node(node);\n        {body}\n    }}\n}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn packages_are_installed_on_machines_as_people_have_them() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("as-they-are");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    run("open", "").ended_with(0);

    // Another source names another key for the same address: apt would read no source at all any more.
    let (url, key) = (world.value("REPOSITORY_URL"), std::fs::read_to_string(world.value("REPOSITORY_KEY_FILE")).unwrap());
    let repository = format!("ssh::repository(node, \"ours\", #{{ url: \"{url}\", key: `{}` }});", key.trim());
    inside(&format!("echo 'deb [signed-by=/etc/apt/keyrings/theirs.gpg] {url} ./' >/etc/apt/sources.list.d/theirs.list")).ended_with(0);
    let refused = run("two-keys", &repository).ended_with(3);
    assert!(refused.stderr.contains("another source has the same address with another key"), "{}", refused.stderr);
    assert!(refused.stderr.contains("theirs.list"), "{}", refused.stderr);
    inside("test ! -e /etc/apt/sources.list.d/ours.sources && apt-get indextargets >/dev/null && rm /etc/apt/sources.list.d/theirs.list")
        .ended_with(0);

    // The lock of the lists, which apt itself does not wait for.
    let lock =
        "use Fcntl; open(F, q(>>/var/lib/apt/lists/lock)); fcntl(F, F_SETLK, pack(q(s s l! l! i), F_WRLCK, 0, 0, 0, 0)) or die; sleep 12";
    inside(&format!("systemd-run --quiet perl -e '{lock}' && sleep 1")).ended_with(0);
    run("lists", &repository).ended_with(0);

    // Somebody's source that apt cannot read.
    inside("echo deb >/etc/apt/sources.list.d/broken.list; ! apt-get indextargets >/dev/null 2>&1").ended_with(0);
    let shown = run("broken-source", "ssh::package(node, \"tree\");").ended_with(0);
    assert!(shown.stderr.contains("left out, because apt cannot read it: /etc/apt/sources.list.d/broken.list"), "{}", shown.stderr);
    inside("dpkg -s tree >/dev/null && rm /etc/apt/sources.list.d/broken.list").ended_with(0);

    // Docker's packages, which Debian's containerd would push out.
    let docker = r#"
        make() {
            mkdir -p "/tmp/$1/DEBIAN"
            printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x\n%bDescription: x\n' "$1" "$2" >"/tmp/$1/DEBIAN/control"
            dpkg-deb -b "/tmp/$1" "/tmp/$1.deb" >/dev/null
        }
        make containerd.io 'Conflicts: containerd, runc\nReplaces: containerd, runc\nProvides: containerd, runc\n'
        make docker-ce 'Depends: containerd.io\n'
        dpkg -i /tmp/containerd.io.deb /tmp/docker-ce.deb"#;
    inside(docker).ended_with(0);
    let refused = run("docker", "ssh::package(node, \"containerd\");").ended_with(3);
    assert!(refused.stderr.contains("would remove") && refused.stderr.contains("docker-ce"), "{}", refused.stderr);
    inside("dpkg -s docker-ce containerd.io >/dev/null").ended_with(0);
}

/// apt, against a repository in a folder of the host.
#[test]
fn updates_are_installed_as_the_policy_says_with_apt() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("updates-apt");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    let updates = |policy: &str, more: &str| {
        let body = recipe(&world, "updates", "kubernetes::node_updated(cluster, node, #{});");
        world.kthw(&["run", &body, "-w", &workspace, "--set", &format!("updates={{policy: {policy}}}"), more])
    };
    let archive = r#"
        mkdir -p /srv/deb && cd /srv/deb
        make() {
            mkdir -p "/tmp/$1/DEBIAN"
            printf 'Package: %s
Version: %s
Architecture: all
Maintainer: x
Description: x
' "$1" "$2" >"/tmp/$1/DEBIAN/control"
            dpkg-deb -b "/tmp/$1" "$1.deb" >/dev/null
            dpkg-deb -f "$1.deb"; printf 'Filename: ./%s.deb
Size: %s
SHA256: %s

' "$1" "$(stat -c %s "$1.deb")" "$(sha256sum "$1.deb" | cut -d' ' -f1)"
        }
        { make thing 1; make stays 1; } >Packages
        dpkg -i thing.deb stays.deb >/dev/null && apt-mark hold stays >/dev/null
        { make thing 2; make stays 2; } >Packages
        rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
        echo 'deb [trusted=yes] copy:/srv/deb ./' >/etc/apt/sources.list.d/updates.list"#;
    inside(archive).ended_with(0);
    let installed = || inside("dpkg-query -W -f='${Package} ${Version} ' thing stays").stdout;
    world.kthw(&["run", &recipe(&world, "open", ""), "-w", &workspace, "--yes"]).ended_with(0);

    let planned = updates("all", "--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package lists: older than a day -> fetched"), "{}", planned.stdout);
    updates("security", "--yes").ended_with(0);
    assert_eq!(installed(), "stays 1 thing 1 ", "the archive has nothing for security");
    let planned = updates("all", "--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package thing: 1 -> 2") && !planned.stdout.contains("stays"), "{}", planned.stdout);
    updates("all", "--yes").ended_with(0);
    assert_eq!(installed(), "stays 1 thing 2 ", "what is held stays");
    let again = updates("all", "--dry-run").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

/// `key NAME [OPTION…]` makes the key that signs from then on and prints it.
const SIGNING_KEY: &str = r#"
    key() {
        NAME=$1; shift
        GNUPGHOME=$(mktemp -d /srv/gnupg.XXXXXX); export GNUPGHOME; ln -sfn "$GNUPGHOME" /srv/gnupg
        gpg --batch --quiet "$@" --quick-gen-key --passphrase '' "$NAME" rsa2048 sign 1y 2>/dev/null; gpg --armor --export 2>/dev/null
    }
"#;
/// A time in which the key of such a day had not expired yet.
const LONG_AGO: &str = "--faked-system-time 20240101T000000";

/// Makes packages and a signed repository of them on a host, with rpm's own programs: `make NAME VERSION MORE` a package, `sign [OPTION…]` signs what
/// is there.
const RPM_REPOSITORY: &str = r#"
    mkdir -p /srv/repo /etc/zypp/repos.d /etc/yum.repos.d && cd /srv
    make() {
        printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%b\n%%description\nx\n%%files\n' "$1" "$2" "$3" >"$1.spec"
        rpmbuild -bb --quiet --define '_topdir /srv/b' --define '_rpmdir /srv/repo' "$1.spec" >/dev/null 2>&1
    }
    sign() {
        export GNUPGHOME=/srv/gnupg
        name=$(gpg --list-keys --with-colons | sed -n 's/^uid:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p')
        for f in repo/noarch/*.rpm; do rpmsign --define "_gpg_name $name" --define '__gpg /usr/bin/gpg' --resign "$f" >/dev/null 2>&1; done
        createrepo_c -q repo && gpg --batch --yes "$@" --armor --detach-sign repo/repodata/repomd.xml
    }
"#;

/// Options of `ssh::repository` with these keys.
fn with_keys(url: &str, keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("#{{ key: `{}` }}", key.trim())).collect();
    format!("let ours = ssh::repository(node, \"ours\", #{{ url: \"{url}\", keys: [{}] }});", keys.join(", "))
}

/// Debian's builds of dnf, zypper and rpm, against a repository that the test makes. What each of them did is read back by itself.
fn packages_of_rpm(distribution: &str, upgrade: &str, held: &str, theirs: &str, takes_expired: bool) {
    let Some(_) = ask([&HOSTS]) else { return };
    let clean = "dnf -q clean all; zypper --quiet clean --all";
    let (program, with_1_2) = match distribution {
        "suse" => ("zypper", "zypper --non-interactive install thing=1.2"),
        _ => ("dnf", "dnf -y install thing-1.2"),
    };
    let world = World::up(&format!("packages-{distribution}"));
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| {
        let set = format!("distribution={distribution}");
        world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--set", &set, "--yes"])
    };
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{SIGNING_KEY}{RPM_REPOSITORY}{script}")]);
    let installed = || inside("rpm -q --qf '%{VERSION}\\n' thing").stdout.trim().to_owned();
    let key = inside("key 'Test packages'; make thing 1.0; make thing 1.1; make thing 2.0; make runc 1.0; make other 1; sign")
        .ended_with(0)
        .stdout;
    // What is apt's is not there, as on such a machine.
    inside("chmod 0 /usr/bin/apt-get /usr/bin/apt-mark /usr/bin/dpkg-query").ended_with(0);
    let repository = format!("let ours = ssh::repository(node, \"ours\", #{{ url: \"file:///srv/repo/\", key: `{}` }});", key.trim());
    let package = |name: &str, options: &str| format!("{repository} ssh::package(node, \"{name}\", #{{ {options} needs: [ours] }});");

    let first = package("thing", "version: \"1.0\", hold: true,");
    run("first", &first).ended_with(0);
    assert_eq!(installed(), "1.0", "exactly, not the newest");
    assert!(inside(held).ended_with(0).stdout.contains("thing"), "held");
    let again = run("first", &first).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside(&format!("{upgrade} >/dev/null 2>&1; rpm -q thing-1.0")).ended_with(0);

    run("raised", &package("thing", "version: \"1.1-1\", hold: true,")).ended_with(0);
    assert_eq!(installed(), "1.1", "a lock of ours does not stop us");
    assert!(inside(held).ended_with(0).stdout.contains("thing"), "still held");
    let lowered = run("lowered", &package("thing", "version: \"1.0\", hold: true,")).ended_with(3);
    assert!(lowered.stderr.contains("lower"), "{}", lowered.stderr);
    assert_eq!(installed(), "1.1", "nothing is lowered");
    let absent = run("absent", &package("thing", "version: \"9\",")).ended_with(3);
    assert!(absent.stderr.contains("thing"), "{}", absent.stderr);
    run("let-go", &package("thing", "hold: false,")).ended_with(0);
    assert!(!inside(held).stdout.contains("thing"), "not held any more");

    // An installation that was killed while a script of the new package ran: rpm has both then, and the script has not ended.
    let scripted = "%%post\\n[ ! -e /srv/slow ] || sleep 300\\ntouch /srv/configured";
    inside(&format!("make sh 1 'Provides: /bin/sh'; make thing 1.2 '{scripted}'; sign; touch /srv/slow; {clean}")).ended_with(0);
    let killed = format!(
        "({with_1_2}) >/tmp/interrupted 2>&1 & for i in $(seq 600); do pgrep -x sleep >/dev/null && break; perl -e 'select undef, undef, undef, .1'; done
         pgrep -x sleep >/dev/null || cat /tmp/interrupted; pkill -KILL -x {program}; pkill -KILL -x rpm; pkill -KILL -x sleep; wait; rm /srv/slow; rpm -q thing"
    );
    assert_eq!(inside(&killed).stdout, "thing-1.1-1.noarch\nthing-1.2-1.noarch\n", "both are there");
    let finished = run("interrupted", &package("thing", "version: \"1.2\",")).ended_with(0);
    assert!(finished.stderr.contains("thing-1.1-1.noarch is still there beside its successor, and goes"), "{}", finished.stderr);
    assert_eq!(inside("rpm -q thing && ls /srv/configured").ended_with(0).stdout, "thing-1.2-1.noarch\n/srv/configured\n");
    let again = run("interrupted", &package("thing", "version: \"1.2\",")).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    run("runc", &package("runc", "")).ended_with(0);
    inside("make rival 1 'Conflicts: runc\\nObsoletes: runc < 5'; sign").ended_with(0);
    let rival = run("rival", &package("rival", "")).ended_with(3);
    assert!(rival.stderr.contains("would remove or lower runc"), "{}", rival.stderr);
    inside("rpm -q runc && ! rpm -q rival").ended_with(0);

    // Somebody's repository that cannot be reached is named and hinders nobody.
    inside(theirs).ended_with(0);
    let shown = run("other", &package("other", "")).ended_with(0);
    assert!(shown.stderr.contains("left out") && shown.stderr.contains("theirs"), "{}", shown.stderr);

    // Under a policy of updates what there is is raised, after the lists were fetched, and what is held stays.
    inside("make stays 1.0; sign").ended_with(0);
    run("stays", &package("stays", "hold: true,")).ended_with(0);
    inside("make stays 1.1; sign").ended_with(0);
    let updates = |more: &str| {
        let body = recipe(&world, "updates", "kubernetes::node_updated(cluster, node, #{});");
        let set = format!("distribution={distribution}");
        world.kthw(&["run", &body, "-w", &workspace, "--set", &set, "--set", "updates={policy: all}", more])
    };
    let planned = updates("--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package lists: older than a day -> fetched"), "{}", planned.stdout);
    updates("--yes").ended_with(0);
    assert_eq!((installed().as_str(), inside("rpm -q --qf '%{VERSION}' stays").stdout.as_str()), ("2.0", "1.0"));
    let again = updates("--dry-run").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside("make thing 2.1; sign; dnf -q makecache --refresh; zypper --non-interactive --quiet refresh; :").ended_with(0);
    let planned = updates("--dry-run").ended_with(0);
    assert!(planned.stdout.contains("package thing: 2.0-1 -> 2.1-1") && !planned.stdout.contains("stays"), "{}", planned.stdout);

    // What another key has signed is not installed.
    inside(&format!("rpm -e thing; key 'Somebody else'; sign; {clean}")).ended_with(0);
    let forged = run("forged", &package("thing", "version: \"1.1\",")).ended_with(3);
    assert!(forged.stderr.contains("GPG") || forged.stderr.to_lowercase().contains("signature"), "{}", forged.stderr);
    inside("! rpm -q thing").ended_with(0);

    // A key and its successor: first it, then both, then the successor alone. The administrator's own key is none of kthw's business.
    let known = || inside("rpm -q gpg-pubkey --qf '%{SUMMARY}\\n'").stdout;
    let keys = |name: &str, keys: &[&str], package: &str| {
        run(name, &format!("{} ssh::package(node, \"{package}\", #{{ needs: [ours] }});", with_keys("file:///srv/repo/", keys)))
    };
    inside("key 'Administrator' >/srv/admin.asc && rpm --import /srv/admin.asc").ended_with(0);
    let old = inside("key 'Old'; make first 1; sign").ended_with(0).stdout;
    keys("old", &[&old], "first").ended_with(0);
    assert!(known().contains("Old") && !known().contains("Test packages"), "what signs no more is not known any more: {}", known());
    let old_signs = inside("readlink /srv/gnupg").stdout;
    let new = inside("key 'New'").ended_with(0).stdout;
    let new_signs = inside("readlink /srv/gnupg").stdout;
    inside(&format!("ln -sfn {} /srv/gnupg; make second 1; sign", old_signs.trim())).ended_with(0);
    keys("both", &[&old, &new], "second").ended_with(0);
    assert!(known().contains("Old") && known().contains("New"), "{}", known());
    let signs = |home: &str, script: &str| inside(&format!("ln -sfn {} /srv/gnupg; {script}", home.trim())).ended_with(0);
    let early = keys("early", &[&new], "second").ended_with(3);
    assert!(early.stderr.contains("none of the keys that are pinned"), "{}", early.stderr);
    keys("both", &[&old, &new], "second").ended_with(0);
    signs(&new_signs, "make third 1; sign");
    keys("both-new", &[&old, &new], "third").ended_with(0);
    inside("make fourth 1; sign").ended_with(0);
    keys("new", &[&new], "fourth").ended_with(0);
    let again = keys("new", &[&new], "fourth").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    assert!(!known().contains("Old") && known().contains("New") && known().contains("Administrator"), "{}", known());
    inside("ls /etc/pki/rpm-gpg | wc -l | grep -x 1").ended_with(0);

    // What the old key signs now is not taken, and a key that has expired is called that.
    inside(&format!("ln -sfn {} /srv/gnupg; make fifth 1; sign; dnf -q clean all; zypper --quiet clean --all", old_signs.trim()))
        .ended_with(0);
    keys("fifth", &[&new], "fifth").ended_with(3);
    inside("! rpm -q fifth").ended_with(0);
    let dead = inside(&format!("key 'Dead' {LONG_AGO}; sign {LONG_AGO}")).ended_with(0).stdout;
    let expired = run("dead", &with_keys("file:///srv/repo/", &[&new, &dead])).ended_with(if takes_expired { 0 } else { 3 });
    assert!(expired.stderr.contains("has expired") && expired.stderr.contains("`keys`"), "{}", expired.stderr);
}

/// Makes a package and a signed repository of it on a host: `make NAME` and `sign [OPTION…]`.
const APT_REPOSITORY: &str = r#"
    mkdir -p /srv/apt && cd /srv/apt
    make() {
        mkdir -p "/tmp/$1/DEBIAN"
        printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n' "$1" >"/tmp/$1/DEBIAN/control"
        dpkg-deb -b "/tmp/$1" "$1.deb" >/dev/null
    }
    sign() {
        export GNUPGHOME=/srv/gnupg
        for f in *.deb; do
            dpkg-deb -f "$f"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$f" "$(stat -c %s "$f")" "$(sha256sum <"$f" | cut -d' ' -f1)"
        done >Packages
        printf 'Suite: x\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" "$(sha256sum <Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
        gpg --batch --yes "$@" --clearsign -o InRelease Release && chmod -R a+rX /srv/apt
    }
"#;

#[test]
fn a_repository_changes_its_key() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("keys");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{SIGNING_KEY}{APT_REPOSITORY}{script}")]);
    let keys = |name: &str, keys: &[&str], package: &str| {
        run(name, &format!("{} ssh::package(node, \"{package}\", #{{ needs: [ours] }});", with_keys("http://127.0.0.1:8099/", keys)))
    };
    inside("echo 'Acquire::http::Proxy::127.0.0.1 \"DIRECT\";' >/etc/apt/apt.conf.d/91test").ended_with(0);
    inside("systemd-run --quiet python3 -m http.server 8099 --bind 127.0.0.1 --directory /srv/apt").ended_with(0);
    let old = inside("key 'Old'; make first; sign").ended_with(0).stdout;
    keys("old", &[&old], "first").ended_with(0);
    let old_signs = inside("readlink /srv/gnupg").stdout;
    let new = inside("key 'New'").ended_with(0).stdout;
    let new_signs = inside("readlink /srv/gnupg").stdout;
    let signs = |home: &str, script: &str| inside(&format!("ln -sfn {} /srv/gnupg; {script}", home.trim())).ended_with(0);
    signs(&old_signs, "make second; sign");
    keys("both", &[&old, &new], "second").ended_with(0);
    let early = keys("early", &[&new], "second").ended_with(3);
    assert!(early.stderr.contains("none of the keys that are pinned"), "{}", early.stderr);
    keys("both", &[&old, &new], "second").ended_with(0);
    signs(&new_signs, "make third; sign");
    keys("both-new", &[&old, &new], "third").ended_with(0);
    keys("new", &[&new], "third").ended_with(0);
    let again = keys("new", &[&new], "third").ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    inside("ls /etc/apt/keyrings/ours-* | wc -l | grep -x 1").ended_with(0);

    // What the old key signs now is not taken, and a key that has expired is called that.
    signs(&old_signs, "make fourth; sign");
    let refused = keys("fourth", &[&new], "fourth").ended_with(3);
    assert!(refused.stderr.contains("none of the keys that are pinned"), "{}", refused.stderr);
    let dead = inside(&format!("key 'Dead' {LONG_AGO}; sign {LONG_AGO}")).ended_with(0).stdout;
    let expired = run("dead", &with_keys("http://127.0.0.1:8099/", &[&new, &dead])).ended_with(3);
    assert!(expired.stderr.contains("has expired") && expired.stderr.contains("`keys`"), "{}", expired.stderr);
    inside("test $(ls /etc/apt/keyrings/ours-* | wc -l) = 2 && dpkg -s first second third >/dev/null").ended_with(0);
}

#[test]
fn packages_are_kept_with_dnf() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\ngpgcheck=0\\n' >/etc/yum.repos.d/theirs.repo";
    packages_of_rpm("rocky", "dnf -y upgrade", "cat /etc/dnf/dnf.conf", theirs, false);
}

#[test]
fn packages_are_kept_with_zypper() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\nenabled=1\\nautorefresh=1\\ngpgcheck=0\\n' >/etc/zypp/repos.d/theirs.repo";
    packages_of_rpm("suse", "zypper --non-interactive update", "zypper locks", theirs, true);
}

/// A registry with users and a certificate of its own authority on the host itself, as `registry.test:5000`, and an image in it: `users PASSWORD` makes
/// them, `push PASSWORD` brings the image.
const OWN_REGISTRY: &str = r#"
    mkdir -p /srv/registry && cd /srv/registry
    users() { python3 -W ignore -c 'import crypt, sys; print("puller:" + crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH)))' "$1" >users; }
    certificates() {
        echo '127.0.0.1 registry.test' >>/etc/hosts
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj '/CN=own authority' -days 2
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj /CN=registry.test
        echo subjectAltName=DNS:registry.test >names
        openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -days 2 -out tls.pem
    }
    serve() {
        printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /srv/registry/data}}' \
            'http: {addr: "127.0.0.1:5000", tls: {certificate: /srv/registry/tls.pem, key: /srv/registry/tls.key}}' \
            'auth: {htpasswd: {realm: test, path: /srv/registry/users}}' >config.yml
        systemd-run --quiet --unit own-registry docker-registry serve /srv/registry/config.yml
        for n in 1 2 3 4 5 6 7 8 9 10; do curl -s --cacert ca.pem https://registry.test:5000/v2/ >/dev/null && return; sleep 1; done; return 1
    }
    push() {
        curl() { command curl -sS --fail --cacert ca.pem -u "puller:$PASSWORD" "$@"; }
        PASSWORD=$1
        blob() {
            D=sha256:$(sha256sum <"$1" | cut -d' ' -f1)
            L=$(curl -X POST -D - -o /dev/null https://registry.test:5000/v2/test/image/blobs/uploads/ | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
            curl -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$1" "$L&digest=$D" && echo "\"digest\":\"$D\",\"size\":$(stat -c %s "$1")"
        }
        tar cf layer config.yml
        printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"config":{}}' "$(sha256sum <layer | cut -d' ' -f1)" >config
        T=application/vnd.oci.image
        printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar",%s}]}' \
            $T $T "$(blob config)" $T "$(blob layer)" >manifest
        curl -X PUT -H "Content-Type: $T.manifest.v1+json" --data-binary @manifest https://registry.test:5000/v2/test/image/manifests/1
    }
    fetch() { ctr content fetch --hosts-dir /etc/containerd/certs.d "$1" 2>&1; }
"#;

#[test]
fn a_registry_has_credentials_and_an_authority_of_its_own() {
    let Some(_) = ask([&HOSTS]) else { return };
    let mut world = World::up("registry");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let (file, secrets) = (format!("{workspace}/workspace.yaml"), format!("{workspace}/secrets.sops.yaml"));
    let identity = crate::secrets::desk::Identity::new();
    world.more.insert("SOPS_AGE_KEY".into(), identity.private.clone());
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("set -e; {OWN_REGISTRY}{script}")]);
    inside("apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry containerd >/dev/null && systemctl -q disable --now docker-registry").ended_with(0);
    inside("certificates 2>/dev/null; users 'p@ss:w/rd'; serve; push 'p@ss:w/rd'").ended_with(0);
    let ca = inside("cat ca.pem").ended_with(0).stdout.trim().replace('\n', "\n        ");
    let text = std::fs::read_to_string(&file).unwrap();
    let access = format!("username: puller\n      password_secret: registry.password\n      ca: |\n        {ca}\n");
    let registries = format!("  registries:\n    registry.test:5000:\n      {access}");
    let mirrored = "    mirrored.test:\n      upstream: false\n      endpoints: [{ url: 'https://127.0.0.2:1' }, { url: 'https://registry.test:5000', \
         username: puller, password_secret: registry.password, ca: CA }]\n";
    let mirrored = mirrored.replace("CA", &format!("{:?}", inside("cat ca.pem").stdout));
    std::fs::write(&file, text.replace("\nkubeadm:", &format!("\n{registries}{mirrored}\nkubeadm:"))).unwrap();
    let body = "for host in kubeadm::registries(cluster) { let folder = `/etc/containerd/certs.d/${host}`; ssh::directory(node, folder); \
         let files = kubeadm::registry_files(cluster, host); for name in files.keys() { ssh::file(node, `${folder}/${name}`, files[name]); } }";
    let run = |password: &str| {
        std::fs::write(&secrets, format!("registry:\n  password: {password}\n")).unwrap();
        world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
        let said = world.kthw(&["run", &recipe(&world, "registries", body), "-w", &workspace, "--yes"]).ended_with(0);
        assert!(!said.stdout.contains(password) && !said.stderr.contains(password), "{}", said.stdout);
        said
    };
    assert_ne!(inside("fetch registry.test:5000/test/image:1").code, 0, "nobody else gets it");
    run("p@ss:w/rd");
    inside("fetch registry.test:5000/test/image:1; fetch mirrored.test/test/image:1").ended_with(0);
    inside("stat -c %a /etc/containerd/certs.d/registry.test:5000/hosts.toml | grep -x 600").ended_with(0);
    assert!(run("p@ss:w/rd").stdout.contains("Nothing to change"));

    // The password is another one: the registry's first, then kthw's.
    inside("users another; systemctl restart own-registry || { systemctl reset-failed own-registry; serve; }; sleep 2").ended_with(0);
    assert_ne!(inside("fetch registry.test:5000/test/image:1").code, 0);
    assert!(run("another").stdout.contains("<secret> -> <secret>"));
    inside("fetch registry.test:5000/test/image:1; fetch mirrored.test/test/image:1").ended_with(0);
}

/// A proxy that demands a password, in front of the world's own. It tells whom it let through.
const PROXY: &str = r#"
import base64, http.client, http.server, sys
WANTED = "Basic " + base64.b64encode(b"nodes:p@ss:w/rd").decode()
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        fine = self.headers.get("Proxy-Authorization") == WANTED
        print("let through" if fine else "refused", self.path, flush=True)
        if not fine:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        behind = http.client.HTTPConnection("10.77.0.1", 3142, timeout=60)
        kept = ("host", "range", "if-range", "if-modified-since")
        behind.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k.lower() in kept})
        answer = behind.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy).serve_forever()
"#;

#[test]
fn a_proxy_that_demands_a_password_is_gone_through() {
    let Some(_) = ask([&HOSTS]) else { return };
    let mut world = World::up("proxy");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let (file, secrets) = (format!("{workspace}/workspace.yaml"), format!("{workspace}/secrets.sops.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{text}\nproxy: {{ http: 'http://127.0.0.1:3128', username: nodes, password_secret: proxy.password }}\n"),
    )
    .unwrap();
    let identity = crate::secrets::desk::Identity::new();
    world.more.insert("SOPS_AGE_KEY".into(), identity.private.clone());
    std::fs::write(&secrets, "proxy:\n  password: p@ss:w/rd\n").unwrap();
    world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
    let run = |name: &str, body: &str| world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--yes"]);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    inside(&format!("cat >/srv/proxy.py <<'END'\n{PROXY}\nEND\nsystemd-run --quiet sh -c 'exec python3 /srv/proxy.py >/srv/proxy.log'"))
        .ended_with(0);
    inside("printf '[Service]\\nExecStart=sh -c \"env >/run/probe; exec sleep infinity\"\\n' >/etc/systemd/system/probe.service")
        .ended_with(0);

    let packages = "let proxied = []; let proxy = ssh::package_proxy(cluster); for path in proxy.keys() { proxied.push(ssh::file(node, path, proxy[path])); }";
    let first = run("packages", &format!("{packages} ssh::package(node, \"tree\", #{{ needs: proxied }});")).ended_with(0);
    assert!(!first.stdout.contains("p@ss") && !first.stderr.contains("p@ss"), "{}", first.stderr);
    inside("dpkg -s tree >/dev/null && grep -q '^let through .*/tree_' /srv/proxy.log && ! grep -q refused /srv/proxy.log").ended_with(0);
    inside("stat -c %a /etc/apt/auth.conf.d/95kthw-proxy.conf | grep -x 600 && ! grep -r p@ss /etc/apt/apt.conf.d").ended_with(0);

    let service = "let there = [ssh::directory(node, \"/etc/systemd/system/probe.service.d\")]; let changes = []; \
        let proxy = ssh::service_proxy(cluster, \"probe\"); for path in proxy.keys() { let options = proxy[path]; options.needs = there; changes.push(ssh::file(node, path, options)); } \
        ssh::service(node, \"probe\", #{ enabled: (), restarted_by: changes });";
    run("service", service).ended_with(0);
    inside(
        "grep -x 'HTTPS_PROXY=http://nodes:p%40ss%3Aw%2Frd@127.0.0.1:3128' /run/probe && grep -q '^NO_PROXY=.*,10.77.0.0/24,' /run/probe",
    )
    .ended_with(0);
    inside("! systemctl show probe | grep p%40ss && stat -c %a /etc/systemd/system/probe.service.d/http-proxy.env | grep -x 600")
        .ended_with(0);
    let again = run("service", service).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    // Another password: the files follow, the service restarts, and nothing of either is shown.
    std::fs::write(&secrets, "proxy:\n  password: another\n").unwrap();
    world.kthw(&["secrets", "encrypt", "--age", &identity.public, "-i", &secrets]).ended_with(0);
    let changed = run("service", service).ended_with(0);
    assert!(changed.stdout.contains("<secret> -> <secret>") && !changed.stdout.contains("another"), "{}", changed.stdout);
    inside("grep -q 'nodes:another@' /run/probe").ended_with(0);
    let refused = run("refused", &format!("{packages} ssh::package(node, \"dos2unix\", #{{ needs: proxied }});")).ended_with(3);
    assert!(refused.stderr.contains("407") && !refused.stderr.contains("another"), "{}", refused.stderr);
}

#[test]
fn what_the_next_start_brings_is_what_was_declared() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("next-start");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    let now = || inside("sysctl -n vm.max_map_count; tail -n +2 /proc/swaps | cut -d' ' -f1").ended_with(0).stdout;

    // A file of the administrator's that would win over ours, and compressed memory as zram-tools has it. systemd has no swap units in a
    // container (swap_supported() of its src/core/swap.c), so the service is what there is, with programs that keep the list themselves.
    let theirs = r##"
        echo vm.max_map_count=70000 >/etc/sysctl.d/99-theirs.conf
        printf '%s\n' '#!/bin/sh' 'head -n 1 /proc/swaps >/tmp/swaps && cat /tmp/swaps >/proc/swaps' >/usr/local/sbin/swapoff
        printf '%s\n' '#!/bin/sh' "echo '/dev/zram0 partition 1024 0 100' >>/proc/swaps" >/usr/local/sbin/zramswap
        chmod 755 /usr/local/sbin/swapoff /usr/local/sbin/zramswap
        printf '%s\n' '[Service]' Type=oneshot RemainAfterExit=yes ExecStart=/usr/local/sbin/zramswap ExecStop=/usr/local/sbin/swapoff \
            '[Install]' WantedBy=multi-user.target >/etc/systemd/system/zramswap.service
        systemctl enable --quiet zramswap"##;
    inside(theirs).ended_with(0);
    world.restart(1);
    assert_eq!(now(), "70000\n/dev/zram0\n", "without kthw");

    let declared = r#"ssh::sysctl(node, "vm.max_map_count", 262144); ssh::swap(node, #{ enabled: false });"#;
    let declared = recipe(&world, "next-start", declared);
    world.kthw(&["run", &declared, "-w", &workspace, "--yes"]).ended_with(0);
    assert_eq!(now(), "262144\n", "now");
    world.restart(1);
    assert_eq!(now(), "262144\n", "after a start");
    let again = world.kthw(&["run", &declared, "-w", &workspace, "--dry-run"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

/// How many commands sshd has started on a host.
/// What the machine that a template is built on does at its end, on a real system: cleaned, it comes up as another one, with the agent's service.
#[test]
fn a_machine_that_was_cleaned_makes_itself_anew() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("cleaned");
    world.host(1, "build");
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]).ended_with(0).stdout;
    let clean = || world.inside(1, &["sh", "-c", CLEAN, "kthw-clean", "kthw"]).ended_with(0);
    // The agent itself needs a device that a host has not.
    inside(
        r"printf '[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/qemu-guest-agent.service
        systemctl daemon-reload; test -s /home/kthw/.ssh/authorized_keys",
    );
    world.inside(1, &["sh", "-c", ENABLE_AGENT, "kthw-agent"]).ended_with(0);
    let keys = inside("cat /etc/ssh/ssh_host_*_key.pub");
    clean();
    let left = inside(
        r"cat /etc/machine-id /etc/hostname
        for F in /etc/ssh/ssh_host_* /home/* /root/.ssh/authorized_keys /var/lib/cloud/instance /var/lib/systemd/random-seed /etc/sudoers.d/90-* /var/log/journal/*; do
          [ ! -e $F ] || echo $F
        done; find /var/log -type f -size +0; id -un kthw 2>/dev/null || :",
    );
    assert_eq!(left, "");
    // A run that died begins again.
    clean();
    world.command(&["host", "stop", "1"]).ended_with(0);
    world.host(1, "build");
    assert_ne!(inside("cat /etc/ssh/ssh_host_*_key.pub"), keys);
    let found = inside("cat /etc/hostname; grep -cE '^[0-9a-f]{32}$' /etc/machine-id; id -un kthw; systemctl is-active qemu-guest-agent");
    // Its name and its user are those of its seed, which a host keeps.
    assert_eq!(found, "build\n1\nkthw\nactive\n");
}

fn sessions(world: &World, number: u32) -> u32 {
    let log = world.inside(number, &["sh", "-c", "journalctl -u ssh -o cat --no-pager | grep -c 'Starting session: command' || true"]);
    log.stdout.trim().parse().unwrap()
}
