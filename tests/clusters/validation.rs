//! `kthw validate` on a real cluster: all is well, and then for each thing that is broken exactly that is named.
use crate::{peers_support::World, support::Said};
use serde_json::Value;

/// The rows of a validation: what was tried, with its result and what was found.
fn rows(validate: &dyn Fn() -> Said) -> Vec<(String, String, String)> {
    let said = validate();
    let rows: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows: Vec<_> = rows.iter().map(|row| (text(row, "check"), text(row, "result"), text(row, "found"))).collect();
    assert_eq!(said.code, i32::from(rows.iter().any(|(_, result, _)| result == "wrong")), "{rows:#?}");
    rows
}

/// What is wrong, in one text.
fn wrong(validate: &dyn Fn() -> Said) -> String {
    let told = |(what, result, found): (String, String, String)| (result == "wrong").then(|| format!("{what}: {found}\n"));
    rows(validate).into_iter().filter_map(told).collect()
}

/// Every row is well, but for pods of nodes that have none that listens.
pub fn is_well(validate: &dyn Fn() -> Said) {
    let rows = rows(validate);
    assert!(rows.iter().all(|(what, result, _)| result == "well" || (result == "not_tried" && what.starts_with("pods of "))), "{rows:#?}");
    let tried = |what: &str| rows.iter().any(|(name, result, _)| name == what && result == "well");
    for what in
        ["certificate of cp1", "control plane on cp1", "logs through cp1", "DNS from wp2", "service from wp1", "images from wp2", "Traefik"]
    {
        assert!(tried(what), "{what}: {rows:#?}");
    }
    assert!(rows.iter().any(|(what, result, _)| what.starts_with("pods of ") && result == "well"), "{rows:#?}");
}

/// Breaks one thing after the other, and mends it.
pub fn names_what_is_broken(world: &World, validate: &dyn Fn() -> Said, kubectl: &dyn Fn(&[&str]) -> String) {
    kubectl(&["scale", "-n", "kube-system", "deployment/coredns", "--replicas=0"]);
    kubectl(&["wait", "-n", "kube-system", "--for=delete", "pod", "-l", "k8s-app=kube-dns", "--timeout=90s"]);
    let found = wrong(validate);
    assert!(found.lines().count() == 3 && found.lines().all(|line| line.starts_with("DNS from ")), "{found}");
    kubectl(&["scale", "-n", "kube-system", "deployment/coredns", "--replicas=2"]);
    kubectl(&["rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=120s"]);

    kubectl(&["create", "deployment", "broken", "-n", "kube-system", "--image=registry.k8s.io/nobody/has-it:1"]);
    let blames_the_image = |found: &str| found.contains("ImagePull") || found.contains("ErrImage");
    world.until("the image to be missed", 60, || blames_the_image(&wrong(validate)));
    let found = wrong(validate);
    assert!(found.lines().count() == 1 && found.starts_with("Deployment kube-system/broken: 0 of 1 pods are available"), "{found}");
    kubectl(&["delete", "deployment", "broken", "-n", "kube-system"]);

    for number in 0..10 {
        kubectl(&["create", "service", "loadbalancer", &format!("web-{number}"), "--tcp=80"]);
    }
    world.until("the pool to be exhausted", 60, || wrong(validate).contains("no available IPs"));
    let found = wrong(validate);
    assert!(found.lines().count() == 1 && found.starts_with("address of default/web-"), "ten addresses, one of them Traefik's: {found}");
    let names: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    kubectl(&[&["delete", "service"], names.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());

    // The kubelet of the last worker is out of the API server's reach.
    let firewall = |verb: &str| {
        let rule = ["-s", "10.77.0.11", "-p", "tcp", "--dport", "10250", "-j", "DROP"];
        world.inside(3, &[&["iptables", "-w", verb, "INPUT"], &rule[..]].concat()).ended_with(0);
    };
    firewall("-I");
    let found = wrong(validate);
    firewall("-D");
    assert!(found.lines().count() == 1 && found.starts_with("logs through cp1: of ") && found.contains("wp2"), "{found}");
    world.until("all to be well again", 60, || wrong(validate).is_empty());
}
