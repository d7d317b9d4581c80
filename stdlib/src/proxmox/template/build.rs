//! A template's build machine: the image is started once, gets the guest agent and packages, shows that the agent comes with the machine, and
//! forgets who it was (ADR 14). Its description notes how far it is.
use crate::{
    distribution::{BUILD_VERSION, CLEAN, ENABLE_AGENT, Family, GUEST_AGENT, installed, release},
    proxmox::{
        agent::{self, Agent},
        call::{Call, Write, percent_encoded},
        client::Client,
        config::Config,
        guest::{self, Found, Guest},
        inventory,
        names::TemplateName,
        ownership::{Mark, noted, with_note},
        vm::{Keys, known_address},
    },
    sops::Secrets,
    ssh::{KnownHosts, Starts, Verdict, until_open},
    workspace::Workspace,
};
use kthw_engine::{
    Error, Field, Intent, Peers, Permit, Recovery, Result, field,
    node::{Action, Finding},
    progress,
};
use miette::Diagnostic;
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// The note in its description, below the mark, of how far it is.
const NOTE: &str = "build";
/// How often a machine that goes off again is started in one run.
const STARTS: usize = 3;
/// How often it is looked whether it still runs, while it is waited for.
const LOOKS: Duration = Duration::from_secs(5);
/// How long the agent may take after a start.
const AGENT: Duration = Duration::from_secs(300);
/// What cloud-init is told for the build, and no machine that is made of the template.
const TOLD: [&str; 5] = ["ciuser", "sshkeys", "ipconfig0", "nameserver", "searchdomain"];

/// The option `build` of `proxmox::template`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    /// Packages that the template has, beside the guest agent.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// How far a build machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It may be started, and gets what the template is to have.
    Making,
    /// What makes it itself is being taken away; it may let nobody in any more.
    Cleaning,
    /// It was seen to be clean, and was not started since.
    Done,
}

impl Stage {
    /// `None` for a machine that was never to be built on.
    fn of(config: &Config) -> Option<Self> {
        let known = noted(config, NOTE)?;
        [Self::Making, Self::Cleaning, Self::Done].into_iter().find(|stage| stage.word() == known)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Cleaning => "cleaning",
            Self::Done => "done",
        }
    }
}

/// Whether a machine was made to build a template on.
pub(in crate::proxmox) fn is_build_machine(config: &Config) -> bool {
    Stage::of(config).is_some()
}

/// What is built into a template, and where.
#[derive(Clone, Debug)]
pub(super) struct Build {
    workspace: Arc<Workspace>,
    template: TemplateName,
    /// What the machine is called over SSH.
    machine: String,
    address: Ipv4Addr,
    packages: Vec<String>,
    family: &'static dyn Family,
    /// Whether the image has an agent, which is then waited for and vouches for the host key from the beginning.
    has_agent: bool,
    keys: Keys,
}

impl Build {
    /// What `spec` asks for, on the Proxmox node `host`.
    pub fn new(spec: &BuildSpec, template: &TemplateName, host: &str, workspace: &Arc<Workspace>) -> std::result::Result<Self, BadBuild> {
        let machine = Workspace::build_machine(template, host);
        let Some((address, _)) = workspace.place(&machine) else {
            return Err(BadBuild { why: format!("the workspace names no address on which `{template}` is built on {host}") });
        };
        let fine = |name: &&String| {
            let has_word = name.starts_with(|c: char| c.is_ascii_alphanumeric());
            has_word && name.len() <= 200 && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
        };
        if let Some(wrong) = spec.packages.iter().find(|name| !fine(name)) {
            return Err(BadBuild { why: format!("{wrong:?} is not the name of a package") });
        }
        let mut packages = vec![GUEST_AGENT.to_owned()];
        packages.extend(spec.packages.iter().filter(|name| *name != GUEST_AGENT).cloned());
        let release = release(workspace);
        Ok(Self {
            template: template.clone(),
            machine,
            address,
            packages,
            family: release.distribution.family(),
            has_agent: release.has_guest_agent,
            keys: Keys::of(&workspace.ssh),
            workspace: workspace.clone(),
        })
    }

    /// What of it makes a template another one, for its digest.
    pub fn recipe(&self) -> String {
        format!("\nbuild={BUILD_VERSION}\npackages={}", self.packages.join(","))
    }

