//! Whether kthw still gets in under rules that are on trial. Where it does not, they are taken back, and that is waited for.
use super::host::{PROGRAM, TRIAL_S};
use crate::ssh::Logins;
use kthw_engine::{Error, Limit, Peers, Permit, Poll, Result, node::Action, progress, wait};
use miette::Diagnostic;
use std::{sync::Arc, time::Duration};

/// How long a new login is tried; what is left of the trial is for keeping the rules.
const LIMIT: Limit = Limit::seconds(35);
/// How long one login may take.
const ONE_LOGIN: Duration = Duration::from_secs(10);
/// How long after a trial the machine may take to be reached again.
const BACK: Limit = Limit::seconds(TRIAL_S as u64 + 30);

/// Logs in to `node` on a new connection: the one that the rules came over passes whatever they say.
///
/// # Errors
/// When nobody gets in. The rules are taken back then, and the machine was reached again, unless the error says otherwise.
pub async fn or_back(node: &str, peers: &Peers, permit: &Permit) -> Result<()> {
    let Err(error) = until_in(node, LIMIT, "under its new rules", peers).await else { return Ok(()) };
    progress(format!("{node} lets nobody in under its new rules: they are taken back, after {TRIAL_S} s at the latest"));
    // The old connection may still be there. Where it is not, the machine does it by itself.
    let action = Action::run_for(20, [PROGRAM, "back"]);
    let back = permit.act_closing(peers, node, &action);
    let _ = tokio::time::timeout(Duration::from_secs(20), back).await;
    let why = error.to_string();
    match until_in(node, BACK, "under the rules that it had before", peers).await {
        Ok(()) => Err(Error::peer(LockedOut { node: node.into(), why })),
        Err(_) => Err(Error::peer(StillOut { node: node.into(), why })),
    }
}

async fn until_in(node: &str, limit: Limit, when: &str, peers: &Peers) -> Result<()> {
    let logins = peers.get::<Arc<dyn Logins>>()?;
    wait(peers, limit, &format!("a new login on {node} {when}"), "see which addresses `firewall.ssh_from` names", async || {
        match tokio::time::timeout(ONE_LOGIN, logins.try_anew(node)).await {
            Ok(Ok(())) => Ok(Poll::Ready(())),
            Ok(Err(error)) => Ok(Poll::Pending(error.to_string())),
            Err(_) => Ok(Poll::Pending(format!("no answer in {} s", ONE_LOGIN.as_secs()))),
        }
    })
    .await
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the new rules of {node} would lock kthw out, so it has those from before again: {why}")]
#[diagnostic(
    code(kthw::firewall::locked_out),
    help(
        "name the address that kthw comes from under `firewall.ssh_from` (on {node}, `ss -tn sport = :22` shows it), or leave `ssh_from` out"
    )
)]
struct LockedOut {
    node: String,
    why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} lets nobody in under its new rules, nor after their trial: {why}")]
#[diagnostic(
    code(kthw::firewall::still_out),
    help(
        "the rules are taken back {TRIAL_S} s after they came, and at a restart: look at the machine's console, where `{PROGRAM} off` takes all rules away"
    )
)]
struct StillOut {
    node: String,
    why: String,
}
