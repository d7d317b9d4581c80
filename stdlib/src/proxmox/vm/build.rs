//! Making a machine so: clone, configure, grow, start, wait until it is up, pin its host keys.
use super::{Live, Vm};
use crate::proxmox::{
    agent::{self, Agent, HostKeys, Silence},
    call::{Call, Write},
    client::Client,
    config::Pending,
    error::Failure,
    guests,
    machine::{self, Found, Machine, NotOurs},
    ownership::{MadeMeanwhile, Mark},
    task::retry_locked,
    template::Template,
};
use crate::{sops::Secrets, ssh::KnownHosts, workspace::CloneMode};
use kthw_engine::{Effect, Error, Intent, Limit, Peers, Permit, Result, progress};
use miette::Diagnostic;
use std::time::Duration;

/// How long Proxmox may take to copy a template.
const CLONE: Limit = Limit::minutes(60);
/// How many clones of one template go on at once: each holds a lock on the template's storage, and more only wait for it.
const CLONES_AT_ONCE: usize = 2;

impl Vm {
    pub(super) async fn find(&self, peers: &Peers) -> Result<Option<Live>> {
        let client = peers.get::<Client>()?;
        // A node that owns a machine under another VM id is never given a second one, whoever has the declared one.
        let found = match self.find_ours(client, peers).await {
            Ok(Some(found)) => found,
            none => match (self.find_elsewhere(client, peers).await?, none) {
                (Some(found), _) => found,
                (None, Ok(_)) => return Ok(None),
                (None, Err(error)) => return Err(error),
            },
        };
        self.tell_move(&found);
        client.note_waiting(&self.node, if found.running { &found.waiting } else { &[] });
        // At another address there is another machine or none.
        let addresses = match self.other_address(&found.config) {
            Some(_) if found.running => agent::addresses(&found.machine, client).await,
            Some(_) => Vec::new(),
            None => {
                self.learn_unknown(&found, client, peers).await?;
                Vec::new()
            }
        };
        Ok(Some(Live { found, keys: self.keys.read(peers.get::<Secrets>()?).await?, addresses }))
    }

    /// Removes the machine, and forgets its host keys when it was seen to be gone.
    pub(super) async fn unmake(&self, live: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        live.found.remove(client, peers, permit).await?;
        self.forget_keys(peers, permit).await
    }

    async fn find_ours(&self, client: &Client, peers: &Peers) -> Result<Option<Found>> {
        match machine::find(client, peers, self.vmid).await? {
            Some(found) if !found.config.mark().is_some_and(|mark| mark.is_of(&self.workspace, &self.node)) => {
                Err(Error::refused(NotOurs::new(&found, &self.node)))
            }
            found => Ok(found),
        }
    }

    /// The machine of this node under another VM id than the one that is declared.
    async fn find_elsewhere(&self, client: &Client, peers: &Peers) -> Result<Option<Found>> {
        for vmid in guests::called(client, &self.fqdn).await? {
            match machine::find(client, peers, vmid).await? {
                Some(found) if found.config.mark().is_some_and(|mark| mark.is_of(&self.workspace, &self.node)) => return Ok(Some(found)),
                _ => {}
            }
        }
        Ok(None)
    }

    pub(super) async fn make_so(&self, live: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        let keys = self.keys.read(peers.get::<Secrets>()?).await?;
        if keys.is_empty() && live.is_none() {
            return Err(Error::usage(NoPublicKey { node: self.node.clone() }));
        }
        let Found { machine, running, pool, .. } = match live {
            Some(live) => live.found,
            None => {
                let found = self.clone_template(client, peers, permit).await?;
                // Whoever had this address before is not this machine.
                self.forget_keys(peers, permit).await?;
                found
            }
        };
        let values = |config: &_| self.settings(config, running, &keys).into_iter().map(|setting| (setting.key, setting.value)).collect();
        machine.configure(client, peers, permit, values).await?;
        self.grow(&machine, client, peers, permit).await?;
        if let Some(wanted) = self.pool.as_deref().filter(|wanted| pool.as_deref() != Some(wanted)) {
            machine.put_in_pool(wanted, pool.as_deref(), client, peers, permit).await?;
        }
        if running {
            let waiting: Vec<String> = machine.pending(client).await?.into_iter().filter_map(Pending::name).collect();
            if !waiting.is_empty() {
                progress(format!("{} goes on with its old {} until it is restarted", self.node, waiting.join(", ")));
            }
            return Ok(());
        }
        machine.start(client, peers, permit).await?;
        self.meet(&machine, client, peers, permit).await
    }

