//! A node on which no restart is needed: where one is, the node is drained, restarted, seen to be back, and takes pods again.
//!
//! The goal is a state, so a run that died is resumed: what needs a restart says so until it was restarted, and a node that kthw
//! cordoned says so until it is uncordoned.
use super::{
    boot::{printed, query, was_just_started},
    drain::{self, Cordon, DrainOptions, NodeState, Outlook, Purpose},
    error::{in_words, is_passing},
    objects,
    place::Place,
};
use crate::{
    proxmox::restart::machine_of,
    ssh::restart_reasons,
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{Change, Field, Id, Kind, Lane, Limit, Peers, Permit, Poll, Refusal, Resource, Result, node::Finding, wait};
use std::sync::Arc;

mod machine;
mod updated;

pub use updated::{LiveUpdate, NodeUpdated};

/// How long its kubelet may take to report Ready after that.
const READY: Limit = Limit::minutes(10);
/// How long an API server may take to answer whose machine was just started.
const API_STARTS: Limit = Limit::minutes(3);

/// The resource behind `kubernetes::node_restarted`.
#[derive(Debug)]
pub struct NodeRestarted {
    /// The cluster.
    pub workspace: Arc<Workspace>,
    /// Its API; none in a workspace without a control plane.
    pub place: Option<Place>,
    /// The node.
    pub node: NodeSpec,
    /// What may be done to its pods.
    pub options: DrainOptions,
}

/// What was found of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRestart {
    /// What waits in Proxmox for a restart.
    machine: Vec<String>,
    /// Why its system needs one.
    system: Vec<String>,
    /// Why it needs one still, although it was restarted for that.
    in_vain: Vec<String>,
    /// Which boot it is in.
    boot_id: String,
    /// What the cluster says, if it is a node of one.
    member: Option<Member>,
}

/// What the cluster says of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    cordon: Cordon,
    /// What a drain would meet; looked at only where one is needed.
    outlook: Outlook,
}

impl LiveRestart {
    fn is_needed(&self) -> bool {
        !self.machine.is_empty() || !self.system.is_empty()
    }

    /// Why it is not restarted: that did not help before.
    fn in_vain(&self, node: &str) -> Option<Refusal> {
        (!self.is_needed() && !self.in_vain.is_empty()).then(|| Refusal {
            why: format!("{node} was restarted before, which did not help: {}", self.in_vain.join("; ")),
            next: format!(
                "see which kernel it boots (`grep GRUB_DEFAULT /etc/default/grub`, `grub-editenv list`) and restart it yourself, or remove {} on {node} \
                 to have it tried again",
                machine::IN_VAIN
            ),
            fields: vec![Field { live: Some(self.in_vain.join("; ")), ..Field::new("restart", "done") }],
        })
    }

    fn needed(&self) -> Option<Field> {
        self.is_needed().then(|| {
            let waits = (!self.machine.is_empty()).then(|| format!("waiting in Proxmox: {}", self.machine.join(", ")));
            let reasons: Vec<String> = waits.into_iter().chain(self.system.iter().cloned()).collect();
            let mut done = "done".to_owned();
            if let Some(Member { outlook, .. }) = &self.member {
                match outlook.goes {
                    0 => {}
                    1 => done.push_str(", with 1 pod evicted before"),
                    many => done.push_str(&format!(", with {many} pods evicted before")),
                }
                if !outlook.held.is_empty() {
                    done.push_str(&format!("; held at the moment: {}", outlook.held.join(", ")));
                }
            }
            Field { live: Some(format!("needed ({})", reasons.join("; "))), ..Field::new("restart", done) }
        })
    }

    fn cordoned(&self) -> Option<Field> {
        let ours = self.member.as_ref().is_some_and(|member| member.cordon == Cordon::Ours(Purpose::Restart));
        ours.then(|| Field { live: Some("by kthw, for a restart that it did not finish".into()), ..Field::new("cordoned", "no") })
    }
}

impl Resource for NodeRestarted {
    type Live = LiveRestart;

    fn id(&self) -> Id {
        Id::new("kubernetes.node_restarted", &self.node.name)
    }

    fn after(&self) -> Vec<Id> {
        let own = ["proxmox.vm", "ssh.node", "kubeadm.worker"].map(|kind| Id::new(kind, &self.node.name));
        // Through that node the cluster is asked.
        let place = self.place.iter().flat_map(|place| [Id::new("ssh.node", &place.node), place.control_plane()]);
        own.into_iter().chain(place).collect()
    }

