//! Workloads that do not run yet, each with what keeps it: its own status, and that of its pods.
use super::{
    client::Client,
    listing::{NODES, PODS, list},
    objects::{LiveObjects, condition},
    rollout::{behind, is_excused, trouble},
};
use kthw_engine::{Field, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// The workloads among what is there that do not run yet.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub async fn stragglers(client: &Client, live: &LiveObjects) -> Result<Vec<Field>> {
    let mut found = Vec::new();
    for (document, object) in live.there() {
        let Some(why) = behind(object) else { continue };
        let namespace = document.namespace.as_deref().unwrap_or("default");
        let pods = list(client, &PODS, Some(namespace), "").await?;
        if document.kind == "DaemonSet" && is_excused(object, &pods, &away(client).await?) {
            continue;
        }
        let why = trouble(object, &pods).map_or(why.clone(), |trouble| format!("{why}: {trouble}"));
        found.push(Field { live: Some(why), ..Field::new(document.to_string(), "runs") });
    }
    Ok(found)
}

/// The names of nodes that are not Ready.
async fn away(client: &Client) -> Result<BTreeSet<String>> {
    let nodes = list(client, &NODES, None, "").await?;
    let is_away = |node: &&Value| condition(node, "Ready").is_none_or(|(status, _)| status != "True");
    Ok(nodes.iter().filter(is_away).filter_map(|node| node["metadata"]["name"].as_str()).map(str::to_owned).collect())
}
