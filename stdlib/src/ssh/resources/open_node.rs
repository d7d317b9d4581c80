//! `ssh.node`: a machine that answers, has finished its first start, and bears its name.
use super::{
    boot::{FirstStart, first_start, restart_query},
    declare::{NeedsOnly, declare, family, run_at},
};
use crate::{distribution::Family, ssh::Starts, workspace::Node};
use kthw_engine::{
    Change, Error, Field, Id, Intent, Limit, NodeResource, Peers, Permit, Poll, Recovery, Result, Rhai, Work, field,
    node::{Action, Content, Finding, HostKey, KeyTrust, Probe},
    wait,
};
use miette::Diagnostic;
use rhai::plugin::*;
use std::time::Duration;

const FIRST_START: Limit = Limit::minutes(20);
const LOCK: Limit = Limit::minutes(15);
/// While cloud-init has not made the user yet, sshd refuses it; after this long it is a refusal.
const REFUSED_LIMIT: Duration = Duration::from_secs(180);

#[export_module]
pub mod api {
    use rhai::Map;

    /// Opens a node: waits until it answers over SSH, cloud-init has finished and the package lock is free; sets its host name.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::node(node);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node")]
    pub fn node(cx: NativeCallContext, node: Node) -> Rhai<Id> {
        node_with(cx, node, Map::new())
    }

    /// Opens a node: waits until it answers over SSH, cloud-init has finished and the package lock is free; sets its host name.
    ///
    /// Everything else on the node comes after it. Options: `needs` only, usually the machine.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::node(node, #{ needs: [] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node")]
    pub fn node_with(cx: NativeCallContext, node: Node, options: Map) -> Rhai<Id> {
        let packages = family(&node);
        let accepted = node.workspace().ssh.accepted_cloud_init_errors.clone();
        declare(&cx, "ssh::node", options, |_: NeedsOnly| Ok(OpenNode { node: node.name().to_owned(), packages, accepted }))
    }
}

/// A machine that can be worked on.
#[derive(Debug)]
pub struct OpenNode {
    node: String,
    packages: &'static dyn Family,
    /// Modules of cloud-init whose errors do not matter.
    accepted: Vec<String>,
}

/// Waits until a machine that is no node of the workspace can be worked on: it answers, its first start is over, and the package lock is free.
///
/// # Errors
/// When it does not answer, its first start failed, or somebody keeps the package lock.
pub(crate) async fn until_open(machine: &str, packages: &'static dyn Family, accepted: &[String], peers: &Peers) -> Result<()> {
    let open = OpenNode { node: machine.to_owned(), packages, accepted: accepted.to_vec() };
    open.until_reachable(peers).await?;
    open.until_first_start_is_over(peers).await?;
    open.until_package_lock_is_free(peers).await
}

/// A machine as found.
#[derive(Debug)]
pub struct Live {
    hostname: String,
    first_start: FirstStart,
    /// Its key, if that is not kept yet.
    new_key: Option<HostKey>,
}

impl OpenNode {
    async fn look(&self, peers: &Peers) -> Result<Live> {
        let findings = peers.nodes().read(&self.node, &self.query()).await?;
        let live = self.live(&findings)?;
        live.ok_or_else(|| Error::peer(NoHostname { node: self.node.clone() }))
    }

    /// A machine that is not there yet is waited for; so is, for a while, one that does not know the user yet.
    async fn until_reachable(&self, peers: &Peers) -> Result<Live> {
        let what = format!("{} to answer over SSH", self.node);
        let help = "look at the machine's console; check its address and network, and that `ssh.user` and the key fit";
        let begun = peers.clock().now();
        let limit = Limit { at_most: peers.get::<Starts>()?.patience(&self.node, begun), ..Limit::seconds(0) };
        wait(peers, limit, &what, help, || async {
            match self.look(peers).await {
                Ok(live) => Ok(Poll::Ready(live)),
                Err(error) => {
                    let patient = peers.clock().now().saturating_sub(begun) < REFUSED_LIMIT;
                    match code(&error).as_str() {
                        "kthw::ssh::refused" | "kthw::ssh::sudo" if patient => Ok(Poll::Pending(error.to_string())),
                        _ => until_it_is_there(error),
                    }
                }
            }
        })
        .await
    }