    /// Grows the boot disk if it is smaller than wanted. After the configuration: a pending change would put the old size back.
    async fn grow(&self, machine: &Machine, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(config) = machine.config(client).await? else { return Ok(()) };
        let wanted = u64::from(self.spec.disk_gib) * super::GIB;
        match config.boot_disk() {
            Some((disk, drive)) if drive.size_bytes.is_some_and(|bytes| bytes < wanted) => {
                machine.grow(disk, self.spec.disk_gib, client, peers, permit).await
            }
            _ => Ok(()),
        }
    }

    /// Waits until a machine that was just started is up, and pins its host keys.
    async fn meet(&self, machine: &Machine, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let silent_for = Duration::from_secs(self.spec.agent_timeout_s.into());
        match agent::wait_for(machine, self.address, silent_for, client, peers).await? {
            Agent::Ready => {
                let found = agent::wait_for_host_keys(machine, client, peers).await?;
                if found.keys.is_empty() {
                    return self.believe(&found, peers);
                }
                // Cloud-init makes new ones when its settings have changed.
                self.forget_keys(peers, permit).await?;
                self.pin(&found.keys, peers, permit).await
            }
            Agent::Silent(silence) => {
                progress(format!("going on without the guest agent: {silence}"));
                self.believe(&HostKeys { keys: Vec::new(), silence: Some(silence) }, peers)
            }
        }
    }

    /// Believes the host keys of a machine that runs, when none are known here: another computer made it, or the cache was lost. Keeping
    /// them is for the node's own resource.
    async fn learn_unknown(&self, found: &Found, client: &Client, peers: &Peers) -> Result<()> {
        if !found.running || peers.get::<KnownHosts>()?.is_known(self.address.into(), self.port) {
            return Ok(());
        }
        self.believe(&agent::host_keys(&found.machine, client).await?, peers)
    }

