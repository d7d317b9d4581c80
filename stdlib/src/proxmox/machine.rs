//! One machine as the API sees it: where it is, its configuration, and what can be done to it.
use super::{
    call::Call,
    client::Client,
    config::{Config, Pending},
    error::Failure,
    guests,
    ownership::Mark,
    task::{Task, retry_locked},
};
use kthw_engine::{Error, Limit, Peers, Permit, Poll, Result, progress, wait};
use miette::Diagnostic;
use serde::Deserialize;

/// How long a machine may be in the making by somebody else before we give up on it.
const MAKING: Limit = Limit::minutes(10);
/// How long changes of a machine may take.
const CHANGING: Limit = Limit::minutes(10);

/// A machine: its VM id, and the Proxmox node that it is on at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Unique in the cluster.
    pub vmid: u32,
    /// The Proxmox node that it was last seen on.
    pub host: String,
}

/// A machine as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one, and where.
    pub machine: Machine,
    /// Its configuration, with pending changes applied.
    pub config: Config,
    /// Whether it runs.
    pub running: bool,
    /// What its next start will change.
    pub waiting: Vec<String>,
    /// The resource pool that it is in.
    pub pool: Option<String>,
}

/// Finds the machine with this VM id, wherever it is, and waits while it is still being made.
///
/// # Errors
/// When a container has the id, Proxmox does not answer or refuses, or the machine stays in the making.
pub async fn find(client: &Client, peers: &Peers, vmid: u32) -> Result<Option<Found>> {
    // A machine may be migrated between two calls; three looks are plenty.
    for _ in 0..3 {
        let Some(guest) = guests::one(client, vmid).await? else { return Ok(None) };
        if guest.kind != "qemu" {
            return Err(Error::refused(NotAMachine { vmid, name: guest.name.unwrap_or_default(), host: guest.node }));
        }
        let (machine, pool) = (Machine { vmid, host: guest.node }, guest.pool);
        let what = format!("VM {vmid} to be made");
        let help = "something else makes this machine; run again when it has ended";
        let config = wait(peers, MAKING, &what, help, async || {
            let config = machine.config(client).await?;
            Ok(match config.as_ref().and_then(|config| config.get("lock")) {
                Some(lock @ ("clone" | "create")) => Poll::Pending(format!("it is locked ({lock})")),
                _ => Poll::Ready(config),
            })
        });
        if let Some(config) = config.await? {
            let (running, pending) = futures::future::try_join(machine.is_running(client), machine.pending(client)).await?;
            let config = config.with(&pending);
            return Ok(Some(Found { machine, config, running, waiting: pending.into_iter().filter_map(Pending::name).collect(), pool }));
        }
        // It is not where it was last seen.
        guests::all(client).await?;
    }
    Ok(None)
}

impl Machine {
    fn path<'a>(&'a self, vmid: &'a str, last: &'a str) -> [&'a str; 5] {
        ["nodes", &self.host, "qemu", vmid, last]
    }

    /// Its configuration; `None` when it is not on its host any more.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    pub async fn config(&self, client: &Client) -> Result<Option<Config>> {
        Ok(client.get_opt(&Call::get(self.path(&self.vmid.to_string(), "config"))).await?)
    }

    /// What its next start will change. The configuration should hold these values already; some versions answer with the old ones.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    pub async fn pending(&self, client: &Client) -> Result<Vec<Pending>> {
        Ok(client.get(&Call::get(self.path(&self.vmid.to_string(), "pending"))).await?)
    }

    /// Whether it runs, asked of its host: the cluster's list lags behind by seconds.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    pub async fn is_running(&self, client: &Client) -> Result<bool> {
        #[derive(Deserialize)]
        struct Current {
            status: String,
        }
        let vmid = self.vmid.to_string();
        let current: Current = client.get(&Call::get(["nodes", &self.host, "qemu", &vmid, "status", "current"])).await?;
        Ok(current.status == "running")
    }

    /// Clones `self`, a template, with these parameters.
    pub(super) fn clone_call(&self) -> Call {
        Call::post(self.path(&self.vmid.to_string(), "clone"))
    }

    /// Sets parts of the configuration, if it is still the one with this digest.
    pub(super) fn configure_call(&self, digest: Option<&str>, values: &[(&str, String)]) -> Call {
        Call::put(self.path(&self.vmid.to_string(), "config"))
            .maybe("digest", digest)
            .with_all(values.iter().map(|(key, value)| (*key, value)))
    }

    /// Grows a disk.
    pub(super) fn resize_call(&self, disk: &str, gib: u32) -> Call {
        Call::put(self.path(&self.vmid.to_string(), "resize")).with("disk", disk).with("size", format!("{gib}G"))
    }

    /// Sets the parts of the configuration that `values` computes from what it is now; reads again when somebody else was faster.
    ///
    /// # Errors
    /// When Proxmox refuses, when a lock stays, or when the configuration changes each time.
    pub async fn configure<'a>(
        &self,
        client: &Client,
        peers: &Peers,
        permit: &Permit,
        values: impl Fn(&Config) -> Vec<(&'a str, String)> + Sync,
    ) -> Result<()> {
        let what = format!("the configuration of VM {}", self.vmid);
        retry_locked(peers, &what, async || {
            let mut left = 3;
            loop {
                let config = self.config(client).await?.ok_or_else(|| Error::peer(Gone { vmid: self.vmid, host: self.host.clone() }))?;
                let config = config.with(&self.pending(client).await?);
                let values = values(&config);
                if values.is_empty() {
                    return Ok(());
                }
                left -= 1;
                match client.put(&self.configure_call(config.get("digest"), &values), permit).await {
                    Ok(task) => return finish(task, client, peers, &what).await,
                    Err(failure) if left > 0 && is_stale(&failure) => {
                        progress(format!("{what}: it was changed by somebody else; reading again"))
                    }
                    Err(failure) => return Err(failure.into()),
                }
            }
        })
        .await
    }

    /// Puts it into a resource pool; `from` is the one that it is in.
    ///
    /// # Errors
    /// When Proxmox refuses.
    pub async fn put_in_pool(&self, pool: &str, from: Option<&str>, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let call = Call::put(["pools", pool]).with("vms", self.vmid).maybe("allow-move", from.map(|_| 1));
        finish(client.put(&call, permit).await?, client, peers, &format!("VM {} into pool {pool}", self.vmid)).await?;
        guests::moved_to_pool(client, self.vmid, pool).await;
        Ok(())
    }

    /// Grows a disk to so many GiB.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn grow(&self, disk: &str, gib: u32, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the growth of {disk} of VM {} to {gib} GiB", self.vmid);
        retry_locked(peers, &what, async || finish(client.put(&self.resize_call(disk, gib), permit).await?, client, peers, &what).await)
            .await
    }

    /// Turns it into a template.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn convert(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the conversion of VM {} to a template", self.vmid);
        let call = Call::post(self.path(&self.vmid.to_string(), "template"));
        retry_locked(peers, &what, async || finish(client.post(&call, permit).await?, client, peers, &what).await).await
    }

    /// Starts it. That it runs already is fine, whatever a task says.
    ///
    /// # Errors
    /// When it does not run afterwards: what the task said.
    pub async fn start(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the start of VM {}", self.vmid);
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "start"]);
        let started = retry_locked(peers, &what, async || match client.post(&call, permit).await {
            Ok(task) => finish(task, client, peers, &what).await,
            Err(failure) if failure.says("already running") => Ok(()),
            Err(failure) => Err(failure.into()),
        });
        match started.await {
            Err(error) if self.is_running(client).await? => {
                progress(format!("{what}: it runs, although Proxmox said: {error}"));
                Ok(())
            }
            done => done,
        }
    }

    /// Removes it with its disks.
    ///
    /// # Errors
    /// When Proxmox refuses.
    pub async fn destroy(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let vmid = self.vmid.to_string();
        let call = Call::delete(["nodes", &self.host, "qemu", &vmid]).with("purge", 1);
        finish(client.delete(&call, permit).await?, client, peers, &format!("the removal of VM {}", self.vmid)).await
    }
}

