//! What is done to a machine: each change is one effect, sent again while a lock is held, and waited for.
use super::Guest;
use crate::proxmox::{
    call::{Call, Write},
    client::Client,
    config::Config,
    error::Failure,
    inventory,
    task::{Task, retry_locked},
};
use kthw_engine::{Effect, Error, Intent, Kind, Limit, Peers, Permit, Poll, Recovery, Result, progress, wait};
use miette::Diagnostic;

/// How long changes of a machine may take.
const CHANGING: Limit = Limit::minutes(10);
/// How long a system may take to shut down for a restart.
const SHUT_DOWN_S: u32 = 300;

impl Guest {
    /// Clones `self`, a template, with these parameters.
    pub(in crate::proxmox) fn clone_call(&self) -> Call<Write> {
        Call::post(self.path(&self.vmid.to_string(), "clone"))
    }

    /// Sets parts of the configuration, if it is still the one with this digest.
    pub(in crate::proxmox) fn configure_call(&self, digest: Option<&str>, values: &[(&str, String)]) -> Call<Write> {
        Call::put(self.path(&self.vmid.to_string(), "config"))
            .maybe("digest", digest)
            .with_all(values.iter().map(|(key, value)| (*key, value)))
    }

    /// Grows a disk.
    pub(in crate::proxmox) fn resize_call(&self, disk: &str, gib: u32) -> Call<Write> {
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
                let intent = Intent::on("proxmox", format!("{what}: {}", names.join(", ")), Recovery::Task);
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
        permit.effect(Intent::on("proxmox", what, Recovery::Task), work).await
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
        let started = permit.effect(Intent::on("proxmox", &what, Recovery::Task), async |effect| {
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

    /// Removes its configuration and disks, and takes it out of backup and replication jobs.
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
pub(in crate::proxmox) async fn finish(task: Option<Task>, client: &Client, peers: &Peers, what: &str) -> Result<()> {
    match task {
        Some(task) => task.wait(client, peers, CHANGING, what).await,
        None => Ok(()),
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} is not on {host} any more")]
#[diagnostic(code(kthw::proxmox::gone), help("it was removed or migrated meanwhile; run again"))]
struct Gone {
    vmid: u32,
    host: String,
}
