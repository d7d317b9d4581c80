//! One machine as the API sees it: where it is, its configuration, and what can be done to it.
use super::{
    call::{Call, Write},
    client::Client,
    config::{Config, Pending},
    error::Failure,
    inventory,
    ownership::Mark,
    task::{self, Task, retry_locked},
};
use kthw_engine::{Effect, Error, Intent, Kind, Limit, Peers, Permit, Poll, Result, progress, wait};
use miette::Diagnostic;
use serde::Deserialize;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a machine may be in the making by somebody else before we give up on it.
const MAKING: Limit = Limit::minutes(10);
/// A machine is locked a moment before the task that makes it shows; a lock for which there is none for so long was left behind.
const IDLE: Duration = Duration::from_secs(5);
/// How long changes of a machine may take.
const CHANGING: Limit = Limit::minutes(10);

/// How long a system may take to shut down for a restart.
const SHUT_DOWN_S: u32 = 300;

/// The tag by which people keep a machine from being removed.
const PROTECTED: &str = "protected";

/// A machine: its VM id, and the Proxmox node that it is on at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Unique in the cluster.
    pub vmid: u32,
    /// The Proxmox node that it was last seen on.
    pub host: String,
}

/// A machine as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one, and where.
    pub guest: Guest,
    /// Its configuration, with pending changes applied.
    pub config: Config,
    /// Whether it runs.
    pub running: bool,
    /// How long it has run.
    pub up_for: Duration,
    /// What its next start will change.
    pub waiting: Vec<String>,
    /// The resource pool that it is in.
    pub pool: Option<String>,
}

/// `GET /nodes/{node}/qemu/{vmid}/status/current`, as far as we need it.
#[derive(Deserialize)]
struct Status {
    status: String,
    /// Seconds since its start; a restart from within does not count.
    #[serde(default)]
    uptime: u64,
}

impl Status {
    fn is_running(&self) -> bool {
        self.status == "running"
    }
}

impl Found {
    /// Removes it with its disks; stopped first if it runs.
    ///
    /// # Errors
    /// As [`Machine::stop`] and [`Machine::remove`].
    pub async fn remove(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        if self.running {
            self.guest.stop(client, peers, permit).await?;
        }
        self.guest.remove(client, peers, permit).await
    }

    /// Why it is not to be removed: Proxmox's own protection, or the tag `protected`.
    pub fn protection(&self) -> Option<String> {
        if self.config.flag("protection", false) {
            return Some(format!("VM {} has protection mode enabled in Proxmox", self.guest.vmid));
        }
        let tagged = self.config.tags().iter().any(|tag| tag == PROTECTED);
        tagged.then(|| format!("VM {} has the tag `{PROTECTED}`", self.guest.vmid))
    }
}

/// Finds the machine with this VM id, wherever it is, and waits while it is still being made.
///
/// # Errors
/// When a container has the id, Proxmox does not answer or refuses, or the machine stays in the making.
pub async fn find(client: &Client, peers: &Peers, vmid: u32) -> Result<Option<Found>> {
    // A machine may be migrated between two calls; three looks are plenty.
    for _ in 0..3 {
        let Some(entry) = inventory::one(client, vmid).await? else { return Ok(None) };
        if entry.kind != "qemu" {
            return Err(Error::refused(NotAMachine { vmid, name: entry.name.unwrap_or_default(), host: entry.node }));
        }
        let (guest, pool) = (Guest { vmid, host: entry.node }, entry.pool);
        let config = until_made(&guest, client, peers);
        if let Some(config) = config.await? {
            let (status, pending) = futures::future::try_join(guest.status(client), guest.pending(client)).await?;
            let config = config.with(&pending);
            let (running, up_for) = (status.is_running(), Duration::from_secs(status.uptime));
            let waiting = pending.into_iter().filter_map(Pending::name).collect();
            return Ok(Some(Found { guest, config, running, up_for, waiting, pool }));
        }
        // It is not where it was last seen.
        inventory::all(client).await?;
    }
    Ok(None)
}

