//! A node whose system has no updates to install that its policy allows, and needs no restart: it is drained, updated, restarted where that is needed,
//! and takes pods again.
//!
//! It stands on [`NodeRestarted`], whose mark on the node it uses too: a run that died in between is resumed by the next one.
use super::{LiveRestart, NodeRestarted};
use crate::{
    distribution::{Family, Pending},
    kubernetes::{drain, drain::Purpose, objects},
    workspace::UpdatePolicy,
};
use kthw_engine::{
    Change, Error, Field, Id, Lane, Peers, Permit, Refusal, Resource, Result,
    node::{Action, Content, Finding, Probe},
    progress,
};
use miette::Diagnostic;

/// When kthw last brought a node's package lists up to date: the file's own age.
const FETCHED: &str = "/var/lib/kthw/package-lists";
/// Lists older than this are fetched anew before anything is said about updates, in seconds.
const FRESH_S: i64 = 86_400;

/// The resource behind `kubernetes::node_updated`.
#[derive(Debug)]
pub struct NodeUpdated {
    /// The same node as one that needs no restart.
    pub restarted: NodeRestarted,
}

/// What was found of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveUpdate {
    restart: LiveRestart,
    /// The package lists are older than a day, so that what they say of updates is too.
    stale: bool,
    /// What the policy allows.
    pending: Vec<Pending>,
}

impl Resource for NodeUpdated {
    type Live = LiveUpdate;

    fn id(&self) -> Id {
        Id::new("kubernetes.node_updated", &self.restarted.node.name)
    }

    fn after(&self) -> Vec<Id> {
        self.restarted.after()
    }

    /// That of restarts: one node of a cluster at a time, whatever is done to it.
    fn lane(&self) -> Option<Lane> {
        self.restarted.lane()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveUpdate>> {
        let Some(mut restart) = self.restarted.read(peers).await? else { return Ok(None) };
        let (stale, pending) = self.pending(peers).await?;
        if let (Some(place), true, false) = (&self.restarted.place, !pending.is_empty(), restart.is_needed() || restart.member.is_none()) {
            // Nobody has looked yet at the pods that would have to leave.
            restart.member = self.restarted.member(place, true, peers).await?;
        }
        Ok(Some(LiveUpdate { restart, stale, pending }))
    }

    fn diff(&self, live: Option<&LiveUpdate>) -> Change {
        let Some(live) = live else { return Change::None };
        let lists = live.stale.then(|| Field {
            live: Some("older than a day".into()),
            ..Field::new("package lists", "fetched, and what they bring installed")
        });
        let package = |one: &Pending| Field { live: Some(one.from.clone()), ..Field::new(format!("package {}", one.name), &one.to) };
        let own: Vec<Field> = lists.into_iter().chain(live.pending.iter().map(package)).collect();
        let node = &self.restarted.node.name;
        let outlook = live.restart.member.as_ref().filter(|_| !live.pending.is_empty()).and_then(|member| member.outlook.refusal());
        match (self.restarted.diff(Some(&live.restart)), outlook) {
            (Change::Refused(refusal), _) => {
                Change::Refused(Refusal { fields: own.into_iter().chain(refusal.fields).collect(), ..refusal })
            }
            (restart, Some((why, next))) => {
                let fields = own.into_iter().chain(restart.fields().to_vec()).collect();
                Change::Refused(Refusal { why: format!("{node} cannot be drained: {why}"), next, fields })
            }
            (restart, None) => Change::between(own.into_iter().chain(restart.fields().to_vec()).map(Some)),
        }
    }

    async fn apply(&self, live: Option<LiveUpdate>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(live) = live else { return Ok(()) };
        let node = self.restarted.node.name.as_str();
        let mut pending = live.pending;
        if live.stale {
            progress(format!("fetching the package lists of {node}"));
            self.run(&self.family().fetch_lists(), peers, permit).await?;
            let folder = FETCHED.rsplit_once('/').map_or("/", |(folder, _)| folder);
            permit.act(peers, node, &Action::Directory { path: folder.into(), mode: 0o755, owner: None }).await?;
            let content = Content::plain("kthw fetched the package lists when it wrote this file\n");
            permit.act(peers, node, &Action::Write { path: FETCHED.into(), content, mode: 0o644, owner: None }).await?;
            pending = self.pending(peers).await?.1;
        }
        if !pending.is_empty() {
            if let Some(place) = live.restart.member.as_ref().and(self.restarted.place.as_ref()) {
                let client = objects::client(peers, &place.node).await?;
                drain::all_others_are_there(&client, node).await?;
                drain::cordon(peers, &client, node, Purpose::Restart, permit).await?;
                drain::evict(peers, &client, node, &self.restarted.options, permit).await?;
            }
            for (index, one) in pending.iter().enumerate() {
                progress(format!("{node}: {} {} -> {} ({} of {})", one.name, one.from, one.to, index + 1, pending.len()));
                self.run(&self.family().install(&one.name, Some(&one.to)), peers, permit).await?;
            }
        }
        let restart = self.restarted.read(peers).await?;
        self.restarted.apply(restart, peers, permit).await
    }
}

impl NodeUpdated {
    fn family(&self) -> &'static dyn Family {
        self.restarted.workspace.distribution.family()
    }

