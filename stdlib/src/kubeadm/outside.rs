//! A machine that is not part of the cluster: nothing to do, unless it is one all the same.
use kthw_engine::{
    Change, Error, Field, Id, NodeResource, Refusal, Result, Work,
    node::{Finding, Probe},
};

const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";

/// A machine outside of the cluster.
#[derive(Debug)]
pub struct Outside {
    /// The machine's name.
    pub node: String,
}

/// What reading finds: whether its kubelet has credentials of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOutside {
    joined: bool,
}

impl NodeResource for Outside {
    type Live = LiveOutside;

    fn id(&self) -> Id {
        Id::new("kubeadm.outside", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::path(KUBELET_CONF)]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveOutside>> {
        let [Finding::Path(conf)] = findings else { return Err(Error::peer(super::NoAnswer { node: self.node.clone() })) };
        Ok(Some(LiveOutside { joined: conf.is_some() }))
    }

    /// A machine that does not exist yet will be outside.
    fn diff(&self, live: Option<&LiveOutside>) -> Change {
        if !live.is_some_and(|live| live.joined) {
            return Change::None;
        }
        let node = &self.node;
        Change::Refused(Refusal {
            why: format!("{node} is still a node of a cluster; kthw does not take it out yet"),
            next: format!(
                "set its role back; or let a recipe take it out, `kubeadm::worker(cluster, node, #{{ present: false }})`, while it is a worker; \
                 or do so by hand (`kubectl drain {node} --ignore-daemonsets`, `kubectl delete node {node}`, then `kubeadm reset -f` on it)"
            ),
            fields: vec![Field { live: Some("in the cluster".into()), ..Field::new("role", "other") }],
        })
    }

    fn work(&self, _: Option<&LiveOutside>, _: bool) -> Work {
        Work::Actions(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check_diff};
    use expect_test::expect;

    #[test]
    fn a_machine_that_has_joined_is_not_outside() {
        let outside = Outside { node: "wu2".into() };
        let live = |file| outside.live(&[Finding::Path(file)]).expect("understood");
        check_diff(&outside, live(None), &expect!["= kubeadm.outside/wu2\n"]);
        check_diff(&outside, None, &expect!["= kubeadm.outside/wu2\n"]);
        check_diff(
            &outside,
            live(Some(a_file("", true))),
            &expect![[r#"
                ! kubeadm.outside/wu2
                    role: in the cluster -> other
            "#]],
        );
    }
}