/// Whether a configuration was changed between our reading and writing it.
fn is_stale(failure: &Failure) -> bool {
    failure.says("modified configuration") || failure.says("checksum mismatch") || failure.says("digest")
}

/// Waits for a task, if there is one.
pub(super) async fn finish(task: Option<Task>, client: &Client, peers: &Peers, what: &str) -> Result<()> {
    match task {
        Some(task) => task.wait(client, peers, CHANGING, what).await,
        None => Ok(()),
    }
}

/// A machine that is not ours has the VM id that we want.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} on {host} is not {wanted}: it is called `{name}` and {whose}")]
#[diagnostic(
    code(kthw::proxmox::not_ours),
    help("nothing was changed; choose another VM id for {wanted} in workspace.yaml, or remove that machine yourself")
)]
pub struct NotOurs {
    vmid: u32,
    host: String,
    name: String,
    wanted: String,
    whose: String,
}

impl NotOurs {
    /// `found` has the VM id of `wanted`.
    pub fn new(found: &Found, wanted: impl Into<String>) -> Self {
        Self {
            vmid: found.machine.vmid,
            host: found.machine.host.clone(),
            name: found.config.get("name").unwrap_or_default().into(),
            wanted: wanted.into(),
            whose: match found.config.mark() {
                Some(Mark { workspace, name, .. }) => format!("belongs to `{name}` of workspace `{workspace}`"),
                None => "carries no mark of kthw".into(),
            },
        }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{vmid} on {host} is the container `{name}`, not a virtual machine")]
#[diagnostic(code(kthw::proxmox::not_ours), help("nothing was changed; choose another VM id in workspace.yaml"))]
struct NotAMachine {
    vmid: u32,
    host: String,
    name: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} is not on {host} any more")]
#[diagnostic(code(kthw::proxmox::gone), help("it was removed or migrated meanwhile; run again"))]
struct Gone {
    vmid: u32,
    host: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let machine = Machine { vmid: 401, host: "homelab".into() };
        assert_eq!(machine.resize_call("scsi0", 20).to_string(), "PUT /nodes/homelab/qemu/401/resize disk=scsi0 size=20G");
        assert_eq!(machine.clone_call().with("newid", 1).to_string(), "POST /nodes/homelab/qemu/401/clone newid=1");
        assert_eq!(
            machine.configure_call(Some("d1"), &[("cores", "4".into())]).to_string(),
            "PUT /nodes/homelab/qemu/401/config digest=d1 cores=4"
        );
    }

    #[test]
    fn a_refusal_says_whose_it_is() {
        let found = |description: &str| Found {
            machine: Machine { vmid: 401, host: "homelab".into() },
            config: [("name", "web"), ("description", description)].into_iter().collect(),
            running: true,
            waiting: Vec::new(),
            pool: None,
        };
        let text = |description| NotOurs::new(&found(description), "cu1").to_string();
        assert_eq!(text(""), "VM 401 on homelab is not cu1: it is called `web` and carries no mark of kthw");
        assert_eq!(text("kthw:edge:lb1:00ff"), "VM 401 on homelab is not cu1: it is called `web` and belongs to `lb1` of workspace `edge`");
    }
}
