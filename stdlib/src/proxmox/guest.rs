//! One machine as the API sees it: where it is, its configuration, whose it is.
use super::{
    call::Call,
    client::Client,
    config::{Config, Pending},
    device::Drive,
    error::Failure,
    inventory,
    ownership::Mark,
    task,
    texts::{Class, class_of},
};
use kthw_engine::{Error, Limit, Peers, Permit, Poll, Result, progress, wait};
use miette::Diagnostic;
use serde::Deserialize;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

mod changes;
mod status;

pub(super) use changes::finish;
pub use status::{Halt, Status};

/// How long a machine may be in the making by somebody else before we give up on it.
const MAKING: Limit = Limit::minutes(10);
/// A machine is locked a moment before the task that makes it shows; a lock for which there is none for so long was left behind.
const IDLE: Duration = Duration::from_secs(5);

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
    /// Whether its process is there.
    pub running: bool,
    /// Why it does not go on, although it is there.
    pub halt: Option<Halt>,
    /// How long it has run.
    pub up_for: Duration,
    /// What its next start will change.
    pub waiting: Vec<String>,
    /// The resource pool that it is in.
    pub pool: Option<String>,
}

impl Found {
    /// Removes it with its disks; stopped first if it runs.
    ///
    /// # Errors
    /// As [`Guest::stop`] and [`Guest::remove`].
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
        let tagged = self.config.tags().iter().any(|tag| tag.eq_ignore_ascii_case(PROTECTED));
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
            tell_lock(&guest, &status);
            let (running, halt, up_for) = (status.is_running(), status.halt(), status.up_for());
            let waiting = pending.into_iter().filter_map(Pending::name).collect();
            return Ok(Some(Found { guest, config, running, halt, up_for, waiting, pool }));
        }
        // It is not where it was last seen.
        inventory::all(client).await?;
    }
    Ok(None)
}

/// Says that somebody works on a machine at the moment.
fn tell_lock(guest: &Guest, status: &Status) {
    let Some(lock) = status.lock().filter(|_| status.halt() != Some(Halt::Hibernated)) else { return };
    progress(format!("VM {} on {} is locked ({lock}) at the moment; what changes it waits for that", guest.vmid, guest.host));
}

/// The configuration of a machine, once nothing makes it any more; `None` when it is not on its host any more.
async fn until_made(guest: &Guest, client: &Client, peers: &Peers) -> Result<Option<Config>> {
    let Guest { vmid, host } = guest;
    let idle_since: Mutex<Option<Duration>> = Mutex::new(None);
    let idle_since = || idle_since.lock().unwrap_or_else(PoisonError::into_inner);
    let help =
        format!("something else makes this machine; run again when it has ended, or remove a leftover lock: `qm unlock {vmid}` on {host}");
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

    /// What its next start will change. The configuration should hold these values already; some versions answer with the old ones. Whoever may
    /// read the one and not the other goes on with what the configuration says.
    ///
    /// # Errors
    /// When Proxmox does not answer.
    pub async fn pending(&self, client: &Client) -> Result<Vec<Pending>> {
        match client.get(&Call::get(self.path(&self.vmid.to_string(), "pending"))).await {
            Err(Failure::Refused(refused)) if refused.status != 401 && class_of(&refused.message) != Some(Class::Missing) => {
                progress(format!("what the next start of VM {} will change is not known: {}", self.vmid, refused.message));
                Ok(Vec::new())
            }
            Err(Failure::BadAnswer(error)) => {
                progress(format!("what the next start of VM {} will change is not known: {error}", self.vmid));
                Ok(Vec::new())
            }
            told => Ok(told?),
        }
    }

    /// Its system disk, by its key, with its size: asked of the storage where the configuration does not tell it.
    ///
    /// # Errors
    /// When Proxmox does not answer. A storage that refuses leaves the size unknown.
    pub async fn boot_disk(&self, config: &Config, client: &Client) -> Result<Option<(String, Drive)>> {
        let Some((key, mut drive)) = config.boot_disk() else { return Ok(None) };
        if drive.size_bytes.is_none() && !drive.storage.is_empty() {
            drive.size_bytes = self.volume_size(&drive, client).await?;
            if drive.size_bytes.is_none() {
                progress(format!("the size of {key} of VM {} ({}) is not known, and it stays as it is", self.vmid, drive.file()));
            }
        }
        Ok(Some((key.to_owned(), drive)))
    }

    /// What its storage says of a volume, <https://pve.proxmox.com/pve-docs/api-viewer/#/nodes/{node}/storage/{storage}/content/{volume}>.
    async fn volume_size(&self, drive: &Drive, client: &Client) -> Result<Option<u64>> {
        #[derive(Deserialize)]
        struct Volume {
            size: u64,
        }
        let call = Call::get(["nodes", &self.host, "storage", &drive.storage, "content", &drive.file()]);
        match client.get::<Volume>(&call).await {
            Ok(volume) => Ok(Some(volume.size)),
            Err(failure) if failure.is_passing() => Err(failure.into()),
            Err(failure @ (Failure::Ours(_) | Failure::SecondFactor(_))) => Err(failure.into()),
            Err(_) => Ok(None),
        }
    }

    /// Whether it runs and since when, asked of its host: the cluster's list lags behind by seconds.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    async fn status(&self, client: &Client) -> Result<Status> {
        let vmid = self.vmid.to_string();
        Ok(client.get(&Call::get(["nodes", &self.host, "qemu", &vmid, "status", "current"])).await?)
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

/// A lock that something left behind which has stopped.
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
            halt: None,
            up_for: Duration::ZERO,
            waiting: Vec::new(),
            pool: None,
        };
        let text = |description| NotOurs::new(&found(description), "cu1").to_string();
        assert_eq!(text(""), "VM 401 on homelab is not cu1: it is called `web` and carries no mark of kthw");
        assert_eq!(text("kthw:edge:lb1:00ff"), "VM 401 on homelab is not cu1: it is called `web` and belongs to `lb1` of workspace `edge`");
    }
}
