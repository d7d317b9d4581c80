//! The firewalls of a whole cluster that was built under them: what validation needs passes, and a scan of all ports finds nothing else.
use crate::{peers::firewall::SCAN, peers_support::World};

/// The setting that names them in the workspace.
pub const NAMED: &str = "firewall={}";

/// Scans a control plane and a worker from where no node is, and the control plane from a node.
pub fn lets_in_what_is_needed(world: &World) {
    let scan = |more: &[&str]| world.outside(&[&["python3", "-c", SCAN], more].concat()).ended_with(0).stdout;
    let tcp = |text: &str| text.lines().map(|port| port.parse::<u16>().unwrap()).collect::<Vec<_>>();
    assert_eq!(tcp(&scan(&["10.77.0.11"])), [22, 6443]);
    assert_eq!(tcp(&scan(&["10.77.0.12"])), [22]);
    let from_a_node = tcp(&world.inside(2, &["python3", "-c", SCAN, "10.77.0.11"]).ended_with(0).stdout);
    assert_eq!(from_a_node, [22, 6443, 7946, 10250], "etcd has no other member here, and no Typha runs on this one");
    for (number, address) in [(1, "10.77.0.11"), (2, "10.77.0.12")] {
        // There is more than that behind it.
        let listening = |kind: &str| {
            let script = format!("ss -lHn{kind} | awk '{{ print $4 }}' | grep -v -e '^127' -e '^\\[::1' | sed 's/.*://' | sort -un");
            world.inside(number, &["sh", "-c", &script]).ended_with(0).stdout
        };
        assert!(tcp(&listening("t")).len() > 4, "{}", listening("t"));
        let udp = listening("u");
        let ports: Vec<&str> = udp.lines().collect();
        if !ports.is_empty() {
            assert_eq!(scan(&[&[address], &ports[..]].concat()), "", "of {ports:?}");
        }
    }
}
