//! The policy of the API server's audit log, made of the workspace's `audit`. Pure.
//!
//! The first rule that fits a request decides, <https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>.
use crate::workspace::{Audit, AuditLevel};
use serde_json::{Value, json};

/// Into how many files the log is cut, the one that is being written among them.
const FILES: u32 = 10;

/// The parts of Kubernetes itself, which look at everything all the time.
const COMPONENTS: [&str; 4] = ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"];

/// What holds secrets, or what people put secrets into: never with its content.
fn with_secrets() -> Value {
    json!([
        {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
        {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
    ])
}

/// The policy.
pub fn policy(audit: &Audit) -> Value {
    let changes = match audit.level {
        AuditLevel::Metadata => "Metadata",
        AuditLevel::Request => "Request",
    };
    let reads = json!(["get", "list", "watch"]);
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        // A line when a request is done is enough.
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            // Signs of life, leader elections, and what happened to objects as Kubernetes tells it itself.
            {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts"],
             "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "users": COMPONENTS, "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "resources": [{"group": "", "resources": ["events"]}, {"group": "events.k8s.io", "resources": ["events"]}]},
            {"level": "None", "userGroups": ["system:nodes"],
             "resources": [{"group": "", "resources": ["nodes/status", "pods/status"]}]},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version*", "/openapi*", "/metrics*"], "verbs": ["get"]},
            // The parts of Kubernetes read.
            {"level": "None", "users": COMPONENTS, "verbs": reads},
            {"level": "None", "userGroups": ["system:nodes"], "verbs": reads},
            // Kubelets ask for every request to them who it is and what he may.
            {"level": "None", "userGroups": ["system:nodes"], "verbs": ["create"], "resources": [
                {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
                {"group": "authorization.k8s.io", "resources": ["subjectaccessreviews"]},
            ]},
            // Who asks for secrets, also with a stolen token of a service account; never what is in them.
            {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
            {"level": "None", "userGroups": ["system:serviceaccounts"], "verbs": reads},
            {"level": "Metadata", "resources": with_secrets()},
            // Changes by anybody, then all that is left: what people look at.
            {"level": changes, "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "Metadata"},
        ],
    })
}

/// The arguments that bound the log, beside those that name the policy and the file.
pub fn rotation(audit: &Audit) -> [(&'static str, String); 3] {
    [
        ("audit-log-maxage", audit.keep_days.to_string()),
        ("audit-log-maxbackup", (FILES - 1).to_string()),
        ("audit-log-maxsize", (audit.max_mib / FILES).max(1).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level by which a request would be written down.
    fn level(audit: &Audit, user: &str, groups: &[&str], verb: &str, group: &str, resource: &str) -> String {
        let policy = policy(audit);
        let has = |list: &Value, one: &str| list.as_array().is_none_or(|list| list.iter().any(|item| item == one));
        let fits = |rule: &&Value| {
            let resources = rule["resources"].as_array();
            let is_of = |one: &Value| one["group"] == group && has(&one["resources"], resource);
            rule["nonResourceURLs"].is_null()
                && has(&rule["users"], user)
                && rule["userGroups"].as_array().is_none_or(|list| list.iter().any(|item| groups.iter().any(|one| item == one)))
                && has(&rule["verbs"], verb)
                && resources.is_none_or(|list| list.iter().any(is_of))
        };
        let rule = policy["rules"].as_array().and_then(|rules| rules.iter().find(fits)).expect("the last rule fits everything").clone();
        rule["level"].as_str().expect("a level").to_owned()
    }

    #[test]
    fn contents_of_secrets_are_written_down_for_nobody() {
        let most = Audit { level: AuditLevel::Request, ..Audit::default() };
        for verb in ["create", "update", "patch", "get", "list", "watch"] {
            for (group, resource) in
                [("", "secrets"), ("", "configmaps"), ("", "serviceaccounts/token"), ("authentication.k8s.io", "tokenreviews")]
            {
                assert_eq!(level(&most, "alice", &["system:authenticated"], verb, group, resource), "Metadata", "{verb} {resource}");
                let own = level(&most, "system:serviceaccount:a:b", &["system:serviceaccounts"], verb, group, resource);
                assert!(own == "Metadata" || own == "None", "{verb} {resource}: {own}");
            }
        }
        assert_eq!(level(&most, "system:serviceaccount:a:b", &["system:serviceaccounts"], "get", "", "secrets"), "Metadata");
    }

    #[test]
    fn changes_are_written_down_and_noise_is_not() {
        let (least, most) = (Audit::default(), Audit { level: AuditLevel::Request, ..Audit::default() });
        let people = ["system:authenticated"];
        assert_eq!(level(&least, "alice", &people, "delete", "apps", "deployments"), "Metadata");
        assert_eq!(level(&most, "alice", &people, "delete", "apps", "deployments"), "Request");
        assert_eq!(level(&most, "alice", &people, "get", "", "pods"), "Metadata");
        assert_eq!(level(&most, "alice", &people, "create", "", "pods/exec"), "Request");
        assert_eq!(level(&most, "alice", &people, "delete", "coordination.k8s.io", "leases"), "Request");
        assert_eq!(level(&most, "system:kube-controller-manager", &people, "patch", "apps", "deployments"), "Request");
        for (user, group, verb, api, resource) in [
            ("system:node:cu1", "system:nodes", "update", "coordination.k8s.io", "leases"),
            ("system:node:cu1", "system:nodes", "patch", "", "nodes/status"),
            ("system:node:cu1", "system:nodes", "get", "", "secrets"),
            ("system:serviceaccount:traefik:traefik", "system:serviceaccounts", "watch", "", "services"),
            ("system:kube-scheduler", "system:authenticated", "list", "", "pods"),
            ("system:apiserver", "system:masters", "create", "", "events"),
        ] {
            assert_eq!(level(&most, user, &[group], verb, api, resource), "None", "{user} {verb} {resource}");
        }
    }

    #[test]
    fn all_files_together_stay_below_the_bound() {
        let audit = |max_mib| rotation(&Audit { max_mib, ..Audit::default() }).map(|(_, value)| value);
        assert_eq!(audit(1000), ["30", "9", "100"]);
        assert_eq!(audit(10), ["30", "9", "1"]);
        assert_eq!(audit(19), ["30", "9", "1"]);
    }
}
