//! The restart itself: through Proxmox or from within, until the machine is back, and whether it helped.
use super::{LiveRestart, NodeRestarted};
use crate::{
    kubernetes::boot::{back, code, is_away, query},
    proxmox::restart::{forget_before_start, machine_of, pin_anew, restart as restart_machine},
};
use kthw_engine::{
    Error, Intent, Kind, Limit, Peers, Permit, Poll, Recovery, Result,
    node::{Action, Content},
    progress, wait,
};

pub(super) use crate::kubernetes::boot::IN_VAIN;

/// How long a machine may take until its system answers again.
const BACK: Limit = Limit::minutes(10);

impl NodeRestarted {
    /// Restarts the machine, through Proxmox where that changes its hardware, else by its own system. Returns the boot in which it is then, and
    /// whether it was restarted: while its pods left, somebody else may have done so.
    pub(super) async fn restart(&self, peers: &Peers, permit: &Permit) -> Result<(String, bool)> {
        let before = self.until_back("", peers, permit).await?;
        let Some((live, _)) = self.look_at_node(peers).await?.filter(|(live, _)| live.is_needed()) else {
            progress(format!("{} needs no restart any more", self.node.name));
            return Ok((before, false));
        };
        let waits = !live.machine.is_empty();
        let machine = if waits { machine_of(&self.node, &self.workspace, peers).await? } else { None };
        match machine {
            Some(machine) => {
                forget_before_start(&machine, &self.node, &self.workspace, peers, permit).await?;
                restart_machine(&machine, peers, permit).await?;
            }
            None => self.reboot(&before, peers, permit).await?,
        }
        Ok((self.until_back(&before, peers, permit).await?, true))
    }

    async fn reboot(&self, boot_id: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let node = self.node.name.as_str();
        progress(format!("restarting {node}"));
        let action = Action::run(["systemctl", "reboot"]);
        let intent = Intent::on(node, action.to_string(), Recovery::Script).told_by(format!("another boot than {boot_id}"));
        // The connection may break before there is an answer; whether it went down shows then.
        let asked = permit.effect(intent, async |effect| match peers.nodes().act(node, &action, effect).await {
            Err(error) if is_away(&error) => Ok(None),
            done => done.map(Some),
        });
        match asked.await?.filter(|output| output.status != 0) {
            Some(output) => {
                Err(Error::peer(RebootRefused { node: node.to_owned(), status: output.status, said: output.stderr.trim().to_owned() }))
            }
            None => Ok(()),
        }
    }

    /// Waits until the machine is in another boot than `before` and has finished its start.
    async fn until_back(&self, before: &str, peers: &Peers, permit: &Permit) -> Result<String> {
        let node = self.node.name.as_str();
        let help = format!(
            "look at the machine's console; one that stays off is started by `kthw run recipes/phases/machines.rhai`; a node of a cluster stays \
             cordoned until {node} is back and this recipe is run again"
        );
        wait(peers, BACK, &format!("{node} to be back from its restart"), &help, async || match peers.nodes().read(node, &query()).await {
            Ok(findings) => back(&findings, before),
            Err(error) if matches!(code(&error).as_str(), "kthw::ssh::host_key_changed" | "kthw::ssh::unknown_host_key") => {
                self.learn_new_keys(error, peers, permit).await
            }
            Err(error) if is_away(&error) => Ok(Poll::Pending(error.to_string())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Pins the keys that the machine's guest agent vouches for. `error` is why they are asked for; it stands where nobody vouches for the machine.
    async fn learn_new_keys(&self, error: Error, peers: &Peers, permit: &Permit) -> Result<Poll<String>> {
        let learnt = match machine_of(&self.node, &self.workspace, peers).await {
            Ok(Some(found)) => pin_anew(&found, &self.node, &self.workspace, peers, permit).await,
            Ok(None) => return Err(error),
            Err(failed) => Err(failed),
        };
        match learnt {
            Ok(seen) => Ok(Poll::Pending(seen)),
            // Proxmox may be away for a moment, as its task that restarts the machine is over.
            Err(failed) if failed.kind() == Kind::Peer => Ok(Poll::Pending(failed.to_string())),
            Err(failed) => Err(failed),
        }
    }

    /// Sees that the restart took away what it was for. What does not change with it is noted on the node: it would be restarted on every run.
    pub(super) async fn helped(&self, asked: &LiveRestart, restarted: bool, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some((live, _)) = self.look_at_node(peers).await? else { return Ok(()) };
        let node = &self.node.name;
        let (kernels, others): (Vec<String>, Vec<String>) = live.system.iter().cloned().partition(|reason| reason.starts_with("kernel "));
        let still: Vec<String> = kernels.into_iter().filter(|reason| restarted && asked.system.contains(reason)).collect();
        if !still.is_empty() {
            let lines: String = live.in_vain.iter().chain(&still).map(|reason| format!("{reason}\n")).collect();
            let folder = IN_VAIN.rsplit_once('/').map_or("/", |(folder, _)| folder);
            permit.act(peers, node, &Action::Directory { path: folder.into(), mode: 0o755, owner: None }).await?;
            let write = Action::Write { path: IN_VAIN.into(), content: Content::plain(lines), mode: 0o644, owner: None };
            permit.act(peers, node, &write).await?;
        } else if !restarted || (!live.is_needed() && live.in_vain.is_empty()) {
            return Ok(());
        }
        let reasons: Vec<String> = live.in_vain.into_iter().chain(still).chain(others).chain(live.machine).collect();
        Err(Error::refused(InVain { node: node.to_string(), reasons: reasons.join("; ") }))
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} was restarted, which did not help: {reasons}")]
#[diagnostic(
    code(kthw::kubernetes::restart_in_vain),
    help("it takes pods again; see which kernel it boots: `grep GRUB_DEFAULT /etc/default/grub` and `grub-editenv list` on {node}")
)]
struct InVain {
    node: String,
    reasons: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} does not restart: `systemctl reboot` ended with status {status}: {said}")]
#[diagnostic(
    code(kthw::kubernetes::reboot_refused),
    help("something may keep it from shutting down: `systemd-inhibit --list` on {node}; a node of a cluster stays cordoned meanwhile")
)]
struct RebootRefused {
    node: String,
    status: i32,
    said: String,
}
