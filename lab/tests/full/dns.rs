//! Names in the Pi-hole of the workspace: there before kubeadm needs them, and what else is in it stays.
use super::{FULL, Lab, changes, failures};
use kthw_lab::{Fault, World};

const PIHOLE: &str = "dns={pihole: {url: 'https://pihole.bevz.net', version: 6, password_secret: pihole.web_password}}";

fn hosts(lab: &Lab) -> Vec<String> {
    lab.world.with_state(|state| state.pihole.hosts.clone())
}

#[tokio::test(start_paused = true)]
async fn names_are_there_before_the_control_plane_and_are_put_back() {
    let lab = Lab::changed("names", World::default(), &[PIHOLE, "endpoint=api.bevz.net:6443"]);
    lab.world.with_state(|state| state.pihole.hosts = vec!["10.10.10.9 nas.bevz.net".into()]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(
        hosts(&lab),
        [
            "10.10.10.9 nas.bevz.net",
            "10.10.10.116 api.bevz.net",
            "10.10.10.116 cu1.bevz.net",
            "10.10.10.121 wu1.bevz.net",
            "10.10.10.120 wu2.bevz.net"
        ]
    );
    let journal = lab.world.journal();
    let first = |what: &str| journal.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    assert!(first("pihole PATCH") < first("kubeadm init"), "the name came too late");
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
    let (opened, closed) = ("pihole POST /api/auth", "pihole DELETE /api/auth");
    let count = |what: &str| lab.world.journal().iter().filter(|line| line.as_str() == what).count();
    assert_eq!(count(opened), count(closed));

    lab.world.with_state(|state| state.pihole.hosts[2] = "10.10.10.50 cu1.bevz.net".into());
    assert_eq!(changes(&lab.plan(FULL).await), ["update dns.records/ubuntu cu1.bevz.net: 10.10.10.50 -> 10.10.10.116"]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(hosts(&lab)[0], "10.10.10.9 nas.bevz.net");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_looked_for() {
    let lab = Lab::changed("names-lost", World::default(), &[PIHOLE]);
    lab.world.add_fault(Fault::http_broken("PATCH", "/api/config", true));
    assert_eq!(failures(&lab.apply("phases/dns").await), "");
    assert_eq!(hosts(&lab).len(), 3, "the endpoint is the first control plane's own name");
    assert_eq!(changes(&lab.plan("phases/dns").await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_workspace_without_a_dns_asks_nobody() {
    let lab = Lab::new("nameless");
    assert_eq!(lab.plan("phases/dns").await.planned().len(), 0);
}
