//! The network as machines of the lab see it: services, pods, each other, and all that the lab does not hold, which answers.
use crate::{
    clock::silence,
    fault::{Harm, Trigger},
    kubernetes::{Cluster, answers_on, behind, service_at, serving_certificate, shown_at},
    node::{ApiServerCertificate, Host, LabNodes, key_of},
    state::State,
    world::World,
};
use jiff::Timestamp;
use kthw_checker::config::Config;
use kthw_engine::{BoxFuture, Error, Result};
use kthw_stdlib::{
    kubernetes::KUBELET_PORT,
    nginx::CHECKER_JSON,
    seams::Reach,
    validation::{Answer, Destination, Question},
    workspace::Workspace,
};
use serde_json::Value;
use std::net::Ipv4Addr;

/// Where an API server's certificate is.
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";

/// Asks from the machines of a workspace.
#[derive(Clone, Debug)]
pub struct LabReach {
    world: World,
    nodes: LabNodes,
}

impl LabReach {
    pub(crate) fn new(world: World, workspace: &Workspace) -> Self {
        Self { nodes: LabNodes::new(world.clone(), workspace), world }
    }
}

impl Reach for LabReach {
    fn ask<'a>(&'a self, node: &'a str, to: &'a Destination, question: &'a Question) -> BoxFuture<'a, Result<Answer>> {
        Box::pin(async move {
            let asked = self.nodes.on(node, |host| match strike(host.state, node, to) {
                Some(Harm::Refused { text, .. }) => Some(Err(text)),
                Some(Harm::Hangs { .. }) => None,
                _ => Some(answer(host, to, question)),
            });
            match asked.await? {
                Some(answer) => answer.map_err(|why| Error::peer(NotReached { node: node.into(), to: to.to_string(), why })),
                None => silence(self.world.clone()).await,
            }
        })
    }
}

/// The fault that strikes a connection, if one does.
fn strike(state: &mut State, node: &str, to: &Destination) -> Option<Harm> {
    let to = to.to_string();
    let strikes =
        |on: &Trigger| matches!(on, Trigger::Network { node: from, to: begins } if from == node && to.starts_with(begins.as_str()));
    state.strike_as(strikes, |harm| matches!(harm, Harm::Refused { .. } | Harm::Hangs { .. }).then(|| harm.clone()))
}

/// What comes of a question that `host` asks.
fn answer(host: &Host<'_>, to: &Destination, question: &Question) -> std::result::Result<Answer, String> {
    let refused = || "connection refused".to_owned();
    if to.host == "127.0.0.1" {
        return of_itself(host, to.port, question);
    }
    let Some((cluster, service)) = service_seen_by(host, &to.host) else {
        // A pod, another machine, or what the lab does not hold.
        return match key_of(host.state, &to.host).is_some() || !is_machine(host.state, &to.host) {
            true => Ok(well(question)),
            false => Err("no route to host".into()),
        };
    };
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let is_named = |name: &str| service["metadata"]["name"] == name;
    if !ports.filter_map(|port| port["port"].as_u64()).any(|port| port == u64::from(to.port)) {
        return Err(refused());
    }
    if !is_named("kubernetes") && behind(cluster, service, host.now_ms()).is_none() {
        return Err(refused());
    }
    match question {
        Question::Name(name) if is_named("kube-dns") => resolve(cluster, name),
        Question::Get(path) if is_named("traefik") && path != "/ping" => Ok(Answer::Status(404)),
        _ => Ok(well(question)),
    }
}

/// The service at an address: one of the machine's own cluster, or one that any cluster shows to the network.
fn service_seen_by<'s>(host: &'s Host<'_>, address: &str) -> Option<(&'s Cluster, &'s Value)> {
    let clusters = &host.state.clusters;
    let own = host.machine.cluster.and_then(|number| clusters.get(number));
    let inside = own.and_then(|cluster| Some((cluster, service_at(cluster, address)?)));
    inside.or_else(|| clusters.iter().find_map(|cluster| Some((cluster, shown_at(cluster, address)?))))
}

