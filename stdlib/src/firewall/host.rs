//! `firewall.host`: the rules of one machine. New ones are on trial until kthw has logged in anew, and go by themselves where it cannot.
use super::{
    LiveHost, login,
    opening::{Opening, openings},
    ruleset::ruleset,
};
use crate::{calico::Encapsulation, workspace::Node};
use kthw_engine::{
    Change, Error, Field, Id, Intent, NodeResource, Peers, Permit, Recovery, Removable, Result, Work, field,
    node::{Action, Block, BlockOutcome, Content, Finding, PathState, Probe},
};
use miette::Diagnostic;

/// What keeps the rules in force on a machine, at its start and on trial.
pub const PROGRAM: &str = "/usr/local/sbin/kthw-firewall";
const PROGRAM_TEXT: &str = include_str!("kthw-firewall.sh");

/// The rules that are kept.
pub const RULES: &str = "/etc/kthw/firewall.nft";
const FOLDER: &str = "/etc/kthw";
/// Rules that are not kept yet.
const NEW: &str = "/etc/kthw/firewall.new";

/// The unit that puts them in force before there is a network.
pub const UNIT: &str = "kthw-firewall.service";
const UNIT_FILE: &str = "/etc/systemd/system/kthw-firewall.service";
const UNIT_TEXT: &str = "\
[Unit]
Description=Rules of kthw for which connections this machine takes
Documentation=man:nft(8)
DefaultDependencies=no
RequiresMountsFor=/etc/kthw /usr/local
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/kthw-firewall load
ExecStop=/usr/local/sbin/kthw-firewall off

[Install]
WantedBy=sysinit.target
";

/// How long rules are on trial, in seconds.
pub const TRIAL_S: u32 = 60;
/// The status of [`PROGRAM`] when a trial was over before its rules could be kept.
const TAKEN_BACK: i32 = 3;

/// The firewall of one machine.
#[derive(Debug)]
pub struct HostFirewall {
    node: String,
    openings: Vec<Opening>,
    rules: String,
}

impl HostFirewall {
    /// The firewall of `node`, as its workspace has it.
    pub fn new(node: &Node, encapsulation: Encapsulation) -> Self {
        let openings = openings(node.workspace(), node.spec(), encapsulation);
        Self { node: node.name().to_owned(), rules: ruleset(&openings), openings }
    }

    /// The files beside the rules, with their modes.
    fn files() -> [(&'static str, &'static str, u32); 2] {
        [(PROGRAM, PROGRAM_TEXT, 0o755), (UNIT_FILE, UNIT_TEXT, 0o644)]
    }

    /// Does `actions` in one batch.
    async fn act(&self, intent: Intent, actions: Vec<Action>, peers: &Peers, permit: &Permit) -> Result<()> {
        let block = Block { after: Vec::new(), guard: Vec::new(), actions, reread: Vec::new() };
        let done = permit.effect(intent, async |effect| peers.nodes().change(&self.node, &[block], effect, &|_| ()).await);
        match done.await?.into_iter().next() {
            Some(BlockOutcome::Done(_)) => Ok(()),
            Some(BlockOutcome::Failed { output, .. }) if output.status == TAKEN_BACK => {
                Err(Error::peer(TooLate { node: self.node.clone() }))
            }
            Some(BlockOutcome::Failed { output, .. }) => {
                Err(Error::peer(Failed { node: self.node.clone(), said: output.stderr.trim().to_owned() }))
            }
            _ => Err(Error::peer(Failed { node: self.node.clone(), said: "it was not begun".into() })),
        }
    }

    /// Puts the rules in force, for as long as a trial takes.
    async fn try_out(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let write =
            |(path, text, mode): (&str, &str, u32)| Action::Write { path: path.into(), content: Content::plain(text), mode, owner: None };
        let mut actions = vec![Action::Directory { path: FOLDER.into(), mode: 0o755, owner: None }];
        actions.extend(Self::files().map(write));
        actions.push(write((NEW, &self.rules, 0o644)));
        let seconds = TRIAL_S.to_string();
        actions.push(Action::run_for(30, [PROGRAM, "try", NEW, &seconds]));
        let what = format!("trying new rules of its firewall, for {seconds} s unless they are kept");
        self.act(Intent::on(&self.node, what, Recovery::Script), actions, peers, permit).await
    }

