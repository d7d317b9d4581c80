//! A machine is made: the template found, cloned under a mark of this very clone, and what a failed clone left cleaned up.
use super::Vm;
use crate::{
    proxmox::{
        call::{Call, Write},
        client::Client,
        error::Failure,
        guest::{self, Found, Guest},
        inventory,
        ownership::{MadeMeanwhile, Mark},
        task::{Task, retry_locked},
        template::Template,
        texts::Class,
    },
    workspace::CloneMode,
};
use kthw_engine::{Effect, Error, Intent, Limit, Peers, Permit, Recovery, Result, progress};
use miette::Diagnostic;
use std::time::Duration;

/// How long Proxmox may take to copy a template.
const CLONE: Limit = Limit::minutes(60);
/// How many clones of one template go on at once: each holds a lock on the template's storage, and more only wait for it.
const CLONES_AT_ONCE: usize = 2;
/// How long Proxmox has to begin a clone whose answer was lost, before it is looked whether it did.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(5);

impl Vm {
    pub(super) fn clone_call(&self, source: &Guest, mark: &Mark) -> Call<Write> {
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

    pub(super) async fn clone_template(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<Found> {
        let source = self.source(client, peers).await?;
        self.check_template(&source, client).await?;
        let mark = Mark::new(&self.workspace, &self.node, peers.random());
        let call = self.clone_call(&source, &mark);
        let what = format!("the clone of {} as VM {}", self.spec.template, self.vmid);
        let lane = client.lane(format!("clone/{}", source.vmid), CLONES_AT_ONCE);
        let _place = lane.acquire().await.expect("lanes are never closed");
        let intent = Intent::on("proxmox", &what, Recovery::Task).told_by(mark.to_string());
        let work = async |effect: &_| {
            retry_locked(peers, &what, async || match self.send_clone(&call, &what, client, peers, effect).await {
                Ok(Some(task)) => match task.wait(client, peers, CLONE, &what).await {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        self.clean_up(&mark, client, peers, effect).await;
                        Err(error)
                    }
                },
                Ok(None) => Ok(None),
                // Whose machine that is shows when it is read; an earlier try of ours may have got through.
                Err(failure) if failure.is(Class::Taken) => Ok(None),
                Err(failure) if failure.may_be_done() => Ok(Some(failure)),
                Err(failure) => Err(failure.into()),
            })
            .await
        };
        let unanswered = permit.effect(intent, work).await?;
        inventory::remember(client, self.vmid, &self.host, &self.fqdn).await;
        if let Some(pool) = &self.pool {
            inventory::moved_to_pool(client, self.vmid, pool).await;
        }
        match self.find_ours(client, peers).await? {
            Some(found) if found.config.mark().as_ref() == Some(&mark) => Ok(found),
            Some(_) => Err(Error::settle(MadeMeanwhile { what: self.node.to_string(), vmid: self.vmid })),
            None => Err(unanswered.map_or_else(|| Error::peer(NotThere { node: self.node.clone(), vmid: self.vmid }), Error::from)),
        }
    }

    /// Sends the clone; once more when its answer was lost and the VM id is still free: then it never got through.
    async fn send_clone(
        &self,
        call: &Call<Write>,
        what: &str,
        client: &Client,
        peers: &Peers,
        effect: &Effect,
    ) -> std::result::Result<Option<Task>, Failure> {
        match client.write(call, effect).await {
            Err(failure) if failure.may_be_done() => {
                progress(format!("{what}: {failure}; looking whether it was begun"));
                peers.clock().sleep(UNANSWERED_PAUSE).await;
                if !self.is_still_free(client).await? {
                    return Err(failure);
                }
                client.write(call, effect).await
            }
            done => done,
        }
    }

    /// Whether nobody has our VM id yet; as far as the list tells where Proxmox does not say it of one.
    async fn is_still_free(&self, client: &Client) -> std::result::Result<bool, Failure> {
        match inventory::is_free(client, self.vmid).await {
            Err(Failure::Refused(_)) => Ok(!inventory::all(client).await?.contains_key(&self.vmid)),
            told => told,
        }
    }

    /// Removes what a failed clone of ours left behind. Proxmox does so itself, unless it was interrupted.
    ///
    /// Only what carries the mark of this very clone is ours for certain: somebody else may have taken the VM id meanwhile.
    pub(super) async fn clean_up(&self, mark: &Mark, client: &Client, peers: &Peers, effect: &Effect) {
        // Proxmox makes a clone beside its template and moves it to its own host at the end, so only the list tells where it is.
        let Ok(all) = inventory::all(client).await else { return };
        let Some(entry) = all.get(&self.vmid).filter(|entry| entry.kind == "qemu") else { return };
        let guest = Guest { vmid: self.vmid, host: entry.node.clone() };
        let Ok(Some(config)) = guest.config(client).await else { return };
        let place = format!("VM {} on {}", guest.vmid, guest.host);
        if let Some(lock) = config.get("lock") {
            return progress(format!(
                "{place} is left locked ({lock}) and is not touched; `qm unlock {}` there removes a stale lock",
                self.vmid
            ));
        }
        if config.mark().as_ref() != Some(mark) {
            return progress(format!("{place} does not carry the mark of the clone that failed, and is not touched"));
        }
        progress(format!("removing what the failed clone left: {place}"));
        if let Err(error) = guest.destroy(client, peers, effect).await {
            progress(format!("it could not be removed: {error}"));
        }
    }

    /// The template to clone: at the VM id that the workspace names, or by its name.
    pub(super) async fn source(&self, client: &Client, peers: &Peers) -> Result<Guest> {
        let mut templates = match self.template_vmid {
            Some(vmid) => self.templates(&[vmid], client, peers).await?,
            None => self.templates(&self.called_so(client).await?, client, peers).await?,
        };
        if templates.is_empty() && self.template_vmid.is_none() {
            inventory::all(client).await?;
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

    /// Looks at the template before anything is made of it, if it is there already.
    pub(super) async fn look_at_template(&self, client: &Client) -> Result<()> {
        let vmid = match self.template_vmid {
            Some(vmid) => Some(vmid),
            None => self.called_so(client).await?.first().copied(),
        };
        let entry = match vmid {
            Some(vmid) => inventory::one(client, vmid).await?.filter(|entry| entry.template && entry.kind == "qemu"),
            None => None,
        };
        match entry {
            Some(entry) => self.check_template(&Guest { vmid: entry.vmid, host: entry.node }, client).await,
            None => Ok(()),
        }
    }

    /// Without a drive for cloud-init a machine never gets its address and its keys; and to another Proxmox node only what lies on a shared storage
    /// is cloned (`target` of <https://pve.proxmox.com/pve-docs/api-viewer/#/nodes/{node}/qemu/{vmid}/clone>).
    async fn check_template(&self, template: &Guest, client: &Client) -> Result<()> {
        if self.host != template.host
            && let Some(storage) = client.local_storage_of(template).await?
        {
            let (vmid, from, host) = (template.vmid, template.host.clone(), self.host.to_string());
            return Err(Error::refused(OutOfReach { template: self.spec.template.clone(), vmid, from, storage, host }));
        }
        match client.has_cloud_init(template).await? {
            true => Ok(()),
            false => Err(Error::refused(NoCloudInit {
                template: self.spec.template.clone(),
                vmid: template.vmid,
                host: template.host.clone(),
                storage: self.spec.storage.to_string(),
            })),
        }
    }

    /// The VM ids of machines that are called as our template is.
    pub(super) async fn called_so(&self, client: &Client) -> Result<Vec<u32>> {
        Ok(inventory::alike(client, &self.spec.template, |name| Template::is_called(name, &self.spec.template)).await?)
    }

    /// Those of the candidates that really are our template.
    pub(super) async fn templates(&self, candidates: &[u32], client: &Client, peers: &Peers) -> Result<Vec<Guest>> {
        let mut templates = Vec::new();
        for vmid in candidates {
            let Some(found) = guest::find(client, peers, *vmid).await? else { continue };
            let name = found.config.get("name").unwrap_or_default();
            if found.config.flag("template", false) && Template::is_called(name, &self.spec.template) {
                templates.push(found.guest);
            }
        }
        Ok(templates)
    }
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
#[error(
    "the template {template} (VM {vmid} on {host}) has no cloud-init drive: what is cloned from it would get neither its address nor its keys"
)]
#[diagnostic(code(kthw::proxmox::no_cloud_init), help("give it one: `qm set {vmid} --ide2 {storage}:cloudinit` on {host}; then run again"))]
struct NoCloudInit {
    template: String,
    vmid: u32,
    host: String,
    storage: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the template {template} (VM {vmid}) lies on the storage {storage} of {from} alone: no machine can be cloned from it to {host}")]
#[diagnostic(
    code(kthw::proxmox::out_of_reach),
    help("give {host} the same template under an id of its own: `template.replicas: {{ {host}: ID }}` in workspace.yaml")
)]
struct OutOfReach {
    template: String,
    vmid: u32,
    from: String,
    storage: String,
    host: String,
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
    pub(super) fn clone_calls() {
        let mark = Mark { workspace: "ubuntu".into(), name: "cu1".into(), nonce: "00ff".into() };
        let source = |host: &str| Guest { vmid: 9420, host: host.into() };
        let shown = |vm: &Vm, host| vm.clone_call(&source(host), &mark).to_string();
        expect![[r#"
            POST /nodes/homelab/qemu/9420/clone newid=401 name=cu1.bevz.net description=kthw:ubuntu:cu1:00ff
            template: tpl
            clone: full
            node: homelab
            tags: k8s kthw ubuntu
             full=1 storage=local-lvm"#]]
        .assert_eq(&shown(&a_vm("{}"), "homelab"));
        expect![[r#"
            POST /nodes/pve2/qemu/9420/clone newid=401 name=cu1.bevz.net description=kthw:ubuntu:cu1:00ff
            template: tpl
            clone: linked
            node: homelab
            tags: k8s kthw ubuntu
             full=0 pool=K8S target=homelab"#]]
        .assert_eq(&shown(&a_vm(r#"{"clone": "linked", "pool": "K8S"}"#), "pve2"));
    }
}
