//! Every recipe in the lab: a dry run writes nothing; apply; again: nothing to change. And every doc comment's example.
use crate::support::{Sandbox, root};

/// Every shipped recipe with the workspace that it is tried on.
fn recipes() -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root().join("recipes")).unwrap().map(|entry| entry.unwrap().path()) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let recipe = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            let workspace = if recipe.contains("load-balancer") || recipe.contains("validate-edge") { "edge" } else { "ubuntu" };
            found.push((recipe, workspace));
        }
    }
    found.sort();
    assert!(found.len() >= 9);
    found
}

#[test]
fn every_recipe_plans_without_writing_applies_and_settles() {
    for (recipe, workspace) in recipes() {
        let sandbox = Sandbox::new();
        let world = sandbox.path().join("store").join(workspace).join("lab.json");
        // What the workspace does not name has nothing to do.
        let set: &[&str] = match recipe.as_str() {
            "recipes/phases/dns.rhai" => &["--set", PIHOLE],
            "recipes/phases/firewall.rhai" => &["--set", "firewall={}"],
            _ => &[],
        };
        let kthw = |more: &[&str]| sandbox.kthw(&[&["run", &recipe, "-w", workspace, "--lab"], set, more].concat());

        // Operations work on a cluster that is there.
        let operation = recipe.starts_with("recipes/operations/");
        if operation {
            sandbox.kthw(&["run", "recipes/ubuntu/full.rhai", "-w", workspace, "--lab", "--yes"]).ended_with(0);
            // Something that takes a restart to take effect.
            let more = ["run", "recipes/phases/machines.rhai", "-w", workspace, "--lab", "--yes", "--set", "machine.cores=4"];
            let said = sandbox.kthw(&more).ended_with(0);
            let told = "Restart needed: cu1 (cores), wu1 (cores), wu2 (cores)\n  `kthw run recipes/operations/restart.rhai -w ubuntu` restarts them";
            assert!(said.stdout.contains(told), "{}", said.stdout);
        }
        let before = if operation { writes(&world) } else { 0 };
        let planned = kthw(&["--dry-run"]).ended_with(0);
        let announced = if operation { "to update" } else { "to create" };
        assert!(planned.stdout.contains(announced), "{recipe}\n{}", planned.stdout);
        assert_eq!(writes(&world), before, "{recipe}: a dry run wrote");
        assert_eq!(kthw(&["--dry-run", "--exit-code"]).code, 10, "{recipe}");

        let applied = kthw(&["--yes"]).ended_with(0);
        assert!(applied.stdout.contains("0 failed, 0 skipped"), "{recipe}\n{}", applied.stdout);
        let after = writes(&world);
        assert!(after > before, "{recipe}: nothing was written");

        let settled = kthw(&["--yes"]).ended_with(0);
        assert!(settled.stdout.contains("Nothing to change"), "{recipe}\n{}", settled.stdout);
        assert_eq!(kthw(&["--dry-run", "--exit-code"]).code, 0, "{recipe}");
        assert_eq!(writes(&world), after, "{recipe}: a settled run wrote");
        assert_eq!(unknown(&world), serde_json::json!([]), "{recipe}: the lab was asked for what it does not play");
    }
}

