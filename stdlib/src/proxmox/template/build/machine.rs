//! The machine that a template is built on, from its first start to the moment when it can become one. A run that died is followed by one that goes on.
use super::{
    Build, NOTE, Stage, TOLD,
    error::{GoesOff, NotBuilt, Vanished},
};
use crate::{
    distribution::{CLEAN, ENABLE_AGENT, installed},
    proxmox::{
        client::Client,
        config::Config,
        guest::{self, Found, Guest},
        inventory,
        ownership::with_note,
        vm::known_address,
    },
    ssh::{Starts, until_open},
};
use kthw_engine::{
    Error, Peers, Permit, Result,
    node::{Action, Finding},
    progress,
};
use std::time::Duration;

/// How often a machine that goes off again is started in one run.
const STARTS: usize = 3;
/// How often it is looked whether it still runs, while it is waited for.
const LOOKS: Duration = Duration::from_secs(5);

impl Build {
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
        Err(Error::peer(GoesOff { machine: self.machine.clone(), starts: STARTS }))
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