    /// Believes what the agent says. Only where Proxmox says that there is no agent may the first key that comes be taken: whoever could make
    /// the agent fall silent could otherwise have a key of their own believed.
    fn believe(&self, found: &HostKeys, peers: &Peers) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        match &found.silence {
            _ if !found.keys.is_empty() => {
                let learn = |key: &String| known.learn_vouched(self.address.into(), self.port, key);
                return found.keys.iter().try_for_each(learn).map_err(Error::peer);
            }
            Some(Silence::Absent(said)) => {
                if let Some(warning) = known.allow_first(&self.node, self.address.into(), self.port, said) {
                    progress(warning);
                }
            }
            Some(silence @ Silence::Unasked { .. }) => {
                progress(format!("its SSH host key stays unknown: {silence}"));
                known.cannot_vouch(self.address.into(), self.port, &silence.to_string());
            }
            None => known.cannot_vouch(self.address.into(), self.port, "its guest agent finds no host keys in /etc/ssh"),
        }
        Ok(())
    }

    async fn pin(&self, keys: &[String], peers: &Peers, permit: &Permit) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        let intent = Intent::on(known.path().display().to_string(), format!("the host keys of {}", self.node)).closing();
        let pin = |key: &String, effect: &_| known.pin(&self.node, self.address.into(), self.port, key, effect).map(drop);
        permit.effect(intent, async |effect| keys.iter().try_for_each(|key| pin(key, effect)).map_err(Error::peer)).await
    }

    async fn forget_keys(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        let intent = Intent::on(known.path().display().to_string(), format!("forgetting the host keys at {}", self.address)).closing();
        permit.effect(intent, async |effect| known.forget(self.address.into(), self.port, effect).map_err(Error::peer)).await
    }

    fn clone_call(&self, source: &Machine, mark: &Mark) -> Call<Write> {
        let full = self.spec.clone == CloneMode::Full;
        source
            .clone_call()
            .with("newid", self.vmid)
            .with("name", &self.fqdn)
            .with("description", self.description(mark))
            .with("full", u8::from(full))
            // Proxmox refuses a storage for linked clones: they lie beside their template.
            .maybe("storage", full.then_some(&self.spec.storage))
            .maybe("pool", self.pool.as_ref())
            .maybe("target", (self.host != source.host).then_some(&self.host))
    }

    async fn clone_template(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<Found> {
        let source = self.source(client, peers).await?;
        let mark = Mark::new(&self.workspace, &self.node, peers.random());
        let call = self.clone_call(&source, &mark);
        let what = format!("the clone of {} as VM {}", self.spec.template, self.vmid);
        let lane = client.lane(format!("clone/{}", source.vmid), CLONES_AT_ONCE);
        let _place = lane.acquire().await.expect("lanes are never closed");
        let intent = Intent::on("proxmox", &what).told_by(mark.to_string());
        let work = async |effect: &_| {
            retry_locked(peers, &what, async || match client.write(&call, effect).await {
                Ok(Some(task)) => match task.wait(client, peers, CLONE, &what).await {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        self.clean_up(&mark, client, peers, effect).await;
                        Err(error)
                    }
                },
                Ok(None) => Ok(None),
                // Whose machine that is shows when it is read; an earlier try of ours may have got through.
                Err(failure) if failure.says("already exists") => Ok(None),
                Err(failure) if maybe_done(&failure) => Ok(Some(failure)),
                Err(failure) => Err(failure.into()),
            })
            .await
        };
        let unanswered = permit.effect(intent, work).await?;
        guests::remember(client, self.vmid, &self.host, &self.fqdn).await;
        if let Some(pool) = &self.pool {
            guests::moved_to_pool(client, self.vmid, pool).await;
        }
        match self.find_ours(client, peers).await? {
            Some(found) if found.config.mark().as_ref() == Some(&mark) => Ok(found),
            Some(_) => Err(Error::settle(MadeMeanwhile { what: self.node.to_string(), vmid: self.vmid })),
            None => Err(unanswered.map_or_else(|| Error::peer(NotThere { node: self.node.clone(), vmid: self.vmid }), Error::from)),
        }
    }

    /// Removes what a failed clone of ours left behind. Proxmox does so itself, unless it was interrupted.
    ///
    /// Only what carries the mark of this very clone is ours for certain: somebody else may have taken the VM id meanwhile.
    async fn clean_up(&self, mark: &Mark, client: &Client, peers: &Peers, effect: &Effect) {
        // Proxmox makes a clone beside its template and moves it to its own host at the end, so only the list tells where it is.
        let Ok(all) = guests::all(client).await else { return };
        let Some(guest) = all.get(&self.vmid).filter(|guest| guest.kind == "qemu") else { return };
        let machine = Machine { vmid: self.vmid, host: guest.node.clone() };
        let Ok(Some(config)) = machine.config(client).await else { return };
        let place = format!("VM {} on {}", machine.vmid, machine.host);
        if let Some(lock) = config.get("lock") {
            return progress(format!("{place} is left locked ({lock}) and is not touched; `qm unlock {}` there takes a stale lock away", self.vmid));
        }
        if config.mark().as_ref() != Some(mark) {
            return progress(format!("{place} does not carry the mark of the clone that failed, and is not touched"));
        }
        progress(format!("removing what the failed clone left: {place}"));
        if let Err(error) = machine.destroy(client, peers, effect).await {
            progress(format!("it could not be removed: {error}"));
        }
    }

    /// The template to clone: at the VM id that the workspace names, or by its name.
    async fn source(&self, client: &Client, peers: &Peers) -> Result<Machine> {
        let mut templates = match self.template_vmid {
            Some(vmid) => self.templates(&[vmid], client, peers).await?,
            None => self.templates(&self.called_so(client).await?, client, peers).await?,
        };
        if templates.is_empty() && self.template_vmid.is_none() {
            guests::all(client).await?;
            templates = self.templates(&self.called_so(client).await?, client, peers).await?;
        }
        match templates.as_slice() {
            [template] => Ok(template.clone()),
            [] => Err(Error::peer(NoTemplate { template: self.spec.template.clone() })),
            many => Err(Error::peer(ManyTemplates {
                template: self.spec.template.clone(),
                vmids: many.iter().map(|template| template.vmid.to_string()).collect::<Vec<_>>().join(", "),
            })),
        }
    }

    /// The VM ids of machines that are called as our template is.
    async fn called_so(&self, client: &Client) -> Result<Vec<u32>> {
        Ok(guests::alike(client, &self.spec.template, |name| Template::is_called(name, &self.spec.template)).await?)
    }

    /// Those of the candidates that really are our template.
    async fn templates(&self, candidates: &[u32], client: &Client, peers: &Peers) -> Result<Vec<Machine>> {
        let mut templates = Vec::new();
        for vmid in candidates {
            let Some(found) = machine::find(client, peers, *vmid).await? else { continue };
            let name = found.config.get("name").unwrap_or_default();
            if found.config.flag("template", false) && Template::is_called(name, &self.spec.template) {
                templates.push(found.machine);
            }
        }
        Ok(templates)
    }
}

