//! The checks of an edge: its load balancers, and the clusters behind them as they show from there.
use super::{
    ask,
    checks::{self, Check},
    from_nodes::told,
    question::{Answer, Destination, Question},
    row::{Found, Row},
};
use crate::{
    nginx::STATUS_FILE,
    workspace::{HealthCheck, Role, Workspace},
};
use kthw_checker::status::Status;
use kthw_engine::{
    Peers, Result,
    node::{Finding, Probe},
};

/// All of its rows.
pub async fn rows(peers: &Peers, workspace: &Workspace) -> Vec<Row> {
    let Some(edge) = &workspace.load_balancer else { return Vec::new() };
    let mut checks = Vec::new();
    for node in workspace.with_role(Role::LoadBalancer) {
        let name = node.name.as_str();
        checks.push(Check::new(format!("checker on {name}"), "runs, and knows a cluster that is well", checker(peers, name)));
        for served in &edge.clusters {
            let want = format!("{} is answered with {}", edge.check.path, edge.check.status);
            let what = format!("{} from {name}", served.name);
            checks.push(match served.address {
                Some(address) => Check::new(what, want, answers(peers, name, Destination::new(address, edge.check.port), &edge.check)),
                None => Check::not_tried(what, want, "its address is not known"),
            });
        }
        checks.extend(edge.listeners.iter().map(|listener| {
            let to = Destination::new("127.0.0.1", listener.port);
            let what = format!("port {} of {name}", listener.port);
            // What is asked of clusters can be asked through NGINX too, where it passes that port on.
            match edge.target_port(listener) == edge.check.port && !edge.proxy_protocol {
                true => Check::new(what, format!("a cluster answers with {}", edge.check.status), answers(peers, name, to, &edge.check)),
                false => Check::new(what, "NGINX takes connections", takes(peers, name, to)),
            }
        }));
    }
    checks::all(peers, checks).await
}

/// Whether the path of the check is answered as it should be.
async fn answers(peers: &Peers, node: &str, to: Destination, check: &HealthCheck) -> Result<Found> {
    let next = "see that Traefik of the cluster is well (`kthw validate` of its workspace), and that nothing between drops packets";
    Ok(match ask(peers, node, &to, &Question::Get(check.path.to_string())).await {
        Ok(Answer::Status(status)) if status == check.status => Found::Well(format!("{to}: {status}")),
        Ok(other) => Found::wrong(format!("{to}: {}", told(&other)), next),
        Err(error) => Found::wrong(error.to_string(), next),
    })
}

/// Whether NGINX takes a connection.
async fn takes(peers: &Peers, node: &str, to: Destination) -> Result<Found> {
    Ok(match ask(peers, node, &to, &Question::Connect).await {
        Ok(_) => Found::Well(format!("{to} takes connections")),
        Err(error) => Found::wrong(error.to_string(), "on the machine: `systemctl status nginx`, and /var/log/nginx/error.log"),
    })
}

/// What the checker says of itself.
async fn checker(peers: &Peers, node: &str) -> Result<Found> {
    let active = Probe::run(["systemctl", "is-active", "kthw-checker"]);
    let findings = peers.nodes().read(node, &[active, Probe::run(["cat", STATUS_FILE])]).await?;
    let said: Vec<&str> =
        findings.iter().map(|finding| if let Finding::Run(output) = finding { output.stdout.trim() } else { "" }).collect();
    let next = "on the machine: `systemctl status kthw-checker` and `journalctl -u kthw-checker`";
    if said.first() != Some(&"active") {
        return Ok(Found::wrong(format!("the service is {}", said.first().unwrap_or(&"not there")), next));
    }
    let status = said.get(1).and_then(|text| serde_json::from_str::<Status>(text).ok());
    let Some(status) = status else { return Ok(Found::wrong(format!("{STATUS_FILE} says nothing that can be read"), next)) };
    let panics: Vec<&str> = status.upstreams.iter().filter(|one| one.panic).map(|one| one.name.as_str()).collect();
    Ok(match (&status.nginx, panics.as_slice()) {
        (Some(why), _) => Found::wrong(format!("NGINX does not use what it decided: {why}"), next),
        (None, []) => Found::Well(status.line()),
        (None, panics) => Found::wrong(
            format!("panic mode: {} has no server that is well, so all of them get connections", panics.join(" and ")),
            "bring a cluster back: `kthw validate` of its workspace says what is wrong",
        ),
    })
}
