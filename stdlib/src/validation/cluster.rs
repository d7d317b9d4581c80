//! The checks of a cluster: what its API says, and what its nodes reach.
use super::{
    api::{self, Seen, members, unread},
    checks::{self, Check},
    from_nodes,
    row::{Found, Row},
};
use crate::{
    kubeadm,
    kubernetes::{Client, Place, admin_conf, objects, shown_by},
    validation::{Answer, Destination, Question, ask},
    workspace::{NodeSpec, Role, Workspace},
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use kthw_engine::{Error, Peers, Result};

/// The port of an API server on its own machine.
const API_PORT: u16 = 6443;
/// So many days before its end a certificate counts as wrong: kubeadm's live for a year, and are renewed with each upgrade.
const DAYS_LEFT: i64 = 30;

/// All of its rows.
pub async fn rows(peers: &Peers, workspace: &Workspace) -> Vec<Row> {
    let of_api = |found| vec![Row::of("API", "answers", found)];
    let place = match Place::of(workspace) {
        Ok(place) => place,
        Err(error) => return of_api(Found::wrong(error.to_string(), "")),
    };
    let begun = peers.clock().now();
    let read = async {
        let client = objects::client(peers, &place.node).await?;
        let seen = Seen::read(&client).await?;
        Ok((client, seen))
    };
    let (client, seen) = match read.await {
        Ok(read) => read,
        Err(error) => return of_api(Found::failed(&error)),
    };
    let mut rows = of_api(Found::Well(format!("through {}", place.node)));
    rows[0].took = peers.clock().now().saturating_sub(begun);
    rows.extend(checks::folded(seen.nodes(&members(workspace)), "nodes"));
    rows.extend(checks::all(peers, control_planes(peers, workspace, &seen)).await);
    rows.extend(seen.workloads(&client).await.unwrap_or_else(|error| vec![unread("workloads", "run", &error)]));
    rows.extend(seen.addresses(&client, workspace).await.unwrap_or_else(|error| vec![unread("addresses", "are given", &error)]));
    rows.extend(checks::all(peers, from_nodes::checks(peers, workspace, &seen)).await);
    rows
}

/// Each control plane: what runs there, its certificate, and that it reaches the kubelet of another node.
fn control_planes<'a>(peers: &'a Peers, workspace: &'a Workspace, seen: &Seen) -> Vec<Check<'a>> {
    let all = members(workspace);
    let ready: Vec<&str> = all.iter().map(|node| node.name.as_str()).filter(|name| seen.is_ready(name)).collect();
    let mut checks = Vec::new();
    for (number, plane) in workspace.with_role(Role::ControlPlane).enumerate() {
        let name = plane.name.as_str();
        let (runs, logs) = (format!("control plane on {name}"), format!("logs through {name}"));
        checks.push(Check::new(format!("certificate of {name}"), "is right for a month at least", certificate(peers, workspace, name)));
        if !seen.is_ready(name) {
            let why = format!("{name} is not Ready");
            checks.push(Check::not_tried(runs, "runs", why.clone()));
            checks.push(Check::not_tried(logs, "are read", why));
            continue;
        }
        checks.push(Check::new(runs, "runs", async move { api::control_plane(&client(peers, name).await?, name).await }));
        // Each asks another node, the last ones first: those are workers.
        let others: Vec<&str> = ready.iter().copied().filter(|other| *other != name).collect();
        let asked = if others.is_empty() { name } else { others[others.len() - 1 - number % others.len()] };
        checks.push(Check::new(logs, "are read", async move { api::logs(&client(peers, name).await?, asked).await }));
    }
    if workspace.kubeadm.kubelet_serving_certificates == Some(true) {
        for node in &all {
            let what = format!("kubelet certificate of {}", node.name);
            checks.push(match seen.is_ready(&node.name) {
                true => Check::new(what, "is right for a month at least", kubelet_certificate(peers, workspace, node)),
                false => Check::not_tried(what, "is right for a month at least", format!("{} is not Ready", node.name)),
            });
        }
    }
    checks
}

async fn client(peers: &Peers, node: &str) -> Result<Client> {
    objects::client(peers, node).await
}

/// Whether the API server's certificate is right for the endpoint, and for how long.
async fn certificate(peers: &Peers, workspace: &Workspace, node: &str) -> Result<Found> {
    let endpoint = workspace.endpoint();
    let name = kubeadm::endpoint_host(&endpoint).to_owned();
    let authorities = match admin_conf(peers.nodes(), node).await?.authorities() {
        Ok(authorities) => authorities,
        Err(why) => return Ok(Found::wrong(why, "")),
    };
    let question = Question::Certificate { name: name.clone(), authorities };
    let Answer::Ends(ends) = ask(peers, node, &Destination::new("127.0.0.1", API_PORT), &question).await? else {
        return Ok(Found::wrong("no certificate", ""));
    };
    Ok(lasts(peers, ends, &name, "on the node: `kubeadm certs renew all`, then restart the control plane's pods"))
}

/// Whether the certificate that a kubelet serves with is of the cluster's authority, and for how long.
async fn kubelet_certificate(peers: &Peers, workspace: &Workspace, node: &NodeSpec) -> Result<Found> {
    let plane = Place::of(workspace).map_err(Error::peer)?.node;
    let authorities = match admin_conf(peers.nodes(), &plane).await?.authorities() {
        Ok(authorities) => authorities,
        Err(why) => return Ok(Found::wrong(why, "")),
    };
    let address = node.address.to_string();
    let next = "`kthw run` approves what a kubelet asks for; `kubectl get csr` shows whether it has asked";
    Ok(match shown_by(peers, &node.name, &address, authorities).await {
        Ok(Answer::Ends(ends)) => lasts(peers, ends, &address, next),
        Ok(_) => Found::wrong("no certificate", next),
        Err(error) => Found::wrong(error.to_string(), next),
    })
}

/// A certificate that is right, as long as it lasts for some time; otherwise what comes next.
fn lasts(peers: &Peers, ends: Timestamp, name: &str, next: &str) -> Found {
    let day = ends.to_zoned(TimeZone::UTC).date();
    let now = Timestamp::from_millisecond(i64::try_from(peers.clock().unix_ms()).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    match now.checked_add((24 * DAYS_LEFT).hours()).is_ok_and(|then| then >= ends) {
        true => Found::wrong(format!("it ends on {day}"), next),
        false => Found::Well(format!("for {name}, until {day}")),
    }
}
