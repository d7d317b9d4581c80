//! Whose cordon a node has, and what is done about it.
use super::*;

/// A node with this mark, cordoned by this field manager.
fn node(mark: Option<&str>, cordoned_by: Option<&str>) -> NodeState {
    let annotations = mark.map_or(json!({}), |mark| json!({ CORDONED: mark }));
    let mut object = json!({ "metadata": { "resourceVersion": "7", "annotations": annotations }, "spec": {} });
    if let Some(manager) = cordoned_by {
        object["spec"]["unschedulable"] = json!(true);
        let fields = json!({ "f:spec": { "f:unschedulable": {} } });
        let kubelet = json!({ "manager": "kubelet", "operation": "Update", "fieldsV1": { "f:status": {} } });
        object["metadata"]["managedFields"] = json!([kubelet, { "manager": manager, "operation": "Update", "fieldsV1": fields }]);
    }
    NodeState::of(&object)
}

#[test]
fn only_what_carries_our_mark_and_was_cordoned_by_us_is_ours() {
    let cordon = |mark, by| node(mark, by).cordon;
    assert_eq!((cordon(None, None), cordon(None, Some("kubectl-cordon"))), (Cordon::None, Cordon::Foreign));
    assert_eq!(cordon(Some("a restart"), Some("kthw")), Cordon::Ours(Purpose::Restart));
    assert_eq!(cordon(Some("its removal"), Some("kthw")), Cordon::Ours(Purpose::Removal));
    // Uncordoned by somebody who left the mark, and cordoned by them later.
    assert_eq!((cordon(Some("a restart"), None), cordon(Some("a restart"), Some("kubectl-cordon"))), (Cordon::None, Cordon::Foreign));
    assert_eq!(cordon(Some("something else"), Some("kthw")), Cordon::Foreign);
    // A server that does not say who did it.
    let plain = json!({ "metadata": { "annotations": { CORDONED: "a restart" } }, "spec": { "unschedulable": true } });
    assert_eq!(NodeState::of(&plain).cordon, Cordon::Ours(Purpose::Restart));
}

#[test]
fn a_node_is_cordoned_once_and_uncordoned_for_what_it_was_cordoned_for() {
    use Purpose::{Removal, Restart};
    let patch =
        |why| json!({ "metadata": { "resourceVersion": "7", "annotations": { CORDONED: why } }, "spec": { "unschedulable": true } });
    let (free, left) = (node(None, None), node(Some("a restart"), None));
    let (ours, leaving) = (node(Some("a restart"), Some("kthw")), node(Some("its removal"), Some("kthw")));
    let (foreign, stale) = (node(None, Some("x")), node(Some("a restart"), Some("x")));
    assert_eq!([&free, &left].map(|node| node.cordoned(Restart)), [Some(patch("a restart")), Some(patch("a restart"))]);
    assert_eq!([&ours, &leaving, &foreign, &stale].map(|node| node.cordoned(Restart)), [None, None, None, None]);
    assert_eq!([&ours, &leaving, &foreign].map(|node| node.cordoned(Removal)), [Some(patch("its removal")), None, None]);

    let metadata = json!({ "resourceVersion": "7", "annotations": { CORDONED: null } });
    assert_eq!(ours.uncordoned(Restart), Some(json!({ "metadata": metadata, "spec": { "unschedulable": null } })));
    assert_eq!([&leaving, &free, &foreign].map(|node| node.uncordoned(Restart)), [None, None, None]);
    assert_eq!(
        [&left, &stale].map(|node| node.uncordoned(Restart)),
        [Some(json!({ "metadata": metadata })), Some(json!({ "metadata": metadata }))]
    );
}
