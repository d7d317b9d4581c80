//! Who may do what: roles, grants and service accounts, each one object that is kept by server-side apply.
use super::{
    document::Document,
    manifest::{Fixed, Manifest},
    place::Place,
};
use crate::workspace::{Cluster, ObjectName};
use kthw_engine::{Common, Id, Rhai, declare, throw};
use miette::Diagnostic;
use rhai::plugin::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";

/// Who stands for everybody, with or without a name.
const EVERYBODY: [&str; 3] = ["system:authenticated", "system:unauthenticated", "system:anonymous"];
/// Roles of upstream's that change things.
const NOT_FOR_EVERYBODY: [&str; 3] = ["cluster-admin", "admin", "edit"];

/// A role, of a namespace or of the cluster.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    namespace: Option<ObjectName>,
    rules: Vec<Rule>,
}

/// One rule, under upstream's names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    verbs: Vec<String>,
}

/// Who gets a role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    role: Option<String>,
    cluster_role: Option<String>,
    namespace: Option<ObjectName>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    service_accounts: Vec<String>,
}

impl RoleSpec {
    fn document(&self, name: &str) -> Result<Value, BadRights> {
        if self.rules.is_empty() {
            return Err(BadRights::new("a role without a rule allows nothing", "give it `rules`, or leave it out"));
        }
        let rules: Result<Vec<Value>, BadRights> = self.rules.iter().map(|rule| rule.value(self.namespace.is_some())).collect();
        let kind = if self.namespace.is_some() { "Role" } else { "ClusterRole" };
        Ok(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata(name, self.namespace.as_ref()), "rules": rules?,
        }))
    }
}

impl Rule {
    fn value(&self, is_in_namespace: bool) -> Result<Value, BadRights> {
        if self.verbs.is_empty() {
            return Err(BadRights::new("a rule has no `verbs`", "name what may be done, such as `verbs: [\"get\", \"list\", \"watch\"]`"));
        }
        let is_about_objects = !self.resources.is_empty();
        if is_about_objects != self.non_resource_urls.is_empty() || (is_in_namespace && !is_about_objects) {
            return Err(BadRights::new(
                "a rule is about `resources`, or in a role of the whole cluster about `nonResourceURLs`",
                "name one of the two, such as `resources: [\"pods\"]`",
            ));
        }
        let mut rule = Map::new();
        if is_about_objects {
            // The core group has no name.
            let groups = if self.api_groups.is_empty() { vec![String::new()] } else { self.api_groups.clone() };
            rule.insert("apiGroups".into(), json!(groups));
            rule.insert("resources".into(), json!(self.resources));
        } else {
            rule.insert("nonResourceURLs".into(), json!(self.non_resource_urls));
        }
        if !self.resource_names.is_empty() {
            rule.insert("resourceNames".into(), json!(self.resource_names));
        }
        rule.insert("verbs".into(), json!(self.verbs));
        Ok(Value::Object(rule))
    }
}

impl GrantSpec {
    fn document(&self, name: &str) -> Result<Value, BadRights> {
        let (kind, role) = match (&self.role, &self.cluster_role) {
            (Some(role), None) if self.namespace.is_some() => ("Role", role),
            (None, Some(role)) => ("ClusterRole", role),
            (Some(_), None) => return Err(BadRights::new("a `role` is one of a namespace", "name its `namespace`, or a `cluster_role`")),
            _ => {
                return Err(BadRights::new(
                    "a grant gives either a `role` or a `cluster_role`",
                    "name one, such as `cluster_role: \"view\"`",
                ));
            }
        };
        let all = self.groups.iter().chain(&self.users);
        if let Some(everybody) =
            all.clone().find(|one| EVERYBODY.contains(&one.as_str())).filter(|_| NOT_FOR_EVERYBODY.contains(&role.as_str()))
        {
            return Err(BadRights::new(
                format!("`{role}` for `{everybody}` gives the cluster to everybody who reaches it"),
                "name groups of your own: `kthw kubeconfig --user NAME --group GROUP` puts people into them",
            ));
        }
        if let Some(one) = all.clone().find(|one| one.trim().is_empty()) {
            return Err(BadRights::new(format!("{one:?} is nobody's name"), "name groups and users as their certificates do"));
        }
        let of = |kind: &str, name: &String| json!({"kind": kind, "name": name, "apiGroup": RBAC});
        let mut subjects: Vec<Value> = self.groups.iter().map(|name| of("Group", name)).collect();
        subjects.extend(self.users.iter().map(|name| of("User", name)));
        for account in &self.service_accounts {
            let (namespace, name) = account_of(account)?;
            subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        }
        if subjects.is_empty() {
            return Err(BadRights::new(
                "a grant for nobody",
                "name `groups`, `users` or `service_accounts`; `present: false` takes a grant back",
            ));
        }
        let binding = if self.namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
        Ok(json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": binding,
            "metadata": metadata(name, self.namespace.as_ref()),
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
            "subjects": subjects,
        }))
    }
}

