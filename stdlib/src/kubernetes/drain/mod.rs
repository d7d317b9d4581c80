//! Emptying a node before it is restarted or removed: cordoned under our mark, its pods evicted as far as disruption budgets allow.
mod budgets;
mod cordon;
mod eviction;
mod others;
mod pods;

pub use cordon::{CORDONED, Cordon, NodeState, Purpose};
pub(crate) use cordon::{cordon, look, remove, uncordon, unreadable};
pub(crate) use others::all_others_are_there;

use super::{
    client::{At, Client},
    error::{ReadObject, in_words},
};
use budgets::Budgets;
use eviction::Eviction;
use kthw_engine::{Error, Limit, Peers, Permit, Result, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use pods::{Pod, Treatment};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a drain may do to pods; the names are `kubectl drain`'s own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainOptions {
    /// Whether pods may go whose `emptyDir` volumes go with them.
    pub delete_emptydir_data: bool,
    /// Whether pods may go that no controller starts again.
    pub force: bool,
    /// How long the pods of one node may take to leave.
    #[serde(deserialize_with = "up_to_a_day")]
    pub timeout_s: u32,
}

/// A limit in seconds. None at all would end every drain at its first look; kubectl's 0, which waits for ever, is no limit.
fn up_to_a_day<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    let given = i64::deserialize(deserializer)?;
    let fits = u32::try_from(given).ok().filter(|seconds| (1..=86_400).contains(seconds));
    fits.ok_or_else(|| serde::de::Error::custom(format!("`timeout_s` is {given}; give seconds between 1 and 86400 (a day)")))
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

    /// An error that says why `node` cannot be drained, where it cannot.
    fn allowed(&self, node: &str) -> Result<()> {
        match self.refusal() {
            Some((why, next)) => Err(Error::refused(NotToBeEvicted { node: node.to_owned(), why, next })),
            None => Ok(()),
        }
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

/// Evicts the pods of a node that is cordoned, and waits until they are gone. Pods of DaemonSets, those that the node runs by itself, and those
/// that come in spite of the cordon stay.
///
/// # Errors
/// Pods that are not to be evicted, whenever they are seen: they are not; when the limit is over, the pods that are still there and what holds them.
pub(crate) async fn evict(peers: &Peers, client: &Client, node: &str, options: &DrainOptions, permit: &Permit) -> Result<()> {
    allowed(client, node, options).await?;
    let limit = Limit::seconds(options.timeout_s.into());
    let help = format!(
        "{node} stays cordoned, and nothing else was done to it; see `kubectl get pdb -A` and the pods, then run again; `kubectl uncordon {node}` \
         and `kubectl annotate node {node} {CORDONED}-` let new pods come"
    );
    let eviction = Eviction::new(peers, client, node, options, permit);
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
    cordon(peers, client, node, Purpose::Removal, permit).await?;
    evict(peers, client, node, options, permit).await
}

/// Checks that no pod is on a node that is not to be evicted.
async fn allowed(client: &Client, node: &str, options: &DrainOptions) -> Result<()> {
    outlook(client, node, options).await?.allowed(node)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_pods_and_the_options() {
        let refused =
            vec![("default/a".to_owned(), "force"), ("default/b".to_owned(), "delete_emptydir_data"), ("x/c".to_owned(), "force")];
        let (why, next) = Outlook { refused, ..Outlook::default() }.refusal().expect("refused");
        assert_eq!(why, "the emptyDir data of default/b would go; nothing would start default/a, x/c again");
        assert_eq!(next, "take those pods away yourself, or allow it with `delete_emptydir_data: true` and `force: true`");
        assert_eq!(Outlook { goes: 3, ..Outlook::default() }.refusal(), None);
    }

    #[test]
    fn a_drain_has_a_limit_of_at_least_a_second_and_at_most_a_day() {
        let given = |seconds: i64| {
            let options = serde_json::from_value::<DrainOptions>(serde_json::json!({ "timeout_s": seconds }));
            options.map(|options| options.timeout_s).map_err(|error| error.to_string())
        };
        assert_eq!((given(1), given(86_400)), (Ok(1), Ok(86_400)));
        for wrong in [0, -1, 86_401, i64::MAX] {
            assert_eq!(given(wrong), Err(format!("`timeout_s` is {wrong}; give seconds between 1 and 86400 (a day)")));
        }
    }
}