/// The configuration of a machine, once nothing makes it any more; `None` when it is not on its host any more.
async fn until_made(guest: &Guest, client: &Client, peers: &Peers) -> Result<Option<Config>> {
    let Guest { vmid, host } = guest;
    let idle_since: Mutex<Option<Duration>> = Mutex::new(None);
    let idle_since = || idle_since.lock().unwrap_or_else(PoisonError::into_inner);
    let help = format!("something else makes this machine; run again when it has ended, or take a lock that was left away: `qm unlock {vmid}` on {host}");
    wait(peers, MAKING, &format!("VM {vmid} to be made"), &help, async || {
        let config = guest.config(client).await?;
        let lock = config.as_ref().and_then(|config| config.get("lock")).filter(|lock| matches!(*lock, "clone" | "create"));
        let Some(lock) = lock else { return Ok(Poll::Ready(config)) };
        let seen = match task::active(client, host).await {
            Ok(tasks) if tasks.iter().any(|task| task.may_make(*vmid)) => {
                *idle_since() = None;
                format!("it is locked ({lock})")
            }
            Ok(_) => {
                let now = client.clock().now();
                let since = *idle_since().get_or_insert(now);
                if now.saturating_sub(since) >= IDLE {
                    return Err(Error::peer(StaleLock { vmid: *vmid, host: host.clone(), lock: lock.into() }));
                }
                format!("it is locked ({lock}), and no task seems to be at work on it")
            }
            Err(failure) => format!("it is locked ({lock}), and Proxmox does not say what is at work on it ({failure})"),
        };
        Ok(Poll::Pending(seen))
    })
    .await
}

impl Guest {
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

