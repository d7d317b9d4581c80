//! A node on which no restart is needed: where one is, the node is drained, restarted, seen to be back, and takes pods again.
//!
//! The goal is a state, so a run that died goes on where it was: what needs a restart says so until it was restarted, and a node that kthw
//! cordoned says so until it is uncordoned.
use super::{
    boot::{back, code, is_away, printed, query, was_just_started},
    drain::{self, Cordon, DrainOptions, NodeState, Outlook, Purpose},
    error::{in_words, is_passing},
    objects,
    place::Place,
};
use crate::{
    proxmox::restart::{machine_of, pin_anew, restart as restart_machine},
    ssh::restart_reasons,
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{
    Change, Error, Field, Id, Intent, Kind, Lane, Limit, Peers, Permit, Poll, Refusal, Resource, Result,
    node::{Action, Finding},
    progress, wait,
};
use std::sync::Arc;

/// How long a machine may take until its system answers again.
const BACK: Limit = Limit::minutes(10);
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
        let findings = peers.nodes().read(&self.node.name, &query()).await?;
        let [boot_id, joined, system @ ..] = findings.as_slice() else { return Ok(None) };
        let machine = machine_of(&self.node, &self.workspace, peers).await?;
        let mut live = LiveRestart {
            machine: machine.filter(|machine| machine.running).map(|machine| machine.waiting).unwrap_or_default(),
            system: restart_reasons(system),
            boot_id: printed(boot_id),
            member: None,
        };
        if let (Some(place), Finding::Path(Some(_))) = (&self.place, joined) {
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
        let mut boot_id = live.boot_id.clone();
        if live.is_needed() {
            if let Some(place) = member {
                let client = objects::client(peers, &place.node).await?;
                drain::all_others_are_there(&client, &self.node.name).await?;
                drain::cordon(peers, &client, &self.node.name, Purpose::Restart, permit).await?;
                drain::evict(peers, &client, &self.node.name, &self.options, permit).await?;
            }
            boot_id = self.restart(&live, peers, permit).await?;
        }
        let Some(place) = member else { return Ok(()) };
        self.until_ready(place, &boot_id, peers).await?;
        let client = objects::client(peers, &place.node).await?;
        drain::uncordon(peers, &client, &self.node.name, Purpose::Restart, permit).await
    }
}

impl NodeRestarted {
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

    /// Restarts the machine, and returns the boot in which it is back: through Proxmox where that changes its hardware, else by its own system.
    async fn restart(&self, live: &LiveRestart, peers: &Peers, permit: &Permit) -> Result<String> {
        let waits = !live.machine.is_empty();
        let machine = if waits { machine_of(&self.node, &self.workspace, peers).await? } else { None };
        match machine {
            Some(machine) => restart_machine(&machine, peers, permit).await?,
            None => self.reboot(&live.boot_id, peers, permit).await?,
        }
        self.until_back(&live.boot_id, peers, permit).await
    }

    async fn reboot(&self, boot_id: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let node = self.node.name.as_str();
        progress(format!("restarting {node}"));
        let action = Action::run(["systemctl", "reboot"]);
        let intent = Intent::on(node, action.to_string()).told_by(format!("another boot than {boot_id}"));
        // The connection may break before there is an answer; whether it went down shows then.
        let asked = permit.effect(intent, async |effect| match peers.nodes().act(node, &action, effect).await {
            Err(error) if is_away(&error) => Ok(None),
            done => done.map(Some),
        });
        match asked.await?.filter(|output| output.status != 0) {
            Some(output) => {
                Err(Error::peer(RebootRefused { node: node.to_owned(), status: output.status, said: output.stderr.trim().to_owned() }))
            }
            None => Ok(()),
        }
    }

    async fn until_back(&self, before: &str, peers: &Peers, permit: &Permit) -> Result<String> {
        let node = self.node.name.as_str();
        let help = format!(
            "look at the machine's console; one that stays off is started by `kthw run recipes/phases/machines.rhai`; a node of a cluster stays \
             cordoned until {node} is back and this recipe is run again"
        );
        wait(peers, BACK, &format!("{node} to be back from its restart"), &help, async || {
            match peers.nodes().read(node, &query()).await {
                Ok(findings) => back(&findings, before),
                Err(error) if code(&error) == "kthw::ssh::host_key_changed" => match machine_of(&self.node, &self.workspace, peers).await? {
                    Some(found) if pin_anew(&found, &self.node, &self.workspace, peers, permit).await? => {
                        Ok(Poll::Pending("it has new host keys".into()))
                    }
                    _ => Err(error),
                },
                Err(error) if is_away(&error) => Ok(Poll::Pending(error.to_string())),
                Err(error) => Err(error),
            }
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

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} does not restart: `systemctl reboot` ended with status {status}: {said}")]
#[diagnostic(
    code(kthw::kubernetes::reboot_refused),
    help("something may keep it from shutting down: `systemd-inhibit --list` on {node}; a node of a cluster stays cordoned meanwhile")
)]
struct RebootRefused {
    node: String,
    status: i32,
    said: String,
}

#[cfg(test)]
#[path = "node_restarted_tests.rs"]
mod tests;
