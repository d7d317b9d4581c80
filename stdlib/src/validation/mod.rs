//! Validation: whether a cluster or an edge does what it is for, as it shows to who asks. Nothing is made for it and nothing is changed.
//!
//! Programs are not run in pods, and no pods are made: what can be read and what can be connected to has to do. So a pod's own view is judged by
//! its node's: whether names are resolved, services and pods of other nodes are reached, and the registry is.
mod api;
mod checks;
mod cluster;
mod dns;
mod edge;
mod from_nodes;
mod over_ssh;
mod question;
mod row;
mod validated;

pub use over_ssh::OverSsh;
pub use question::{Answer, Destination, Question};
pub use row::{Found, Row};
pub use validated::Validated;

use crate::{seams::Reach, workspace::Workspace};
use kthw_engine::{Error, Peers, Result};
use miette::Diagnostic;
use std::{sync::Arc, time::Duration};

/// How long the answer to one question may take, in seconds. A connection to an address that is not there is given up by Linux after two minutes.
const ANSWER_S: u64 = 5;

/// Looks at everything that can be looked at. What cannot be is a row too, so there is always an answer.
pub async fn validate(peers: &Peers, workspace: &Workspace) -> Vec<Row> {
    if workspace.is_edge() { edge::rows(peers, workspace).await } else { cluster::rows(peers, workspace).await }
}

/// Asks from a node, for a few seconds at most.
pub(crate) async fn ask(peers: &Peers, node: &str, to: &Destination, question: &Question) -> Result<Answer> {
    let answer = peers.get::<Arc<dyn Reach>>()?.ask(node, to, question);
    let silent = |_| Error::peer(Silent { to: to.to_string() });
    tokio::time::timeout(Duration::from_secs(ANSWER_S), answer).await.map_err(silent)?
}

/// No answer came.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("no answer from {to} in {ANSWER_S} s")]
#[diagnostic(code(kthw::validation::silent), help("something on the way drops packets: see routes and firewalls on both ends"))]
struct Silent {
    to: String,
}