fn maybe_done(failure: &Failure) -> bool {
    matches!(failure, Failure::NoAnswer(error) if error.maybe_done)
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no template called `{template}`")]
#[diagnostic(
    code(kthw::proxmox::no_template),
    help("declare it with `proxmox::template` in a phase before this one, or check the name; a token also needs VM.Audit on it")
)]
struct NoTemplate {
    template: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("several templates are called `{template}`: VM {vmids}")]
#[diagnostic(code(kthw::proxmox::many_templates), help("name the one to use by `template.vmid` in workspace.yaml"))]
struct ManyTemplates {
    template: String,
    vmids: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} for {node} is not there after it was cloned")]
#[diagnostic(
    code(kthw::proxmox::not_there),
    help("a machine that we may not see can have this VM id: choose another one, or grant VM.Audit on /vms/{vmid}; otherwise run again")
)]
struct NotThere {
    node: String,
    vmid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxmox::vm::tests::a_vm;
    use expect_test::expect;

    #[test]
    fn clone_calls() {
        let mark = Mark { workspace: "ubuntu".into(), name: "cu1".into(), nonce: "00ff".into() };
        let source = |host: &str| Machine { vmid: 9420, host: host.into() };
        let shown = |vm: &Vm, host| vm.clone_call(&source(host), &mark).to_string();
        expect![[r#"
            POST /nodes/homelab/qemu/9420/clone newid=401 name=cu1.bevz.net description=kthw:ubuntu:cu1:00ff
            template: tpl
            clone: full
            node: homelab
             full=1 storage=local-lvm"#]]
        .assert_eq(&shown(&a_vm("{}"), "homelab"));
        expect![[r#"
            POST /nodes/pve2/qemu/9420/clone newid=401 name=cu1.bevz.net description=kthw:ubuntu:cu1:00ff
            template: tpl
            clone: linked
            node: homelab
             full=0 pool=K8S target=homelab"#]]
        .assert_eq(&shown(&a_vm(r#"{"clone": "linked", "pool": "K8S"}"#), "pve2"));
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} would be made with no public key: nobody could log in to it")]
#[diagnostic(
    code(kthw::proxmox::no_public_key),
    help("set `ssh.key_file` in the workspace, or list keys under `ssh.authorized_keys` when you use an agent")
)]
struct NoPublicKey {
    node: String,
}
