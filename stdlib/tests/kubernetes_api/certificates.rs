//! Requests of kubelets for serving certificates, on a real API server: what a node asks for itself is approved, and nothing else.
use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kthw_peers::OPENSSL;
use kthw_stdlib::{
    seams::Reach,
    validation::{Answer, Destination, Question},
};
use kube::Api;
use serde_json::json;
use std::{path::PathBuf, process::Command};

const SCRIPT: &str = "kubernetes::kubelet_certificates(cluster, #{});";

/// There are no kubelets here; each is taken to show what it got.
struct Shown;

impl Reach for Shown {
    fn ask<'a>(&'a self, _: &'a str, to: &'a Destination, _: &'a Question) -> BoxFuture<'a, Result<Answer>> {
        assert_eq!(to.to_string(), "127.0.0.1:10250");
        Box::pin(async { Ok(Answer::Ends(jiff::Timestamp::MAX)) })
    }
}

/// Asks as a kubelet does, under its own name.
async fn asks(world: &World, openssl: &PathBuf, name: &str, node: &str, names: &str) {
    let new =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/null", "-addext", names];
    let made =
        Command::new(openssl).args(new).args(["-subj", &format!("/O=system:nodes/CN=system:node:{node}")]).output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let body = json!({ "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": { "name": name }, "spec": {
        "signerName": "kubernetes.io/kubelet-serving", "usages": ["digital signature", "server auth"], "request": STANDARD.encode(made.stdout) } });
    let request = http::Request::post("/apis/certificates.k8s.io/v1/certificatesigningrequests")
        .header("Content-Type", "application/json")
        .header("Impersonate-User", format!("system:node:{node}"))
        .header("Impersonate-Group", "system:nodes")
        .body(serde_json::to_vec(&body).expect("JSON"))
        .expect("a request");
    world.by_hand().await.request::<serde_json::Value>(request).await.expect("taken");
}

#[tokio::test]
async fn what_a_kubelet_asks_for_itself_is_approved_and_nothing_else() {
    let Some([openssl]) = ask([&OPENSSL]) else { return };
    for minor in ["1.36", "1.37"] {
        let Some(server) = ApiServer::of_minor(minor) else { return };
        let mut world = world_with(server, None, Arc::new(SystemClock::default()));
        world.peers = world.peers.with::<Arc<dyn Reach>>(Arc::new(Shown));
        assert_eq!(shown(&world.plan(SCRIPT).await), "= kubernetes.kubelet_certificates/ubuntu");
        asks(&world, &openssl, "csr-own", "wu1", "subjectAltName=DNS:wu1,IP:10.10.10.121").await;
        let plan = "~ kubernetes.kubelet_certificates/ubuntu\n    certificate of wu1: asked for (csr-own) -> approved";
        assert_eq!(shown(&world.plan(SCRIPT).await), plan);
        world.run(SCRIPT).await;
        assert_eq!(world.plan(SCRIPT).await.changes(), 0);

        asks(&world, &openssl, "csr-other", "wu1", "subjectAltName=DNS:wu1,IP:10.10.10.116").await;
        let refused = shown(&world.plan(SCRIPT).await);
        let why = "! kubernetes.kubelet_certificates/ubuntu  (refused: requests for serving certificates are not approved: \
                   csr-other: the address 10.10.10.116 is not of wu1)";
        assert!(refused.starts_with(why), "{refused}");
        // One beside it that is right is approved all the same, and the other one is named again.
        asks(&world, &openssl, "csr-more", "cu1", "subjectAltName=DNS:cu1,IP:10.10.10.116").await;
        let report = ran(SCRIPT, &world.peers).await;
        let failed: String = report.failures.iter().map(|(id, error)| format!("{id}: {error}")).collect();
        assert!(failed.contains("csr-other: the address 10.10.10.116 is not of wu1"), "{failed}");
        let requests: Api<CertificateSigningRequest> = Api::all(world.by_hand().await);
        for (name, expected) in [("csr-own", "Approved"), ("csr-more", "Approved"), ("csr-other", "")] {
            let conditions = requests.get(name).await.expect("there").status.and_then(|status| status.conditions).unwrap_or_default();
            let told: String = conditions.iter().map(|one| one.type_.clone()).collect();
            assert_eq!(told, expected, "{name}");
            assert!(conditions.iter().all(|one| one.reason.as_deref() == Some("KthwPolicy")), "{conditions:?}");
        }
    }
}