fn metadata(name: &str, namespace: Option<&ObjectName>) -> Value {
    match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace.to_string()}),
        None => json!({"name": name}),
    }
}

/// Namespace and name of a service account, written `NAMESPACE/NAME`.
fn account_of(text: &str) -> Result<(&str, &str), BadRights> {
    let is_name = |part: &str| !part.is_empty() && part.split('.').all(|label| label.parse::<ObjectName>().is_ok());
    let parts = text.split_once('/').filter(|(namespace, name)| namespace.parse::<ObjectName>().is_ok() && is_name(name));
    parts.ok_or_else(|| {
        BadRights::new(format!("{text:?} is not a service account"), "write its namespace and its name, such as `apps/deployer`")
    })
}

/// One object as a resource. What a binding gives stays as it was made: the API server takes no other `roleRef`.
fn keep(id: Id, place: Place, object: Value) -> Result<Manifest, BadRights> {
    let documents = Document::from_values(vec![object]).map_err(|error| BadRights::new(error.to_string(), "give it a name"))?;
    Ok(Manifest::new(id, place, documents).with_fixed(Fixed {
        endings: &["roleRef.name", "roleRef.kind"],
        why: "a grant keeps the role that it was made with: Kubernetes changes no `roleRef`, and in between nobody would have either of the two",
        next: "declare a grant of another name with the new role, and this one with `present: false`; both can be in one run",
    }))
}

/// Declares one object.
fn declared(cx: &NativeCallContext<'_>, cluster: &Cluster, id: Id, object: Result<Value, BadRights>, common: Common) -> Rhai<Id> {
    let place = match Place::of(cluster.workspace()) {
        Ok(place) => place,
        Err(error) => return throw(cx, error),
    };
    match object.and_then(|object| keep(id, place, object)) {
        Ok(manifest) => declare(cx, manifest, common),
        Err(error) => throw(cx, error),
    }
}

/// Rights that cannot be meant.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(code(kthw::kubernetes::rights), help("{next}"))]
pub struct BadRights {
    why: String,
    next: String,
}

impl BadRights {
    fn new(why: impl Into<String>, next: &str) -> Self {
        Self { why: why.into(), next: next.to_owned() }
    }
}

/// The functions as scripts see them, in the module `kubernetes`.
#[export_module]
pub mod api {
    use super::{GrantSpec, RoleSpec, account_of, declared};
    use crate::workspace::Cluster;
    use kthw_engine::{Id, Options, Rhai};
    use rhai::Map;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoSpec {}