    async fn until_first_start_is_over(&self, peers: &Peers) -> Result<Live> {
        let what = format!("cloud-init on {} to finish", self.node);
        let help = format!("log in to {} and see `cloud-init status --long` and /var/log/cloud-init-output.log", self.node);
        wait(peers, FIRST_START, &what, &help, || async {
            // The first start may end in a restart.
            let live = match self.look(peers).await {
                Ok(live) => live,
                Err(error) => return until_it_is_there(error),
            };
            match &live.first_start {
                FirstStart::Over => Ok(Poll::Ready(live)),
                FirstStart::Running => Ok(Poll::Pending("it is still running".into())),
                FirstStart::Failed(errors) => Err(Error::peer(FirstStartFailed { node: self.node.clone(), errors: errors.clone() })),
            }
        })
        .await
    }

    async fn until_package_lock_is_free(&self, peers: &Peers) -> Result<()> {
        let what = format!("the package lock of {}", self.node);
        wait(peers, LOCK, &what, self.packages.lock_help(), || async {
            let findings = peers.nodes().read(&self.node, &[Probe::run(["sh", "-c", self.packages.lock_holders()])]).await?;
            let held = run_at(&findings, 0)?.stdout.trim().to_owned();
            Ok(match held.lines().next() {
                None => Poll::Ready(()),
                Some(holder) => Poll::Pending(lock_holder(holder)),
            })
        })
        .await
    }

    async fn set_hostname(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let name = self.node.as_str();
        let asked = permit.act(peers, name, &Action::run(["hostnamectl", "set-hostname", name])).await?;
        if asked.status == 0 {
            return Ok(());
        }
        // Without a message bus there is no hostnamectl that works.
        let content = Content::plain(format!("{name}\n"));
        let file = Action::Write { path: "/etc/hostname".into(), content, mode: 0o644, owner: None };
        for action in [file, Action::run(["hostname", name])] {
            let output = permit.act(peers, name, &action).await?;
            if output.status != 0 {
                let said = format!("{} {}", asked.stderr.trim(), output.stderr.trim());
                return Err(Error::peer(HostnameRefused { node: name.to_owned(), said: said.trim().to_owned() }));
            }
        }
        Ok(())
    }
}

impl NodeResource for OpenNode {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.node", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn opens_node(&self) -> bool {
        true
    }

    /// Whoever vouches for its host key is asked before it is opened.
    fn after(&self) -> Vec<Id> {
        vec![Id::new("proxmox.host_keys", &self.node)]
    }

    fn query(&self) -> Vec<Probe> {
        restart_query().into_iter().chain([Probe::HostKey]).collect()
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let hostname = run_at(findings, 0)?.stdout.split_whitespace().next().unwrap_or_default().to_owned();
        let first_start = first_start(findings, &self.accepted)?;
        let new_key = findings.iter().find_map(|finding| match finding {
            Finding::HostKey(key) if key.trust != KeyTrust::Pinned => Some(key.clone()),
            _ => None,
        });
        Ok((!hostname.is_empty()).then_some(Live { hostname, first_start, new_key }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            return Change::create([Field::new("hostname", &self.node)]);
        };
        let first_start = match &live.first_start {
            FirstStart::Over => "finished".to_owned(),
            FirstStart::Running => "running".to_owned(),
            FirstStart::Failed(errors) => format!("failed: {errors}"),
        };
        let host_key = live.new_key.as_ref().and_then(|key| {
            let fingerprint = &key.fingerprint;
            let wanted = match key.trust {
                KeyTrust::AsItCame => format!("{fingerprint}, taken as it came: compare it with the machine's console"),
                _ => fingerprint.clone(),
            };
            field("host key", "not kept here".to_owned(), wanted)
        });
        Change::between([
            field("hostname", live.hostname.clone(), self.node.clone()),
            field("cloud-init", first_start, "finished".into()),
            host_key,
        ])
    }

    fn work(&self, _: Option<&Live>, _: bool) -> Work {
        Work::Alone
    }

    async fn apply(&self, _: Option<&Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        self.until_reachable(peers).await?;
        let live = self.until_first_start_is_over(peers).await?;
        if let Some(key) = &live.new_key {
            let intent = Intent::on(&self.node, format!("keeping its host key {}", key.fingerprint), Recovery::Look);
            permit.effect(intent, async |effect| peers.nodes().keep_host_key(&self.node, effect).await).await?;
        }
        if live.hostname != self.node {
            self.set_hostname(peers, permit).await?;
        }
        self.until_package_lock_is_free(peers).await
    }
}

