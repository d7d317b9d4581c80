//! What runs of Traefik in a cluster: pods that say when they end, a service, and the class of Ingresses.
use super::permissions::rules;
use crate::{
    kubernetes::{BadManifest, Document},
    workspace::RouteProvider,
};
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The name of everything, and of the namespace.
const NAME: &str = "traefik";
/// The name of what makes `/ping` a route.
const PING: &str = "ping";

/// How long a pod that is told to end goes on taking connections, in seconds, while `/ping` answers 503: a load balancer in front has to see that.
const STILL_TAKEN_S: u32 = 10;
/// How long requests that are under way may take after that, in seconds.
const UNDER_WAY_S: u32 = 30;

/// How long a pod that starts may take until it knows its routes, in seconds.
const KNOWS_ROUTES_S: u32 = 300;
/// How often a pod is asked whether it is ready, in seconds.
const READY_S: u32 = 2;

/// Traefik's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerSpec {
    /// Its version; none only when it is to go.
    #[serde(default)]
    pub version: Option<String>,
    /// How many pods.
    #[serde(default = "two")]
    pub replicas: u32,
    /// The address of its service; any free one when absent.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// What says where requests go.
    #[serde(default = "both")]
    pub providers: Vec<RouteProvider>,
    /// Whose PROXY protocol is taken.
    #[serde(default)]
    pub proxy_protocol_from: Vec<Ipv4Net>,
}

fn two() -> u32 {
    2
}

fn both() -> Vec<RouteProvider> {
    vec![RouteProvider::Ingress, RouteProvider::Crd]
}

/// Its image, which needs no registry of ours.
pub fn image(version: &str) -> String {
    format!("docker.io/library/traefik:v{version}")
}

