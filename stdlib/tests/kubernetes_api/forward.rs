//! A block in a Corefile on a real API server: made, put back, kept apart from what others write, and gone.
use super::*;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

const FORWARD: &str = r#"dns::forward(cluster, #{ zones: #{ "bevz.net": ["10.10.10.100"] } });"#;
const GONE: &str = r#"dns::forward(cluster, #{ present: false, zones: #{ "bevz.net": ["10.10.10.100"] } });"#;
const OF_KUBEADM: &str = ".:53 {\n    errors\n    forward . /etc/resolv.conf\n    reload\n}\n";

#[tokio::test]
async fn a_block_of_the_corefile_is_kept_and_what_is_around_it_is_left_alone() {
    let Some(world) = world() else { return };
    let maps: Api<ConfigMap> = Api::namespaced(world.by_hand().await, "kube-system");
    let missing = shown(&world.plan(FORWARD).await);
    assert!(missing.starts_with("! dns.forward/") && missing.contains("there is no ConfigMap kube-system/coredns"), "{missing}");

    let first = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "coredns" }, "data": { "Corefile": OF_KUBEADM, "more": "x" } });
    maps.create(&PostParams::default(), &serde_json::from_value(first).expect("an object")).await.expect("made");
    let corefile = async || maps.get("coredns").await.expect("there").data.expect("data")["Corefile"].clone();
    let write = async |text: &str| {
        let body = json!({ "data": { "Corefile": text } });
        maps.patch("coredns", &PatchParams::default(), &Patch::Merge(body)).await.expect("patched");
    };

    assert!(shown(&world.plan(FORWARD).await).ends_with("bevz.net: 10.10.10.100"), "{}", shown(&world.plan(FORWARD).await));
    assert_eq!(corefile().await, OF_KUBEADM, "a plan writes nothing");
    world.run(FORWARD).await;
    let ours = corefile().await;
    assert!(ours.starts_with(OF_KUBEADM) && ours.contains("bevz.net:53 {") && ours.ends_with("# END kthw\n"), "{ours}");
    assert_eq!(world.plan(FORWARD).await.changes(), 0);

    let around = format!("# mine\n{}example.org {{\n    whoami\n}}\n", ours.replace("reload", "reload 10s"));
    write(&around).await;
    assert_eq!(world.plan(FORWARD).await.changes(), 0, "what is around it is nobody's business here");
    write(&around.replace("forward . 10.10.10.100", "forward . 9.9.9.9")).await;
    let drift = shown(&world.plan(FORWARD).await);
    assert!(drift.contains("9.9.9.9") && drift.contains("10.10.10.100") && !drift.contains("whoami"), "{drift}");
    world.run(FORWARD).await;
    assert_eq!(corefile().await, around);

    let twice = format!("{around}bevz.net {{\n    whoami\n}}\n");
    write(&twice).await;
    let refused = shown(&world.plan(FORWARD).await);
    assert!(refused.starts_with("! dns.forward/") && refused.contains("serves bevz.net already"), "{refused}");
    write(&around).await;

    world.run(GONE).await;
    assert_eq!(corefile().await, format!("# mine\n{}example.org {{\n    whoami\n}}\n", OF_KUBEADM.replace("reload", "reload 10s")));
    assert_eq!(world.plan(GONE).await.changes(), 0);
    assert_eq!(maps.get("coredns").await.expect("there").data.expect("data")["more"], "x");
}