    /// What a plan says of a template that is still to be built.
    pub fn create_fields(&self) -> [Field; 3] {
        let [agent, packages] = [GUEST_AGENT, &self.packages[1..].join(", ")].map(str::to_owned);
        [Field::new("agent", format!("{agent}, built in")), Field::new("packages", packages), Field::new("build_address", self.address)]
    }

    /// How far it is from its end.
    pub fn field(&self, config: &Config) -> Option<Field> {
        field("build", Stage::of(config).map_or("not begun", Stage::word), Stage::Done.word())
    }

    /// The VLAN of its network card, where the template names none.
    pub fn vlan(&self) -> Option<u16> {
        self.workspace.proxmox.as_ref()?.vlan
    }

    /// The description of a build machine that is made now.
    pub fn description(mark: &Mark) -> String {
        format!("{mark}\n{NOTE}: {}", Stage::Making.word())
    }

    /// The call that makes it, with what cloud-init is told for the time of the build.
    pub fn told(&self, call: Call<Write>, keys: &[String]) -> Call<Write> {
        let network = &self.workspace.network;
        let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
        call.with("ciuser", &self.workspace.ssh.user)
            .with("sshkeys", percent_encoded(&format!("{}\n", keys.join("\n"))))
            .with("ipconfig0", format!("ip={}/{},gw={}", self.address, network.nodes.prefix_len(), network.gateway))
            .maybe("nameserver", (!dns.is_empty()).then(|| dns.join(" ")))
            .with("searchdomain", &self.workspace.domain)
    }

    /// The public keys by which the build logs in.
    pub async fn read_keys(&self, peers: &Peers) -> Result<Vec<String>> {
        let keys = self.keys.read(peers.get::<Secrets>()?).await?;
        if keys.is_empty() { Err(Error::usage(NoPublicKey { template: self.template.clone() })) } else { Ok(keys) }
    }

    /// Goes on with a build machine from wherever it is, until it can become a template.
    pub async fn carry_out(&self, vmid: u32, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let lane = client.lane(format!("build/{}", self.address), 1);
        if lane.available_permits() == 0 {
            progress(format!("{} waits: another template is being built at {}", self.machine, self.address));
        }
        let _place = lane.acquire().await.expect("lanes are never closed");
        let Some(found) = guest::find(client, peers, vmid).await? else {
            return Err(Error::peer(Vanished { machine: self.machine.clone() }));
        };
        let stage = Stage::of(&found.config);
        if stage == Some(Stage::Done) {
            return Ok(());
        }
        self.make_room(vmid, &found, client, peers, permit).await?;
        let guest = &found.guest;
        self.up(&found, stage, client, peers, permit).await?;
        self.equip(guest, client, peers, permit).await?;
        self.note(guest, Stage::Cleaning, client, peers, permit).await?;
        self.clean(peers, permit).await?;
        guest.shut_down(client, peers, permit).await?;
        self.forget_keys(peers, permit).await?;
        self.note(guest, Stage::Done, client, peers, permit).await
    }

    /// A machine of another build of this template that was left running has the address.
    async fn make_room(&self, vmid: u32, ours: &Found, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let list = inventory::all(client).await?;
        for entry in list.values().filter(|entry| entry.vmid != vmid && entry.kind == "qemu" && !entry.template && entry.is_of_kthw()) {
            let is_other = |found: &Found| {
                let marks = [found.config.mark(), ours.config.mark()].map(|mark| mark.map(|mark| (mark.workspace, mark.name)));
                found.running && marks[0] == marks[1] && known_address(&found.config) == Some(self.address)
            };
            if let Some(other) = guest::find(client, peers, entry.vmid).await?.filter(is_other) {
                progress(format!("VM {} is another build at {} that was left: it is stopped", entry.vmid, self.address));
                other.guest.stop(client, peers, permit).await?;
            }
        }
        Ok(())
    }

