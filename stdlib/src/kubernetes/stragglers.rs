//! Workloads that do not run yet, each with what keeps it: its own status, and that of its pods.
use super::{
    client::{At, Client},
    error::{ReadObject, in_words},
    objects::LiveObjects,
    rollout::{behind, trouble},
};
use kthw_engine::{Error, Field, Result};
use kube::{api::ApiResource, core::GroupVersionKind};
use serde_json::Value;

/// The workloads among what is there that do not run yet.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub async fn stragglers(client: &Client, live: &LiveObjects) -> Result<Vec<Field>> {
    let mut found = Vec::new();
    for (document, object) in live.there() {
        let Some(why) = behind(object) else { continue };
        let pods = pods(client, document.namespace.as_deref().unwrap_or("default")).await?;
        let why = trouble(object, &pods).map_or(why.clone(), |trouble| format!("{why}: {trouble}"));
        found.push(Field { live: Some(why), ..Field::new(document.to_string(), "runs") });
    }
    Ok(found)
}

async fn pods(client: &Client, namespace: &str) -> Result<Vec<Value>> {
    let at = At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")), namespace: Some(namespace.to_owned()) };
    let refused = |error: kube::Error| Error::peer(ReadObject { what: format!("the pods of {namespace}"), reason: in_words(&error) });
    let pods = client.list(&at, "").await.map_err(refused)?;
    Ok(pods.into_iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect())
}
