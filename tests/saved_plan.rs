//! `--dry-run -o FILE` and `--plan FILE` with the real binary: what is kept, what it is carried out as, and what is refused.
use crate::support::{Said, Sandbox, root};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A sandbox with a workspace and recipes of one's own, and plans.
struct Desk {
    sandbox: Sandbox,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { sandbox: Sandbox::new() };
        copy(&root().join("recipes"), &desk.path("recipes"));
        std::fs::create_dir(desk.path("mine")).unwrap();
        std::fs::copy(root().join("workspaces/ubuntu/workspace.yaml"), desk.path("mine/workspace.yaml")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }

    fn kthw(&self, words: &[&str]) -> Said {
        let mut command = self.sandbox.command(words);
        crate::support::said(command.current_dir(self.sandbox.path()).output().unwrap())
    }

    /// Keeps the plan of a recipe of one's own in `plan.json`.
    fn keep(&self, recipe: &str, more: &[&str]) -> Said {
        self.kthw(&[&["run", recipe, "-w", "mine", "--lab", "--dry-run", "-o", "plan.json"], more].concat())
    }

    fn carry_out(&self) -> Said {
        self.kthw(&["run", "--plan", "plan.json"])
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    fn world(&self) -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(self.path("store/ubuntu/lab.json")).unwrap()).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for path in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { std::fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

const MACHINES: &str = "recipes/phases/machines.rhai";

#[test]
fn a_plan_that_was_kept_is_carried_out_once_with_all_that_was_asked_for() {
    let desk = Desk::new();
    let planned = desk.keep(MACHINES, &["--set", "machine.cores=4", "--node", "wu1", "--only", "phases/template"]).ended_with(0);
    assert!(planned.stderr.contains("The plan is kept in plan.json; `kthw run --plan plan.json` carries it out."), "{}", planned.stderr);
    assert_eq!(desk.path("plan.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(desk.path("plan.json")).unwrap();

    // Without a change, as often as one likes.
    let looked = desk.kthw(&["run", "--plan", "plan.json", "--dry-run", "--exit-code"]).ended_with(10);
    assert!(looked.stdout.contains("Plan: 3 to create"), "{}", looked.stdout);
    assert_eq!(desk.world()["writes"], 0);

    let done = desk.carry_out().ended_with(0);
    assert!(done.stdout.contains("Done: 3 changed"), "{}", done.stdout);
    let vms = desk.world()["pve"]["vms"].clone();
    assert_eq!(vms.as_object().unwrap().keys().collect::<Vec<_>>(), ["421", "9420"]);
    assert_eq!(vms["421"]["config"]["cores"], "4");
    assert_eq!(std::fs::read_to_string(desk.path("plan.json")).unwrap(), text);

    let before = desk.world()["writes"].clone();
    let again = desk.carry_out().ended_with(1);
    assert!(again.stdout.is_empty(), "{}", again.stdout);
    let shown = again.stderr.split_once("kthw::plan::moved").unwrap().1;
    expect_test::expect![[r#"
        × plan.json is not carried out: what it was made of moved
          │   proxmox.template/tpl-ubuntu-2404-k8s: was to be created, is there now and as wanted
          │   proxmox.vm/wu1: was to be created, is there now and as wanted
          │   and 1 resource that needs one of these
          help: nothing was changed; make the plan anew with `--dry-run -o`, and look at it
    "#]]
    .assert_eq(&format!("{}\n", shown.trim()));
    assert_eq!(desk.world()["writes"], before);
}

#[test]
fn recipes_and_workspace_are_those_of_the_plan_or_nobody_is_asked() {
    let desk = Desk::new();
    desk.keep(MACHINES, &[]).ended_with(0);
    let world = std::fs::read(desk.path("store/ubuntu/lab.json")).unwrap();
    desk.edit("mine/workspace.yaml", "cores: 2", "cores: 8");
    desk.edit("recipes/phases/template.rhai", "1.1.0", "1.1.1");
    desk.edit(MACHINES, "\"k8s\"", "\"k9s\"");
    let refused = desk.carry_out().ended_with(1);
    for fact in [
        "recipe phases/template: 1.1.0 -> 1.1.1",
        "recipe phases/machines 1.1.0: its text is another one",
        "workspace: machine.cores 2 -> 8",
    ] {
        assert!(refused.stderr.contains(fact), "{}", refused.stderr);
    }
    assert_eq!(std::fs::read(desk.path("store/ubuntu/lab.json")).unwrap(), world, "the lab was asked");
    // How a file is set out is no difference.
    desk.edit("mine/workspace.yaml", "cores: 8", "cores: 2 # as before");
    desk.edit("recipes/phases/template.rhai", "1.1.1", "1.1.0");
    desk.edit(MACHINES, "\"k9s\"", "\"k8s\"");
    desk.carry_out().ended_with(0);
}

#[test]
fn the_guide_works_as_it_is_written() {
    let guide = std::fs::read_to_string(root().join("docs/guides/saved-plans.md")).unwrap();
    let desk = Desk::new();
    let calls = guide.lines().filter_map(|line| line.strip_prefix("$ kthw "));
    let calls: Vec<Vec<&str>> = calls.map(|call| call.split(" # ").next().unwrap().split_whitespace().collect()).collect();
    assert_eq!(calls.len(), 4);
    for call in calls {
        desk.kthw(&call).ended_with(0);
    }
}

#[test]
fn in_json_a_plan_that_moved_is_one_error_with_its_facts() {
    let desk = Desk::new();
    desk.keep(MACHINES, &["--json"]).ended_with(0);
    desk.carry_out().ended_with(0);
    let said = desk.kthw(&["run", "--plan", "plan.json", "--json"]).ended_with(1);
    let last: serde_json::Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((last["event"].as_str(), last["code"].as_str()), (Some("error"), Some("kthw::plan::moved")));
    assert!(last["message"].as_str().unwrap().contains("\n  proxmox.template/"), "{last}");
    assert!(!said.stdout.contains("\"planned\""), "what is not carried out is not announced");
}

#[test]
fn what_cannot_be_a_plan_is_said_with_a_next_step() {
    let desk = Desk::new();
    desk.keep(MACHINES, &[]).ended_with(0);
    let text = std::fs::read_to_string(desk.path("plan.json")).unwrap();
    let file = |name: &str, text: &str| std::fs::write(desk.path(name), text).unwrap();
    file("empty.json", "");
    file("half.json", &text[..text.len() / 2]);
    file("other.json", r#"{ "format_version": "1.2" }"#);
    file("edited.json", &text.replacen("\"2\"", "\"64\"", 1));
    file("newer.json", &text.replacen("\"kthw_plan\": 1", "\"kthw_plan\": 2", 1));
    std::fs::write(desk.path("binary.json"), [0xff, 0xfe, 0]).unwrap();
    for (name, expected) in [
        ("nowhere.json", "cannot read the plan nowhere.json"),
        ("mine", "cannot read the plan mine"),
        ("empty.json", "empty.json is not JSON"),
        ("half.json", "half.json is not JSON"),
        ("binary.json", "binary.json is not JSON"),
        ("other.json", "other.json is no plan of kthw"),
        ("edited.json", "edited.json was changed after it was made"),
        ("newer.json", "newer.json is a plan of form 2"),
    ] {
        let said = desk.kthw(&["run", "--plan", name]).ended_with(2);
        assert!(said.stderr.contains(expected) && said.stderr.contains("help:"), "{name}: {}", said.stderr);
    }
}

#[test]
fn what_contradicts_a_plan_and_what_is_no_place_for_one_is_refused() {
    let desk = Desk::new();
    desk.keep(MACHINES, &[]).ended_with(0);
    for more in [
        &[MACHINES][..],
        &["-w", "mine"],
        &["--set", "machine.cores=4"],
        &["--lab"],
        &["--only", "phases/template"],
        &["--node", "wu1"],
        &["--prune"],
        &["--max-destroy", "3"],
        &["--dry-run", "-o", "other.json"],
    ] {
        let said = desk.kthw(&[&["run", "--plan", "plan.json"], more].concat()).ended_with(2);
        assert!(said.stderr.contains("cannot be used with"), "{more:?}: {}", said.stderr);
    }
    for wrong in [&["run"][..], &["run", MACHINES, "--lab", "-o", "other.json"], &["destroy"]] {
        desk.kthw(wrong).ended_with(2);
    }
    std::os::unix::fs::symlink("plan.json", desk.path("link.json")).unwrap();
    for place in ["nowhere/plan.json", "/dev/null", "mine", "link.json"] {
        let said = desk.kthw(&["run", MACHINES, "-w", "mine", "--lab", "--dry-run", "-o", place]).ended_with(2);
        assert!(said.stderr.contains(&format!("cannot write the plan to {place}")), "{}", said.stderr);
    }
    assert!(desk.path("link.json").is_symlink() && !desk.path("other.json").exists());
}

#[test]
fn what_may_not_be_carried_out_is_not_kept() {
    let desk = Desk::new();
    desk.kthw(&["run", MACHINES, "-w", "mine", "--lab"]).ended_with(0);
    let text = std::fs::read_to_string(desk.path("mine/workspace.yaml")).unwrap();
    let fewer: Vec<&str> = text.lines().filter(|line| !line.contains("name: wu2,")).collect();
    std::fs::write(desk.path("mine/workspace.yaml"), fewer.join("\n")).unwrap();
    desk.keep(MACHINES, &["--prune", "--max-destroy", "0"]).ended_with(1);
    assert!(!desk.path("plan.json").exists());

    desk.keep(MACHINES, &["--prune", "--max-destroy", "1"]).ended_with(0);
    let pruned = desk.carry_out().ended_with(0);
    assert!(pruned.stdout.contains("1 changed"), "{}", pruned.stdout);
    assert_eq!(desk.world()["pve"]["vms"].as_object().unwrap().keys().collect::<Vec<_>>(), ["401", "421", "9420"]);
    let again = desk.carry_out().ended_with(1);
    assert!(again.stderr.contains("proxmox.vm/wu2: was to be removed, is not in the plan now"), "{}", again.stderr);
}

#[test]
fn a_plan_to_destroy_is_carried_out_by_destroy_alone_and_after_the_word() {
    let desk = Desk::new();
    let production = ["--set", "environment=production"];
    let kthw = |words: &[&str]| desk.kthw(&[words, &["-w", "mine", "--lab"], &production].concat());
    kthw(&["run", MACHINES]).ended_with(0);
    let kept = kthw(&["destroy", MACHINES, "--dry-run", "-o", "gone.json"]).ended_with(0);
    assert!(kept.stderr.contains("`kthw destroy --plan gone.json` carries it out"), "{}", kept.stderr);
    let other = desk.kthw(&["run", "--plan", "gone.json"]).ended_with(2);
    assert!(other.stderr.contains("gone.json is a plan of `kthw destroy`"), "{}", other.stderr);
    let once = desk.kthw(&["destroy", "--plan", "gone.json", "--confirm", "ubuntu"]).ended_with(2);
    assert!(once.stderr.contains("--confirm production"), "{}", once.stderr);
    assert_eq!(desk.world()["pve"]["vms"].as_object().unwrap().len(), 4);
    let sure = ["destroy", "--plan", "gone.json", "--confirm", "ubuntu", "--confirm", "production"];
    let gone = desk.kthw(&sure).ended_with(0);
    assert!(gone.stdout.contains("4 changed"), "{}", gone.stdout);
    let again = desk.kthw(&sure).ended_with(1);
    assert!(again.stderr.contains("proxmox.vm/wu2: was to be removed, is gone now"), "{}", again.stderr);

    desk.keep(MACHINES, &[]).ended_with(0);
    let other = desk.kthw(&["destroy", "--plan", "plan.json"]).ended_with(2);
    assert!(other.stderr.contains("plan.json is a plan of `kthw run`"), "{}", other.stderr);
}