impl ControllerSpec {
    /// The objects to keep, of this `version` without a leading `v`.
    pub fn documents(&self, version: &str) -> Result<Vec<Document>, BadManifest> {
        let labels = json!({ "app.kubernetes.io/name": NAME });
        let named = |more: Value| {
            let mut metadata = json!({ "name": NAME, "labels": labels });
            if let (Some(metadata), Some(more)) = (metadata.as_object_mut(), more.as_object()) {
                metadata.extend(more.clone());
            }
            metadata
        };
        let namespaced = || named(json!({ "namespace": NAME }));
        let default_class = json!({ "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } });
        let class = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": named(default_class),
            "spec": { "controller": "traefik.io/ingress-controller" } });
        let mut objects = vec![
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": named(json!({})) }),
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": namespaced() }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": named(json!({})), "rules": rules(&self.providers) }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": named(json!({})),
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME },
                "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAME }] }),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": namespaced(), "spec": self.deployment(version, &labels) }),
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": namespaced(), "spec": self.service(&labels) }),
        ];
        if self.reads(RouteProvider::Ingress) {
            objects.push(class);
        }
        objects.extend(self.ping(&namespaced()));
        if self.replicas > 1 {
            objects.push(json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": namespaced(),
                "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } } }));
        }
        Document::from_values(objects)
    }

    fn reads(&self, provider: RouteProvider) -> bool {
        self.providers.contains(&provider)
    }

    /// The route of `/ping`. Traefik's own way to answer it says that all is well as soon as it listens, also where it knows no route yet because
    /// the API server starts with it. So the answer is a route like all others: known as soon as those that are objects of Traefik's kinds are,
    /// and, since it names what is made of an Ingress too, not before Ingresses are known.
    fn ping(&self, metadata: &Value) -> Vec<Value> {
        if !self.reads(RouteProvider::Crd) {
            return Vec::new();
        }
        let mut metadata = metadata.clone();
        metadata["name"] = json!(PING);
        let mut services = vec![json!({ "kind": "TraefikService", "name": "ping@internal", "weight": 1 })];
        let mut objects = Vec::new();
        if self.reads(RouteProvider::Ingress) {
            // Nobody is sent there: it only has to be known.
            services.push(json!({ "kind": "TraefikService", "name": format!("{NAME}-{NAME}-web@kubernetes"), "weight": 0 }));
            let backend = json!({ "service": { "name": NAME, "port": { "name": "web" } } });
            let rule =
                json!({ "host": "traefik.invalid", "http": { "paths": [{ "path": "/ping", "pathType": "Exact", "backend": backend }] } });
            objects.push(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
                "spec": { "ingressClassName": NAME, "rules": [rule] } }));
        }
        // Above whatever a site has for all paths.
        let route = json!({ "kind": "Rule", "match": "Path(`/ping`)", "priority": 1_000_000, "services": services });
        objects.push(json!({ "apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": metadata,
            "spec": { "entryPoints": ["web"], "routes": [route] } }));
        objects
    }

    fn service(&self, labels: &Value) -> Value {
        // Only nodes with a pod take its connections, so that the pod sees who connects.
        let mut spec = json!({
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            // Its address is MetalLB's; ports of the nodes would be a second way in, past every list of who may come.
            "allocateLoadBalancerNodePorts": false,
            "selector": labels,
            "ports": [
                { "name": "web", "port": 80, "targetPort": "web", "protocol": "TCP" },
                { "name": "websecure", "port": 443, "targetPort": "websecure", "protocol": "TCP" },
            ],
        });
        if let Some(address) = self.address {
            // Kubernetes calls the field deprecated and keeps it; the annotation that MetalLB has for it changed its name in 0.15.
            spec["loadBalancerIP"] = json!(address);
        }
        spec
    }

    fn deployment(&self, version: &str, labels: &Value) -> Value {
        let probe = |period_s: u32, failures: u32| json!({ "httpGet": { "path": "/ping", "port": "web" }, "periodSeconds": period_s, "failureThreshold": failures, "timeoutSeconds": 2 });
        let container = json!({
            "name": NAME,
            "image": image(version),
            "args": self.arguments(),
            "ports": [
                { "name": "web", "containerPort": 8000, "protocol": "TCP" },
                { "name": "websecure", "containerPort": 8443, "protocol": "TCP" },
            ],
            // Until it knows its routes; the API server may start beside it.
            "startupProbe": probe(READY_S, KNOWS_ROUTES_S / READY_S),
            // A pod that ends answers 503 for as long as it still takes connections. As one that is not ready it would get none: connections of a load
            // balancer that has yet to see the 503 would hang, where this is the cluster's last pod.
            "readinessProbe": probe(READY_S, STILL_TAKEN_S / READY_S + 1),
            "livenessProbe": probe(10, 6),
            "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true,
                "runAsGroup": 65532, "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
        });
        let apart = json!({ "weight": 100, "podAffinityTerm": {
            "labelSelector": { "matchLabels": labels }, "topologyKey": "kubernetes.io/hostname" } });
        json!({
            "replicas": self.replicas,
            "selector": { "matchLabels": labels },
            // A new pod first: there is always one that answers.
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": NAME,
                    "terminationGracePeriodSeconds": STILL_TAKEN_S + UNDER_WAY_S + 5,
                    "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [apart] } },
                    "containers": [container],
                    "volumes": [{ "name": "tmp", "emptyDir": {} }],
                },
            },
        })
    }

    /// Traefik's settings at start
    /// (<https://doc.traefik.io/traefik/v3.6/reference/install-configuration/configuration-options/>).
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "global.checknewversion=false",
            "global.sendanonymoususage=false",
            "entrypoints.web.address=:8000",
            "entrypoints.websecure.address=:8443",
            "entrypoints.websecure.http.tls=true",
            "ping=true",
        ]
        .map(str::to_owned)
        .into();
        for entry in ["web", "websecure"] {
            let of_entry = format!("entrypoints.{entry}.transport.lifecycle");
            arguments.push(format!("{of_entry}.requestacceptgracetimeout={STILL_TAKEN_S}"));
            arguments.push(format!("{of_entry}.gracetimeout={UNDER_WAY_S}"));
            if !self.proxy_protocol_from.is_empty() {
                let ranges: Vec<String> = self.proxy_protocol_from.iter().map(ToString::to_string).collect();
                arguments.push(format!("entrypoints.{entry}.proxyprotocol.trustedips={}", ranges.join(",")));
            }
        }
        // See `ping` above.
        arguments.push(if self.reads(RouteProvider::Crd) { "ping.manualrouting=true" } else { "ping.entrypoint=web" }.into());
        if self.reads(RouteProvider::Ingress) {
            arguments.push("providers.kubernetesingress=true".into());
            // An application without a pod is 503 and not 404. Traefik's own service has none that is ready until `/ping` is known.
            arguments.push("providers.kubernetesingress.allowemptyservices=true".into());
            arguments.push(format!("providers.kubernetesingress.ingressendpoint.publishedservice={NAME}/{NAME}"));
        }
        if self.reads(RouteProvider::Crd) {
            arguments.push("providers.kubernetescrd=true".into());
            arguments.push("providers.kubernetescrd.allowemptyservices=true".into());
        }
        arguments.into_iter().map(|argument| format!("--{argument}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(spec: Value) -> Vec<Document> {
        let spec: ControllerSpec = serde_json::from_value(spec).expect("a specification");
        spec.documents("3.6.12").expect("objects")
    }

    fn find<'d>(documents: &'d [Document], kind: &str) -> Option<&'d Value> {
        documents.iter().find(|document| document.kind == kind).map(|document| &document.body)
    }

    fn arguments(documents: &[Document]) -> String {
        find(documents, "Deployment").expect("there")["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    }

    #[test]
    fn what_runs_has_a_service_with_the_address_and_a_budget() {
        let found = documents(json!({ "address": "10.10.10.200" }));
        let titles: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = ["Namespace traefik", "ServiceAccount traefik/traefik", "ClusterRole traefik", "ClusterRoleBinding traefik"];
        assert_eq!(titles[..4], expected);
        let expected = [
            "Deployment traefik/traefik",
            "Service traefik/traefik",
            "IngressClass traefik",
            "Ingress traefik/ping",
            "IngressRoute traefik/ping",
        ];
        assert_eq!(titles[4..9], expected);
        assert_eq!(titles[9..], ["PodDisruptionBudget traefik/traefik"]);
        assert_eq!(find(&found, "Service").expect("there")["spec"]["loadBalancerIP"], "10.10.10.200");
        let pod = &find(&found, "Deployment").expect("there")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], "docker.io/library/traefik:v3.6.12");
    }

    #[test]
    fn a_pod_lives_longer_than_it_takes_connections_and_ends_them() {
        let found = documents(json!({}));
        let said = arguments(&found);
        assert!(
            said.contains("websecure.transport.lifecycle.requestacceptgracetimeout=10")
                && said.contains("web.transport.lifecycle.gracetimeout=30")
        );
        let pod = &find(&found, "Deployment").expect("there")["spec"]["template"]["spec"];
        assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(40));
        let fails_after_s = |probe: &str| {
            let number = |name: &str| pod["containers"][0][probe][name].as_u64().expect("a number");
            number("periodSeconds") * (number("failureThreshold") - 1)
        };
        assert!(fails_after_s("livenessProbe") > 40, "no probe kills a pod that ends in its own time");
        assert!(fails_after_s("readinessProbe") >= 10, "as long as it takes connections it gets them");
    }

    #[test]
    fn it_is_well_when_it_knows_the_routes_of_all_providers() {
        let both = documents(json!({}));
        assert!(arguments(&both).contains("--ping.manualrouting=true") && !arguments(&both).contains("ping.entrypoint"));
        let services = &find(&both, "IngressRoute").expect("there")["spec"]["routes"][0]["services"];
        assert_eq!(services[0], json!({ "kind": "TraefikService", "name": "ping@internal", "weight": 1 }));
        // Its name is made of what the Ingress says: namespace, service and port.
        let named = services[1]["name"].as_str().expect("a name");
        let ingress = find(&both, "Ingress").expect("there");
        let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
        let words =
            [&ingress["metadata"]["namespace"], &backend["name"], &backend["port"]["name"]].map(|word| word.as_str().expect("a word"));
        assert_eq!((named, &services[1]["weight"]), (format!("{}@kubernetes", words.join("-")).as_str(), &json!(0)));
        let crd = documents(json!({ "providers": ["crd"] }));
        assert_eq!(find(&crd, "IngressRoute").expect("there")["spec"]["routes"][0]["services"].as_array().map(Vec::len), Some(1));
        let ingress = documents(json!({ "providers": ["ingress"] }));
        assert!(arguments(&ingress).contains("--ping.entrypoint=web") && find(&ingress, "IngressRoute").is_none());
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let ingress = documents(json!({ "providers": ["ingress"], "replicas": 1 }));
        assert!(!arguments(&ingress).contains("kubernetescrd") && find(&ingress, "PodDisruptionBudget").is_none());
        assert!(!find(&ingress, "ClusterRole").expect("there").to_string().contains("traefik.io"));
        let crd = documents(json!({ "providers": ["crd"] }));
        assert!(!arguments(&crd).contains("kubernetesingress") && find(&crd, "IngressClass").is_none());
        assert!(find(&crd, "ClusterRole").expect("there").to_string().contains("ingressroutes"));
    }

    #[test]
    fn the_proxy_protocol_is_taken_from_those_who_are_named() {
        assert!(!arguments(&documents(json!({}))).contains("proxyprotocol"));
        let said = arguments(&documents(json!({ "proxy_protocol_from": ["10.10.10.100/32", "10.10.10.101/32"] })));
        for entry in ["web", "websecure"] {
            assert!(said.contains(&format!("--entrypoints.{entry}.proxyprotocol.trustedips=10.10.10.100/32,10.10.10.101/32")), "{said}");
        }
    }
}
