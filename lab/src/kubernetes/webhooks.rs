//! Admission webhooks, as far as they are reached: what a pod behind one would judge, the lab does not know.
use super::{
    addresses::behind,
    cluster::Cluster,
    objects::{Answer, Target, status},
};
use serde_json::Value;

/// The refusal of a change because a webhook that has to look at it has no pod that runs.
pub(crate) fn unreachable(cluster: &Cluster, target: &Target, now_ms: u64) -> Option<Answer> {
    let configurations = cluster.beginning("admissionregistration.k8s.io|").map(|(_, object)| &object.value);
    let webhooks = configurations.flat_map(|value| value["webhooks"].as_array().into_iter().flatten());
    let webhook = webhooks.filter(|webhook| looks_at(webhook, target)).find(|webhook| !answers(cluster, webhook, now_ms))?;
    let (name, service) = (webhook["name"].as_str()?, &webhook["clientConfig"]["service"]);
    let [host, namespace, path] = ["name", "namespace", "path"].map(|key| service[key].as_str().unwrap_or_default());
    let why = format!("no endpoints available for service \"{host}\"");
    Some(status(
        500,
        "InternalError",
        &format!(
            "Internal error occurred: failed calling webhook \"{name}\": failed to call webhook: Post \"https://{host}.{namespace}.svc:443{path}?timeout=10s\": {why}"
        ),
    ))
}

fn looks_at(webhook: &Value, target: &Target) -> bool {
    let has = |list: &Value, wanted: &str| list.as_array().is_some_and(|list| list.iter().any(|one| one == wanted || one == "*"));
    let rules = webhook["rules"].as_array().into_iter().flatten();
    let mut fitting =
        rules.filter(|rule| has(&rule["apiGroups"], &target.resource.group) && has(&rule["resources"], &target.resource.plural));
    fitting.next().is_some() && webhook["failurePolicy"] != "Ignore"
}

/// Whether a workload runs whose pods the service of the webhook selects.
fn answers(cluster: &Cluster, webhook: &Value, now_ms: u64) -> bool {
    let service = &webhook["clientConfig"]["service"];
    let [name, namespace] = ["name", "namespace"].map(|key| service[key].as_str().unwrap_or_default());
    let service = cluster.objects.get(&super::cluster::key("", "services", namespace, name));
    service.is_some_and(|service| behind(cluster, &service.value, now_ms).is_some())
}
