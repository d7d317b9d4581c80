//! What a plan says of a restart.
use super::*;
use expect_test::{Expect, expect};

pub(super) fn resource() -> NodeRestarted {
    let workspace: Workspace = serde_saphyr::from_str(include_str!("../../../workspaces/ubuntu/workspace.yaml")).expect("a workspace");
    let node = workspace.nodes[1].clone();
    NodeRestarted { place: Place::of(&workspace).ok(), workspace: Arc::new(workspace), node, options: DrainOptions::default() }
}

fn live() -> LiveRestart {
    LiveRestart { machine: Vec::new(), system: Vec::new(), in_vain: Vec::new(), boot_id: "b1".into(), member: None }
}

fn check(live: &LiveRestart, expected: &Expect) {
    let change = resource().diff(Some(live));
    let fields: Vec<String> = change.fields().iter().map(ToString::to_string).collect();
    let why = if let Change::Refused(Refusal { why, .. }) = &change { format!("  ({why})") } else { String::new() };
    expected.assert_eq(&format!("{}{why}\n{}", change.mark(), fields.join("\n")));
}

#[test]
fn a_restart_is_planned_only_where_one_is_needed() {
    assert_eq!(resource().diff(None), Change::None);
    check(&live(), &expect!["=\n"]);
    let member = |cordon, outlook| Some(Member { cordon, outlook });
    check(&LiveRestart { member: member(Cordon::Foreign, Outlook::default()), ..live() }, &expect!["=\n"]);
    let asked =
        LiveRestart { machine: vec!["cores".into(), "memory".into()], system: vec!["/run/reboot-required is there".into()], ..live() };
    check(
        &asked,
        &expect![[r#"
        ~
        restart: needed (waiting in Proxmox: cores, memory; /run/reboot-required is there) -> done"#]],
    );
    let held = Outlook {
        goes: 2,
        held: vec!["default/web-1 (the disruption budget default/web needs 2 healthy pods and has 2)".into()],
        ..Outlook::default()
    };
    check(
        &LiveRestart { member: member(Cordon::Ours(Purpose::Restart), held), ..asked.clone() },
        &expect![[r#"
        ~
        restart: needed (waiting in Proxmox: cores, memory; /run/reboot-required is there) -> done, with 2 pods evicted before; held at the moment: default/web-1 (the disruption budget default/web needs 2 healthy pods and has 2)
        cordoned: by kthw, for a restart that it did not finish -> no"#]],
    );
}

#[test]
fn a_node_that_kthw_left_cordoned_is_not_done() {
    let left = LiveRestart { member: Some(Member { cordon: Cordon::Ours(Purpose::Restart), outlook: Outlook::default() }), ..live() };
    check(
        &left,
        &expect![[r#"
        ~
        cordoned: by kthw, for a restart that it did not finish -> no"#]],
    );
}

#[test]
fn pods_that_nobody_would_start_again_refuse_a_restart_before_anything_is_done() {
    let outlook = Outlook { refused: vec![("default/debug".into(), "force")], ..Outlook::default() };
    let member = Some(Member { cordon: Cordon::None, outlook });
    check(&LiveRestart { member: member.clone(), ..live() }, &expect!["=\n"]);
    check(
        &LiveRestart { system: vec!["/run/reboot-required is there".into()], member, ..live() },
        &expect![[r#"
        !  (wu1 cannot be drained: nothing would start default/debug again)
        restart: needed (/run/reboot-required is there) -> done"#]],
    );
}

#[test]
fn what_a_restart_did_not_help_against_is_refused_and_not_done_again() {
    let kernel = || vec!["kernel 6.8.0-60-generic is installed, 6.8.0-50-generic runs".to_owned()];
    check(
        &LiveRestart { in_vain: kernel(), ..live() },
        &expect![[r#"
        !  (wu1 was restarted before, which did not help: kernel 6.8.0-60-generic is installed, 6.8.0-50-generic runs)
        restart: kernel 6.8.0-60-generic is installed, 6.8.0-50-generic runs -> done"#]],
    );
    // Anything else is still done, and what was begun is finished.
    check(
        &LiveRestart { in_vain: kernel(), machine: vec!["cores".into()], ..live() },
        &expect![[r#"
        ~
        restart: needed (waiting in Proxmox: cores) -> done"#]],
    );
    let member = Some(Member { cordon: Cordon::Ours(Purpose::Restart), outlook: Outlook::default() });
    check(
        &LiveRestart { in_vain: kernel(), member, ..live() },
        &expect![[r#"
        ~
        cordoned: by kthw, for a restart that it did not finish -> no"#]],
    );
}
