//! A node on which no restart is needed: where one is, the node is drained, restarted, seen to be back, and takes pods again.
//!
//! The goal is a state, so a run that died goes on where it was: what needs a restart says so until it was restarted, and a node that kthw
//! cordoned says so until it is uncordoned.
use super::{
    drain::{self, Cordon, DrainOptions, NodeState, Outlook},
    error::{in_words, is_passing},
    objects,
    place::Place,
};
use crate::{
    proxmox::restart::{machine_of, pin_anew, restart as restart_machine},
    ssh::{has_started, restart_query, restart_reasons},
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{
    Change, Error, Field, Id, Intent, Kind, Lane, Limit, Peers, Permit, Poll, Refusal, Resource, Result,
    node::{Action, Finding, Probe},
    progress, wait,
};
use std::sync::Arc;

/// How long a machine may take until its system answers again.
const BACK: Limit = Limit::minutes(10);
/// How long its kubelet may take to report Ready after that.
const READY: Limit = Limit::minutes(10);
/// How long an API server may take to answer whose machine was just started, and how old such a start may be.
const API_STARTS: Limit = Limit::minutes(3);
const JUST_STARTED_S: f64 = 600.0;

/// Its kubelet has credentials of a cluster when this is there.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const BOOT_ID: [&str; 2] = ["cat", "/proc/sys/kernel/random/boot_id"];

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
        let ours = self.member.as_ref().is_some_and(|member| member.cordon == Cordon::Ours);
        ours.then(|| Field { live: Some("by kthw, for something that it did not finish".into()), ..Field::new("cordoned", "no") })
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
                drain::cordon(peers, &client, &self.node.name, "a restart", permit).await?;
                drain::evict(peers, &client, &self.node.name, &self.options, permit).await?;
            }
            boot_id = self.restart(&live, peers, permit).await?;
        }
        let Some(place) = member else { return Ok(()) };
        self.until_ready(place, &boot_id, peers).await?;
        let client = objects::client(peers, &place.node).await?;
        drain::uncordon(peers, &client, &self.node.name, permit).await
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
        let node = self.node.name.as_str();
        if live.machine.is_empty() {
            progress(format!("restarting {node}"));
            let action = Action::run(["systemctl", "reboot"]);
            let intent = Intent::on(node, action.to_string()).told_by(format!("another boot than {}", live.boot_id));
            // The connection may break before there is an answer; whether it went down shows then.
            let asked = permit.effect(intent, async |effect| match peers.nodes().act(node, &action, effect).await {
                Err(error) if is_away(&error) => Ok(None),
                done => done.map(Some),
            });
            if let Some(output) = asked.await?.filter(|output| output.status != 0) {
                return Err(Error::peer(RebootRefused { node: node.to_owned(), status: output.status, said: output.stderr.trim().to_owned() }));
            }
        } else if let Some(found) = machine_of(&self.node, &self.workspace, peers).await? {
            restart_machine(&found, peers, permit).await?;
        }
        self.until_back(&live.boot_id, peers, permit).await
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

/// What is looked at on the node itself.
fn query() -> Vec<Probe> {
    [Probe::run(BOOT_ID), Probe::path(KUBELET_CONF)].into_iter().chain(restart_query()).collect()
}

/// The boot that a node is in, when it is another one than `before` and its system has finished its start; else what is still missing.
fn back(findings: &[Finding], before: &str) -> Result<Poll<String>> {
    let [boot_id, _, system @ ..] = findings else { return Ok(Poll::Pending("it gave no answer".into())) };
    let boot_id = printed(boot_id);
    Ok(match boot_id.is_empty() || boot_id == before {
        true => Poll::Pending("it has not gone down yet".into()),
        false if !has_started(system)? => Poll::Pending("cloud-init is still running".into()),
        false => Poll::Ready(boot_id),
    })
}

/// What a command printed, without its line ending.
fn printed(finding: &Finding) -> String {
    if let Finding::Run(output) = finding { output.stdout.trim().to_owned() } else { String::new() }
}

