//! What the API server takes of pods where a namespace does not say it itself, made of the workspace's `pod_security`. Pure.
use crate::workspace::{PodSecurity, Workspace};
use serde_json::{Value, json};

/// Add-ons whose pods need more than `baseline` and whose namespaces upstream gives no label for it, and these namespaces. Those of MetalLB and
/// of Calico and its operator carry upstream's labels, which count more than any default.
const UNLABELLED: [(&str, &str); 1] = [
    // Its helper pods mount folders of the node.
    ("local-path-provisioner", "local-path-storage"),
];

/// The namespaces in which no level counts: those of the workspace, of add-ons that need it, and of the control plane itself.
pub fn exempt(security: &PodSecurity, workspace: &Workspace) -> Vec<String> {
    let of_add_ons = UNLABELLED.iter().filter(|(project, _)| workspace.add_ons.contains_key(*project)).map(|(_, namespace)| *namespace);
    let mut exempt: Vec<String> = ["kube-system"].into_iter().chain(of_add_ons).map(str::to_owned).collect();
    exempt.extend(security.exempt.iter().map(ToString::to_string));
    exempt.sort();
    exempt.dedup();
    exempt
}

/// The file of the API server's `--admission-control-config-file`,
/// <https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/>.
pub fn configuration(security: &PodSecurity, workspace: &Workspace) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {
                    "enforce": security.enforce.word(),
                    "enforce-version": "latest",
                    "audit": security.audit.word(),
                    "audit-version": "latest",
                    "warn": security.warn.word(),
                    "warn-version": "latest",
                },
                "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": exempt(security, workspace)},
            },
        }],
    })
}
