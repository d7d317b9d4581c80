//! What is done to a machine: each change is one effect, sent again while a lock is held, and waited for.
use super::Guest;
use crate::proxmox::{
    call::{Call, Write},
    client::Client,
    config::Config,
    error::Failure,
    guest::Halt,
    inventory,
    task::{Task, retry_locked},
    texts::Class,
};
use kthw_engine::{Effect, Error, Intent, Kind, Limit, Peers, Permit, Poll, Recovery, Result, progress, wait};
use miette::Diagnostic;
use std::time::Duration;

/// How long changes of a machine may take.
const CHANGING: Limit = Limit::minutes(10);
/// How often a change is sent again whose answer was lost.
const REPEATS: u32 = 2;
/// The pause before that.
const REPEAT_PAUSE: Duration = Duration::from_secs(2);
/// How long a machine that is resumed may take to go on.
const GOING_ON: Limit = Limit { at_most: Duration::from_secs(30), pause: Duration::from_secs(2) };
/// How long a system may take to shut down.
const SHUT_DOWN_S: u32 = 300;

impl Guest {
    /// Clones `self`, a template, with these parameters.
    pub(in crate::proxmox) fn clone_call(&self) -> Call<Write> {
        Call::post(self.path(&self.vmid.to_string(), "clone"))
    }

    /// Sets parts of the configuration, if it is still the one with this digest.
    pub(in crate::proxmox) fn configure_call(&self, digest: Option<&str>, values: &[(impl AsRef<str>, String)]) -> Call<Write> {
        Call::put(self.path(&self.vmid.to_string(), "config"))
            .maybe("digest", digest)
            .with_all(values.iter().map(|(key, value)| (key.as_ref(), value)))
    }

    /// Grows a disk.
    pub(in crate::proxmox) fn resize_call(&self, disk: &str, gib: u32) -> Call<Write> {
        Call::put(self.path(&self.vmid.to_string(), "resize")).with("disk", disk).with("size", format!("{gib}G"))
    }

    /// Sets the parts of the configuration that `values` computes from what it is now; reads again when somebody else was faster.
    ///
    /// # Errors
    /// When Proxmox refuses, when a lock stays, or when the configuration changes each time.
    pub async fn configure<K: AsRef<str> + Send + Sync>(
        &self,
        client: &Client,
        peers: &Peers,
        permit: &Permit,
        values: impl Fn(&Config) -> Vec<(K, String)> + Sync,
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
                let names: Vec<&str> = values.iter().map(|(name, _)| name.as_ref()).collect();
                let intent = Intent::on("proxmox", format!("{what}: {}", names.join(", ")), Recovery::Task);
                let sent = permit.effect(intent, async |effect| match client.write(&call, effect).await {
                    Ok(task) => finish(task, client, peers, &what).await.map(|()| true),
                    Err(failure) if left > 0 && (failure.is(Class::Changed) || failure.may_be_done()) => {
                        progress(format!("{what}: {failure}; reading again"));
                        Ok(false)
                    }
                    Err(failure) => Err(failure.into()),
                });
                if sent.await? {
                    return Ok(());
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

    /// Grows a disk to so many GiB. A disk that is as large already is no error for Proxmox, so a lost answer is followed by another try.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn grow(&self, disk: &str, gib: u32, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the growth of {disk} of VM {} to {gib} GiB", self.vmid);
        let call = self.resize_call(disk, gib);
        let work = async |effect: &_| {
            retry_locked(peers, &what, async || finish(repeated(&call, effect, client, peers, &what).await?, client, peers, &what).await)
                .await
        };
        permit.effect(Intent::on("proxmox", &what, Recovery::Task), work).await
    }

    /// Lets it go on that was paused, stopped by a failing disk, or hibernated: `vm_resume` in upstream's `PVE/API2/Qemu.pm` does all of them.
    ///
    /// # Errors
    /// When Proxmox refuses, or it does not go on: with what a person can do.
    pub async fn resume(&self, halt: Halt, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        if halt == Halt::Crashed {
            return Err(Error::peer(Halted { vmid: self.vmid, halt: halt.word(), next: halt.next_step(self.vmid, &self.host) }));
        }
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "resume"]);
        let resumed = self.change(&format!("the resumption of VM {vmid} ({})", halt.word()), &call, client, peers, permit).await;
        if let Err(error) = resumed {
            let next = halt.next_step(self.vmid, &self.host);
            return Err(if error.kind() == Kind::Peer {
                Error::peer(NotResumed { vmid: self.vmid, why: error.to_string(), next })
            } else {
                error
            });
        }
        let help = halt.next_step(self.vmid, &self.host);
        wait(peers, GOING_ON, &format!("VM {vmid} to go on"), &help, async || {
            let status = self.status(client).await?;
            Ok(match status.halt() {
                None if status.is_running() => Poll::Ready(()),
                halt => Poll::Pending(format!("its state is {}", halt.map_or("stopped", Halt::word))),
            })
        })
        .await
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
            retry_locked(peers, &what, async || match repeated(&call, effect, client, peers, &what).await {
                Ok(task) => finish(task, client, peers, &what).await,
                Err(failure) if failure.is(Class::Running) => Ok(()),
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

    /// Shuts it down; a system that does not go in five minutes has its power taken. That it is off already is fine.
    ///
    /// # Errors
    /// When Proxmox refuses or a lock stays.
    pub async fn shut_down(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("the shutdown of VM {}", self.vmid);
        let vmid = self.vmid.to_string();
        let call = Call::post(["nodes", &self.host, "qemu", &vmid, "status", "shutdown"]).with("timeout", SHUT_DOWN_S).with("forceStop", 1);
        let work = async |effect: &_| {
            retry_locked(peers, &what, async || match repeated(&call, effect, client, peers, &what).await {
                Ok(task) => finish(task, client, peers, &what).await,
                Err(failure) if failure.is(Class::NotRunning) => Ok(()),
                Err(failure) => Err(failure.into()),
            })
            .await
        };
        permit.effect(Intent::on("proxmox", &what, Recovery::Task), work).await
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

/// Sends a change that does no harm when it is done twice, and sends it again when its answer was lost.
async fn repeated(
    call: &Call<Write>,
    effect: &Effect,
    client: &Client,
    peers: &Peers,
    what: &str,
) -> std::result::Result<Option<Task>, Failure> {
    for _ in 0..REPEATS {
        match client.write(call, effect).await {
            Err(failure) if failure.may_be_done() => progress(format!("{what}: {failure}; it may have been done, and is sent again")),
            done => return done,
        }
        peers.clock().sleep(REPEAT_PAUSE).await;
    }
    client.write(call, effect).await
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

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} does not go on by itself: it is {halt}")]
#[diagnostic(code(kthw::proxmox::halted), help("{next}"))]
struct Halted {
    vmid: u32,
    halt: &'static str,
    next: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} was not resumed: {why}")]
#[diagnostic(code(kthw::proxmox::not_resumed), help("{next}"))]
struct NotResumed {
    vmid: u32,
    why: String,
    next: String,
}