    /// Has it running and lets it be reached.
    async fn up(&self, found: &Found, stage: Option<Stage>, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let (guest, mut running) = (&found.guest, found.running);
        if let Some(halt) = found.halt {
            guest.resume(halt, client, peers, permit).await?;
            running = true;
        }
        if stage != Some(Stage::Making) {
            // One that was being cleaned may let nobody in. After a start cloud-init makes user and keys anew.
            if running {
                guest.stop(client, peers, permit).await?;
                running = false;
            }
            self.note(guest, Stage::Making, client, peers, permit).await?;
        }
        for _ in 0..STARTS {
            if !running {
                // Whoever had this address before is not this machine.
                self.forget_keys(peers, permit).await?;
                self.start(guest, client, peers, permit).await?;
            }
            self.learn_key(guest, client, peers).await?;
            tokio::select! {
                opened = self.open(peers) => return opened,
                stopped = self.stopped(guest, client, peers) => stopped?,
            }
            progress(format!("{} went off while it was waited for: it is started again", self.machine));
            running = false;
        }
        Err(Error::peer(GoesOff { machine: self.machine.clone() }))
    }

    /// Comes back once the machine does not run any more: a run that ended may have told it to shut down, and Proxmox does so late.
    async fn stopped(&self, guest: &Guest, client: &Client, peers: &Peers) -> Result<()> {
        loop {
            match guest::find(client, peers, guest.vmid).await? {
                None => return Err(Error::peer(Vanished { machine: self.machine.clone() })),
                Some(found) if !found.running && found.halt.is_none() => return Ok(()),
                Some(_) => peers.clock().sleep(LOOKS).await,
            }
        }
    }

    async fn start(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        guest.start(client, peers, permit).await?;
        peers.get::<Starts>()?.note(&self.machine, Duration::ZERO, client.clock().now());
        Ok(())
    }

    async fn open(&self, peers: &Peers) -> Result<()> {
        until_open(&self.machine, self.family, &self.workspace.ssh.accepted_cloud_init_errors, peers).await
    }

    /// Installs what the template is to have, and starts the machine once more: its agent has to come by itself, and to vouch for the host key
    /// that was met before.
    async fn equip(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let listed = match peers.nodes().read(&self.machine, &[self.family.list()]).await?.into_iter().next() {
            Some(Finding::Run(output)) if output.status == 0 => output.stdout,
            _ => String::new(),
        };
        for name in self.packages.iter().filter(|name| installed(&listed, name).is_none()) {
            self.act(&self.family.install(name, None), &format!("install {name}"), peers, permit).await?;
        }
        self.act(&Action::run(["sh", "-c", ENABLE_AGENT, "kthw-agent"]), "enable the guest agent", peers, permit).await?;
        guest.shut_down(client, peers, permit).await?;
        self.start(guest, client, peers, permit).await?;
        self.confirm_key(guest, client, peers, permit).await?;
        self.open(peers).await
    }

    async fn clean(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        self.act(&self.family.drop_caches(), "throw away what was fetched", peers, permit).await?;
        let script = Action::run(["sh", "-c", CLEAN, "kthw-clean", &self.workspace.ssh.user]);
        self.act(&script, "take away what makes it itself", peers, permit).await
    }

    async fn act(&self, action: &Action, what: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let output = permit.act(peers, &self.machine, action).await?;
        if output.status == 0 {
            return Ok(());
        }
        let said = if output.stderr.trim().is_empty() { output.stdout } else { output.stderr };
        Err(Error::peer(NotBuilt { machine: self.machine.clone(), what: what.to_owned(), said: said.trim().to_owned() }))
    }

    fn place(&self) -> (IpAddr, u16) {
        (IpAddr::V4(self.address), self.workspace.ssh.port)
    }

    /// Where the image has no agent, nobody can vouch for its host key yet. It is taken as it comes, and said so; the agent that is built in has to
    /// know it.
    async fn learn_key(&self, guest: &Guest, client: &Client, peers: &Peers) -> Result<()> {
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        if known.is_known(address, port) {
            return Ok(());
        }
        let patience = if self.has_agent { AGENT } else { Duration::ZERO };
        if agent::wait_for(guest, self.address, patience, client, peers).await? == Agent::Ready {
            let told = agent::wait_for_host_keys(guest, client, peers).await?;
            if !told.keys.is_empty() {
                return told.keys.iter().try_for_each(|key| known.learn_vouched(address, port, key)).map_err(Error::peer);
            }
        }
        known.allow_until_confirmed(address, port);
        Ok(())
    }

