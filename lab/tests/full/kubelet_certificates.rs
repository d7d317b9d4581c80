//! Serving certificates of kubelets in a cluster that was made without them, a stranger's request beside them, and their renewal.
use super::{FULL, Lab, changes, failures};
use crate::nodes::{built, put};
use serde_json::json;

const SERVING: [&str; 1] = ["kubeadm.kubelet_serving_certificates=true"];
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How many requests there are, and how many of them were approved.
fn requests(lab: &Lab) -> (usize, usize) {
    lab.world.with_state(|state| {
        let all = state.clusters[0].objects.iter().filter(|(key, _)| key.starts_with("certificates.k8s.io|"));
        let approved = |value: &serde_json::Value| value["status"]["conditions"][0]["type"] == "Approved";
        let approved: Vec<bool> = all.map(|(_, object)| approved(&object.value)).collect();
        (approved.len(), approved.iter().filter(|one| **one).count())
    })
}

#[tokio::test(start_paused = true)]
async fn kubelets_are_told_to_ask_and_what_they_ask_for_is_approved() {
    let lab = built("serving").await;
    let serving = Lab::changed("serving-on", lab.world.clone(), &SERVING);
    let plan = serving.plan(FULL).await.to_string();
    assert!(plan.contains("kubelet serverTLSBootstrap: false -> true"), "{plan}");
    assert!(plan.contains("kubernetes.kubelet_certificates/ubuntu"), "{plan}");
    assert_eq!(requests(&lab), (0, 0), "a plan has nobody ask");
    assert_eq!(failures(&serving.apply(FULL).await), "");
    let nodes = lab.world.with_state(|state| state.clusters[0].members.len());
    assert_eq!(requests(&lab), (nodes, nodes));
    assert_eq!(changes(&serving.plan(FULL).await), Vec::<String>::new());

    // They ask anew well before the end, and the next run approves that.
    lab.world.with_state(|state| state.now_ms += 300 * DAY_MS);
    let plan = serving.plan(FULL).await.to_string();
    assert!(plan.contains("certificate of wu1: asked for (csr-wu1-") && plan.contains(") -> approved"), "{plan}");
    assert_eq!(failures(&serving.apply(FULL).await), "");
    assert_eq!(requests(&lab), (2 * nodes, 2 * nodes));
    assert_eq!(changes(&serving.plan(FULL).await), Vec::<String>::new());
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_s_request_is_named_and_never_approved() {
    let lab = built("serving-stranger").await;
    let serving = Lab::changed("serving-stranger-on", lab.world.clone(), &SERVING);
    let spec = json!({ "signerName": "kubernetes.io/kubelet-serving", "username": "system:node:wu9", "groups": ["system:nodes"],
        "usages": ["digital signature", "server auth"], "request": "" });
    put(
        &lab,
        "certificates.k8s.io",
        "certificatesigningrequests",
        json!({ "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest", "metadata": { "name": "stranger" }, "spec": spec, "status": {} }),
    );
    let why = "stranger: `system:node:wu9` asks for it, and the workspace has no node `wu9`";
    let failed = failures(&serving.apply(FULL).await);
    assert!(failed.contains(why), "{failed}");
    let (asked, approved) = requests(&lab);
    assert_eq!(approved, asked - 1, "the kubelets' own are approved all the same");
    let plan = serving.plan(FULL).await.to_string();
    assert!(plan.contains("! kubernetes.kubelet_certificates/ubuntu") && plan.contains(why), "{plan}");
}
