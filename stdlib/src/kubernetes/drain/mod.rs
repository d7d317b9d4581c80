//! Emptying a node before it is restarted or removed: cordoned under our mark, its pods evicted as far as disruption budgets allow.
mod budgets;
mod cordon;
mod pods;

pub use cordon::{CORDONED, Cordon, NodeState};
pub(crate) use cordon::{cordon, look, remove, uncordon, unreadable};

use super::{
    client::{At, Client},
    error::{ReadObject, in_words, is_conflict, is_not_found, is_passing},
};
use budgets::Budgets;
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Result, progress, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use pods::{Pod, Treatment};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Mutex, sync::PoisonError, time::Duration};

/// A pod that a budget held is tried again after so long, even if the budget seems to hold it still: the server decides.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// What a drain may do to pods; the names are `kubectl drain`'s own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainOptions {
    /// Whether pods may go whose `emptyDir` volumes go with them.
    pub delete_emptydir_data: bool,
    /// Whether pods may go that no controller starts again.
    pub force: bool,
    /// How long the pods of one node may take to leave.
    pub timeout_s: u32,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self { delete_emptydir_data: false, force: false, timeout_s: 600 }
    }
}

/// What a drain of a node would meet now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// How many pods would be evicted.
    pub goes: usize,
    /// Pods because of which it is refused, and the option that would allow it.
    pub refused: Vec<(String, &'static str)>,
    /// Pods that a disruption budget holds at the moment, and which.
    pub held: Vec<String>,
}

impl Outlook {
    fn of(pods: &[Pod], budgets: &Budgets, options: &DrainOptions) -> Self {
        let mut outlook = Self::default();
        for pod in pods {
            match pod.treatment(options) {
                Treatment::Stays => {}
                Treatment::Refused(option) => outlook.refused.push((pod.to_string(), option)),
                Treatment::Goes => {
                    outlook.goes += 1;
                    outlook.held.extend(budgets.holding(pod).map(|budget| format!("{pod} ({budget})")));
                }
            }
        }
        outlook
    }

    /// Why a drain is refused, and what to do about it.
    pub fn refusal(&self) -> Option<(String, String)> {
        let mut by_option: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (pod, option) in &self.refused {
            by_option.entry(option).or_default().push(pod);
        }
        let why: Vec<String> = by_option
            .iter()
            .map(|(option, pods)| match *option {
                "force" => format!("nothing would start {} again", pods.join(", ")),
                _ => format!("the emptyDir data of {} would go", pods.join(", ")),
            })
            .collect();
        let next: Vec<String> = by_option.keys().map(|option| format!("`{option}: true`")).collect();
        (!why.is_empty()).then(|| (why.join("; "), format!("take those pods away yourself, or allow it with {}", next.join(" and "))))
    }
}

/// What a drain of `node` would meet now.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub(crate) async fn outlook(client: &Client, node: &str, options: &DrainOptions) -> Result<Outlook> {
    let pods = pods_on(client, node).await.map_err(|error| unlisted("the pods", node, &error))?;
    let budgets = budgets(client).await.map_err(|error| unlisted("the disruption budgets", node, &error))?;
    Ok(Outlook::of(&pods, &budgets, options))
}

/// Evicts the pods of a node and waits until they are gone. Pods of DaemonSets, and those that the node runs by itself, stay.
///
/// # Errors
/// Before anything is evicted, pods that are not to be evicted; when the limit is over, the pods that are still there and what holds them.
pub(crate) async fn evict(peers: &Peers, client: &Client, node: &str, options: &DrainOptions, permit: &Permit) -> Result<()> {
    allowed(client, node, options).await?;
    let limit = Limit::seconds(options.timeout_s.into());
    let help = format!(
        "{node} stays cordoned, and nothing else was done to it; see `kubectl get pdb -A` and the pods, then run again; `kubectl uncordon {node}` \
         lets new pods come"
    );
    let eviction = Eviction { peers, client, node, options, permit, refused: Mutex::default() };
    wait(peers, limit, &format!("the pods of {node} to leave"), &help, || eviction.pass()).await
}

/// Cordons a node that is to leave its cluster, and evicts its pods. One that the cluster does not know has none.
///
/// # Errors
/// As [`cordon`] and [`evict`].
pub(crate) async fn empty(peers: &Peers, client: &Client, node: &str, options: &DrainOptions, permit: &Permit) -> Result<()> {
    if look(client, node).await.map_err(|error| unreadable(node, &error))?.is_none() {
        return Ok(());
    }
    allowed(client, node, options).await?;
    cordon(peers, client, node, "its removal", permit).await?;
    evict(peers, client, node, options, permit).await
}

/// Checks that no pod is on a node that is not to be evicted.
async fn allowed(client: &Client, node: &str, options: &DrainOptions) -> Result<()> {
    match outlook(client, node, options).await?.refusal() {
        Some((why, next)) => Err(Error::refused(NotToBeEvicted { node: node.to_owned(), why, next })),
        None => Ok(()),
    }
}

