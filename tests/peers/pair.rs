//! Two load balancers that share an address: when the one that has it dies under load, the other takes it over.
use crate::{
    peers_support::World,
    support::balancer::{Heard, LOAD, Table, checker_is_pinned},
};
use kthw_peers::{HOSTS, ask};
use std::time::{SystemTime, UNIX_EPOCH};

const SERVER: &str = include_str!("load-balancer/server.py");
/// The address that they share.
const SHARED: &str = "10.77.0.100";
/// How long nobody may have it after its machine died, in seconds.
const WITHIN_S: f64 = 3.0;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The workspace of the edge: both machines, and a cluster that is one server.
fn workspace(world: &World) -> String {
    let (user, key, mirror) = (world.value("SSH_USER"), world.value("SSH_KEY"), world.sandbox.path().join("mirror"));
    let folder = world.sandbox.path().join("edge");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "name: edge\ndomain: kthw.test\nrelease_letter: e\ndistribution: debian\n\
         network: {{ nodes: 10.77.0.0/24, gateway: 10.77.0.1 }}\nssh: {{ user: {user}, key_file: {key} }}\n\
         artifacts: {{ mirror: {} }}\nfirewall: {{}}\nnodes:\n\
         - {{ name: le1, role: load_balancer, address: 10.77.0.11 }}\n- {{ name: le2, role: load_balancer, address: 10.77.0.12 }}\n\
         load_balancer:\n  clusters: [{{ name: blue, address: 10.77.0.13 }}]\n  listeners: [{{ port: 443, target_port: 9443 }}]\n  \
         check: {{ port: 9080 }}\n  virtual_address: {{ address: {SHARED} }}\n",
        mirror.display()
    );
    std::fs::write(folder.join("workspace.yaml"), text).unwrap();
    folder.to_string_lossy().into_owned()
}

#[test]
#[allow(clippy::print_stdout)]
fn the_other_one_takes_the_address_over_under_load() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("pair");
    for (number, name) in [(1, "le1"), (2, "le2"), (3, "blue")] {
        world.host(number, name);
    }
    let server = SERVER.replace("127.0.0.{NUMBER}", "0.0.0.0");
    world
        .inside(3, &["sh", "-c", &format!("cat >/srv/server.py <<'END'\n{server}END\nsystemd-run -q python3 /srv/server.py 3")])
        .ended_with(0);
    let workspace = workspace(&world);
    let run = || world.kthw(&["run", "recipes/phases/load-balancer.rhai", "-w", &workspace, "--yes"]);
    checker_is_pinned(&world, &workspace);
    run().ended_with(0);
    assert!(run().ended_with(0).stdout.contains("Nothing to change"));

    let has_it = |number: u32| world.inside(number, &["ip", "-o", "-4", "addr", "show", "dev", "eth0"]).stdout.contains(SHARED);
    world.until("one of them to have the address", 20, || has_it(1) != has_it(2));
    let log = world.sandbox.path().join("load.log");
    let heard = || Heard::of(&std::fs::read_to_string(&log).unwrap());
    let place = format!("{SHARED}:443");
    let _load = world.beside(&["python3", "-c", LOAD, &place, "100", "20", "60", log.to_str().unwrap()]);
    let mut table = Table::default();
    let from = now();
    std::thread::sleep(std::time::Duration::from_secs(4));
    table.nothing_lost(&heard(), "both are well", from, now() - 0.5, "");

    let (with, other) = if has_it(1) { ("1", 2) } else { ("2", 1) };
    let fault = now();
    world.command(&["host", "stop", with, "--force"]).ended_with(0);
    world.until("the other one to have the address", 10, || has_it(other));
    std::thread::sleep(std::time::Duration::from_secs(12));
    let (heard, to) = (heard(), now() - 1.0);
    // What was lost began in a short time; from its end on nothing is.
    let lost: Vec<f64> = heard.between(fault, to).filter(|(_, by, _)| by.is_none()).map(|(when, ..)| *when - fault).collect();
    let last = lost.iter().copied().fold(0.0, f64::max);
    table.note(&heard, "the one with the address dies", fault, to, &format!("the last that was lost began {last:.2} s after the fault"));
    println!("{table}");
    assert!(last < WITHIN_S + 1.0, "{table}");
    assert!(heard.count("3", fault + WITHIN_S + 1.0, to) > 300, "{table}");
}
