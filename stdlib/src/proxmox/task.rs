//! Tasks: what Proxmox goes on with after it answered. They are waited for, explain themselves, and locks are tried again.
use super::{
    call::Call,
    client::Client,
    error::Failure,
    texts::{Class, class_of},
};
use kthw_engine::{Error, Limit, Peers, Poll, Result, progress, wait};
use miette::Diagnostic;
use serde::Deserialize;
use std::{
    fmt,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A task, known by its UPID: `UPID:node:pid:pstart:starttime:type:id:user:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    upid: String,
    node: String,
    kind: String,
}

/// How many polls in a row may fail before waiting is given up; each of them has already tried every host three times.
const FAILED_POLLS: u32 = 10;
/// How long a task may be unknown after it was begun.
const UNKNOWN: Duration = Duration::from_secs(15);
/// How long a task of an earlier run is waited for.
const LEFT: Limit = Limit::minutes(60);
/// How often something is tried that fails because of a lock.
const LOCK_TRIES: u32 = 8;
/// How long a lock is waited for that a longer work holds.
const HELD: Duration = Duration::from_secs(15 * 60);
/// The longest pause between two such tries; the first is a second.
const LOCK_PAUSE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    exitstatus: Option<String>,
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    t: String,
}

impl Task {
    /// Reads a UPID; `None` for anything else.
    pub fn parse(upid: &str) -> Option<Self> {
        let mut parts = upid.strip_prefix("UPID:")?.split(':');
        let node = parts.next()?.to_owned();
        let kind = parts.nth(3)?.to_owned();
        Some(Self { upid: upid.to_owned(), node, kind })
    }

    /// Waits until the task has ended, and fails as it failed. A poll that fails is not a task that failed.
    ///
    /// # Errors
    /// [`TaskFailed`] with the task's own words; when the limit is over; when Proxmox stays out of reach.
    pub async fn wait(&self, client: &Client, peers: &Peers, limit: Limit, what: &str) -> Result<()> {
        let begun = client.clock().now();
        let failed = AtomicU32::new(0);
        let look = async || Ok(self.look(client, begun, &failed).await?);
        let help = format!("it goes on; see `pvenode task status {}` on {}, and run again", self.upid, self.node);
        let exit = wait(peers, limit, what, &help, look).await?;
        if exit == "OK" {
            return Ok(());
        }
        let log = self.last_line(client).await;
        if exit.starts_with("WARNINGS") {
            progress(format!("{what}: done, with warnings: {}", log.unwrap_or(exit)));
            return Ok(());
        }
        let detail = log.map(|line| line.trim_start_matches("TASK ERROR: ").to_owned()).filter(|line| *line != exit);
        Err(Error::peer(TaskFailed { what: what.into(), exit, detail, upid: self.upid.clone(), node: self.node.clone() }))
    }

    async fn look(&self, client: &Client, begun: Duration, failed: &AtomicU32) -> std::result::Result<Poll<String>, Failure> {
        let call = Call::get(["nodes", &self.node, "tasks", &self.upid, "status"]);
        let unknown = client.clock().now().saturating_sub(begun) < UNKNOWN;
        match client.get::<Status>(&call).await {
            Ok(Status { status, exitstatus }) => {
                failed.store(0, Ordering::Relaxed);
                if status != "running" {
                    return Ok(Poll::Ready(exitstatus.unwrap_or_else(|| "it ended without an exit status".into())));
                }
                let line = self.last_line(client).await;
                Ok(Poll::Pending(line.unwrap_or_else(|| format!("task {} is running", self.kind))))
            }
            Err(failure) if failure.is_passing() && failed.fetch_add(1, Ordering::Relaxed) < FAILED_POLLS => {
                Ok(Poll::Pending(format!("cannot ask at the moment ({failure})")))
            }
            Err(Failure::Refused(refused)) if unknown && matches!(refused.status, 400 | 404 | 500) => {
                Ok(Poll::Pending("the task does not show yet".into()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The last line of its log, as far as it can be had.
    async fn last_line(&self, client: &Client) -> Option<String> {
        let call = Call::get(["nodes", &self.node, "tasks", &self.upid, "log"]).with("limit", 1000);
        let lines: Vec<LogLine> = client.get(&call).await.ok()?;
        lines.into_iter().map(|line| line.t).rfind(|text| !text.trim().is_empty() && text != "no content" && text != "TASK OK")
    }
}

/// Waits for a task that a run began before it died; says in words how it ended. What it made or did not make is for the plan to find.
///
/// # Errors
/// When Proxmox stays out of reach, or the task goes on for longer than an hour.
pub async fn wait_for_left(upid: &str, peers: &Peers) -> Result<String> {
    let Some(task) = Task::parse(upid) else { return Ok(format!("{upid} is no task of Proxmox; the plan tells")) };
    let client = peers.get::<Client>()?;
    let (begun, failed) = (client.clock().now(), AtomicU32::new(0));
    let look = async || match task.look(client, begun, &failed).await {
        // Proxmox forgets tasks after a while.
        Err(Failure::Refused(_)) => Ok(Poll::Ready("Proxmox does not know it any more".to_owned())),
        told => Ok(told?),
    };
    let help = format!("see `pvenode task status {upid}` on {}, and run again", task.node);
    let exit = wait(peers, LEFT, &format!("the task {} that an earlier run began", task.kind), &help, look).await?;
    Ok(format!("its task {} ended: {exit}", task.kind))
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.upid)
    }
}

/// A task that is at work.
#[derive(Clone, Debug, Deserialize)]
pub struct Active {
    /// Such as `qmclone`.
    #[serde(rename = "type")]
    kind: String,
    /// What it works on; missing for tasks of a whole host.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    endtime: Option<u64>,
    #[serde(default)]
    exitstatus: Option<String>,
}

impl Active {
    /// Whether it may be what makes this machine. The task of a clone names the machine that is cloned, not the new one: `clone_vm` in
    /// <https://git.proxmox.com/?p=qemu-server.git;a=blob;f=src/PVE/API2/Qemu.pm>.
    pub fn may_make(&self, vmid: u32) -> bool {
        self.kind == "qmclone" || self.id.as_deref() == Some(vmid.to_string().as_str())
    }

    /// Whether it restarts this machine.
    pub fn restarts(&self, vmid: u32) -> bool {
        self.kind == "qmreboot" && self.id.as_deref() == Some(vmid.to_string().as_str())
    }
}

/// The tasks that are at work on a host. Proxmox keeps those that ended a moment ago in the same list. Who has no `Sys.Audit` there is
/// told of their own tasks only.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub async fn active(client: &Client, host: &str) -> std::result::Result<Vec<Active>, Failure> {
    let tasks: Vec<Active> = client.get(&Call::get(["nodes", host, "tasks"]).with("source", "active")).await?;
    Ok(tasks.into_iter().filter(|task| task.endtime.is_none() && task.exitstatus.is_none()).collect())
}

/// A task ended with an error.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{what} failed on {node}: {exit}{}", detail.as_ref().map(|line| format!(" ({line})")).unwrap_or_default())]
#[diagnostic(code(kthw::proxmox::task_failed), help("the whole log: `pvenode task log {upid}` on {node}"))]
pub struct TaskFailed {
    what: String,
    exit: String,
    detail: Option<String>,
    upid: String,
    node: String,
}

/// Does something that may meet a lock, and tries again for a while if it does: a short one a few times, one that a longer work such as a backup
/// holds until [`HELD`] is over. `attempt` must be safe to repeat after that.
///
/// # Errors
/// As the last attempt.
pub async fn retry_locked<T, F, Fut>(peers: &Peers, what: &str, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let (begun, mut pause, mut tries) = (peers.clock().now(), Duration::from_secs(1), 0);
    loop {
        let error = match attempt().await {
            Err(error) => error,
            done => return done,
        };
        let why = match class_of(&error.to_string()) {
            Some(Class::Lock) if tries + 1 < LOCK_TRIES => {
                tries += 1;
                "a lock is held by another task".to_owned()
            }
            Some(Class::Held) if peers.clock().now().saturating_sub(begun) < HELD => {
                format!("{} (for up to {} minutes)", error.to_string().trim_end_matches('.'), HELD.as_secs() / 60)
            }
            _ => return Err(error),
        };
        progress(format!("{what}: {why}; trying again in {} s", pause.as_secs()));
        peers.clock().sleep(pause).await;
        pause = (pause * 2).min(LOCK_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_machine_is_told_from_what_ended() {
        let of = |text: &str| serde_json::from_str::<Active>(text).expect("a task");
        assert!(of(r#"{"type": "qmclone", "id": "9420", "upid": "u"}"#).may_make(401), "a clone is named after its template");
        assert!(of(r#"{"type": "qmcreate", "id": "401"}"#).may_make(401));
        assert!(!of(r#"{"type": "qmcreate", "id": "402"}"#).may_make(401));
        assert!(!of(r#"{"type": "vncshell"}"#).may_make(401));
        assert!(of(r#"{"type": "qmreboot", "id": "401"}"#).restarts(401) && !of(r#"{"type": "qmreboot", "id": "402"}"#).restarts(401));
    }

    #[test]
    fn a_upid_names_its_node() {
        let task = Task::parse("UPID:pve2:0003F1:0012:65F0:qmclone:9000:kthw@pve!ci:").expect("a UPID");
        assert_eq!((task.node.as_str(), task.kind.as_str()), ("pve2", "qmclone"));
        assert_eq!(Task::parse("OK"), None);
        assert_eq!(Task::parse("UPID:pve2"), None);
    }
}