async fn was_just_started(node: &str, peers: &Peers) -> bool {
    let Ok(findings) = peers.nodes().read(node, &[Probe::run(["cat", "/proc/uptime"])]).await else { return false };
    let uptime = findings.first().map(printed).and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    uptime.is_some_and(|seconds| seconds < JUST_STARTED_S)
}

fn code(error: &Error) -> String {
    error.diagnostic().code().map(|code| code.to_string()).unwrap_or_default()
}

/// Whether a machine that goes down or comes up explains why it does not answer; while it does, its sshd may also refuse everybody.
fn is_away(error: &Error) -> bool {
    let passing = ["unreachable", "no_answer", "handshake", "through_jump_host", "broken", "timeout", "refused"];
    code(error).strip_prefix("kthw::ssh::").is_some_and(|code| passing.contains(&code))
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
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn resource() -> NodeRestarted {
        let workspace: Workspace = serde_saphyr::from_str(include_str!("../../../workspaces/ubuntu/workspace.yaml")).expect("a workspace");
        let node = workspace.nodes[1].clone();
        NodeRestarted { place: Place::of(&workspace).ok(), workspace: Arc::new(workspace), node, options: DrainOptions::default() }
    }

    fn live() -> LiveRestart {
        LiveRestart { machine: Vec::new(), system: Vec::new(), boot_id: "b1".into(), member: None }
    }

    fn check(live: &LiveRestart, expected: &Expect) {
        let change = resource().diff(Some(live));
        let fields: Vec<String> = change.fields().iter().map(ToString::to_string).collect();
        let why = if let Change::Refused(Refusal { why, .. }) = &change { format!("  ({why})") } else { String::new() };
        expected.assert_eq(&format!("{}{why}\n{}", change.mark(), fields.join("\n")));
    }

    #[test]
    fn a_restart_is_planned_only_where_one_is_needed() {
        assert_eq!(resource().diff(None), Change::None);
        check(&live(), &expect!["=\n"]);
        let member = |cordon, outlook| Some(Member { cordon, outlook });
        check(&LiveRestart { member: member(Cordon::Foreign, Outlook::default()), ..live() }, &expect!["=\n"]);
        let asked = LiveRestart { machine: vec!["cores".into(), "memory".into()], system: vec!["/run/reboot-required is there".into()], ..live() };
        check(&asked, &expect![[r#"
            ~
            restart: needed (waiting in Proxmox: cores, memory; /run/reboot-required is there) -> done"#]]);
        let held = Outlook { goes: 2, held: vec!["default/web-1 (the disruption budget default/web needs 2 healthy pods and has 2)".into()], ..Outlook::default() };
        check(&LiveRestart { member: member(Cordon::Ours, held), ..asked.clone() }, &expect![[r#"
            ~
            restart: needed (waiting in Proxmox: cores, memory; /run/reboot-required is there) -> done, with 2 pods evicted before; held at the moment: default/web-1 (the disruption budget default/web needs 2 healthy pods and has 2)
            cordoned: by kthw, for something that it did not finish -> no"#]]);
    }

    #[test]
    fn a_node_that_kthw_left_cordoned_is_not_done() {
        let left = LiveRestart { member: Some(Member { cordon: Cordon::Ours, outlook: Outlook::default() }), ..live() };
        check(&left, &expect![[r#"
            ~
            cordoned: by kthw, for something that it did not finish -> no"#]]);
    }

    #[test]
    fn pods_that_nobody_would_start_again_refuse_a_restart_before_anything_is_done() {
        let outlook = Outlook { refused: vec![("default/debug".into(), "force")], ..Outlook::default() };
        let member = Some(Member { cordon: Cordon::None, outlook });
        check(&LiveRestart { member: member.clone(), ..live() }, &expect!["=\n"]);
        check(&LiveRestart { system: vec!["/run/reboot-required is there".into()], member, ..live() }, &expect![[r#"
            !  (wu1 cannot be drained: nothing would start default/debug again)
            restart: needed (/run/reboot-required is there) -> done"#]]);
    }
}
