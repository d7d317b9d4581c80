//! Lists of objects, of kinds that every cluster has.
use super::{
    client::{At, Client},
    error::{ReadObject, in_words},
};
use kthw_engine::{Error, Result};
use kube::{api::ApiResource, core::GroupVersionKind};
use serde_json::Value;

/// A kind: its group, version and name.
pub type Kind = (&'static str, &'static str, &'static str);

/// Nodes.
pub const NODES: Kind = ("", "v1", "Node");
/// Pods.
pub const PODS: Kind = ("", "v1", "Pod");

/// The objects of a kind that `fields` selects, such as `spec.nodeName=wu1`; of all namespaces when none is named.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub async fn list(client: &Client, (group, version, kind): &Kind, namespace: Option<&str>, fields: &str) -> Result<Vec<Value>> {
    let at = At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespace: namespace.map(str::to_owned) };
    let what = || {
        let of = namespace.map(|namespace| format!(" of {namespace}")).unwrap_or_default();
        format!("the list of {kind}s{of}")
    };
    let refused = |error: kube::Error| Error::peer(ReadObject { what: what(), reason: in_words(&error) });
    let objects = client.list(&at, fields).await.map_err(refused)?;
    // A list leaves out what all of its items are.
    let whole = |object| {
        let mut value = serde_json::to_value(object).ok()?;
        value["kind"] = (*kind).into();
        Some(value)
    };
    Ok(objects.into_iter().filter_map(whole).collect())
}