/// What a machine finds on itself: its API server, or NGINX, which passes on to a cluster that answers.
fn of_itself(host: &Host<'_>, port: u16, question: &Question) -> std::result::Result<Answer, String> {
    if port == KUBELET_PORT && host.machine.cluster.is_some() {
        return of_kubelet(host, question);
    }
    let serves = match host.machine.cluster {
        Some(number) => port == 6443 && answers_on(host.state, number, &host.key, &host.machine),
        None => host.machine.runs("nginx.service"),
    };
    match question {
        _ if !serves => Err("connection refused".into()),
        Question::Get(_) if host.machine.cluster.is_none() => passed_on(host, question),
        Question::Certificate { name, .. } => {
            let certificate = ApiServerCertificate::parse(&host.machine.files.text(CERTIFICATE)).ok_or("it shows no certificate")?;
            if !certificate.is_for(name) {
                return Err(format!("certificate not valid for name \"{name}\""));
            }
            let ends = i64::try_from(certificate.ends_s).ok().and_then(|second| Timestamp::from_second(second).ok());
            ends.map(Answer::Ends).ok_or_else(|| "its certificate ends at no time".into())
        }
        question => Ok(well(question)),
    }
}

/// What comes of a question that NGINX passes on: the first server that answers counts, and without any the connection is closed.
fn passed_on(host: &Host<'_>, question: &Question) -> std::result::Result<Answer, String> {
    let config = host.machine.files.content(CHECKER_JSON).and_then(|json| serde_json::from_slice::<Config>(json).ok());
    let servers = config.into_iter().flat_map(|config| config.upstreams).flat_map(|upstream| upstream.servers);
    let mut answers = servers.map(|server| {
        let to = Destination::new(server.address.ip(), server.address.port());
        answer(host, &to, question)
    });
    answers.find(std::result::Result::is_ok).unwrap_or_else(|| Err("connection closed before there was an answer".into()))
}

/// What the kubelet of a machine answers.
fn of_kubelet(host: &Host<'_>, question: &Question) -> std::result::Result<Answer, String> {
    let cluster = host.machine.cluster.and_then(|number| host.state.clusters.get(number));
    let Some(cluster) = cluster.filter(|_| host.machine.runs("kubelet.service")) else { return Err("connection refused".into()) };
    let Question::Certificate { name, .. } = question else { return Ok(well(question)) };
    if name != host.machine.ip() {
        return Err(format!("certificate not valid for name \"{name}\""));
    }
    let ends = serving_certificate(cluster, &host.machine.hostname, &host.machine, host.state.unix_s())?;
    let ends = i64::try_from(ends).ok().and_then(|second| Timestamp::from_second(second).ok());
    ends.map(Answer::Ends).ok_or_else(|| "its certificate ends at no time".into())
}

/// The addresses of a service, by its name in cluster DNS.
fn resolve(cluster: &Cluster, name: &str) -> std::result::Result<Answer, String> {
    let mut parts = name.split('.');
    let (service, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let object = cluster.objects.get(&crate::kubernetes::key("", "services", namespace, service));
    let address = object.and_then(|object| object.value["spec"]["clusterIP"].as_str()?.parse::<Ipv4Addr>().ok());
    address.map(|address| Answer::Addresses(vec![address])).ok_or_else(|| format!("there is no {name}"))
}

/// The answer of somebody who is well.
fn well(question: &Question) -> Answer {
    match question {
        Question::Connect => Answer::Connected,
        Question::Name(_) => Answer::Addresses(Vec::new()),
        Question::Get(_) => Answer::Status(200),
        Question::Certificate { .. } => Answer::Ends(Timestamp::MAX),
    }
}

/// Whether an address is that of a machine of the lab, which may be off.
fn is_machine(state: &State, address: &str) -> bool {
    state.machines.values().any(|machine| machine.ip() == address)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot open {to} through {node}: {why}")]
#[diagnostic(code(kthw::lab::not_reached), help("see what the lab holds: `kthw lab show`"))]
struct NotReached {
    node: String,
    to: String,
    why: String,
}
