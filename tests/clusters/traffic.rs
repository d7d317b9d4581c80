//! What a cluster has for traffic from outside: an address of MetalLB that is answered by ARP, and Traefik behind it.
use crate::{peers_support::World, support::Said};
use std::time::{Duration, Instant};

const ADDRESS: &str = "10.77.0.220";

/// The pool of the workspace, told to a router too.
const TOLD_BY_BGP: &str = r#"const VERSION = "1.0.0";
const NEEDS = ["phases/workers@1"];
fn declare(cluster) {
    let pools = cluster.metallb.pools;
    pools[0].advertise = ["l2", "bgp"];
    metallb::addresses(cluster, #{ pools: pools, bgp: #{ asn: 64512, peers: [#{ name: "router", address: "10.77.0.14", asn: 64513 }] } });
}
"#;

/// The settings that name them in the workspace.
pub fn named(metallb: &str, add_ons: &str) -> [String; 8] {
    let pool = "{name: lan, addresses: [10.77.0.220-10.77.0.229]}";
    [
        "--set".into(),
        format!("metallb={{version: {metallb}, pools: [{pool}]}}"),
        "--set".into(),
        format!("traefik={{version: 3.6.12, address: {ADDRESS}}}"),
        "--set".into(),
        add_ons.into(),
        "--set".into(),
        super::firewall::NAMED.into(),
    ]
}

/// Traefik says that it is well, at the address that the workspace gives it, as the network outside of the nodes sees it.
pub fn answers(world: &World) {
    world.until("Traefik's /ping at its address", 60, || ping(world).code == 0);
    assert_eq!(ping(world).stdout, "OK");
}

fn ping(world: &World) -> Said {
    world.outside(&["curl", "-sS", "--fail", "--max-time", "2", &format!("http://{ADDRESS}/ping")])
}

/// A router that speaks BGP (frr) learns at which nodes Traefik's address is, and forgets it when the workspace names it no longer.
pub fn is_told_to_a_router(world: &World, settings: &[&str], run: &dyn Fn(&[&str]) -> Said) {
    world.host(4, "router");
    let router = |script: &str| world.inside(4, &["sh", "-c", script]);
    let neighbors: String = (11..=13).map(|host| format!(" neighbor 10.77.0.{host} remote-as 64512\n")).collect();
    let configuration = format!(
        "frr defaults datacenter\nrouter bgp 64513\n bgp router-id 10.77.0.14\n no bgp ebgp-requires-policy\n{neighbors}address-family ipv4 unicast\n maximum-paths 3\n"
    );
    router(&format!(
        "apt-get install -y -qq --no-install-recommends frr >/dev/null 2>&1 && sed -i 's/^bgpd=no/bgpd=yes/' /etc/frr/daemons && \
         cat >/etc/frr/frr.conf <<'END'\n{configuration}END\nsystemctl restart frr"
    ))
    .ended_with(0);
    // Of MetalLB before 0.16 Kubernetes 1.36 takes no routers. What stands in for a newer one is that piece of its definitions alone.
    let mended = "kubectl --kubeconfig /etc/kubernetes/admin.conf get crd bgppeers.metallb.io -o json | \
        sed 's/\"format\": \"int32\"/\"format\": \"int64\"/' | kubectl --kubeconfig /etc/kubernetes/admin.conf replace -f -";
    world.inside(1, &["sh", "-c", mended]).ended_with(0);
    let recipe = world.sandbox.path().join("bgp.rhai");
    std::fs::write(&recipe, TOLD_BY_BGP).unwrap();
    let told = |more: &str| world.kthw(&[&["run", recipe.to_str().unwrap()], settings, &[more]].concat());
    told("--yes").ended_with(0);
    let route = || router("ip route show 10.77.0.220").stdout;
    world.until("the router to learn of Traefik's address", 90, || route().contains("proto bgp"));
    assert!(route().contains("via 10.77.0.1"), "{}", route());
    let asked = router("curl -sS --fail --max-time 5 http://10.77.0.220/ping").ended_with(0);
    assert_eq!(asked.stdout, "OK", "by way of the route that it learnt");
    assert!(told("--yes").ended_with(0).stdout.contains("Nothing to change"));
    run(&["--yes"]).ended_with(0);
    world.until("the router to forget it", 60, || route().is_empty());
}

/// A newer version takes the place of the one before, and nothing is left of what only that had.
pub fn is_upgraded(world: &World, run: &dyn Fn(&[&str]) -> Said, kubectl: &dyn Fn(&[&str]) -> String) {
    let newer = named("0.15.2", super::add_ons::NAMED_NO_LONGER);
    let newer: Vec<&str> = newer.iter().map(String::as_str).collect();
    let plan = run(&[&newer[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    assert!(plan.contains("version: v0.14.8 -> v0.15.2"), "{plan}");
    run(&[&newer[..], &["--yes"]].concat()).ended_with(0);
    let image = "jsonpath={.items[*].spec.template.spec.containers[0].image}";
    let images = kubectl(&["get", "deployments,daemonsets", "-n", "metallb-system", "-o", image]);
    assert_eq!(images, "quay.io/metallb/controller:v0.15.2 quay.io/metallb/speaker:v0.15.2");
    let again = run(&[&newer[..], &["--yes"]].concat()).ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
    answers(world);
}

/// What the workspace names no longer goes, but for what would take objects of others with it.
pub fn goes_with_its_name(world: &World, run: &dyn Fn(&[&str]) -> Said, kubectl: &dyn Fn(&[&str]) -> String) {
    let own = "printf '%s' '{\"apiVersion\": \"metallb.io/v1beta1\", \"kind\": \"IPAddressPool\", \"metadata\": {\"name\": \"own\", \
               \"namespace\": \"metallb-system\"}, \"spec\": {\"addresses\": [\"10.77.0.240/32\"]}}' | kubectl --kubeconfig \
               /etc/kubernetes/admin.conf create -f -";
    world.inside(1, &["sh", "-c", own]).ended_with(0);
    let kept = run(&["--dry-run"]).ended_with(1).stdout;
    assert!(kept.contains("IPAddressPool metallb-system/own would go with its definitions"), "{kept}");
    kubectl(&["delete", "ipaddresspools.metallb.io", "own", "-n", "metallb-system"]);
    run(&["--yes"]).ended_with(0);
    let left = kubectl(&["get", "namespaces,customresourcedefinitions,clusterroles,configmaps", "-A", "-o", "name"]);
    assert!(["metallb", "traefik", "local-path"].iter().all(|name| !left.contains(name)), "{left}");
    let again = run(&["--yes"]).ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
    let began = Instant::now();
    assert_ne!(ping(world).code, 0, "nobody answers there any more");
    assert!(began.elapsed() < Duration::from_secs(10));
}