/// The eviction of all pods of one node.
struct Eviction<'a> {
    peers: &'a Peers,
    client: &'a Client,
    node: &'a str,
    options: &'a DrainOptions,
    permit: &'a Permit,
    /// By the uid of a pod, when the server last refused to evict it and what it said.
    refused: Mutex<BTreeMap<String, (Duration, String)>>,
}

impl Eviction<'_> {
    /// Evicts whatever may be evicted now, and says what is still there.
    async fn pass(&self) -> Result<Poll<()>> {
        let looked = async { Ok((look(self.client, self.node).await?, pods_on(self.client, self.node).await?, budgets(self.client).await?)) };
        let (state, pods, budgets) = match looked.await {
            Ok(found) => found,
            Err(error) if is_passing(&error) => return Ok(Poll::Pending(in_words(&error))),
            Err(error) => return Err(unlisted("the pods", self.node, &error)),
        };
        // Nobody tells the end of the pods of a node that is lost, or has no Node object any more.
        let is_lost = state.is_none_or(|state| state.is_lost);
        let stays = |pod: &Pod| pod.treatment(self.options) == Treatment::Stays || (pod.ends && is_lost);
        let mut left = Vec::new();
        for pod in pods.iter().filter(|pod| !stays(pod)) {
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

    /// Why a pod that was refused a moment ago is not tried again yet.
    fn may_not_yet(&self, pod: &Pod, budgets: &Budgets) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, said) = refused.get(&pod.uid)?;
        let is_recent = self.peers.clock().now().saturating_sub(*since) < TRY_AGAIN;
        budgets.holding(pod).filter(|_| is_recent).map(|_| said.clone())
    }

    /// Evicts one pod, and says what came of it.
    async fn evict(&self, pod: &Pod) -> Result<String> {
        progress(format!("evicting {pod} from {}", self.node));
        let intent = Intent::on("kubernetes", format!("evicting Pod {pod} from {}", self.node)).told_by(format!("uid {}", pod.uid));
        let said = self.permit.effect(intent, async |effect| match self.client.evict(&pod.namespace, &pod.name, &pod.uid, effect).await {
            Ok(()) => Ok(format!("{pod} ends")),
            // It went meanwhile, or another one has its name.
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(format!("{pod} went by itself")),
            Err(error) if is_passing(&error) || is_many_budgets(&error) => Ok(format!("{pod}: {}", in_words(&error))),
            Err(error) => Err(Error::peer(EvictPod { pod: pod.to_string(), reason: in_words(&error) })),
        });
        let said = said.await?;
        let now = self.peers.clock().now();
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.uid.clone(), (now, said.clone()));
        Ok(said)
    }
}

/// A pod that several budgets select cannot be evicted until somebody changes that, which may happen while it is waited for
/// (<https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>).
fn is_many_budgets(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 500 && status.message.contains("PodDisruptionBudget"))
}

fn at(group: &str, kind: &str) -> At {
    At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)), namespace: None }
}

async fn pods_on(client: &Client, node: &str) -> kube::Result<Vec<Pod>> {
    let found = client.list(&at("", "Pod"), &format!("spec.nodeName={node}")).await?;
    Ok(found.into_iter().filter_map(|pod| Pod::of(&serde_json::to_value(pod).ok()?)).collect())
}

async fn budgets(client: &Client) -> kube::Result<Budgets> {
    let found = client.list(&at("policy", "PodDisruptionBudget"), "").await?;
    Ok(Budgets::new(found.into_iter().filter_map(|budget| serde_json::to_value::<_>(budget).ok()).collect::<Vec<Value>>()))
}

fn unlisted(what: &str, node: &str, error: &kube::Error) -> Error {
    Error::peer(ReadObject { what: format!("{what} of {node}"), reason: in_words(error) })
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} cannot be drained: {why}")]
#[diagnostic(code(kthw::kubernetes::not_to_be_evicted), help("{next}"))]
struct NotToBeEvicted {
    node: String,
    why: String,
    next: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not evict Pod {pod}: {reason}")]
#[diagnostic(code(kthw::kubernetes::evict), help("see what keeps it: an admission webhook may refuse; `kubectl describe pod` says more"))]
struct EvictPod {
    pod: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_pods_and_the_options() {
        let refused = vec![("default/a".to_owned(), "force"), ("default/b".to_owned(), "delete_emptydir_data"), ("x/c".to_owned(), "force")];
        let (why, next) = Outlook { refused, ..Outlook::default() }.refusal().expect("refused");
        assert_eq!(why, "the emptyDir data of default/b would go; nothing would start default/a, x/c again");
        assert_eq!(next, "take those pods away yourself, or allow it with `delete_emptydir_data: true` and `force: true`");
        assert_eq!(Outlook { goes: 3, ..Outlook::default() }.refusal(), None);
    }
}
