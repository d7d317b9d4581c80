//! In which order requests reach an API server: a plan only reads; definitions come first and are waited for.
mod support;

use kthw_engine::{BoxFuture, Peers, Result, SystemClock};
use kthw_stdlib::{kubernetes::Client, seams::KubernetesAccess};
use kube::client::Body;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};
use support::{planned, ran, settled_control_plane, shown};

/// A tiny API server: it serves a custom kind once its definition was looked at twice.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    asked: Vec<String>,
    objects: BTreeMap<String, Value>,
    looks: usize,
}

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";

impl Api {
    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let mut state = self.0.lock().expect("no panic");
        state.asked.push(format!("{method} {path}"));
        let list = |resources: Value| (200, json!({"kind": "APIResourceList", "groupVersion": "", "resources": resources}));
        let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": []});
        let not_found = (404, json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"}));
        match (method, path) {
            ("GET", "/api/v1") => list(json!([resource("namespaces", "Namespace", false), resource("configmaps", "ConfigMap", true)])),
            ("GET", "/apis/apiextensions.k8s.io/v1") => {
                list(json!([resource("customresourcedefinitions", "CustomResourceDefinition", false)]))
            }
            ("GET", "/apis/example.com/v1") if state.looks >= 2 => list(json!([resource("things", "Thing", true)])),
            ("PATCH", _) => {
                let object: Value = serde_json::from_slice(body).expect("an object");
                state.objects.insert(path.into(), object.clone());
                (200, object)
            }
            ("GET", DEFINITION) if state.objects.contains_key(DEFINITION) => {
                state.looks += 1;
                let status = if state.looks >= 2 { "True" } else { "False" };
                let mut object = state.objects[DEFINITION].clone();
                object["status"] = json!({"conditions": [{"type": "Established", "status": status, "reason": "Installing"}]});
                (200, object)
            }
            ("GET", _) => state.objects.get(path).map_or(not_found, |object| (200, object.clone())),
            _ => panic!("{method} {path}"),
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic").asked)
    }
}

impl KubernetesAccess for Api {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Client>> {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body");
                let (status, answer) = api.answer(parts.method.as_str(), parts.uri.path(), &body);
                let body = http_body_util::Full::new(bytes::Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(http::Response::builder().status(status).body(body).expect("a plain response"))
            }
        });
        Box::pin(async move { Ok(Client::new(service, "default")) })
    }
}

const SCRIPT: &str = r#"kubernetes::manifest(cluster, "things", #{ documents: [
    #{ apiVersion: "example.com/v1", kind: "Thing", metadata: #{ name: "a", namespace: "things" }, size: 1 },
    #{ apiVersion: "v1", kind: "ConfigMap", metadata: #{ name: "b", namespace: "things" }, data: #{ x: "1" } },
    #{ apiVersion: "v1", kind: "Namespace", metadata: #{ name: "things" } },
    #{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: #{ name: "things.example.com" } },
] });"#;

#[tokio::test]
async fn definitions_come_first_and_a_plan_only_reads() {
    let api = Api::default();
    let access: Arc<dyn KubernetesAccess> = Arc::new(api.clone());
    let nodes = Arc::new(settled_control_plane(String::new()));
    let peers = Peers::new(nodes, Arc::new(SystemClock::default())).with(access);

    expect_test::expect![[r#"
          + kubernetes.manifest/things
              Thing things/a: present
              ConfigMap things/b: present
              Namespace things: present
              CustomResourceDefinition things.example.com: present"#]]
    .assert_eq(&shown(&planned(SCRIPT, &peers).await));
    let asked = api.asked();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");

    let report = ran(SCRIPT, &peers).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let writes: Vec<String> = api.asked().into_iter().filter(|request| !request.starts_with("GET ")).collect();
    expect_test::expect![[r#"
        PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com
        PATCH /api/v1/namespaces/things
        PATCH /apis/example.com/v1/namespaces/things/things/a
        PATCH /api/v1/namespaces/things/configmaps/b"#]]
    .assert_eq(&writes.join("\n"));

    assert_eq!(planned(SCRIPT, &peers).await.changes(), 0);
    expect_test::expect![[r#"
          ~ kubernetes.manifest/things
              Thing things/a size: 1 -> 2"#]]
    .assert_eq(&shown(&planned(&SCRIPT.replace("size: 1", "size: 2"), &peers).await));
}
