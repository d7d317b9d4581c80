//! The law of every recipe against real peers: a dry run writes nothing; apply; again: nothing to change.
use crate::peers_support::World;
use kthw_peers::{FAKEPVE, HOSTS, KUBERNETES, ask};

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
    assert_eq!(world.inside(3, &["systemctl", "is-active", "containerd"]).stdout.trim(), "active");
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

/// Makes packages and a signed repository of them on a host, with rpm's own programs: `key NAME` makes the key that signs from then on and prints
/// it, `make NAME VERSION MORE` a package, `sign` signs what is there.
const RPM_REPOSITORY: &str = r#"
    mkdir -p /srv/repo /etc/zypp/repos.d /etc/yum.repos.d && cd /srv
    key() {
        GNUPGHOME=$(mktemp -d /srv/gnupg.XXXXXX); export GNUPGHOME; ln -sfn "$GNUPGHOME" /srv/gnupg
        gpg --batch --quiet --quick-gen-key --passphrase '' "$1" rsa2048 sign 1y 2>/dev/null; gpg --armor --export
    }
    make() {
        printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%b\n%%description\nx\n%%files\n' "$1" "$2" "$3" >"$1.spec"
        rpmbuild -bb --quiet --define '_topdir /srv/b' --define '_rpmdir /srv/repo' "$1.spec" >/dev/null 2>&1
    }
    sign() {
        export GNUPGHOME=/srv/gnupg
        name=$(gpg --list-keys --with-colons | sed -n 's/^uid:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p')
        for f in repo/noarch/*.rpm; do rpmsign --define "_gpg_name $name" --define '__gpg /usr/bin/gpg' --resign "$f" >/dev/null 2>&1; done
        createrepo_c -q repo && gpg --batch --yes --armor --detach-sign repo/repodata/repomd.xml
    }
"#;

/// Debian's builds of dnf, zypper and rpm, against a repository that the test makes. What each of them did is read back by itself.
fn packages_of_rpm(distribution: &str, upgrade: &str, held: &str, theirs: &str) {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up(&format!("packages-{distribution}"));
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let run = |name: &str, body: &str| {
        let set = format!("distribution={distribution}");
        world.kthw(&["run", &recipe(&world, name, body), "-w", &workspace, "--set", &set, "--yes"])
    };
    let inside = |script: &str| world.inside(1, &["sh", "-c", &format!("{RPM_REPOSITORY}{script}")]);
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
    inside("rpm -e thing; key 'Somebody else'; sign; dnf -q clean all; zypper --quiet clean --all").ended_with(0);
    let forged = run("forged", &package("thing", "version: \"1.1\",")).ended_with(3);
    assert!(forged.stderr.contains("GPG") || forged.stderr.to_lowercase().contains("signature"), "{}", forged.stderr);
    inside("! rpm -q thing").ended_with(0);
}

#[test]
fn packages_are_kept_with_dnf() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\ngpgcheck=0\\n' >/etc/yum.repos.d/theirs.repo";
    packages_of_rpm("rocky", "dnf -y upgrade", "cat /etc/dnf/dnf.conf", theirs);
}

#[test]
fn packages_are_kept_with_zypper() {
    let theirs = "printf '[theirs]\\nname=theirs\\nbaseurl=file:///nowhere/\\nenabled=1\\nautorefresh=1\\ngpgcheck=0\\n' >/etc/zypp/repos.d/theirs.repo";
    packages_of_rpm("suse", "zypper --non-interactive update", "zypper locks", theirs);
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
fn sessions(world: &World, number: u32) -> u32 {
    let log = world.inside(number, &["sh", "-c", "journalctl -u ssh -o cat --no-pager | grep -c 'Starting session: command' || true"]);
    log.stdout.trim().parse().unwrap()
}