    /// Keeps a role: what those may do who are granted it, in a namespace, or in the whole cluster where none is named.
    ///
    /// Options: `namespace`, and `rules`, a list of maps under upstream's names: `verbs`, `resources`, `apiGroups` (the core group when it is left
    /// out), `resourceNames`, `nonResourceURLs`. Often none is needed: Kubernetes has `view`, `edit` and `admin`.
    ///
    /// ```rhai
    /// kubernetes::role(cluster, "restarts", #{ namespace: "default", rules: [
    ///     #{ apiGroups: ["apps"], resources: ["deployments"], verbs: ["get", "list", "patch"] },
    /// ] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn role(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let options = Options::<RoleSpec>::parse(&cx, "kubernetes::role", options)?;
        declared(&cx, &cluster, Id::new("kubernetes.role", name), options.spec.document(name), options.common)
    }

    /// Keeps a grant: a role for groups, users or service accounts, in a namespace, or in the whole cluster where none is named.
    ///
    /// Options: `cluster_role` (such as `view`, `edit`, `admin`) or `role` (one of the namespace), `namespace`, `groups`, `users`, and
    /// `service_accounts` (`NAMESPACE/NAME`). People come into groups by their kubeconfigs: `kthw kubeconfig --user NAME --group GROUP`. A grant keeps the
    /// role that it was made with: another one is refused. What changes things is not granted to everybody.
    ///
    /// ```rhai
    /// kubernetes::grant(cluster, "viewers", #{ cluster_role: "view", groups: ["viewers"] });
    /// kubernetes::grant(cluster, "developers", #{ cluster_role: "edit", namespace: "default", groups: ["developers"] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn grant(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let options = Options::<GrantSpec>::parse(&cx, "kubernetes::grant", options)?;
        declared(&cx, &cluster, Id::new("kubernetes.grant", name), options.spec.document(name), options.common)
    }

    /// Keeps a service account, written `NAMESPACE/NAME`; the namespace has to be there.
    ///
    /// A token for it, with an end, is in the kubeconfig that `kthw kubeconfig --service-account NAMESPACE/NAME` makes. The options map can be left
    /// out; see the other form.
    ///
    /// ```rhai
    /// let deployer = kubernetes::service_account(cluster, "default/deployer");
    /// kubernetes::grant(cluster, "deployer", #{
    ///     cluster_role: "edit", namespace: "default", service_accounts: ["default/deployer"], needs: [deployer],
    /// });
    /// ```
    #[rhai_fn(return_raw, volatile, name = "service_account")]
    pub fn service_account(cx: NativeCallContext, cluster: Cluster, name: &str) -> Rhai<Id> {
        service_account_with(cx, cluster, name, Map::new())
    }

    /// Keeps a service account, written `NAMESPACE/NAME`; the namespace has to be there.
    ///
    /// Options: `needs`, `present`. With `present: false` it goes, and with it every token that was made for it.
    ///
    /// ```rhai
    /// kubernetes::service_account(cluster, "default/deployer", #{ present: false });
    /// ```
    #[rhai_fn(return_raw, volatile, name = "service_account")]
    pub fn service_account_with(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let options = Options::<NoSpec>::parse(&cx, "kubernetes::service_account", options)?;
        let object = account_of(name).map(
            |(namespace, name)| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
        );
        declared(&cx, &cluster, Id::new("kubernetes.service_account", name), object, options.common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: Value) -> Result<Value, String> {
        serde_json::from_value::<GrantSpec>(json).map_err(|error| error.to_string())?.document("x").map_err(|error| error.to_string())
    }

    fn role(json: Value) -> Result<Value, String> {
        serde_json::from_value::<RoleSpec>(json).map_err(|error| error.to_string())?.document("x").map_err(|error| error.to_string())
    }

    #[test]
    fn a_grant_is_a_binding() {
        let made = grant(json!({"cluster_role": "view", "groups": ["viewers"], "service_accounts": ["apps/deployer"]})).expect("made");
        assert_eq!(made["kind"], "ClusterRoleBinding");
        assert_eq!(made["roleRef"], json!({"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}));
        assert_eq!(made["subjects"][1], json!({"kind": "ServiceAccount", "name": "deployer", "namespace": "apps"}));
        let made = grant(json!({"role": "restarts", "namespace": "apps", "users": ["alice"]})).expect("made");
        assert_eq!((&made["kind"], &made["metadata"]["namespace"]), (&json!("RoleBinding"), &json!("apps")));
    }

    #[test]
    fn the_cluster_is_not_given_to_everybody() {
        for everybody in EVERYBODY {
            for role in NOT_FOR_EVERYBODY {
                for key in ["groups", "users"] {
                    let why = grant(json!({"cluster_role": role, key: [everybody]})).expect_err("refused");
                    assert!(why.contains(everybody) && why.contains(role), "{why}");
                }
            }
        }
        assert!(grant(json!({"cluster_role": "system:public-info-viewer", "groups": ["system:unauthenticated"]})).is_ok());
        assert!(grant(json!({"cluster_role": "cluster-admin", "groups": ["operators"]})).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for odd in [
            json!({"groups": ["a"]}),
            json!({"role": "a", "groups": ["a"]}),
            json!({"role": "a", "cluster_role": "b", "namespace": "c", "groups": ["a"]}),
            json!({"cluster_role": "view"}),
            json!({"cluster_role": "view", "groups": [" "]}),
            json!({"cluster_role": "view", "service_accounts": ["deployer"]}),
        ] {
            assert!(grant(odd.clone()).is_err(), "{odd}");
        }
        for odd in [
            json!({"rules": []}),
            json!({"rules": [{"resources": ["pods"], "verbs": []}]}),
            json!({"rules": [{"verbs": ["get"]}]}),
            json!({"rules": [{"resources": ["pods"], "nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}),
            json!({"namespace": "a", "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}),
            json!({"rules": [{"resources": ["pods"], "verbs": ["get"], "api_groups": [""]}]}),
        ] {
            assert!(role(odd.clone()).is_err(), "{odd}");
        }
        let made = role(json!({"rules": [{"resources": ["pods"], "verbs": ["get"]}]})).expect("made");
        assert_eq!(made["rules"][0], json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}));
    }
}
