//! Validation: in each broken world it names what is broken, and nothing else.
use super::{FULL, Lab, changes, failures, host_keys, shelf};
use crate::nodes::{built, put};
use kthw_lab::{Fault, Harm, Trigger, World};
use kthw_stdlib::validation::{Found, Row, validate};
use serde_json::json;

async fn rows(lab: &Lab) -> Vec<Row> {
    validate(&lab.peers, &lab.workspace).await
}

/// The rows that are wrong, with what was seen.
fn wrong(rows: &[Row]) -> Vec<String> {
    let told = |row: &Row| match &row.found {
        Found::Wrong { seen, next } => {
            assert!(next.is_some(), "{} says what to do", row.what);
            Some(format!("{}: {seen}", row.what))
        }
        _ => None,
    };
    rows.iter().filter_map(told).collect()
}

/// How many rows were not tried.
fn not_tried(rows: &[Row]) -> usize {
    rows.iter().filter(|row| matches!(row.found, Found::NotTried(_))).count()
}

/// A connection that `node` makes is dropped or refused, for as long as anybody asks.
fn cut(lab: &Lab, node: &str, to: &str, harm: Harm) {
    let on = Trigger::Network { node: node.into(), to: to.into() };
    lab.world.add_fault(Fault { times: u32::MAX, ..Fault::once(on, harm) });
}

fn dropped() -> Harm {
    Harm::Hangs { carried_out: false }
}

fn refused() -> Harm {
    Harm::refused(0, "connection refused")
}