    /// Keeps the rules that are on trial. It completes what was begun, so it is done even when the run was told to stop.
    async fn keep(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let actions = vec![
            Action::run_for(30, [PROGRAM, "keep"]),
            Action::Remove { path: NEW.into() },
            Action::run(["systemctl", "daemon-reload"]),
            Action::run(["systemctl", "enable", UNIT]),
        ];
        let intent = Intent::on(&self.node, "keeping the rules of its firewall", Recovery::Script).closing();
        self.act(intent, actions, peers, permit).await
    }
}

impl NodeResource for HostFirewall {
    type Live = LiveHost;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        Id::new("firewall.host", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        let texts = Self::files().into_iter().map(|(path, text, _)| (path, text)).chain([(RULES, self.rules.as_str())]);
        let mut probes: Vec<Probe> =
            texts.map(|(path, text)| Probe::Path { path: path.into(), expect: Some(Content::plain(text).sha256()) }).collect();
        probes.push(Probe::run([PROGRAM, "look"]));
        probes.push(Probe::run(["systemctl", "is-enabled", UNIT]));
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveHost>> {
        Ok(LiveHost::of(findings))
    }

    fn diff(&self, live: Option<&LiveHost>) -> Change {
        let Some(live) = live else {
            return Change::create(self.openings.iter().map(|opening| Field::new(opening.name.clone(), opening)));
        };
        let is_as = |state: &Option<PathState>, text: &str, mode: u32| {
            state.as_ref().is_some_and(|state| state.sha256.as_deref() == Some(&Content::plain(text).sha256()) && state.mode == mode)
        };
        let files = Self::files().into_iter().zip([&live.program, &live.unit]).map(|((path, text, mode), state)| {
            let found = if state.is_none() { "missing" } else { "another" };
            (!is_as(state, text, mode)).then(|| Field { live: Some(found.into()), ..Field::new(path, "as kthw writes it") })
        });
        let wanted = Content::plain(&self.rules).sha256();
        let rules = live.rules.as_ref().filter(|state| state.sha256.as_deref() != Some(&wanted));
        let rules = rules.map(|state| {
            let text = state.content.clone().and_then(|bytes| String::from_utf8(bytes).ok());
            Field { live: Some(text.unwrap_or_else(|| "what is no text, or a long one".into())), ..Field::new("rules", &self.rules) }
        });
        let missing = live.rules.is_none().then(|| Field { live: Some("missing".into()), ..Field::new(RULES, "kept") });
        Change::between(files.chain([
            rules.or(missing),
            field("in force", live.in_force(&wanted).to_owned(), "as written".into()),
            field("at boot", if live.is_enabled { "put in force" } else { "nothing" }.to_owned(), "put in force".into()),
        ]))
    }

    fn work(&self, _: Option<&LiveHost>, _: bool) -> Work {
        Work::Alone
    }

    async fn apply(&self, _: Option<&LiveHost>, peers: &Peers, permit: &Permit) -> Result<()> {
        self.try_out(peers, permit).await?;
        login::or_back(&self.node, peers, permit).await?;
        self.keep(peers, permit).await
    }

    fn removal(&self, _: &LiveHost) -> Work {
        // Whoever removed the program alone gets it again for this.
        let program = Action::Write { path: PROGRAM.into(), content: Content::plain(PROGRAM_TEXT), mode: 0o755, owner: None };
        Work::Actions(vec![program, Action::run([PROGRAM, "remove"])])
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the firewall of {node} is not as wanted: {said}")]
#[diagnostic(
    code(kthw::firewall::failed),
    help(
        "`{PROGRAM} look` on {node} says which rules are in force, and `nft -c -f {NEW}` what is wrong with the new ones; a trial ends by itself after {TRIAL_S} s"
    )
)]
struct Failed {
    node: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the new rules of {node} were taken back before they could be kept: logging in took too long")]
#[diagnostic(
    code(kthw::firewall::too_late),
    help("its rules are as before; run this recipe again, and see why logging in to {node} takes so long")
)]
struct TooLate {
    node: String,
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
