//! Who may do what on a whole cluster, and what is written down of it: the audit log, what pods may be, and kubeconfigs that end.
use crate::{peers_support::World, support::Said};
use std::fs;

const LOGS: &str = "/var/log/kubernetes/audit";
/// Rights for a group, as a person writes them in a recipe of their own.
const RECIPE: &str = r#"
const VERSION = "1.0.0";
const NEEDS   = ["phases/control-plane@1"];
fn declare(cluster) {
    kubernetes::grant(cluster, "viewers", #{ cluster_role: "view", groups: ["viewers"] });
    let deployer = kubernetes::service_account(cluster, "default/deployer");
    kubernetes::grant(cluster, "deployer", #{
        cluster_role: "edit", namespace: "default", service_accounts: ["default/deployer"], needs: [deployer],
    });
}
"#;

/// The settings that a workspace has for it.
pub fn named() -> [&'static str; 4] {
    ["--set", "audit={level: request}", "--set", "pod_security={}"]
}

/// The lines of the audit log that are about an object.
fn lines(world: &World, name: &str) -> Vec<serde_json::Value> {
    let grep = format!("cat {LOGS}/*.log | grep -F '\"{name}\"'");
    let said = world.inside(1, &["sh", "-c", &grep]);
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A change is found in the audit log, with who made it and without what is in it; a pod that is too much is refused.
pub fn is_kept(world: &World, kubectl: &dyn Fn(&[&str]) -> String) {
    let mode = world.inside(1, &["stat", "-c", "%a %U", LOGS, "/etc/kubernetes/kthw/api-server"]).ended_with(0).stdout;
    assert_eq!(mode, "700 root\n700 root\n");

    kubectl(&["create", "configmap", "audited", "--from-literal=word=hunter2"]);
    kubectl(&["create", "deployment", "audited-too", "--image=docker.io/library/busybox:1.35.0", "--replicas=0"]);
    kubectl(&["delete", "configmap/audited", "deployment/audited-too"]);
    let found = lines(world, "audited");
    let of = |verb: &str| found.iter().find(|line| line["verb"] == verb && line["objectRef"]["resource"] == "configmaps");
    let created = of("create").expect("the audit line of the change");
    assert_eq!((created["user"]["username"].as_str(), created["responseStatus"]["code"].as_u64()), (Some("kubernetes-admin"), Some(201)));
    assert_eq!(created["level"], "Metadata");
    assert!(of("delete").is_some(), "{found:#?}");
    let sent = lines(world, "audited-too");
    assert!(sent.iter().any(|line| line["level"] == "Request" && line["requestObject"]["kind"] == "Deployment"), "{sent:#?}");
    let word = world.inside(1, &["sh", "-c", &format!("cat {LOGS}/*.log | grep -c hunter2")]).stdout;
    assert_eq!(word.trim(), "0", "what is in a config map is not written down");

    let privileged = r#"{"spec": {"containers": [{"name": "x", "image": "docker.io/library/busybox:1.35.0", "securityContext": {"privileged": true}}]}}"#;
    let pod = ["run", "x", "--image=docker.io/library/busybox:1.35.0", "--restart=Never", "--overrides", privileged];
    let kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
    let refused = world.inside(1, &[&kubectl[..], &pod].concat());
    assert!(refused.code != 0 && refused.stderr.contains("violates PodSecurity \"baseline:latest\""), "{}", refused.stderr);
}

/// People and programs get kubeconfigs that do what their grants say, and end.
pub fn is_given(world: &World, kthw: &dyn Fn(&[&str]) -> Said) {
    let folder = world.sandbox.path().join("access");
    fs::create_dir_all(&folder).unwrap();
    let (recipe, file) = (folder.join("rights.rhai"), folder.join("alice.conf"));
    fs::write(&recipe, RECIPE).unwrap();
    let (recipe, name) = (recipe.to_str().unwrap(), file.to_str().unwrap());
    kthw(&["run", recipe, "--yes"]).ended_with(0);
    let again = kthw(&["run", recipe, "--yes"]).ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");

    let asked = ["kubeconfig", "--user", "alice", "--group", "viewers", "--valid", "10m", "-o", name];
    let made = kthw(&asked).ended_with(0);
    assert!(made.stderr.contains("It is for alice, in viewers, and ends at 2"), "{}", made.stderr);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = kthw(&asked);
    assert!(taken.code == 2 && taken.stderr.contains("is there already"), "{}", taken.stderr);
    let masters = kthw(&["kubeconfig", "--user", "alice", "--group", "system:masters"]);
    assert!(masters.code == 2 && masters.stderr.contains("system:masters"), "{}", masters.stderr);

    let as_alice = |arguments: &[&str]| with(world, "/root/alice.conf", arguments);
    put(world, &file, "/root/alice.conf");
    as_alice(&["get", "pods", "-A"]).ended_with(0);
    let refused = as_alice(&["create", "configmap", "of-alice"]);
    assert!(refused.code != 0 && refused.stderr.contains("User \"alice\" cannot create resource \"configmaps\""), "{}", refused.stderr);
    let written = lines(world, "alice");
    assert!(written.iter().any(|line| line["user"]["username"] == "alice" && line["responseStatus"]["code"] == 403), "{written:#?}");
    let left = world.inside(1, &["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "csr", "-o", "name"]).ended_with(0).stdout;
    assert!(!left.contains("/kthw-"), "the request is gone: {left}");

    has_ended(world, &file, kthw);

    let token = folder.join("deployer.conf");
    let asked = ["kubeconfig", "--service-account", "default/deployer", "--valid", "10m", "-o", token.to_str().unwrap()];
    kthw(&asked).ended_with(0);
    put(world, &token, "/root/deployer.conf");
    with(world, "/root/deployer.conf", &["create", "configmap", "of-deployer"]).ended_with(0);
    with(world, "/root/deployer.conf", &["delete", "configmap", "of-deployer"]).ended_with(0);
    assert_ne!(with(world, "/root/deployer.conf", &["get", "secrets", "-n", "kube-system"]).code, 0);
    let nobody = kthw(&["kubeconfig", "--service-account", "default/nobody"]);
    assert!(nobody.code != 0 && nobody.stderr.contains("there is no service account default/nobody"), "{}", nobody.stderr);
}

/// Kubernetes signs nothing for less than ten minutes, so the cluster's own authority signs the same key again, with an end that is past.
fn has_ended(world: &World, file: &std::path::Path, kthw: &dyn Fn(&[&str]) -> Said) {
    let mut config: serde_json::Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let user = &mut config["users"][0]["user"];
    let sign = "cd /root && umask 077 && printf '%s' \"$1\" | base64 -d >alice.key \
                && openssl req -new -key alice.key -subj /O=viewers/CN=alice -out alice.csr \
                && openssl x509 -req -in alice.csr -CA /etc/kubernetes/pki/ca.crt -CAkey /etc/kubernetes/pki/ca.key -set_serial 1 -days -1 \
                   -out alice.crt && base64 -w0 alice.crt";
    let past = world.inside(1, &["sh", "-c", sign, "sign", user["client-key-data"].as_str().unwrap()]).ended_with(0).stdout;
    user["client-certificate-data"] = past.trim().into();
    let ended = file.with_file_name("ended.conf");
    fs::write(&ended, config.to_string()).unwrap();
    put(world, &ended, "/root/ended.conf");
    let refused = with(world, "/root/ended.conf", &["get", "pods"]);
    assert!(refused.code != 0, "an expired kubeconfig is refused: {}", refused.stdout);
    assert!(refused.stderr.contains("Unauthorized") || refused.stderr.contains("must be logged in"), "{}", refused.stderr);
    let said = kthw(&["kubeconfig", "--inspect", ended.to_str().unwrap()]);
    assert!(said.code == 1 && said.stdout.starts_with("alice (viewers): ended at 2"), "{} {}", said.stdout, said.stderr);
    let said = kthw(&["kubeconfig", "--inspect", file.to_str().unwrap()]).ended_with(0);
    assert!(said.stdout.starts_with("alice (viewers): ends at 2"), "{}", said.stdout);
}

/// A cluster that was made without them gets them in place, with one restart of the API server, and loses them in the same way.
pub fn comes_later(world: &World, run: &dyn Fn(&[&str]) -> Said, kubectl: &dyn Fn(&[&str]) -> String) {
    let started = "jsonpath={.status.containerStatuses[0].containerID}";
    let container = || kubectl(&["get", "pod", "-n", "kube-system", "kube-apiserver-cp1", "-o", started]);
    let before = container();
    let planned = run(&[&named()[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    assert!(planned.contains("--audit-policy-file: absent -> /etc/kubernetes/kthw/api-server/audit-"), "{planned}");
    run(&[&named()[..], &["--yes"]].concat()).ended_with(0);
    world.until("the API server's pod to be another", 60, || container() != before);
    let kept = kubectl(&["get", "configmap", "-n", "kube-system", "kubeadm-config", "-o", "yaml"]);
    assert!(kept.contains("audit-policy-file"), "an upgrade finds it: {kept}");
    let again = run(&[&named()[..], &["--yes"]].concat()).ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
    is_kept(world, kubectl);
}

/// Puts a file of this computer onto the first host.
fn put(world: &World, file: &std::path::Path, path: &str) {
    let text = fs::read_to_string(file).unwrap();
    world.inside(1, &["sh", "-c", "umask 077; printf '%s' \"$1\" >\"$2\"", "put", &text, path]).ended_with(0);
}

fn with(world: &World, kubeconfig: &str, arguments: &[&str]) -> Said {
    world.inside(1, &[&["kubectl", "--kubeconfig", kubeconfig], arguments].concat())
}