#[test]
fn a_recipe_is_taken_back_after_its_workspace_was_named() {
    let sandbox = Sandbox::new();
    let world = sandbox.path().join("store/ubuntu/lab.json");
    let destroy = |more: &[&str]| sandbox.kthw(&[&["destroy", "recipes/ubuntu/full.rhai", "--lab"], more].concat());
    sandbox.kthw(&["run", "recipes/ubuntu/full.rhai", "--lab", "--yes"]).ended_with(0);
    let before = writes(&world);

    let planned = destroy(&["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("  - proxmox.vm/wu2") && planned.stdout.contains("4 to delete"), "{}", planned.stdout);
    assert!(!planned.stdout.contains("ssh.file"), "what is inside goes with it, unsaid:\n{}", planned.stdout);
    let other = destroy(&["--confirm", "debian"]).ended_with(2);
    assert!(other.stderr.contains("is not the name of this workspace"), "{}", other.stderr);
    let many = destroy(&["--max-destroy", "3"]).ended_with(1);
    assert!(many.stderr.contains("4 resources would be removed, and at most 3 may be"), "{}", many.stderr);
    assert_eq!(writes(&world), before, "nothing was removed so far");

    let gone = destroy(&["--confirm", "ubuntu"]).ended_with(0);
    assert!(gone.stdout.contains("4 changed"), "{}", gone.stdout);
    assert_eq!(state(&world)["pve"]["vms"], serde_json::json!({}));
    let again = destroy(&[]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    // And it can be made again.
    sandbox.kthw(&["run", "recipes/ubuntu/full.rhai", "--lab", "--yes"]).ended_with(0);
}

#[test]
fn in_production_a_cluster_goes_only_after_a_second_word_and_a_run_removes_nothing_unasked() {
    let sandbox = Sandbox::new();
    let production = "environment=production";
    let kthw = |more: &[&str]| {
        let workspace: &[&str] = if more.contains(&"-w") { &[] } else { &["-w", "ubuntu"] };
        sandbox.kthw(&[more, workspace, &["--lab", "--set", production]].concat())
    };
    let (recipe, world) = ("recipes/phases/machines.rhai", sandbox.path().join("store/ubuntu/lab.json"));
    kthw(&["run", recipe, "--yes"]).ended_with(0);
    let before = writes(&world);
    let once = kthw(&["destroy", recipe, "--confirm", "ubuntu"]).ended_with(2);
    assert!(once.stderr.contains("--confirm production"), "{}", once.stderr);
    let wrong = kthw(&["destroy", recipe, "--confirm", "ubuntu", "--confirm", "yes"]).ended_with(2);
    assert!(wrong.stderr.contains("is not the word that production asks for"), "{}", wrong.stderr);
    // A machine that nobody names any more.
    let fewer = sandbox.path().join("fewer");
    std::fs::create_dir_all(&fewer).unwrap();
    let text = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("name: wu2,")).collect();
    std::fs::write(fewer.join("workspace.yaml"), lines.join("\n")).unwrap();
    let prune = |more: &[&str]| kthw(&[&["run", recipe, "--prune", "--yes", "-w", fewer.to_str().unwrap()], more].concat());
    let refused = prune(&[]).ended_with(1);
    assert!(refused.stderr.contains("1 resource would be removed, and at most 0 may be"), "{}", refused.stderr);
    assert_eq!(writes(&world), before, "nothing was removed so far");
    prune(&["--max-destroy", "1"]).ended_with(0);
    kthw(&["destroy", recipe, "--confirm", "ubuntu", "--confirm", "production"]).ended_with(0);
    assert_eq!(state(&world)["pve"]["vms"], serde_json::json!({}));
}

#[test]
fn a_machine_that_is_no_longer_named_is_shown_in_every_plan_and_pruned_when_asked() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path().join("fewer");
    let text = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let fewer = text.lines().filter(|line| !line.contains("name: wu2,")).map(|line| format!("{line}\n")).collect::<String>();
    let run =
        |more: &[&str]| sandbox.kthw(&[&["run", "recipes/phases/machines.rhai", "-w", folder.to_str().unwrap(), "--lab"], more].concat());
    std::fs::write(folder.join("workspace.yaml"), &text).unwrap();
    run(&["--yes"]).ended_with(0);

    std::fs::write(folder.join("workspace.yaml"), &fewer).unwrap();
    for more in [&["--dry-run"][..], &["--yes"]] {
        let said = run(more).ended_with(0);
        assert!(said.stdout.contains("Nothing to change"), "{}", said.stdout);
        assert!(said.stderr.contains("proxmox.vm/wu2 (VM 422 on homelab) carries this workspace's mark"), "{}", said.stderr);
    }
    let planned = run(&["--prune", "--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("  - proxmox.vm/wu2") && planned.stdout.contains("1 to delete"), "{}", planned.stdout);
    run(&["--prune", "--max-destroy", "0"]).ended_with(1);
    let pruned = run(&["--prune", "--yes"]).ended_with(0);
    assert!(pruned.stdout.contains("1 changed"), "{}", pruned.stdout);
    let after = run(&["--dry-run"]).ended_with(0);
    assert!(!after.stderr.contains("wu2"), "{}", after.stderr);
}

fn state(world: &std::path::Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(world).unwrap()).unwrap()
}

fn writes(world: &std::path::Path) -> u64 {
    state(world)["writes"].as_u64().unwrap()
}

fn unknown(world: &std::path::Path) -> serde_json::Value {
    state(world)["unknown"].clone()
}

#[test]
fn the_plan_of_a_cluster_that_does_not_exist_names_every_resource_of_every_phase() {
    for workspace in ["current", "debian", "rocky", "suse", "ubuntu"] {
        for (shape, more) in [("full", &[][..]), ("single", &["-w", "single"])] {
            let sandbox = Sandbox::new();
            // Of three nodes the control plane is left.
            let shipped = std::fs::read_to_string(root().join(format!("workspaces/{workspace}/workspace.yaml"))).unwrap();
            let alone: Vec<&str> = shipped.lines().filter(|line| !line.contains("role: worker")).collect();
            std::fs::create_dir(sandbox.path().join("single")).unwrap();
            std::fs::write(sandbox.path().join("single/workspace.yaml"), alone.join("\n")).unwrap();
            let single = sandbox.path().join("single").to_string_lossy().into_owned();
            let more: Vec<&str> = more.iter().map(|word| if *word == "single" { single.as_str() } else { word }).collect();
            let recipe = format!("recipes/{workspace}/full.rhai");
            let kthw = |last: &str| sandbox.kthw(&[&["run", &recipe, "--lab"], more.as_slice(), &[last]].concat()).ended_with(0).stdout;
            let plan = |when: &str| root().join(format!("tests/plans/{workspace}-{shape}-{when}.txt"));
            crate::support::golden(plan("empty"), &kthw("--dry-run"));
            kthw("--yes");
            crate::support::golden(plan("settled"), &kthw("--dry-run"));
        }
    }
}

#[test]
fn an_edge_is_built_in_the_lab_and_then_there_is_nothing_to_change() {
    let sandbox = Sandbox::new();
    let kthw = |more: &str| sandbox.kthw(&["run", "recipes/load-balancer/full.rhai", "--lab", more]).ended_with(0).stdout;
    let plan = |when: &str| root().join(format!("tests/plans/edge-full-{when}.txt"));
    crate::support::golden(plan("empty"), &kthw("--dry-run"));
    kthw("--yes");
    assert!(kthw("--yes").contains("Nothing to change"));
    crate::support::golden(plan("settled"), &kthw("--dry-run"));
}

#[test]
fn an_edge_says_that_it_has_no_cluster() {
    let sandbox = Sandbox::new();
    let said = |call: &[&str]| {
        let said = sandbox.kthw(&[call, &["-w", "edge"]].concat());
        assert_ne!(said.code, 0, "{call:?}: {}", said.stdout);
        said.stderr
    };
    for call in [&["kubeconfig", "--lab"][..], &["versions"], &["versions", "--to", "1.37.2"], &["bundle", "make", "-o", "edge.bundle"]] {
        let error = said(call);
        assert!(error.contains("`edge` is an edge") && error.contains("serves ubuntu, debian"), "{call:?}: {error}");
    }
    for recipe in ["phases/containerd", "phases/kubernetes-packages", "phases/control-plane", "phases/workers"] {
        let error = said(&["check", recipe]);
        assert!(error.contains("is an edge"), "{recipe}: {error}");
    }
    let exec = sandbox.kthw(&["exec", "workers", "-w", "edge", "--lab", "--", "true"]);
    assert!(exec.code != 0 && exec.stderr.contains("no node of workspace edge"), "{}", exec.stderr);
}

#[test]
fn what_needs_no_cluster_works_on_an_edge() {
    let sandbox = Sandbox::new();
    let kthw = |call: &[&str]| sandbox.kthw(call).ended_with(0);
    let checked = kthw(&["check", "load-balancer/full"]);
    assert!(checked.stdout.contains("is in order") && !checked.stderr.contains("Kubernetes"), "{}{}", checked.stdout, checked.stderr);
    let needed = kthw(&["artifacts", "list", "-w", "edge"]).stdout;
    assert!(needed.contains("debian-12-genericcloud-amd64.qcow2") && !needed.contains("calico"), "{needed}");
    kthw(&["run", "load-balancer/full", "--lab", "--yes"]);
    assert!(kthw(&["exec", "load-balancers", "-w", "edge", "--lab", "--", "hostname"]).stdout.contains("le1"));
    kthw(&["run", "operations/rotate-secrets", "-w", "edge", "--lab", "--yes"]);
    kthw(&["run", "load-balancer/full", "--lab", "--yes", "--set", "machine.cores=4"]);
    let restarted = kthw(&["run", "operations/restart", "-w", "edge", "--lab", "--yes", "--set", "machine.cores=4"]).stdout;
    assert!(restarted.contains("~ kubernetes.node_restarted/le1") && restarted.contains("0 failed"), "{restarted}");
    kthw(&["destroy", "load-balancer/full", "--lab"]);
}

#[test]
fn a_changed_field_is_exactly_that_difference() {
    let sandbox = Sandbox::new();
    let kthw = |more: &[&str]| sandbox.kthw(&[&["run", "recipes/ubuntu/full.rhai", "--lab"], more].concat());
    kthw(&["--yes"]).ended_with(0);
    let planned = kthw(&["--dry-run", "--set", "machine.cores=4"]).ended_with(0);
    let changed: Vec<&str> = planned.stdout.lines().filter(|line| line.starts_with("  ~") || line.starts_with("  +")).collect();
    assert_eq!(changed, ["  ~ proxmox.vm/cu1", "  ~ proxmox.vm/wu1", "  ~ proxmox.vm/wu2", "  + kubernetes.validated/ubuntu"]);
}

/// The folder of a workspace of one's own, beside no other.
fn folder(sandbox: &Sandbox) -> std::path::PathBuf {
    let folder = sandbox.path().join("own/cluster");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Makes a secrets file beside the workspace. Nobody opens it: the lab goes by its names.
fn has_secret(sandbox: &Sandbox, yaml: &str) {
    let file = folder(sandbox).join("secrets.sops.yaml");
    std::fs::write(&file, yaml).unwrap();
    let recipient = "age1zca64m4559v4nqqatl0ls5mn7ca9qd053cdqlzj9uxtu3d7uxfns0zdx7p";
    sandbox.kthw(&["secrets", "encrypt", "--age", recipient, "-i", file.to_str().unwrap()]).ended_with(0);
}

#[test]
fn registries_get_their_files_and_passwords_stay_secret() {
    let sandbox = Sandbox::new();
    let shipped = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
    let registries =
        "containerd:\n  registries:\n    registry.bevz.net:5000:\n      username: puller\n      password_secret: registry.password\n";
    let workspace = folder(&sandbox).join("workspace.yaml");
    std::fs::write(&workspace, format!("{shipped}\n{registries}")).unwrap();
    has_secret(&sandbox, "registry:\n  password: stand-in\n");
    let kthw = |more: &[&str]| {
        sandbox.kthw(&[&["run", "recipes/phases/containerd.rhai", "-w", workspace.to_str().unwrap(), "--lab"], more].concat()).ended_with(0)
    };
    let planned = kthw(&["--dry-run", "--json"]).stdout;
    assert!(planned.contains("Basic <secret registry.password>"), "{planned}");
    let planned = kthw(&["--dry-run"]).stdout;
    let file = planned.split("ssh.file/cu1/etc/containerd/certs.d/registry.bevz.net:5000/hosts.toml").nth(1).unwrap();
    assert!(file.split("  + ").next().unwrap().contains("mode: 0600"), "{file}");
    kthw(&["--yes"]);
    assert!(kthw(&["--yes"]).stdout.contains("Nothing to change"));
}

#[test]
fn a_proxy_reaches_services_and_the_package_manager() {
    let sandbox = Sandbox::new();
    let shipped = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
    let workspace = folder(&sandbox).join("workspace.yaml");
    let with = |proxy: &str| std::fs::write(&workspace, format!("{shipped}\nproxy: {proxy}\n")).unwrap();
    let kthw = |more: &[&str]| {
        sandbox
            .kthw(&[&["run", "recipes/ubuntu/full.rhai", "-w", workspace.to_str().unwrap(), "--lab"], more].concat())
            .ended_with(0)
            .stdout
    };
    has_secret(&sandbox, "proxy:\n  password: stand-in\n");
    let login = "username: nodes, password_secret: proxy.password";
    with(&format!("{{ http: 'http://proxy.bevz.net:3128', {login} }}"));
    kthw(&["--yes"]);
    assert!(kthw(&["--yes"]).contains("Nothing to change"));
    let files = ["/etc/apt/apt.conf.d/95kthw-proxy", "/etc/systemd/system/containerd.service.d/http-proxy.env"];
    let changed = |plan: &str| -> Vec<String> {
        let lines = plan.lines().filter_map(|line| line.strip_prefix("  ~ ").or(line.strip_prefix("  - ")));
        lines.filter(|id| id.contains("/wu1")).map(str::to_owned).collect()
    };
    with(&format!("{{ http: 'http://proxy.bevz.net:3128', no_proxy: [mirror.bevz.net], {login} }}"));
    let plan = kthw(&["--yes"]);
    for of_it in files.map(|file| format!("ssh.file/wu1{file}")) {
        assert!(changed(&plan).contains(&of_it), "{plan}");
    }
    assert!(plan.contains("ssh.service/wu1/containerd") && plan.contains("ssh.service/wu1/kubelet"), "they restart: {plan}");
    with("{}");
    let plan = kthw(&["--dry-run"]);
    assert!(plan.contains(&format!("  - ssh.file/wu1{}", files[0])) && plan.contains(&format!("  - ssh.file/wu1{}", files[1])), "{plan}");
    kthw(&["--yes"]);
    assert!(kthw(&["--yes"]).contains("Nothing to change"));
}

#[test]
fn every_example_of_every_function_is_planned_and_settles() {
    let functions = kthw_stdlib::help::functions();
    assert!(functions.len() >= 20);
    for function in functions {
        let examples = function.examples();
        assert!(!examples.is_empty(), "{} has no example", function.full_name());
        for (number, example) in examples.iter().enumerate() {
            let sandbox = Sandbox::new();
            let recipe = stage(&sandbox, example);
            let name = format!("example {number} of {}", function.full_name());
            let workspace = workspace_for(example);
            let run = |more: &[&str]| {
                let said = sandbox.kthw(&[&["run", recipe.as_str()], workspace, &["--lab"], more].concat());
                assert_eq!(said.code, 0, "{name}:\n{example}\n{}\n{}", said.stdout, said.stderr);
                said
            };
            run(&["--yes"]);
            let again = run(&["--yes"]);
            assert!(again.stdout.contains("Nothing to change"), "{name}:\n{}", again.stdout);
        }
    }
}

#[test]
fn the_recipe_of_the_guide_to_load_balancers_is_planned_and_settles() {
    let guide = std::fs::read_to_string(root().join("docs/guides/load-balancer.md")).unwrap();
    let recipe = guide.split_once("```rhai\n").unwrap().1.split_once("```").unwrap().0;
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("edge.rhai");
    std::fs::write(&path, format!("const VERSION = \"1.0.0\";\n{recipe}")).unwrap();
    let run = || sandbox.kthw(&["run", path.to_str().unwrap(), "-w", "tests/workspaces/bare", "--lab", "--yes"]).ended_with(0).stdout;
    let first = run();
    assert!(first.contains("+ nginx.load_balancer/cu1") && first.contains("https: 443 to alpha (10.10.10.200:443), beta"), "{first}");
    let again = run();
    assert!(again.contains("Nothing to change"), "{again}");
}

/// A DNS for a workspace that has none.
const PIHOLE: &str = "dns={pihole: {url: 'https://pihole.bevz.net', version: 6, password_secret: pihole.web_password}}";

/// The workspace that an example is for: where it opens the machines itself, they are there already; for records there is a Pi-hole.
fn workspace_for(example: &str) -> &'static [&'static str] {
    match example {
        opens if opens.contains("ssh::node(") => &["-w", "tests/workspaces/bare"],
        asks if asks.contains("kubelet_certificates(") => &["-w", "ubuntu", "--set", "kubeadm.kubelet_serving_certificates=true"],
        named if named.contains("dns::records(") => &["-w", "ubuntu", "--set", PIHOLE],
        _ => &["-w", "ubuntu"],
    }
}

/// Writes an example as a recipe that needs as much of the cluster as there may be before the example declares a piece of it itself.
fn stage(sandbox: &Sandbox, example: &str) -> String {
    let path = |name: &str| sandbox.path().join(name);
    let joined = "fn declare(cluster) { for node in cluster.workers { kubeadm::worker(cluster, node); } }";
    std::fs::write(path("joined.rhai"), format!("const VERSION = \"1.0.0\";\nconst NEEDS = [\"phases/network\"];\n{joined}\n")).unwrap();
    let recipe = path("example.rhai").to_string_lossy().into_owned();
    let stages =
        ["workers", "network", "control-plane", "kubernetes-packages", "containerd", "kubernetes-host", "system", "machines", "template"];
    let stages: Vec<String> = stages.iter().map(|stage| format!("\"phases/{stage}\"")).collect();
    let tried = std::iter::once(&stages[0])
        .chain([&"\"joined\"".to_owned()])
        .chain(&stages[1..])
        .cloned()
        .chain([String::new()])
        .collect::<Vec<_>>();
    for needs in tried {
        let text = format!("const VERSION = \"1.0.0\";\nconst NEEDS = [{needs}];\nfn declare(cluster) {{\n{example}}}\n");
        std::fs::write(&recipe, text).unwrap();
        let checked = sandbox.kthw(&[&["check", recipe.as_str()], workspace_for(example)].concat());
        if checked.code == 0 {
            return recipe;
        }
        assert!(checked.stderr.contains("declared twice"), "{example}\n{}", checked.stderr);
    }
    panic!("declares something twice by itself:\n{example}");
}

#[test]
fn rotation_says_what_it_does_and_what_it_leaves_to_a_person() {
    let sandbox = Sandbox::new();
    sandbox.kthw(&["run", "recipes/phases/machines.rhai", "-w", "ubuntu", "--lab"]).ended_with(0);
    let rotate =
        |more: &[&str]| sandbox.kthw(&[&["run", "operations/rotate-secrets", "-w", "ubuntu", "--lab"], more].concat()).ended_with(0);
    let first = rotate(&[]);
    let wanted = "token: kthw, not made by kthw -> generation 1";
    assert!(first.stdout.contains(wanted) && first.stderr.contains("the SSH key is not rotated"), "{}{}", first.stdout, first.stderr);
    assert!(first.stderr.contains("pveum user token remove root@pam kthw"), "{}", first.stderr);
    let second = rotate(&["--set", "rotation.generation=2"]);
    assert!(second.stdout.contains("token: generation 1, made on 2026-08-15 -> generation 2"), "{}", second.stdout);
    assert!(rotate(&[]).stdout.contains("Nothing to change"));
    let world = std::fs::read_to_string(sandbox.path().join("store/ubuntu/lab.json")).unwrap();
    let token = state(&sandbox.path().join("store/ubuntu/lab.json"))["secrets"]["proxmox.token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("root@pam!kthw-ubuntu-2=") && world.contains(token.split('=').nth(1).unwrap()));
    for said in [&first, &second] {
        assert!(!said.stdout.contains("-0000-") && !said.stderr.contains(token.split('=').nth(1).unwrap()), "a token was shown");
    }
}

#[test]
fn json_is_one_event_per_line_and_nothing_else() {
    let said = Sandbox::new().kthw(&["run", "recipes/ubuntu/full.rhai", "--lab", "--yes", "--json"]).ended_with(0);
    let events: Vec<serde_json::Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "begun");
    let run = events[0]["run"].as_u64().unwrap();
    assert!(events.iter().all(|event| event["run"].as_u64() == Some(run) && event["time_ms"].as_u64() >= Some(run)));
    assert!(events.windows(2).all(|pair| pair[0]["time_ms"].as_u64() <= pair[1]["time_ms"].as_u64()), "time went back");
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(events.last().unwrap()["failed"], 0);
}

#[test]
fn without_an_endpoint_the_lab_is_named() {
    let said = Sandbox::new().kthw(&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--set", "domain=home.example", "--dry-run"]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("PROXMOX_VE_ENDPOINT") && said.stderr.contains("--lab"), "{}", said.stderr);
}

#[test]
fn the_shipped_addresses_are_an_example_wherever_the_file_lies() {
    let sandbox = Sandbox::new();
    let copy = sandbox.path().join("mine");
    std::fs::create_dir(&copy).unwrap();
    let text = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
    std::fs::write(copy.join("workspace.yaml"), text.replace("name: ubuntu", "name: mine")).unwrap();
    let workspace = copy.to_str().unwrap();
    for command in [&["run", "recipes/ubuntu/full.rhai", "--dry-run"][..], &["exec", "all"], &["kubeconfig"]] {
        let tail: &[&str] = if command[0] == "exec" { &["--", "hostname"] } else { &[] };
        let said = sandbox.kthw(&[command, &["-w", workspace], tail].concat()).ended_with(2);
        assert!(said.stderr.contains("still has the domain bevz.net") && said.stderr.contains("--lab"), "{command:?} {}", said.stderr);
    }
}

#[test]
fn a_host_key_for_which_nobody_vouches_is_told_before_the_question_and_never_taken_by_a_dry_run() {
    let sandbox = Sandbox::new();
    let recipe = ["run", "recipes/phases/containerd.rhai", "-w", "ubuntu", "--lab", "--set", "proxmox=null"];
    let run = |more: &[&str]| sandbox.kthw(&[&recipe[..], more].concat());
    let dry = run(&["--dry-run"]).ended_with(3);
    assert!(dry.stdout.contains("a dry run trusts no key at first sight"), "{}", dry.stdout);
    assert!(!dry.stderr.contains("first connection to"), "{}", dry.stderr);
    let asked = run(&["--speed", "500"]).ended_with(2);
    let at = |words: &str| asked.stderr.find(words).unwrap_or_else(|| panic!("no {words:?} in {}", asked.stderr));
    assert!(at("warning: first connection to cu1 at ") < at("nobody to ask"), "{}", asked.stderr);
}

#[test]
fn a_part_of_a_run_is_chosen_by_node() {
    let sandbox = Sandbox::new();
    let planned = sandbox.kthw(&["run", "recipes/phases/machines.rhai", "-w", "ubuntu", "--lab", "--dry-run", "--node", "wu1"]);
    let shown: Vec<String> = planned.ended_with(0).stdout.lines().filter(|line| line.starts_with("  +")).map(str::to_owned).collect();
    assert_eq!(shown, ["  + proxmox.vm/wu1", "  + ssh.node/wu1"]);
}

#[test]
fn commands_run_on_the_nodes_that_a_selector_names() {
    let sandbox = Sandbox::new();
    sandbox.kthw(&["run", "recipes/phases/machines.rhai", "-w", "ubuntu", "--lab", "--yes"]).ended_with(0);
    let workers = sandbox.kthw(&["exec", "workers", "--lab", "-w", "ubuntu", "--", "hostname"]).ended_with(0);
    assert_eq!(workers.stdout, "wu1: wu1\nwu2: wu2\n");
    let wrong = sandbox.kthw(&["exec", "wu3", "--lab", "-w", "ubuntu", "--", "hostname"]).ended_with(2);
    assert!(
        wrong.stderr.contains("no node of workspace ubuntu is called `wu3`") && wrong.stderr.contains("did you mean"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_kubeconfig_is_fetched_into_a_file_of_its_own_and_merged_only_on_request() {
    let sandbox = Sandbox::new();
    sandbox.kthw(&["run", "recipes/phases/control-plane.rhai", "-w", "ubuntu", "--lab", "--yes"]).ended_with(0);
    let own = sandbox.kthw(&["kubeconfig", "--lab", "-w", "ubuntu"]).ended_with(0);
    let text = std::fs::read_to_string(own.stdout.trim()).unwrap();
    assert!(text.contains("current-context: ubuntu"), "{text}");
    let person = sandbox.path().join(".kube/config");
    assert!(!person.exists(), "nobody asked for a merge");

    std::fs::create_dir_all(person.parent().unwrap()).unwrap();
    let before = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\ncurrent-context: mine\n";
    std::fs::write(&person, before).unwrap();
    sandbox.kthw(&["kubeconfig", "--lab", "-w", "ubuntu", "--merge"]).ended_with(0);
    let merged = std::fs::read_to_string(&person).unwrap();
    assert!(merged.contains("current-context: mine") && merged.contains("name: ubuntu-admin"), "{merged}");
    assert_eq!(std::fs::read_to_string(sandbox.path().join(".kube/config.kthw-backup")).unwrap(), before);
}

#[test]
fn a_kubeconfig_for_somebody_is_refused_before_anybody_is_asked() {
    let sandbox = Sandbox::new();
    let refused = |more: &[&str]| sandbox.kthw(&[&["kubeconfig", "-w", "ubuntu", "--lab"], more].concat()).ended_with(2).stderr;
    for (words, why) in [
        (&["--user", "alice", "--group", "system:masters"][..], "nobody is put into `system:masters`"),
        (&["--user", "system:admin"], "cannot be the name of a person"),
        (&["--user", "alice", "--valid", "5m"], "less than 10 minutes"),
        (&["--service-account", "deployer"], "write its namespace and its name"),
        (&["--valid", "8h"], "required"),
        (&["--user", "alice", "--service-account", "a/b"], "cannot be used with"),
        (&["--user", "alice", "--group", "viewers"], "the lab signs no certificates"),
    ] {
        let said = refused(words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert!(!sandbox.path().join(".kube").exists());
}

#[test]
fn the_lab_can_start_over() {
    let sandbox = Sandbox::new();
    let kthw = |more: &[&str]| sandbox.kthw(&[&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab"], more].concat());
    kthw(&["--yes"]).ended_with(0);
    sandbox.kthw(&["lab", "reset", "-w", "ubuntu"]).ended_with(0);
    assert_eq!(kthw(&["--dry-run", "--exit-code"]).code, 10);
}

#[test]
fn time_in_the_lab_can_be_watched() {
    let kthw = |more: &[&str]| {
        Sandbox::new().kthw(&[&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab", "--speed", "500"], more].concat())
    };
    let asked = kthw(&[]).ended_with(2);
    assert!(asked.stderr.contains("nobody to ask"), "{}", asked.stderr);
    assert!(kthw(&["--yes"]).ended_with(0).stdout.contains("Done: 1 changed"));
}

#[test]
fn the_lab_does_not_ask() {
    let said = Sandbox::new().kthw(&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab"]).ended_with(0);
    assert!(said.stdout.contains("Done: 1 changed"), "{}{}", said.stdout, said.stderr);
}
