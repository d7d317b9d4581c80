//! Add-ons: they go with their names, not with what others made of their kinds, and their webhooks are waited for.
use super::{FULL, Lab, changes, failures};
use crate::nodes::{built, put};
use serde_json::json;

const WITHOUT: [&str; 2] = ["metallb=null", "traefik=null"];
/// What the phase says of the addresses, by itself.
const ADDRESSES: &str = "for node in cluster.nodes { ssh::node(node); }
    kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
        pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });
    metallb::addresses(cluster, #{ pools: [#{ name: \"lan\", addresses: [\"10.10.10.200-10.10.10.202\"] }] });";

/// The keys of all objects that have to do with one of them.
fn left(lab: &Lab) -> Vec<String> {
    let ours = |key: &&String| key.contains("metallb") || key.contains("traefik");
    lab.world.with_state(|state| state.clusters[0].objects.keys().filter(ours).cloned().collect())
}

#[tokio::test(start_paused = true)]
async fn what_the_workspace_names_no_longer_goes() {
    let lab = built("add-ons-gone").await;
    let without = Lab::changed("add-ons-without", lab.world.clone(), &WITHOUT);
    let plan = without.plan(FULL).await;
    assert_eq!(
        changes(&plan),
        ["delete metallb.controller/ubuntu ", "delete metallb.addresses/ubuntu ", "delete traefik.controller/ubuntu "]
    );
    assert!(left(&lab).len() > 15, "{:?}", left(&lab));
    assert_eq!(failures(&without.apply(FULL).await), "");
    assert_eq!(left(&lab), Vec::<String>::new());
    assert_eq!(changes(&without.plan(FULL).await), Vec::<String>::new());
    // A cluster that never had one of them has nothing to do with it.
    let never = Lab::changed("add-ons-never", kthw_lab::World::default(), &WITHOUT);
    let plan = never.plan(FULL).await.to_string();
    assert!(!plan.contains("+ metallb") && !plan.contains("+ traefik"), "{plan}");
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_others_made_of_its_kinds_keeps_an_add_on() {
    let lab = built("add-ons-kept").await;
    let own = json!({ "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": { "name": "own", "namespace": "metallb-system" } });
    put(&lab, "metallb.io", "ipaddresspools", own);
    let by_a_controller = json!({ "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": { "name": "made",
        "namespace": "metallb-system", "ownerReferences": [{ "kind": "Pod", "name": "speaker-1" }] } });
    put(&lab, "metallb.io", "ipaddresspools", by_a_controller);
    let without = Lab::changed("add-ons-kept-without", lab.world.clone(), &WITHOUT);
    let plan = without.plan(FULL).await.to_string();
    assert!(
        plan.contains("! metallb.controller/ubuntu") && plan.contains("IPAddressPool metallb-system/own would go with its definitions"),
        "{plan}"
    );
    assert!(plan.contains("- metallb.addresses/ubuntu") && !plan.contains("metallb-system/made"), "{plan}");
    without.apply(FULL).await;
    let has = |name: &str| left(&lab).iter().any(|key| key.ends_with(name));
    assert!(has("|own") && has("|controller") && !has("|lan"), "{:?}", left(&lab));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_without_a_pod_is_waited_for_and_nothing_is_half_done() {
    let lab = built("add-ons-webhook").await;
    let controller = "apps|deployments|metallb-system|controller";
    let taken = lab.world.with_state(|state| state.clusters[0].objects.remove(controller).unwrap());
    let began_ms = lab.world.with_state(|state| state.now_ms);
    let writes = lab.world.writes();
    let failed = failures(&lab.apply_text(ADDRESSES).await);
    let waited_ms = lab.world.with_state(|state| state.now_ms) - began_ms;
    assert!(failed.contains("failed calling webhook") && failed.contains("to accept IPAddressPool metallb-system/lan"), "{failed}");
    assert!((100_000..140_000).contains(&waited_ms), "{waited_ms} ms");
    assert_eq!(lab.world.writes(), writes, "nothing was written");
    lab.world.with_state(|state| state.clusters[0].objects.insert(controller.into(), taken));
    assert_eq!(failures(&lab.apply_text(ADDRESSES).await), "");
    assert_eq!(changes(&lab.plan_text(ADDRESSES).await), Vec::<String>::new());
}
