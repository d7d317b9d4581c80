//! Add-ons on a real API server: releases one after the other, webhooks that nobody answers, and an end without a trace.
use super::*;
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::ValidatingWebhookConfiguration,
        apps::v1::{DaemonSet, Deployment},
        core::v1::{Namespace, NamespaceSpec, Secret},
    },
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Says what controllers and kubelets would, until it is dropped: everything that is applied runs.
pub struct AllRuns(tokio::task::JoinHandle<()>);

impl AllRuns {
    pub fn with(client: kube::Client) -> Self {
        Self(tokio::spawn(async move {
            loop {
                for one in Api::<Deployment>::all(client.clone()).list(&ListParams::default()).await.into_iter().flatten() {
                    let wanted = one.spec.and_then(|spec| spec.replicas).unwrap_or(1);
                    let status = json!({ "observedGeneration": one.metadata.generation, "replicas": wanted, "updatedReplicas": wanted,
                        "readyReplicas": wanted, "availableReplicas": wanted });
                    let own: Api<Deployment> = Api::namespaced(client.clone(), one.metadata.namespace.as_deref().unwrap_or_default());
                    let name = one.metadata.name.unwrap_or_default();
                    let _ = own.patch_status(&name, &PatchParams::default(), &merge(status)).await;
                }
                for one in Api::<DaemonSet>::all(client.clone()).list(&ListParams::default()).await.into_iter().flatten() {
                    let status = json!({ "observedGeneration": one.metadata.generation, "currentNumberScheduled": 0,
                        "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0 });
                    let own: Api<DaemonSet> = Api::namespaced(client.clone(), one.metadata.namespace.as_deref().unwrap_or_default());
                    let name = one.metadata.name.unwrap_or_default();
                    let _ = own.patch_status(&name, &PatchParams::default(), &merge(status)).await;
                }
                for one in Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await.into_iter().flatten() {
                    if one.metadata.deletion_timestamp.is_some() {
                        empty_and_end(&client, one).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }))
    }
}

impl Drop for AllRuns {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the controller of namespaces does: everything in it goes, then it may go itself.
async fn empty_and_end(client: &kube::Client, mut namespace: Namespace) {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &name);
    let _ = secrets.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    namespace.spec = Some(NamespaceSpec { finalizers: Some(Vec::new()) });
    let _ = Api::<Namespace>::all(client.clone()).replace_subresource("finalize", &name, &PostParams::default(), &namespace).await;
}

fn merge(status: Value) -> Patch<Value> {
    Patch::Merge(json!({ "status": status }))
}

/// The certificate of the cluster's authority, as PEM: one that can be read.
fn authority(world: &World) -> Vec<u8> {
    let kubeconfig = kube::config::Kubeconfig::read_from(&world.server.kubeconfig).expect("a kubeconfig");
    let cluster = kubeconfig.clusters[0].cluster.clone().expect("a cluster");
    match (cluster.certificate_authority_data, cluster.certificate_authority) {
        (Some(data), _) => serde_json::from_value::<ByteString>(Value::String(data)).expect("base64").0,
        (None, Some(file)) => std::fs::read(file).expect("a file"),
        (None, None) => panic!("the kubeconfig has no authority"),
    }
}

/// The releases whose bytes are in the test data, one after the other, and then none.
#[tokio::test]
async fn metallb_is_upgraded_from_release_to_release_and_goes() {
    let Some(world) = world_with_artifacts() else { return };
    let _runs = AllRuns::with(world.by_hand().await);
    let in_version = |version: &str| format!(r#"metallb::controller(cluster, #{{ version: "{version}" }});"#);
    let secrets: Api<Secret> = Api::namespaced(world.by_hand().await, "metallb-system");
    for version in ["0.14.3", "0.14.5", "0.14.8"] {
        world.run(&in_version(version)).await;
        assert_eq!(shown(&world.plan(&in_version(version)).await), "= metallb.controller/ubuntu");
        let renamed = secrets.get_opt("webhook-server-cert").await.expect("read").is_some();
        assert_eq!(renamed, version == "0.14.3", "what a newer release has no more is gone: {version}");
    }
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.by_hand().await);
    let mut own = webhooks.get("metallb-webhook-configuration").await.expect("there");
    for webhook in own.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = Some(ByteString(authority(&world)));
    }
    webhooks.replace("metallb-webhook-configuration", &PostParams::default(), &own).await.expect("replaced");
    assert_eq!(shown(&world.plan(&in_version("0.14.8")).await), "= metallb.controller/ubuntu", "an authority of its own is no drift");

    let gone = "metallb::controller(cluster, #{ present: false });";
    assert_eq!(shown(&world.plan(gone).await), "- metallb.controller/ubuntu");
    world.run(gone).await;
    assert_eq!(shown(&world.plan(gone).await), "", "there is nothing left to say");
    assert!(webhooks.get_opt("metallb-webhook-configuration").await.expect("read").is_none());
}

/// A cluster in which nothing answers for MetalLB: what it would refuse cannot be known, so nothing is written.
#[tokio::test]
async fn a_webhook_that_nobody_answers_ends_a_run_in_time_and_explains() {
    let Some(world) = world_with_clock(Arc::new(Hurried(SystemClock::default()))) else { return };
    let _runs = AllRuns::with(world.by_hand().await);
    let script = r#"let controller = metallb::controller(cluster, #{ version: "0.14.8" });
        metallb::addresses(cluster, #{ pools: [#{ name: "lan", addresses: ["10.10.10.200-10.10.10.220"] }], needs: [controller] });"#;
    let report = ran(script, &world.peers).await;
    let failed = report.failures.iter().map(|(id, error)| format!("{id}: {error}")).collect::<String>();
    assert!(
        failed.starts_with("metallb.addresses/ubuntu: waited 120 s for the API server and its webhooks to accept IPAddressPool"),
        "{failed}"
    );
    assert!(failed.contains("failed calling webhook \"ipaddresspoolvalidationwebhook.metallb.io\""), "{failed}");
    assert_eq!(shown(&world.plan(script).await).lines().nth(1), Some("+ metallb.addresses/ubuntu"), "nothing of it was written");
    // Somebody takes the webhooks away, and they are back with the next run.
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.by_hand().await);
    webhooks.delete("metallb-webhook-configuration", &Default::default()).await.expect("deleted");
    let addresses = r#"metallb::addresses(cluster, #{ pools: [#{ name: "lan", addresses: ["10.10.10.200-10.10.10.220"] }] });"#;
    world.run(addresses).await;
    assert_eq!(shown(&world.plan(addresses).await), "= metallb.addresses/ubuntu");
    let other = addresses.replace("name: \"lan\"", "name: \"other\"");
    let plan = shown(&world.plan(&other).await);
    assert!(plan.contains("IPAddressPool metallb-system/lan: of before -> absent"), "{plan}");
    world.run(&other).await;
    assert_eq!(shown(&world.plan(&other).await), "= metallb.addresses/ubuntu");
    let all_gone = "metallb::addresses(cluster, #{ present: false });";
    world.run(all_gone).await;
    assert_eq!(shown(&world.plan(all_gone).await), "", "there is nothing left to say");
}

/// A clock on which waits pass sixty times as fast.
struct Hurried(SystemClock);

impl Clock for Hurried {
    fn now(&self) -> Duration {
        self.0.now() * 60
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        self.0.sleep(span / 60)
    }
}