    /// Sees that the agent answers after a start, and that the key which was met is the machine's.
    async fn confirm_key(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let machine = || self.machine.clone();
        if let Agent::Silent(silence) = agent::wait_for(guest, self.address, AGENT, client, peers).await? {
            return Err(Error::peer(NoAgent { machine: machine(), why: silence.to_string() }));
        }
        let told = agent::wait_for_host_keys(guest, client, peers).await?;
        if told.keys.is_empty() {
            let why = told.silence.map_or_else(|| "it finds no host keys in /etc/ssh".into(), |silence| silence.to_string());
            return Err(Error::peer(NoAgent { machine: machine(), why }));
        }
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        let verdicts = told.keys.iter().map(|key| known.judge_line(&address.to_string(), port, key).map_err(Error::peer));
        let verdicts = verdicts.collect::<Result<Vec<_>>>()?;
        if verdicts.contains(&Verdict::Known) {
            return Ok(());
        }
        self.forget_keys(peers, permit).await?;
        Err(Error::peer(AnotherMachine { machine: machine(), address: self.address }))
    }

    async fn forget_keys(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        let what = format!("forgetting the host keys at {address}");
        let intent = Intent::on(known.path().display().to_string(), what, Recovery::Look).closing();
        permit.effect(intent, async |effect| known.forget(address, port, effect).map_err(Error::peer)).await
    }

    /// Notes how far it is; at the end, what cloud-init was told for the build goes with it.
    async fn note(&self, guest: &Guest, stage: Stage, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let values = |config: &Config| {
            let description = config.get("description").unwrap_or_default();
            let mut values = vec![("description", with_note(description, NOTE, stage.word()))];
            let told: Vec<&str> = TOLD.into_iter().filter(|key| config.get(key).is_some()).collect();
            if stage == Stage::Done && !told.is_empty() {
                values.push(("delete", told.join(",")));
            }
            if Stage::of(config) == Some(stage) { Vec::new() } else { values }
        };
        guest.configure(client, peers, permit, values).await
    }
}

/// A template cannot be built as the recipe says.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(
    code(kthw::proxmox::bad_build),
    help(
        "`build` takes `packages: [\"socat\", …]`, and is for the template of workspace.yaml, where `template.build_address` is a free address"
    )
)]
pub struct BadBuild {
    why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot {what} on {machine}: {said}")]
#[diagnostic(
    code(kthw::proxmox::not_built),
    help(
        "the machine is left as it is: look into it over SSH at `template.build_address`, put right what hinders, and run again: it goes on from there"
    )
)]
struct NotBuilt {
    machine: String,
    what: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{machine} went off {STARTS} times while it was waited for")]
#[diagnostic(
    code(kthw::proxmox::build_goes_off),
    help(
        "look at its console in Proxmox while it starts: the image may not boot on this CPU type, or something in it shuts the machine down"
    )
)]
struct GoesOff {
    machine: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the guest agent of {machine} does not tell its host keys after a start: {why}")]
#[diagnostic(
    code(kthw::proxmox::build_without_agent),
    help(
        "no template is made of it. See `systemctl status qemu-guest-agent` on the machine; the token of kthw needs VM.GuestAgent.Audit and \
         VM.GuestAgent.FileRead (VM.Monitor before Proxmox VE 9). Then run again"
    )
)]
struct NoAgent {
    machine: String,
    why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("what answered at {address} is not {machine}: the guest agent of that machine knows none of the host keys that were shown")]
#[diagnostic(
    code(kthw::proxmox::another_machine),
    help(
        "no template is made of it, and what was shown is forgotten. Find out who has {address}; name another `template.build_address` if it is in use"
    )
)]
struct AnotherMachine {
    machine: String,
    address: Ipv4Addr,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{machine} is gone")]
#[diagnostic(code(kthw::proxmox::build_vanished), help("did somebody remove it meanwhile? Run again"))]
struct Vanished {
    machine: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{template}` would be built with no public key: nobody could log in")]
#[diagnostic(
    code(kthw::proxmox::build_without_key),
    help("set `ssh.key_file` in the workspace, or list keys under `ssh.authorized_keys` when you use an agent")
)]
struct NoPublicKey {
    template: TemplateName,
}
