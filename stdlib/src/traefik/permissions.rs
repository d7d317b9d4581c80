//! What Traefik may read in a cluster, by its own documentation, and nothing that no provider asks for.
use crate::workspace::RouteProvider;
use serde_json::{Value, json};

/// The rules of a ClusterRole
/// (<https://doc.traefik.io/traefik/v3.6/reference/install-configuration/providers/kubernetes/kubernetes-ingress/>,
/// <https://doc.traefik.io/traefik/v3.6/reference/install-configuration/providers/kubernetes/kubernetes-crd/>).
pub fn rules(providers: &[RouteProvider]) -> Value {
    let read = ["get", "list", "watch"];
    let mut rules = vec![
        json!({ "apiGroups": [""], "resources": ["services", "secrets", "nodes", "configmaps"], "verbs": read }),
        json!({ "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] }),
        // Both providers look for the class.
        json!({ "apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"], "verbs": read }),
    ];
    if providers.contains(&RouteProvider::Ingress) {
        rules.push(json!({ "apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"] }));
    }
    if providers.contains(&RouteProvider::Crd) {
        let kinds = [
            "ingressroutes",
            "ingressroutetcps",
            "ingressrouteudps",
            "middlewares",
            "middlewaretcps",
            "serverstransports",
            "serverstransporttcps",
            "tlsoptions",
            "tlsstores",
            "traefikservices",
        ];
        rules.push(json!({ "apiGroups": ["traefik.io"], "resources": kinds, "verbs": read }));
    }
    json!(rules)
}