    /// Whether it runs and since when, asked of its host: the cluster's list lags behind by seconds.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    async fn status(&self, client: &Client) -> Result<Status> {
        let vmid = self.vmid.to_string();
        Ok(client.get(&Call::get(["nodes", &self.host, "qemu", &vmid, "status", "current"])).await?)
    }

    /// Clones `self`, a template, with these parameters.
    pub(super) fn clone_call(&self) -> Call<Write> {
        Call::post(self.path(&self.vmid.to_string(), "clone"))
    }

    /// Sets parts of the configuration, if it is still the one with this digest.
    pub(super) fn configure_call(&self, digest: Option<&str>, values: &[(&str, String)]) -> Call<Write> {
        Call::put(self.path(&self.vmid.to_string(), "config"))
            .maybe("digest", digest)
            .with_all(values.iter().map(|(key, value)| (*key, value)))
    }

    /// Grows a disk.
    pub(super) fn resize_call(&self, disk: &str, gib: u32) -> Call<Write> {
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
                let call = self.configure_call(config.get("digest"), &values);
                let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                let intent = Intent::on("proxmox", format!("{what}: {}", names.join(", ")));
                let sent = permit.effect(intent, async |effect| match client.write(&call, effect).await {
                    Ok(task) => finish(task, client, peers, &what).await.map(|()| true),
                    Err(failure) if left > 0 && is_stale(&failure) => Ok(false),
                    Err(failure) => Err(failure.into()),
                });
                if sent.await? {
                    return Ok(());
                }
                progress(format!("{what}: it was changed by somebody else; reading again"));
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
        self.change(&format!("VM {} into pool {pool}", self.vmid), &call, client, peers, permit).await?;
        inventory::moved_to_pool(client, self.vmid, pool).await;
        Ok(())
    }

    /// One change of it, as one effect: sent, sent again while a lock is held, waited for.
    async fn change(&self, what: &str, call: &Call<Write>, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let work = async |effect: &_| {
            retry_locked(peers, what, async || finish(client.write(call, effect).await?, client, peers, what).await).await
        };
        permit.effect(Intent::on("proxmox", what), work).await
    }

    /// Grows a disk to so many GiB.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn grow(&self, disk: &str, gib: u32, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the growth of {disk} of VM {} to {gib} GiB", self.vmid);
        self.change(&what, &self.resize_call(disk, gib), client, peers, permit).await
    }

    /// Turns it into a template.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn convert(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the conversion of VM {} to a template", self.vmid);
        let call = Call::post(self.path(&self.vmid.to_string(), "template"));
        self.change(&what, &call, client, peers, permit).await
    }

    /// Starts it. That it runs already is fine, whatever a task says.
    ///
    /// # Errors
    /// When it does not run afterwards: what the task said.
    pub async fn start(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the start of VM {}", self.vmid);
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "start"]);
        let started = permit.effect(Intent::on("proxmox", &what), async |effect| {
            retry_locked(peers, &what, async || match client.write(&call, effect).await {
                Ok(task) => finish(task, client, peers, &what).await,
                Err(failure) if failure.says("already running") => Ok(()),
                Err(failure) => Err(failure.into()),
            })
            .await
        });
        match started.await {
            Err(error) if error.kind() != Kind::Stopped && self.status(client).await?.is_running() => {
                progress(format!("{what}: it runs, although Proxmox said: {error}"));
                Ok(())
            }
            done => done,
        }
    }

    /// Stops it at once, as pulling the plug does. That it is stopped already is fine.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn stop(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "stop"]);
        self.change(&format!("the stop of VM {vmid}"), &call, client, peers, permit).await
    }

    /// Shuts it down and starts it again, as one task: what waits for that takes effect (`qm reboot`).
    ///
    /// # Errors
    /// When Proxmox refuses, a lock stays, or its system does not shut down.
    pub async fn reboot(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "reboot"]).with("timeout", SHUT_DOWN_S);
        self.change(&format!("the restart of VM {vmid}"), &call, client, peers, permit).await
    }

    /// Removes it with its disks, and sees that it is gone.
    ///
    /// # Errors
    /// When Proxmox refuses, a lock stays, or it is still there.
    pub async fn remove(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the removal of VM {}", self.vmid);
        self.change(&what, &self.removal_call(), client, peers, permit).await?;
        let help = "look at its tasks in Proxmox, and run again";
        wait(peers, Limit::seconds(30), &format!("VM {} to be gone", self.vmid), help, async || {
            Ok(match self.config(client).await? {
                None => Poll::Ready(()),
                Some(_) => Poll::Pending("Proxmox still has its configuration".into()),
            })
        })
        .await
    }

    /// Its configuration, disks, and what backups and replication say of it.
    fn removal_call(&self) -> Call<Write> {
        Call::delete(["nodes", &self.host, "qemu", &self.vmid.to_string()]).with("purge", 1)
    }

    /// Removes what a failed clone left of it. `effect` is what that is part of.
    ///
    /// # Errors
    /// When Proxmox refuses.
    pub async fn destroy(&self, client: &Client, peers: &Peers, effect: &Effect) -> Result<()> {
        finish(client.write(&self.removal_call(), effect).await?, client, peers, &format!("the removal of VM {}", self.vmid)).await
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
            vmid: found.guest.vmid,
            host: found.guest.host.clone(),
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

/// A lock that is left of something that does not go on.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} on {host} is locked ({lock}), and no task is at work on it: what made it was interrupted")]
#[diagnostic(
    code(kthw::proxmox::stale_lock),
    help(
        "if nobody makes this machine any more: `qm unlock {vmid}` on {host} takes the lock away, `qm destroy {vmid}` what is half made; then run again"
    )
)]
struct StaleLock {
    vmid: u32,
    host: String,
    lock: String,
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
        let guest = Guest { vmid: 401, host: "homelab".into() };
        assert_eq!(guest.resize_call("scsi0", 20).to_string(), "PUT /nodes/homelab/qemu/401/resize disk=scsi0 size=20G");
        assert_eq!(guest.clone_call().with("newid", 1).to_string(), "POST /nodes/homelab/qemu/401/clone newid=1");
        assert_eq!(
            guest.configure_call(Some("d1"), &[("cores", "4".into())]).to_string(),
            "PUT /nodes/homelab/qemu/401/config digest=d1 cores=4"
        );
    }

    #[test]
    fn a_refusal_says_whose_it_is() {
        let found = |description: &str| Found {
            guest: Guest { vmid: 401, host: "homelab".into() },
            config: [("name", "web"), ("description", description)].into_iter().collect(),
            running: true,
            up_for: Duration::ZERO,
            waiting: Vec::new(),
            pool: None,
        };
        let text = |description| NotOurs::new(&found(description), "cu1").to_string();
        assert_eq!(text(""), "VM 401 on homelab is not cu1: it is called `web` and carries no mark of kthw");
        assert_eq!(text("kthw:edge:lb1:00ff"), "VM 401 on homelab is not cu1: it is called `web` and belongs to `lb1` of workspace `edge`");
    }
}
