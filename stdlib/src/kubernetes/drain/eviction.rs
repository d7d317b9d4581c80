//! The eviction of a node's pods: which of them have to go, when each is asked for, and what is still there.
use super::{
    super::{
        client::Client,
        error::{in_words, is_conflict, is_not_found, is_passing},
    },
    DrainOptions, Outlook, budgets,
    budgets::Budgets,
    look,
    pods::{Pod, Treatment},
    pods_on, unlisted,
};
use kthw_engine::{Error, Intent, Peers, Permit, Poll, Recovery, Result, progress};
use miette::Diagnostic;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// A pod that was refused is tried again after so long, even if its budget seems to hold it still: the server decides.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The eviction of all pods of one node.
pub(super) struct Eviction<'a> {
    peers: &'a Peers,
    client: &'a Client,
    node: &'a str,
    options: &'a DrainOptions,
    permit: &'a Permit,
    /// The uids of the pods that were there when it began.
    first: OnceLock<BTreeSet<String>>,
    /// By the uid of a pod, what the server last answered.
    refused: Mutex<BTreeMap<String, Refused>>,
}

/// The server did not evict a pod.
struct Refused {
    /// When.
    at: Duration,
    /// Its words.
    said: String,
    /// Whether it is the pod's namespace, which ends, and not a budget.
    ends_with_namespace: bool,
}

impl<'a> Eviction<'a> {
    pub fn new(peers: &'a Peers, client: &'a Client, node: &'a str, options: &'a DrainOptions, permit: &'a Permit) -> Self {
        Self { peers, client, node, options, permit, first: OnceLock::new(), refused: Mutex::default() }
    }

    /// Evicts whatever may be evicted now, and says what is still there. A pod that is not to be evicted ends it before anything is.
    pub async fn pass(&self) -> Result<Poll<()>> {
        let looked =
            async { Ok((look(self.client, self.node).await?, pods_on(self.client, self.node).await?, budgets(self.client).await?)) };
        let (state, pods, budgets) = match looked.await {
            Ok(found) => found,
            Err(error) if is_passing(&error) => return Ok(Poll::Pending(in_words(&error))),
            Err(error) => return Err(unlisted("the pods", self.node, &error)),
        };
        Outlook::of(&pods, &budgets, self.options).allowed(self.node)?;
        // Nobody reports when the pods end of a node that is lost, or has no Node object any more.
        let is_lost = state.is_none_or(|state| state.is_lost);
        let mut left = Vec::new();
        for pod in pods.iter().filter(|pod| self.goes(pod, &pods, is_lost)) {
            if pod.ends {
                left.push(format!("{pod} ends"));
            } else if let Some(why) = self.may_not_yet(pod, &budgets) {
                left.push(why);
            } else {
                left.push(self.evict(pod).await?);
            }
        }
        Ok(if left.is_empty() { Poll::Ready(()) } else { Poll::Pending(left.join("; ")) })
    }

    /// Whether a pod has to go. What came later in spite of the cordon would come again, as the pods of a DaemonSet would.
    fn goes(&self, pod: &Pod, pods: &[Pod], is_lost: bool) -> bool {
        let first = self.first.get_or_init(|| pods.iter().map(|pod| pod.uid.clone()).collect());
        let stays = pod.treatment(self.options) == Treatment::Stays || (pod.tolerates_cordon && !first.contains(&pod.uid));
        let is_forgotten = pod.ends && is_lost;
        !(stays || is_forgotten)
    }

    /// Why a pod that was refused a moment ago is not tried again yet.
    fn may_not_yet(&self, pod: &Pod, budgets: &Budgets) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Refused { at, said, ends_with_namespace } = refused.get(&pod.uid)?;
        let is_recent = self.peers.clock().now().saturating_sub(*at) < TRY_AGAIN;
        (is_recent && (*ends_with_namespace || budgets.holding(pod).is_some())).then(|| said.clone())
    }

    /// Evicts one pod, and says what came of it.
    async fn evict(&self, pod: &Pod) -> Result<String> {
        progress(format!("evicting {pod} from {}", self.node));
        let intent =
            Intent::on("kubernetes", format!("evicting Pod {pod} from {}", self.node), Recovery::Look).told_by(format!("uid {}", pod.uid));
        let answered =
            self.permit.effect(intent, async |effect| match self.client.evict(&pod.namespace, &pod.name, &pod.uid, effect).await {
                Ok(()) => Ok((format!("{pod} ends"), false)),
                // It went meanwhile, or another one has its name.
                Err(error) if is_not_found(&error) || is_conflict(&error) => Ok((format!("{pod} went by itself"), false)),
                Err(error) if is_passing(&error) || is_many_budgets(&error) => Ok((format!("{pod}: {}", in_words(&error)), false)),
                Err(error) if namespace_ends(&error) => Ok((format!("{pod}: {}", in_words(&error)), true)),
                Err(error) => Err(Error::peer(EvictPod { pod: pod.to_string(), reason: in_words(&error) })),
            });
        let (said, ends_with_namespace) = answered.await?;
        let refused = Refused { at: self.peers.clock().now(), said: said.clone(), ends_with_namespace };
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.uid.clone(), refused);
        Ok(said)
    }
}

/// A pod that several budgets select cannot be evicted until somebody changes that, which may happen while it is waited for
/// (<https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>).
fn is_many_budgets(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 500 && status.message.contains("PodDisruptionBudget"))
}

/// In a namespace that ends nothing is made, an eviction included; its pods end with it
/// (<https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/namespace/lifecycle/admission.go>).
fn namespace_ends(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && status.message.contains("because it is being terminated"))
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not evict Pod {pod}: {reason}")]
#[diagnostic(code(kthw::kubernetes::evict), help("see what keeps it: an admission webhook may refuse; `kubectl describe pod` says more"))]
struct EvictPod {
    pod: String,
    reason: String,
}
