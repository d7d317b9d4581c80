//! Other settings for an API server that runs: its manifest is written anew by kubeadm, and the kubelet starts it in place of the old one.
//!
//! The way is upstream's, <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/>.
use super::{ControlPlane, LiveControlPlane, ask_readiness, late, told};
use kthw_engine::{
    Error, Limit, Peers, Permit, Poll, Result,
    node::{Action, Finding, Probe},
    wait,
};

impl ControlPlane {
    /// Makes what the API server is told right, and waits until it runs with it. The API is away for up to a minute meanwhile; pods go on.
    pub(super) async fn keep_settings(&self, live: &LiveControlPlane, peers: &Peers, permit: &Permit) -> Result<()> {
        let settings = self.settings();
        let fields = settings.fields(&live.settings);
        if fields.is_empty() {
            return Ok(());
        }
        let what = "change what the API server is told";
        for action in self.write_configuration().into_iter().chain(settings.write()) {
            self.act(&action, what, peers, permit).await?;
        }
        // A file of which the argument is right was changed by hand: an API server that runs has read it before.
        if fields.iter().any(|field| field.name.starts_with("--")) {
            // The cluster's copy first: once the manifest is right, nothing tells that it is not. A silent one is told when it answers.
            if live.silent.is_none() {
                self.upload_configuration(peers, permit).await?;
            }
            self.run(&["kubeadm", "init", "phase", "control-plane", "apiserver", "--config", &self.file()], what, peers, permit).await?;
            match live.silent {
                None => self.wait_until_it_runs_with_them(peers).await?,
                Some(_) => {
                    self.wait_until_it_answers(live.begun, peers).await?;
                    self.upload_configuration(peers, permit).await?;
                }
            }
        }
        for action in settings.clean(&live.settings) {
            self.act(&action, what, peers, permit).await?;
        }
        Ok(())
    }

    /// Puts what kubeadm is told into the cluster, where an upgrade and a join look for it.
    async fn upload_configuration(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let phase = late::wanted(&self.workspace.kubeadm.skip_phases).find(|phase| phase.name == "upload-config/kubeadm");
        let Some(phase) = phase else { return Ok(()) };
        self.act(&Action::run(phase.command(&self.file())), "keep kubeadm's configuration in the cluster", peers, permit).await
    }

    /// The old one answers until the kubelet ends it, so it is not enough that somebody answers.
    async fn wait_until_it_runs_with_them(&self, peers: &Peers) -> Result<()> {
        let (node, settings) = (&self.node.name, &self.settings());
        let help = format!(
            "on {node}: `crictl ps -a --name kube-apiserver` and `crictl logs` of the last one say why it ends; set `audit` and `pod_security` as they \
             were and run kthw again to go back"
        );
        let probes = &[Probe::run(["pgrep", "-a", "-x", "kube-apiserver"]), ask_readiness()];
        wait(peers, Limit::minutes(4), &format!("the API server on {node} to run with its new settings"), &help, || async move {
            let findings = peers.nodes().read(node, probes).await?;
            let [Finding::Run(running), Finding::Run(ready)] = findings.as_slice() else {
                return Err(Error::peer(crate::kubeadm::NoAnswer { node: node.to_string() }));
            };
            let (missing, mut running) = (running.status == 127, running.stdout.lines());
            Ok(match running.next() {
                None if missing => Poll::Pending("it has no `pgrep` (package procps), so nobody can tell".into()),
                None => Poll::Pending("it does not run".into()),
                Some(line) if !settings.runs(line) => Poll::Pending("the kubelet has not started it anew yet".into()),
                Some(_) if running.next().is_some() => Poll::Pending("the old one has not ended yet".into()),
                Some(_) if ready.status != 0 => Poll::Pending(told(ready)),
                Some(_) => Poll::Ready(()),
            })
        })
        .await
    }
}
