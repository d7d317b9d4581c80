//! Roles, grants and service accounts in a real API server: made, kept, refused, gone; and what a group may do then.
use super::*;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

/// What `view` and `edit` are made of: a controller puts that together, and none runs here.
const RIGHTS: &str = r#"
    kubernetes::role(cluster, "restarts", #{ namespace: "default", rules: [
        #{ apiGroups: ["apps"], resources: ["deployments"], verbs: ["get", "patch"] },
    ] });
    kubernetes::grant(cluster, "viewers", #{ cluster_role: "system:aggregate-to-view", groups: ["viewers"] });
    kubernetes::grant(cluster, "restarts", #{ role: "restarts", namespace: "default", users: ["bob"] });
    let deployer = kubernetes::service_account(cluster, "default/deployer");
    kubernetes::grant(cluster, "deployer", #{ cluster_role: "system:aggregate-to-edit", namespace: "default", service_accounts: ["default/deployer"], needs: [deployer] });
"#;

/// Whether somebody may do something in `default`.
async fn may(client: &kube::Client, user: &str, group: &str, verb: &str, resource: (&str, &str)) -> bool {
    let attributes = ResourceAttributes {
        namespace: Some("default".into()),
        verb: Some(verb.into()),
        group: Some(resource.0.into()),
        resource: Some(resource.1.into()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.into()),
        groups: Some(vec![group.into()]),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    reviews.create(&PostParams::default(), &review).await.expect("reviewed").status.expect("an answer").allowed
}

#[tokio::test]
async fn rights_are_kept_and_taken_back() {
    let Some(world) = world() else { return };
    let client = world.by_hand().await;
    world.run(RIGHTS).await;
    assert_eq!(world.plan(RIGHTS).await.changes(), 0, "{}", shown(&world.plan(RIGHTS).await));
    for (user, group, verb, resource, want) in [
        ("alice", "viewers", "list", ("", "pods"), true),
        ("alice", "viewers", "delete", ("", "pods"), false),
        ("alice", "viewers", "get", ("", "secrets"), false),
        ("alice", "others", "list", ("", "pods"), false),
        ("bob", "others", "patch", ("apps", "deployments"), true),
        ("bob", "others", "delete", ("apps", "deployments"), false),
        ("system:serviceaccount:default:deployer", "system:serviceaccounts", "create", ("apps", "deployments"), true),
    ] {
        assert_eq!(may(&client, user, group, verb, resource).await, want, "{user} {group} {verb} {resource:?}");
    }

    let other = RIGHTS.replace(r#"cluster_role: "system:aggregate-to-view""#, r#"cluster_role: "system:aggregate-to-edit""#);
    let refused = shown(&world.plan(&other).await);
    assert!(
        refused.contains("! kubernetes.grant/viewers")
            && refused.contains("roleRef.name: system:aggregate-to-view -> system:aggregate-to-edit"),
        "{refused}"
    );

    let gone = RIGHTS.replace("groups: [\"viewers\"] }", "groups: [\"viewers\"], present: false }");
    world.run(&gone).await;
    assert!(!may(&client, "alice", "viewers", "list", ("", "pods")).await);
    assert_eq!(world.plan(&gone).await.changes(), 0);
}
