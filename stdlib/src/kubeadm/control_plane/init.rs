//! `kubeadm init`, and how far it came: what was begun and did not end is finished phase by phase.
use super::{
    ControlPlane, LiveControlPlane,
    late::{self, LatePhase},
};
use crate::kubeadm::{FOLDER, config};
use kthw_engine::{
    Peers, Permit, Result,
    node::{Action, Content, PathState, Probe},
};

/// Holds [`BEGUN`] or [`ENDED`]. Clusters that were made without this file are judged by what is in them alone.
const INIT: &str = "/etc/kubernetes/kthw/init";
pub(super) const BEGUN: &str = "begun\n";
pub(super) const ENDED: &str = "ended\n";

/// Asks how far it came.
pub(super) fn probe() -> Probe {
    Probe::Path { path: INIT.into(), expect: Some(Content::plain(ENDED).sha256()) }
}

/// Whether it was begun and is not known to have ended.
pub(super) fn is_unfinished(file: Option<&PathState>) -> bool {
    let ended = Content::plain(ENDED).sha256();
    file.is_some_and(|file| file.sha256.as_deref() != Some(ended.as_str()))
}

fn note(text: &str) -> Action {
    Action::Write { path: INIT.into(), content: Content::plain(text), mode: 0o600, owner: None }
}

impl ControlPlane {
    pub(super) fn file(&self) -> String {
        format!("{FOLDER}/kubeadm.yaml")
    }

    pub(super) fn write_configuration(&self) -> Vec<Action> {
        let configuration = Content::plain(config::init(&self.workspace, &self.node, &self.spec));
        vec![
            Action::Directory { path: FOLDER.into(), mode: 0o700, owner: None },
            Action::Write { path: self.file(), content: configuration, mode: 0o600, owner: None },
        ]
    }

    pub(super) fn init(&self) -> Vec<Action> {
        let settings = &self.workspace.kubeadm;
        let mut argv: Vec<String> = ["kubeadm", "init", "--config"].map(String::from).into();
        argv.extend([self.file(), "--skip-token-print".into()]);
        if !settings.skip_phases.is_empty() {
            argv.push(format!("--skip-phases={}", settings.skip_phases.join(",")));
        }
        argv.extend(crate::kubeadm::ignored(settings));
        let mut actions: Vec<Action> = config::resolve_endpoint(&self.spec.endpoint).into_iter().collect();
        actions.extend(self.write_configuration());
        actions.extend(self.settings().write());
        actions.extend([note(BEGUN), Action::run_for(600, argv), note(ENDED)]);
        actions
    }

    /// Puts the kubelet's configuration into the cluster again.
    pub(super) fn upload_kubelet_configuration(&self) -> Vec<Action> {
        let skipped = &self.workspace.kubeadm.skip_phases;
        let Some(phase) = late::wanted(skipped).find(|phase| phase.name == "upload-config/kubelet") else { return Vec::new() };
        let mut actions = self.write_configuration();
        actions.push(Action::run(phase.command(&self.file())));
        actions
    }

    /// Runs those phases of `kubeadm init` again that an earlier one did not come to, or whose work was lost.
    pub(super) async fn finish(&self, live: &LiveControlPlane, peers: &Peers, permit: &Permit) -> Result<()> {
        let phases: Vec<&LatePhase> = match live.begun {
            true => late::wanted(&self.workspace.kubeadm.skip_phases).collect(),
            false => live.missing.iter().map(|(phase, _)| *phase).collect(),
        };
        if phases.is_empty() {
            return Ok(());
        }
        for action in self.write_configuration() {
            self.act(&action, "write kubeadm's configuration", peers, permit).await?;
        }
        for phase in phases {
            let what = format!("run kubeadm's phase {}", phase.name);
            self.act(&Action::run(phase.command(&self.file())), &what, peers, permit).await?;
        }
        if live.begun { self.act(&note(ENDED), "note the end of kubeadm init", peers, permit).await } else { Ok(()) }
    }
}