/// A world that is well apart from what `breaks` does to it, and what is wrong in it.
async fn broken(well: &Lab, name: &str, set: &[&str], breaks: impl Fn(&Lab)) -> (Vec<String>, usize) {
    let lab = Lab::changed(&format!("validate-{name}"), well.world.fork(), set);
    breaks(&lab);
    let rows = rows(&lab).await;
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
    (wrong(&rows), not_tried(&rows))
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_well_has_no_row_that_is_wrong_and_looking_writes_nothing() {
    let lab = built("validate-well").await;
    let writes = lab.world.writes();
    let rows = rows(&lab).await;
    assert_eq!((wrong(&rows), not_tried(&rows)), (Vec::new(), 0));
    assert_eq!(lab.world.writes(), writes);
    for what in [
        "node wu2",
        "certificate of cu1",
        "logs through cu1",
        "address of traefik/traefik",
        "DNS from wu1",
        "pods of wu1 from cu1",
        "Traefik",
    ] {
        assert!(rows.iter().any(|row| row.what == what), "{what}: {rows:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_is_named_and_nothing_else() {
    let well = built("validate-broken").await;
    // Time enough for pods to be Ready everywhere.
    assert_eq!(wrong(&rows(&well).await), Vec::<String>::new());
    let object = |lab: &Lab, key: &str, change: &dyn Fn(&mut serde_json::Value)| {
        lab.world.with_state(|state| change(&mut state.clusters[0].objects.get_mut(key).unwrap().value));
    };

    let none = |lab: &Lab| object(lab, "apps|deployments|kube-system|coredns", &|value| value["spec"]["replicas"] = json!(0));
    let found = broken(&well, "dns", &[], none).await;
    let each = ["cu1", "wu1", "wu2"].map(|node| format!("DNS from {node}: cannot open 10.96.0.10:53 through {node}: connection refused"));
    assert_eq!(found.0, each, "cluster DNS has no pod");

    let cut_off = |lab: &Lab| ["cu1", "wu1"].iter().for_each(|node| cut(lab, node, "192.168.2.", dropped()));
    let found = broken(&well, "pods", &[], cut_off).await;
    assert_eq!(found, (vec!["pods of wu2 from wu1: no answer from 192.168.2.5:53 in 5 s".to_owned()], 0));

    let found = broken(&well, "name", &["endpoint=api.bevz.net:6443"], |_| ()).await;
    assert_eq!(
        found,
        (vec!["certificate of cu1: cannot open 127.0.0.1:6443 through cu1: certificate not valid for name \"api.bevz.net\"".to_owned()], 0)
    );

    let later = |lab: &Lab| lab.world.with_state(|state| state.now_ms += 340 * 86_400_000);
    assert_eq!(broken(&well, "certificate", &[], later).await, (vec!["certificate of cu1: it ends on 2027-08-15".to_owned()], 0));

    let pool = |lab: &Lab| {
        for number in 0..5 {
            let name = format!("web-{number}");
            let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
                "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] } });
            put(lab, "", "services", service);
        }
    };
    let found = broken(&well, "pool", &[], pool).await;
    let no_address =
        |number| format!("address of default/web-{number}: Failed to allocate IP for \"default/web-{number}\": no available IPs");
    assert_eq!(found, ([3, 4].map(no_address).to_vec(), 0), "a pool of four addresses, one of which is Traefik's");

    let off = |lab: &Lab| {
        lab.world.halt_vm(422, "somebody pulled the plug");
        lab.world.with_state(|state| state.now_ms += 60_000);
    };
    let (found, untried) = broken(&well, "off", &[], off).await;
    assert_eq!(found, ["node wu2: NodeStatusUnknown: Kubelet stopped posting node status."]);
    assert_eq!(untried, 5, "DNS, the service, images and pods from it, and its own pods");

    let no_logs = |lab: &Lab| {
        let on = Trigger::Kubernetes { method: "GET".into(), path_contains: "/log".into() };
        lab.world.add_fault(Fault { times: 9, ..Fault::once(on, Harm::refused(500, "Get \"https://wu2:10250/\": dial tcp: i/o timeout")) });
    };
    let (found, untried) = broken(&well, "logs", &[], no_logs).await;
    assert!(found.len() == 1 && found[0].starts_with("logs through cu1: of ") && found[0].contains("i/o timeout"), "{found:?}");
    assert_eq!(untried, 0);

    let found = broken(&well, "traefik", &[], |lab| cut(lab, "wu2", "10.10.10.200:80", refused())).await;
    assert_eq!(found, (vec!["Traefik: from wu2: cannot open 10.10.10.200:80 through wu2: connection refused".to_owned()], 0));

    let found = broken(&well, "egress", &[], |lab| cut(lab, "wu1", "registry.k8s.io:443", dropped())).await;
    assert_eq!(found, (vec!["images from wu1: no answer from registry.k8s.io:443 in 5 s".to_owned()], 0));

    let found = broken(&well, "services", &[], |lab| cut(lab, "wu2", "10.96.0.1:443", dropped())).await;
    assert_eq!(found, (vec!["service from wu2: no answer from 10.96.0.1:443 in 5 s".to_owned()], 0));

    let moved = |lab: &Lab| {
        object(lab, "|services|traefik|traefik", &|value| value["status"]["loadBalancer"]["ingress"][0]["ip"] = json!("10.10.10.202"));
    };
    let found = broken(&well, "moved", &[], moved).await;
    assert_eq!(found, (vec!["address of traefik/traefik: 10.10.10.202".to_owned()], 0));

    let etcd = |lab: &Lab| object(lab, "|pods|kube-system|kube-scheduler-cu1", &|value| value["metadata"]["name"] = json!("another"));
    let found = broken(&well, "scheduler", &[], etcd).await;
    assert_eq!(found.0, ["control plane on cu1: there is no pod kube-scheduler-cu1"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_what_comes_round_and_fails_for_what_does_not() {
    let lab = built("validate-run").await;
    cut(&lab, "wu1", "registry.k8s.io:443", dropped());
    assert_eq!(
        changes(&lab.plan(FULL).await),
        [
            "update kubernetes.validated/ubuntu images from wu1: not so (no answer from registry.k8s.io:443 in 5 s) -> registry.k8s.io:443 answers"
        ]
    );
    let began_ms = lab.world.with_state(|state| state.now_ms);
    let failed = failures(&lab.apply(FULL).await);
    assert!(failed.contains("waited 300 s for ubuntu to do what it is for; last seen: images from wu1"), "{failed}");
    let waited_ms = lab.world.with_state(|state| state.now_ms) - began_ms;
    assert!((280_000..340_000).contains(&waited_ms), "{waited_ms} ms");

    lab.world.with_state(|state| state.faults.clear());
    let on = Trigger::Network { node: "wu1".into(), to: "registry.k8s.io".into() };
    // Two looks of the plan and of the run's turn, and some of the wait.
    lab.world.add_fault(Fault { times: 6, ..Fault::once(on, refused()) });
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_edge_is_asked_for_its_clusters_and_its_ports() {
    const EDGE: &str = "load-balancer/full";
    let well = Lab::of("validate-edge", "edge");
    assert_eq!(failures(&well.apply(EDGE).await), "");
    assert_eq!((wrong(&rows(&well).await), not_tried(&rows(&well).await)), (Vec::new(), 0));
    let on_machine = |change: &dyn Fn(&mut kthw_lab::Machine)| {
        well.world.with_state(|state| state.machines.values_mut().filter(|machine| machine.hostname == "le1").for_each(change));
    };

    cut(&well, "le1", "10.10.10.204:80", refused());
    assert_eq!(wrong(&rows(&well).await), ["debian from le1: cannot open 10.10.10.204:80 through le1: connection refused"]);
    well.world.with_state(|state| state.faults.clear());

    const STATUS: &str = "/run/kthw-checker/status.json";
    on_machine(&|machine| {
        let text = machine.files.text(STATUS).replace("\"panic\":false", "\"panic\":true");
        machine.files.put(STATUS, &text, 0o644, 0);
    });
    let found = wrong(&rows(&well).await);
    assert!(found.len() == 1 && found[0].starts_with("checker on le1: panic mode: port-80 and port-443 has no server"), "{found:?}");

    on_machine(&|machine| machine.units.get_mut("kthw-checker.service").unwrap().started = false);
    let found = wrong(&rows(&well).await);
    assert!(found.len() == 1 && found[0].starts_with("checker on le1: the service is inactive"), "{found:?}");

    on_machine(&|machine| {
        machine.start_unit("kthw-checker.service", 0);
        machine.units.get_mut("nginx.service").unwrap().started = false;
    });
    let ports = [80, 443].map(|port| format!("port {port} of le1: cannot open 127.0.0.1:{port} through le1: connection refused"));
    assert_eq!(wrong(&rows(&well).await), ports);
}

#[tokio::test(start_paused = true)]
async fn an_edge_serves_two_clusters_of_one_world_and_knows_which_one_is_sick() {
    let world = World::default();
    let known_hosts = host_keys(&world);
    let of = |name: &str| Lab::on(&format!("served-{name}"), world.clone(), shelf::shipped(name, &[]), &known_hosts);
    let (ubuntu, debian, edge) = (of("ubuntu"), of("debian"), of("edge"));
    assert_eq!(failures(&ubuntu.apply("ubuntu/full").await), "");
    assert_eq!(failures(&debian.apply("debian/full").await), "");
    assert_eq!(failures(&edge.apply("load-balancer/full").await), "");
    assert_eq!((wrong(&rows(&edge).await), not_tried(&rows(&edge).await)), (Vec::new(), 0));
    assert_eq!(changes(&edge.plan("load-balancer/full").await), Vec::<String>::new());

    let sick = |number: usize| {
        world.with_state(|state| {
            let traefik = state.clusters[number].objects.get_mut("apps|deployments|traefik|traefik").unwrap();
            traefik.value["spec"]["replicas"] = json!(0);
        });
    };
    sick(0);
    let refused = |name: &str, address: &str| format!("{name} from le1: cannot open {address}:80 through le1: connection refused");
    assert_eq!(wrong(&rows(&edge).await), [refused("ubuntu", "10.10.10.200")], "the other one still answers through NGINX");
    sick(1);
    let nobody = "port 80 of le1: cannot open 127.0.0.1:80 through le1: connection closed before there was an answer";
    assert_eq!(wrong(&rows(&edge).await), [refused("ubuntu", "10.10.10.200"), refused("debian", "10.10.10.204"), nobody.into()]);
}
