//! Pods as a drain sees them: those that stay with their node, those that go, and those that nobody would start again.
use super::DrainOptions;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// A pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from a later one of the same name.
    pub uid: String,
    /// Budgets select it by these.
    pub labels: BTreeMap<String, String>,
    /// Whether it ends already.
    pub ends: bool,
    /// Whether it may come to a node that is cordoned.
    pub tolerates_cordon: bool,
    /// The kind of what would start it again.
    controller: Option<String>,
    /// Whether the kubelet runs it by a file on the node.
    mirror: bool,
    /// Whether its containers have ended.
    finished: bool,
    /// Whether it keeps data that go with it.
    empty_dir: bool,
}

/// What a drain does about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It stays: its node runs it by itself, or a DaemonSet would put it there again.
    Stays,
    /// It is evicted.
    Goes,
    /// The drain is refused because of it, unless the option with this name says otherwise.
    Refused(&'static str),
}

impl Pod {
    /// Understands a Pod object; `None` for one without a name.
    pub fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        let controller = owners.filter(|owner| owner["controller"] == Value::Bool(true)).find_map(|owner| owner["kind"].as_str());
        let volumes = object["spec"]["volumes"].as_array().into_iter().flatten();
        let labels = metadata["labels"].as_object().into_iter().flatten();
        Some(Self {
            namespace: text("namespace")?,
            name: text("name")?,
            uid: text("uid").unwrap_or_default(),
            labels: labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            ends: metadata["deletionTimestamp"].is_string(),
            tolerates_cordon: object["spec"]["tolerations"].as_array().into_iter().flatten().any(tolerates_cordon),
            controller: controller.map(str::to_owned),
            mirror: metadata["annotations"]["kubernetes.io/config.mirror"].is_string(),
            finished: matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            empty_dir: volumes.into_iter().any(|volume| volume["emptyDir"].is_object()),
        })
    }

    /// What becomes of it; the rules of `kubectl drain`
    /// (<https://kubernetes.io/docs/reference/kubectl/generated/kubectl_drain/>).
    pub fn treatment(&self, options: &DrainOptions) -> Treatment {
        match self.controller.as_deref() {
            _ if self.mirror => Treatment::Stays,
            _ if self.finished => Treatment::Goes,
            Some("DaemonSet") => Treatment::Stays,
            // Somebody took it away already.
            _ if self.ends => Treatment::Goes,
            None if !options.force => Treatment::Refused("force"),
            _ if self.empty_dir && !options.delete_emptydir_data => Treatment::Refused("delete_emptydir_data"),
            _ => Treatment::Goes,
        }
    }
}

/// Whether a toleration is one of the taint that a cordon puts on a node, `node.kubernetes.io/unschedulable:NoSchedule`
/// (<https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>).
fn tolerates_cordon(toleration: &Value) -> bool {
    let text = |name: &str| toleration[name].as_str().unwrap_or_default();
    let of_key = match (text("key"), text("operator")) {
        ("", operator) => operator == "Exists",
        ("node.kubernetes.io/unschedulable", "Exists") => true,
        (key, "" | "Equal") => key == "node.kubernetes.io/unschedulable" && text("value").is_empty(),
        _ => false,
    };
    of_key && matches!(text("effect"), "" | "NoSchedule")
}

/// `namespace/name`.
impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn treated(change: impl FnOnce(&mut Value), options: &DrainOptions) -> Treatment {
        let owner = json!([{ "kind": "ReplicaSet", "name": "web", "controller": true }]);
        let mut pod =
            json!({ "metadata": { "namespace": "default", "name": "web-1", "ownerReferences": owner }, "status": { "phase": "Running" } });
        change(&mut pod);
        Pod::of(&pod).expect("a pod").treatment(options)
    }

    #[test]
    fn pods_are_treated_as_kubectl_drain_treats_them() {
        let careful = DrainOptions::default();
        let daemon = |pod: &mut Value| pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
        let mirror = |pod: &mut Value| pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("00ff");
        let unmanaged = |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]);
        let keeps = |pod: &mut Value| pod["spec"]["volumes"] = json!([{ "name": "a", "emptyDir": {} }]);
        let ended = |pod: &mut Value| {
            unmanaged(pod);
            keeps(pod);
            pod["status"]["phase"] = json!("Succeeded");
        };
        assert_eq!(treated(|_| (), &careful), Treatment::Goes);
        assert_eq!((treated(daemon, &careful), treated(mirror, &careful)), (Treatment::Stays, Treatment::Stays));
        assert_eq!(treated(unmanaged, &careful), Treatment::Refused("force"));
        assert_eq!(treated(unmanaged, &DrainOptions { force: true, ..DrainOptions::default() }), Treatment::Goes);
        assert_eq!(treated(keeps, &careful), Treatment::Refused("delete_emptydir_data"));
        assert_eq!(treated(keeps, &DrainOptions { delete_emptydir_data: true, ..DrainOptions::default() }), Treatment::Goes);
        assert_eq!(treated(ended, &careful), Treatment::Goes);
    }

    #[test]
    fn a_pod_that_ends_anyway_refuses_nothing() {
        let ends = |pod: &mut Value| {
            pod["metadata"]["ownerReferences"] = json!([]);
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-01T00:00:00Z");
        };
        assert_eq!(treated(ends, &DrainOptions::default()), Treatment::Goes);
    }

    #[test]
    fn tolerations_of_a_cordon() {
        let yes = [
            json!({ "operator": "Exists" }),
            json!({ "operator": "Exists", "effect": "NoSchedule" }),
            json!({ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }),
            json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }),
        ];
        let no = [
            json!({}),
            json!({ "operator": "Exists", "effect": "NoExecute" }),
            json!({ "key": "node-role.kubernetes.io/control-plane", "operator": "Exists" }),
            json!({ "key": "node.kubernetes.io/unschedulable", "value": "x" }),
        ];
        assert_eq!((yes.each_ref().map(tolerates_cordon), no.each_ref().map(tolerates_cordon)), ([true; 4], [false; 4]));
    }
}