fn code(error: &Error) -> String {
    error.diagnostic().code().map(|code| code.to_string()).unwrap_or_default()
}

/// A machine that is not there yet is waited for; every other failure ends the wait.
fn until_it_is_there<T>(error: Error) -> Result<Poll<T>> {
    match code(&error).strip_prefix("kthw::ssh::") {
        // While it starts, sshd lets nobody in but root (pam_nologin(8)), and ends the login.
        Some("unreachable" | "no_answer" | "handshake" | "turned_away" | "hung_up" | "through_jump_host" | "broken") => {
            Ok(Poll::Pending(error.to_string()))
        }
        _ => Err(error),
    }
}

/// Says who holds a lock, from a line of [`LOCK_HOLDERS`].
fn lock_holder(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    let mut next = || words.next().unwrap_or("?");
    let (pid, name, file) = (next(), next(), next());
    format!("{name} (process {pid}) holds {file}")
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cloud-init failed on {node}: {errors}")]
#[diagnostic(
    code(kthw::ssh::cloud_init),
    help(
        "see /var/log/cloud-init.log on {node}; a machine whose first start failed is best made anew, and an error that does not matter here can be \
         accepted by its name: `ssh.accepted_cloud_init_errors: [scripts_user]` in workspace.yaml"
    )
)]
struct FirstStartFailed {
    node: String,
    errors: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot set the host name of {node}: {said}")]
#[diagnostic(code(kthw::ssh::hostname), help("set it by hand: `hostnamectl set-hostname {node}`"))]
struct HostnameRefused {
    node: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} does not tell its host name")]
#[diagnostic(code(kthw::ssh::no_hostname), help("the program `uname` must be there; it is in the package `coreutils`"))]
struct NoHostname {
    node: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::APT_LOCK_HOLDERS;
    use crate::ssh::testing::{a_file, check, failed, printed};
    use expect_test::expect;

    const NONE: Finding = Finding::Path(None);

    fn some(content: &str) -> Finding {
        Finding::Path(Some(a_file(content, false)))
    }

    fn open() -> OpenNode {
        OpenNode { node: "cu1".into(), packages: family(&crate::ssh::testing::node()), accepted: Vec::new() }
    }

    #[test]
    fn name_and_first_start_count() {
        let good = r#"{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}"#;
        let bad = r#"{"v1": {"errors": ["('scripts_user', RuntimeError('1 failed'))"]}}"#;
        let fine = || expect!["= ssh.node/cu1\n"];
        check(&open(), &[printed("cu1\n"), NONE, NONE, failed(1)], false, &fine());
        check(&open(), &[printed("cu1\n"), some(""), some(""), failed(1)], false, &fine());
        check(&open(), &[printed("cu1\n"), some(""), NONE, printed(good)], false, &fine());
        check(
            &open(),
            &[printed("ubuntu\n"), some(""), NONE, failed(1)],
            false,
            &expect!["~ ssh.node/cu1\n    hostname: ubuntu -> cu1\n    cloud-init: running -> finished\n  > just in time\n"],
        );
        check(
            &open(),
            &[printed("cu1\n"), some(""), NONE, printed(bad)],
            false,
            &expect!["~ ssh.node/cu1\n    cloud-init: failed: ('scripts_user', RuntimeError('1 failed')) -> finished\n  > just in time\n"],
        );
    }

    #[test]
    fn the_holder_of_a_lock_is_named() {
        assert_eq!(
            lock_holder("812 unattended-upgr /var/lib/dpkg/lock-frontend"),
            "unattended-upgr (process 812) holds /var/lib/dpkg/lock-frontend"
        );
    }

    #[test]
    fn the_holder_is_found_by_a_real_shell() {
        let output = std::process::Command::new("/bin/sh").args(["-c", APT_LOCK_HOLDERS]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}