    fn policy(&self) -> UpdatePolicy {
        self.restarted.workspace.updates.map_or(UpdatePolicy::None, |updates| updates.policy)
    }

    /// Whether the package lists are old, and the updates that they know and the policy allows.
    async fn pending(&self, peers: &Peers) -> Result<(bool, Vec<Pending>)> {
        let policy = self.policy();
        if policy == UpdatePolicy::None {
            return Ok((false, Vec::new()));
        }
        let (node, family) = (&self.restarted.node.name, self.family());
        let findings = peers.nodes().read(node, &[Probe::path(FETCHED), family.pending(policy), family.list()]).await?;
        let [Finding::Path(fetched), Finding::Run(said), Finding::Run(listed)] = findings.as_slice() else {
            return Err(Error::peer(NotTold { node: node.to_string(), said: "it gave no answer".into() }));
        };
        let fetched_s = fetched.as_ref().map(|file| file.modified_s);
        if fetched_s.is_none_or(|fetched_s| fetched_s + FRESH_S < peers.clock().unix_s()) {
            // What old lists say may be gone from where it would be fetched.
            return Ok((true, Vec::new()));
        }
        // From 100 on zypper's statuses are remarks.
        match said.status {
            0 | 100..=106 => Ok((false, family.pending_of(policy, &said.stdout, &listed.stdout))),
            _ => Err(Error::peer(NotTold { node: node.to_string(), said: said.stderr.trim().to_owned() })),
        }
    }

    async fn run(&self, action: &Action, peers: &Peers, permit: &Permit) -> Result<()> {
        let node = &self.restarted.node.name;
        let output = permit.act(peers, node, action).await?;
        match output.status {
            0 => Ok(()),
            status => Err(Error::peer(NotDone { node: node.to_string(), status, said: output.stderr.trim().to_owned() })),
        }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the package manager of {node} does not tell its updates: {said}")]
#[diagnostic(code(kthw::kubernetes::updates_unknown), help("try the package manager's dry run on {node}; once it works, run again"))]
struct NotTold {
    node: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("an update of {node} failed with status {status}: {said}")]
#[diagnostic(
    code(kthw::kubernetes::update_failed),
    help("{node} stays cordoned, and no other node is touched; put its packages in order and run again: it goes on from there")
)]
struct NotDone {
    node: String,
    status: i32,
    said: String,
}

#[cfg(test)]
mod tests {
    use super::super::{Member, tests::resource};
    use super::*;
    use crate::kubernetes::drain::{Cordon, Outlook};

    fn live(stale: bool, pending: &[&str], outlook: Outlook) -> LiveUpdate {
        let restart = LiveRestart {
            machine: Vec::new(),
            system: Vec::new(),
            in_vain: Vec::new(),
            boot_id: "b1".into(),
            member: Some(Member { cordon: Cordon::None, outlook }),
        };
        let pending = pending.iter().map(|name| Pending { name: (*name).into(), from: "1".into(), to: "2".into() }).collect();
        LiveUpdate { restart, stale, pending }
    }

    fn told(live: &LiveUpdate) -> Vec<String> {
        let change = NodeUpdated { restarted: resource() }.diff(Some(live));
        let why = if let Change::Refused(refusal) = &change { refusal.why.clone() } else { change.word().to_owned() };
        std::iter::once(why).chain(change.fields().iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn a_plan_names_each_package_or_that_its_lists_are_old() {
        assert_eq!(told(&live(false, &[], Outlook::default())), ["none"]);
        assert_eq!(told(&live(false, &["bash", "curl"], Outlook::default())), ["update", "package bash: 1 -> 2", "package curl: 1 -> 2"]);
        let stale = ["update", "package lists: older than a day -> fetched, and what they bring installed"];
        assert_eq!(told(&live(true, &[], Outlook::default())), stale);
    }

    #[test]
    fn a_node_that_cannot_be_drained_is_not_updated() {
        let refused = || Outlook { refused: vec![("default/job".into(), "force")], ..Outlook::default() };
        let why = "wu1 cannot be drained: nothing would start default/job again";
        assert_eq!(told(&live(false, &["bash"], refused())), [why, "package bash: 1 -> 2"]);
        assert_eq!(told(&live(false, &[], refused())), ["none"], "nothing has to leave");
    }

    #[test]
    fn a_restart_is_shown_beside_updates() {
        let mut both = live(false, &["bash"], Outlook::default());
        both.restart.system = vec!["/run/reboot-required is there".into()];
        assert_eq!(told(&both), ["update", "package bash: 1 -> 2", "restart: needed (/run/reboot-required is there) -> done"]);
    }
}
