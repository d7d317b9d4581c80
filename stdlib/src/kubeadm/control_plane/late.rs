//! What `kubeadm init` does after the API server answers: its late phases, what each leaves in the cluster, and whether it is there.
//!
//! The phases and their order: <https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-init/>. All of them may run again.
use super::ADMIN_CONF;
use kthw_engine::node::{Output, Probe};
use std::collections::BTreeSet;

/// A phase of `kubeadm init`.
#[derive(Debug, PartialEq, Eq)]
pub struct LatePhase {
    /// Its name as in `--skip-phases`.
    pub name: &'static str,
    /// The words behind `kubeadm init phase`.
    argv: &'static [&'static str],
    /// What it makes, as `kubectl get -o name` prints it. `{node}` is the node's name.
    makes: &'static [&'static str],
}

/// The late phases, in kubeadm's order. `upload-certs` is not among them: kubeadm does it only when asked to.
const ALL: &[LatePhase] = &[
    LatePhase { name: "upload-config/kubeadm", argv: &["upload-config", "kubeadm"], makes: &["configmap/kubeadm-config"] },
    LatePhase { name: "upload-config/kubelet", argv: &["upload-config", "kubelet"], makes: &["configmap/kubelet-config"] },
    LatePhase { name: "mark-control-plane", argv: &["mark-control-plane"], makes: &["node/{node}"] },
    // Without the flag it prints a token.
    LatePhase { name: "bootstrap-token", argv: &["bootstrap-token", "--skip-token-print"], makes: &["configmap/cluster-info"] },
    // Where the kubelet finds its certificate is said in a file that may be changed by hand.
    LatePhase { name: "kubelet-finalize", argv: &["kubelet-finalize", "all"], makes: &[] },
    LatePhase {
        name: "addon/coredns",
        argv: &["addon", "coredns"],
        makes: &["configmap/coredns", "deployment.apps/coredns", "service/kube-dns"],
    },
    LatePhase { name: "addon/kube-proxy", argv: &["addon", "kube-proxy"], makes: &["configmap/kube-proxy", "daemonset.apps/kube-proxy"] },
];

impl LatePhase {
    /// The command that runs it, alone.
    pub fn command(&self, configuration: &str) -> Vec<String> {
        [&["kubeadm", "init", "phase"], self.argv, &["--config", configuration]].concat().into_iter().map(str::to_owned).collect()
    }

    fn made(&self, node: &str) -> impl Iterator<Item = String> {
        self.makes.iter().map(move |name| name.replace("{node}", node))
    }
}

/// The phases that a workspace does not skip; a phase goes with the one that it is a part of.
pub fn wanted(skipped: &[String]) -> impl Iterator<Item = &'static LatePhase> {
    let is_skipped = |phase: &LatePhase| {
        let whole = phase.name.split('/').next().unwrap_or_default();
        skipped.iter().any(|skipped| skipped == phase.name || skipped == whole)
    };
    ALL.iter().filter(move |phase| !is_skipped(phase))
}

/// Asks for what the phases make. [`missing`] understands the answers.
pub fn ask(node: &str) -> [Probe; 3] {
    let kubectl = |words: &[&str]| {
        let words = ["kubectl", "--kubeconfig", ADMIN_CONF, "--request-timeout=10s", "get", "-o", "name"].iter().chain(words);
        Probe::run(words.copied())
    };
    let in_kube_system = ALL.iter().flat_map(|phase| phase.makes).copied();
    let in_kube_system: Vec<&str> = in_kube_system.filter(|name| *name != "configmap/cluster-info" && !name.starts_with("node/")).collect();
    [
        kubectl(&[&["--ignore-not-found", "-n", "kube-system"], in_kube_system.as_slice()].concat()),
        kubectl(&["--ignore-not-found", "-n", "kube-public", "configmap/cluster-info"]),
        kubectl(&["nodes", "-l", "node-role.kubernetes.io/control-plane", &format!("--field-selector=metadata.name={node}")]),
    ]
}

/// The phases of which something is missing, and what that is.
///
/// # Errors
/// The first answer that is none.
pub fn missing<'a>(
    answers: &[&'a Output; 3],
    node: &str,
    skipped: &[String],
) -> Result<Vec<(&'static LatePhase, Vec<String>)>, &'a Output> {
    if let Some(failed) = answers.iter().find(|answer| answer.status != 0) {
        return Err(failed);
    }
    let there: BTreeSet<&str> = answers.iter().flat_map(|answer| answer.stdout.lines()).map(str::trim).collect();
    let lacks = |phase: &'static LatePhase| {
        let lacking: Vec<String> = phase.made(node).filter(|name| !there.contains(name.as_str())).collect();
        (!lacking.is_empty()).then_some((phase, lacking))
    };
    Ok(wanted(skipped).filter_map(lacks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stdout: &str) -> Output {
        Output { stdout: stdout.into(), ..Output::default() }
    }

    const SYSTEM: &str = "configmap/kubeadm-config\nconfigmap/kubelet-config\nconfigmap/coredns\nconfigmap/kube-proxy\n\
                          deployment.apps/coredns\nservice/kube-dns\ndaemonset.apps/kube-proxy\n";

    fn names(system: &str, public: &str, node: &str, skipped: &[&str]) -> Vec<(&'static str, Vec<String>)> {
        let skipped: Vec<String> = skipped.iter().map(|name| (*name).to_owned()).collect();
        let answers = [answer(system), answer(public), answer(node)];
        let found = missing(&answers.each_ref(), "cu1", &skipped).expect("answers");
        found.into_iter().map(|(phase, lacking)| (phase.name, lacking)).collect()
    }

    #[test]
    fn what_is_missing_names_its_phase() {
        assert_eq!(names(SYSTEM, "configmap/cluster-info\n", "node/cu1\n", &[]), []);
        let found = names(&SYSTEM.replace("service/kube-dns\n", ""), "", "", &[]);
        let want =
            [("mark-control-plane", "node/cu1"), ("bootstrap-token", "configmap/cluster-info"), ("addon/coredns", "service/kube-dns")];
        assert_eq!(found, want.map(|(phase, name)| (phase, vec![name.to_owned()])));
    }

    #[test]
    fn what_is_skipped_is_not_missed() {
        let skipped = ["upload-config", "mark-control-plane", "bootstrap-token", "addon/kube-proxy"];
        let found: Vec<&str> = names("", "", "", &skipped).into_iter().map(|(phase, _)| phase).collect();
        assert_eq!(found, ["addon/coredns"]);
    }

    #[test]
    fn an_answer_that_is_none_says_nothing_is_missing_nor_there() {
        let refused = Output { status: 1, stderr: "Error from server (Forbidden): x\n".into(), ..Output::default() };
        let answers = [answer(SYSTEM), refused, answer("")];
        assert_eq!(missing(&answers.each_ref(), "cu1", &[]).expect_err("no answer").status, 1);
    }
}
