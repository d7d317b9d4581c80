//! The eviction of a pod: done where disruption budgets allow it, and refused in the API server's own words where not.
//! Upstream's rules: <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>.
use super::{
    cluster::{Cluster, key},
    objects::{Answer, Moment, Target, status},
    pods,
};
use serde_json::{Value, json};

/// `POST …/pods/<name>/eviction`.
pub(super) fn evict(cluster: &mut Cluster, target: &Target, body: &Value, moment: &Moment) -> Answer {
    if body["kind"] != "Eviction" || body["apiVersion"] != "policy/v1" {
        return status(400, "BadRequest", "the object provided is unrecognized (must be of kind Eviction in policy/v1)");
    }
    let key = key("", "pods", &target.namespace, &target.name);
    let Some(pod) = cluster.objects.get(&key).map(|pod| pod.value.clone()) else {
        return status(404, "NotFound", &format!("pods \"{}\" not found", target.name));
    };
    let (wanted, found) = (&body["deleteOptions"]["preconditions"]["uid"], &pod["metadata"]["uid"]);
    if !wanted.is_null() && wanted != found {
        let (wanted, found) = (wanted.as_str().unwrap_or_default(), found.as_str().unwrap_or_default());
        return status(
            409,
            "Conflict",
            &format!(
                "Operation cannot be fulfilled on pods \"{}\": Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
                target.name
            ),
        );
    }
    // What has ended, has not begun or ends already disrupts nobody.
    let disrupts = pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
    let budgets = pods::budgets_of(cluster, &pod);
    match budgets.as_slice() {
        _ if !disrupts => {}
        [_, _, ..] => {
            let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return status(500, "InternalError", text);
        }
        [budget] if budget["status"]["disruptionsAllowed"].as_u64().unwrap_or(0) == 0 => return held(budget),
        _ => {}
    }
    if !moment.dry_run {
        pods::begin_end(cluster, &key, moment.now_ms, moment.unix_s);
        pods::run(cluster, moment.now_ms, moment.unix_s);
    }
    (201, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }))
}

fn held(budget: &Value) -> Answer {
    let (code, mut answer) = status(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.");
    let number = |name: &str| budget["status"][name].as_u64().unwrap_or(0);
    let why = format!(
        "The disruption budget {} needs {} healthy pods and has {} currently",
        budget["metadata"]["name"].as_str().unwrap_or_default(),
        number("desiredHealthy"),
        number("currentHealthy")
    );
    answer["details"] = json!({ "causes": [{ "reason": "DisruptionBudget", "message": why }] });
    (code, answer)
}