    fn lane(&self) -> Option<Lane> {
        Some(Lane { name: format!("kubernetes/restart/{}", self.workspace.name), at_most: 1, stop_after_failure: true })
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveRestart>> {
        let Some((mut live, is_joined)) = self.look_at_node(peers).await? else { return Ok(None) };
        if let Some(place) = self.place.as_ref().filter(|_| is_joined) {
            live.member = self.member(place, live.is_needed(), peers).await?;
        }
        Ok(Some(live))
    }

    /// A machine that is not there yet will have been started.
    fn diff(&self, live: Option<&LiveRestart>) -> Change {
        let Some(live) = live else { return Change::None };
        let change = Change::between([live.needed(), live.cordoned()]);
        let refusal = live.member.as_ref().filter(|_| live.is_needed()).and_then(|member| member.outlook.refusal());
        match refusal {
            None if change.is_none() => live.in_vain(&self.node.name).map_or(Change::None, Change::Refused),
            None => change,
            Some((why, next)) => Change::Refused(Refusal {
                why: format!("{} cannot be drained: {why}", self.node.name),
                next,
                fields: change.fields().to_vec(),
            }),
        }
    }

    async fn apply(&self, live: Option<LiveRestart>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(live) = live else { return Ok(()) };
        let member = live.member.as_ref().and(self.place.as_ref());
        let (mut boot_id, mut restarted) = (live.boot_id.clone(), false);
        if live.is_needed() {
            if let Some(place) = member {
                let client = objects::client(peers, &place.node).await?;
                drain::all_others_are_there(&client, &self.node.name).await?;
                drain::cordon(peers, &client, &self.node.name, Purpose::Restart, permit).await?;
                drain::evict(peers, &client, &self.node.name, &self.options, permit).await?;
            }
            (boot_id, restarted) = self.restart(peers, permit).await?;
        }
        if let Some(place) = member {
            self.until_ready(place, &boot_id, peers).await?;
            let client = objects::client(peers, &place.node).await?;
            drain::uncordon(peers, &client, &self.node.name, Purpose::Restart, permit).await?;
        }
        self.helped(&live, restarted, peers, permit).await
    }
}

impl NodeRestarted {
    /// What the node and its machine say, and whether its kubelet has joined a cluster.
    async fn look_at_node(&self, peers: &Peers) -> Result<Option<(LiveRestart, bool)>> {
        let findings = peers.nodes().read(&self.node.name, &query()).await?;
        let [boot_id, joined, tried, system @ ..] = findings.as_slice() else { return Ok(None) };
        let machine = machine_of(&self.node, &self.workspace, peers).await?;
        let tried = printed(tried);
        let (in_vain, system) = restart_reasons(system).into_iter().partition(|reason| tried.lines().any(|line| line == reason));
        let live = LiveRestart {
            machine: machine.filter(|machine| machine.running).map(|machine| machine.waiting).unwrap_or_default(),
            system,
            in_vain,
            boot_id: printed(boot_id),
            member: None,
        };
        Ok(Some((live, matches!(joined, Finding::Path(Some(_))))))
    }

    async fn member(&self, place: &Place, needed: bool, peers: &Peers) -> Result<Option<Member>> {
        let Some(state) = self.ask_patiently(place, peers).await? else { return Ok(None) };
        let outlook = match needed {
            true => drain::outlook(&objects::client(peers, &place.node).await?, &self.node.name, &self.options).await?,
            false => Outlook::default(),
        };
        Ok(Some(Member { cordon: state.cordon, outlook }))
    }

    async fn ask(&self, place: &Place, peers: &Peers) -> Result<Option<NodeState>> {
        let client = objects::client(peers, &place.node).await?;
        drain::look(&client, &self.node.name).await.map_err(|error| drain::unreadable(&self.node.name, &error))
    }

    /// Asks the cluster, and waits for an API server whose machine was started a moment ago, as after a restart by a run that died.
    async fn ask_patiently(&self, place: &Place, peers: &Peers) -> Result<Option<NodeState>> {
        match self.ask(place, peers).await {
            Err(error) if error.kind() == Kind::Peer && was_just_started(&place.node, peers).await => {}
            asked => return asked,
        }
        let what = format!("the API server on {}, which was just started, to answer", place.node);
        let help = format!("on {}: `journalctl -u kubelet` and `crictl ps -a` say why it does not come up", place.node);
        wait(peers, API_STARTS, &what, &help, async || match self.ask(place, peers).await {
            Ok(state) => Ok(Poll::Ready(state)),
            Err(error) if error.kind() == Kind::Peer => Ok(Poll::Pending(error.to_string())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Waits until the kubelet reports Ready from this very boot: what it reported before stands for a while.
    async fn until_ready(&self, place: &Place, boot_id: &str, peers: &Peers) -> Result<()> {
        let node = self.node.name.as_str();
        let help = format!("on {node}: `journalctl -u kubelet` and `crictl ps`; it stays cordoned until this recipe is run again");
        wait(peers, READY, &format!("node {node} to report Ready after its restart"), &help, async || {
            let client = match objects::client(peers, &place.node).await {
                Ok(client) => client,
                Err(error) if error.kind() == Kind::Peer => return Ok(Poll::Pending(error.to_string())),
                Err(error) => return Err(error),
            };
            match drain::look(&client, node).await {
                Ok(Some(state)) if state.live.ready && state.boot_id == boot_id => Ok(Poll::Ready(())),
                Ok(Some(state)) if state.live.ready => Ok(Poll::Pending("its kubelet has not reported since".into())),
                Ok(Some(state)) => Ok(Poll::Pending(state.live.why)),
                Ok(None) => Ok(Poll::Pending("the cluster knows no node of that name".into())),
                Err(error) if is_passing(&error) => Ok(Poll::Pending(in_words(&error))),
                Err(error) => Err(drain::unreadable(node, &error)),
            }
        })
        .await
    }
}

#[cfg(test)]
#[path = "node_restarted_tests.rs"]
mod tests;
