//! The firewall of a booted host, by its real nftables: what passes, what does not, and access that comes back.
use super::{NODES, recipe};
use crate::{peers_support::World, support::Said};
use kthw_peers::{HOSTS, ask};
use std::time::{Duration, Instant};

pub const SCAN: &str = include_str!("../support/scan.py");
const DECLARED: &str = "firewall::host(node, #{ needs: [ssh::package(node, \"nftables\")], present: cluster.firewall.host });";

struct Scene {
    world: World,
    workspace: String,
    recipe: String,
}

impl Scene {
    fn command<'a>(&'a self, firewall: &'a str, more: &'a str) -> [&'a str; 7] {
        ["run", &self.recipe, "-w", &self.workspace, "--set", firewall, more]
    }

    fn run(&self, firewall: &str, more: &str) -> Said {
        self.world.kthw(&self.command(firewall, more))
    }

    fn inside(&self, script: &str) -> String {
        self.world.inside(1, &["sh", "-c", script]).ended_with(0).stdout
    }

    /// The TCP ports on which the host takes connections from the world's network.
    fn open(&self) -> Vec<u16> {
        let said = self.world.outside(&["python3", "-c", SCAN, "10.77.0.11"]).ended_with(0);
        said.stdout.lines().map(|port| port.parse().unwrap()).collect()
    }

    /// Whether somebody could log in from the world's network.
    fn lets_in(&self) -> bool {
        let code = "import socket; socket.create_connection(('10.77.0.11', 22), 2).recv(4)";
        self.world.outside(&["python3", "-c", code]).code == 0
    }
}

#[test]
fn only_what_is_needed_passes_and_who_is_locked_out_comes_back() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("firewall");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let recipe = recipe(&world, "firewall", DECLARED);
    let scene = Scene { world, workspace, recipe };
    scene.inside("for port in 6443 9100 9101 30000; do systemd-run -q python3 -m http.server -d /srv $port; done; sleep 1");
    assert_eq!(scene.open(), [22, 6443, 9100, 9101, 30000], "without a firewall");

    let wanted =
        "firewall={allow: [{name: metrics, ports: [9100], from: [10.77.0.1/32]}, {name: mine, ports: [9101], from: [10.77.0.9/32]}]}";
    // The host's key is taken as it comes, by a run alone; what a dry run says of a known host comes after it.
    scene.run("firewall={host: false}", "--yes").ended_with(0);
    let plan = scene.run(wanted, "--dry-run").ended_with(0).stdout;
    assert!(plan.contains("kube-apiserver: tcp 6443 from anywhere") && plan.contains("metrics: tcp 9100 from 10.77.0.1"), "{plan}");
    assert_eq!(scene.open(), [22, 6443, 9100, 9101, 30000], "a dry run changes nothing");
    scene.run(wanted, "--yes").ended_with(0);
    assert_eq!(scene.open(), [22, 6443, 9100]);
    let again = scene.run(wanted, "--yes").ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
    // What nobody expects is refused at once, and the machine itself reaches everything.
    let (begun, refused) = (Instant::now(), scene.world.outside(&["curl", "-sS", "--max-time", "5", "http://10.77.0.11:9101/"]));
    assert!(refused.code != 0 && begun.elapsed() < Duration::from_secs(2), "{}", refused.stderr);
    scene.inside("curl -sS --fail --max-time 5 -o /dev/null http://10.77.0.11:9101/ && ping -c 1 -W 2 10.77.0.1 >/dev/null");

    // A rule by hand is seen, and undone.
    scene.inside("nft insert rule inet kthw input tcp dport 9101 accept");
    assert_eq!(scene.open(), [22, 6443, 9100, 9101]);
    let plan = scene.run(wanted, "--dry-run").ended_with(0).stdout;
    assert!(plan.contains("in force: changed by hand -> as written"), "{plan}");
    scene.run(wanted, "--yes").ended_with(0);
    assert_eq!(scene.open(), [22, 6443, 9100]);

    // The rules are there from the machine's start on.
    scene.world.restart(1);
    scene.inside("systemd-run -q python3 -m http.server -d /srv 9101; sleep 1");
    assert_eq!(scene.open(), [22]);
    let again = scene.run(wanted, "--yes").ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");

    locked_out(&scene, wanted);

    scene.run("firewall={host: false}", "--yes").ended_with(0);
    assert_eq!(scene.open(), [22, 9101]);
    assert_eq!(
        scene
            .inside(
                "nft list tables | grep -c kthw || :; find /etc/kthw /usr/local/sbin /run/kthw-firewall -name '*firewall*' 2>/dev/null || :"
            )
            .trim(),
        "0"
    );
    let again = scene.run("firewall={host: false}", "--yes").ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
}

/// Rules that let kthw in no more are taken back: when it says so itself, and when it died before.
#[allow(clippy::print_stdout)]
fn locked_out(scene: &Scene, wanted: &str) {
    let without_us = wanted.replace("{allow", "{ssh_from: [10.77.0.9/32], allow");
    let refused = scene.run(&without_us, "--yes").ended_with(3);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("would lock kthw out, so it has those from before again") && said.contains("firewall.ssh_from"), "{said}");
    assert!(scene.lets_in());
    let again = scene.run(wanted, "--yes").ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");

    let mut run = scene.world.kthw_command(&scene.command(&without_us, "--yes")).stdout(std::process::Stdio::null()).spawn().unwrap();
    scene.world.until("new rules on trial", 60, || scene.world.inside(1, &["test", "-e", "/run/kthw-firewall/trial"]).code == 0);
    let begun = Instant::now();
    run.kill().unwrap();
    run.wait().unwrap();
    scene.world.until("nobody to be let in", 5, || !scene.lets_in());
    scene.world.until("access to be back", 75, || scene.lets_in());
    println!("access is back {:.0} s after the rules that locked everybody out, without kthw", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() > Duration::from_secs(30), "a trial lasts a minute");
    let again = scene.run(wanted, "--yes").ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
}
