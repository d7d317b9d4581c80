//! The lab's Proxmox VE as a client sees it: requests, answers, tasks.
use super::ENDPOINT;
use crate::{fault::Fault, world::World};
use bytes::Bytes;
use kthw_stdlib::seams::Http;
use serde_json::{Value, json};

/// Sends one request as a token's owner; status and body.
pub(crate) fn ask(world: &World, method: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let pairs: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let (query, body) = if matches!(method, "GET" | "DELETE") { (format!("?{pairs}"), String::new()) } else { (String::new(), pairs) };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{ENDPOINT}{path}{query}"))
        .header("Authorization", "PVEAPIToken=root@pam!kthw=00000000-0000-0000-0000-000000000000")
        .body(Bytes::from(body))
        .unwrap();
    let response = futures::executor::block_on(world.http_anywhere().send(request)).unwrap();
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

fn good(world: &World, method: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, body) = ask(world, method, path, parameters);
    assert_eq!(status, 200, "{method} {path}: {body}");
    body["data"].clone()
}

/// Does something that is a task, lets an hour pass, and returns how the task ended.
fn task(world: &World, method: &str, path: &str, parameters: &[(&str, &str)]) -> String {
    let upid = good(world, method, path, parameters);
    let path = format!("/nodes/homelab/tasks/{}/status", upid.as_str().unwrap());
    assert_eq!(good(world, "GET", &path, &[])["status"], "running");
    world.with_state(|state| state.now_ms += 3_600_000);
    let status = good(world, "GET", &path, &[]);
    assert_eq!(status["status"], "stopped");
    status["exitstatus"].as_str().unwrap().to_owned()
}

/// A world with an image of Ubuntu and a template from it; there is no agent in it.
pub(crate) fn with_template() -> World {
    with_template_of("ubuntu.qcow2")
}

/// A world with an image, whose name says what is in it, and a template from it.
fn with_template_of(image: &str) -> World {
    let world = World::default();
    let import = format!("local-lvm:0,import-from=local:import/{image}");
    let image = [
        ("content", "import"),
        ("filename", image),
        ("url", "https://example.test/u.img"),
        ("checksum", "00"),
        ("checksum-algorithm", "sha256"),
    ];
    assert_eq!(task(&world, "POST", "/nodes/homelab/storage/local/download-url", &image), "OK");
    let template = [
        ("vmid", "9420"),
        ("name", "tpl"),
        ("net0", "virtio,bridge=vmbr0"),
        ("scsihw", "virtio-scsi-pci"),
        ("scsi0", import.as_str()),
        ("ide2", "local-lvm:cloudinit"),
        ("serial0", "socket"),
        ("agent", "1"),
        ("boot", "order=scsi0"),
        ("tags", "kthw;B"),
    ];
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu", &template), "OK");
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu/9420/template", &[]), "OK");
    world
}

const CLONE: [(&str, &str); 4] = [("newid", "401"), ("name", "cu1"), ("full", "1"), ("storage", "local-lvm")];

#[test]
fn a_machine_is_made_from_a_template_and_starts() {
    let world = with_template_of("rocky-9.qcow2");
    let template = good(&world, "GET", "/nodes/homelab/qemu/9420/config", &[]);
    assert_eq!((&template["scsi0"], &template["template"]), (&json!("local-lvm:base-9420-disk-0,size=3584M"), &json!(1)));
    assert_eq!(template["tags"], "b;kthw");
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE), "OK");
    let config = good(&world, "GET", "/nodes/homelab/qemu/401/config", &[]);
    assert_eq!(
        (&config["name"], &config["scsi0"], &config["ide2"]),
        (&json!("cu1"), &json!("local-lvm:vm-401-disk-0,size=3584M"), &json!("local-lvm:vm-401-cloudinit,media=cdrom,size=4M"))
    );
    assert!(config["template"].is_null() && config["net0"] != template["net0"]);
    let change = [
        ("cores", "2"),
        ("memory", "4096"),
        ("ciuser", "kthw"),
        ("sshkeys", "ssh-ed25519%20AAAA%20me"),
        ("ipconfig0", "ip=10.0.0.5/24,gw=10.0.0.1"),
    ];
    good(&world, "PUT", "/nodes/homelab/qemu/401/config", &change);
    assert_eq!(task(&world, "PUT", "/nodes/homelab/qemu/401/resize", &[("disk", "scsi0"), ("size", "20G")]), "OK");
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu/401/status/start", &[]), "OK");
    assert_eq!(good(&world, "GET", "/nodes/homelab/qemu/401/status/current", &[])["status"], "running");
    let interfaces = good(&world, "GET", "/nodes/homelab/qemu/401/agent/network-get-interfaces", &[]);
    assert_eq!(interfaces["result"][1]["ip-addresses"][0]["ip-address"], "10.0.0.5");
    let key = good(&world, "GET", "/nodes/homelab/qemu/401/agent/file-read", &[("file", "/etc/ssh/ssh_host_ed25519_key.pub")]);
    assert!(key["content"].as_str().unwrap().starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"), "{key}");
}

#[test]
fn an_agent_that_is_not_installed_never_answers() {
    let world = with_template();
    task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE);
    task(&world, "POST", "/nodes/homelab/qemu/401/status/start", &[]);
    assert_eq!(
        ask(&world, "POST", "/nodes/homelab/qemu/401/agent/ping", &[]),
        (500, json!({ "data": null, "message": "QEMU guest agent is not running\n" }))
    );
}

#[test]
fn the_agent_answers_once_the_machine_is_up() {
    let world = with_template_of("rocky-9.qcow2");
    task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE);
    let ping = || ask(&world, "POST", "/nodes/homelab/qemu/401/agent/ping", &[]);
    assert_eq!(ping().1["message"], "VM 401 is not running\n");
    good(&world, "POST", "/nodes/homelab/qemu/401/status/start", &[]);
    world.with_state(|state| state.now_ms += 4_000);
    assert_eq!(ping(), (500, json!({ "data": null, "message": "QEMU guest agent is not running\n" })));
    world.with_state(|state| state.now_ms += 10_000);
    assert_eq!(ping().0, 200);
    let started = good(&world, "POST", "/nodes/homelab/qemu/401/agent/exec", &[("command", "cat"), ("command", "/etc/hostname")]);
    let pid = started["pid"].to_string();
    assert_eq!(good(&world, "GET", "/nodes/homelab/qemu/401/agent/exec-status", &[("pid", &pid)])["out-data"], "cu1\n");
}

#[test]
fn changes_of_a_running_machine_wait_where_they_must() {
    let world = with_template();
    task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE);
    task(&world, "POST", "/nodes/homelab/qemu/401/status/start", &[]);
    good(&world, "PUT", "/nodes/homelab/qemu/401/config", &[("cores", "4"), ("tags", "x"), ("onboot", "1")]);
    let now = good(&world, "GET", "/nodes/homelab/qemu/401/config", &[("current", "1")]);
    assert_eq!((&now["cores"], &now["tags"], &now["onboot"]), (&Value::Null, &json!("x"), &json!(1)));
    assert_eq!(good(&world, "GET", "/nodes/homelab/qemu/401/config", &[])["cores"], 4);
    let pending = good(&world, "GET", "/nodes/homelab/qemu/401/pending", &[]);
    assert!(pending.as_array().unwrap().contains(&json!({ "key": "cores", "pending": 4 })), "{pending}");
    task(&world, "POST", "/nodes/homelab/qemu/401/status/reboot", &[]);
    assert_eq!(good(&world, "GET", "/nodes/homelab/qemu/401/config", &[("current", "1")])["cores"], 4);
}

#[test]
fn refusals_have_proxmoxs_shape() {
    let world = with_template();
    world.add_foreign_vm(401, "theirs");
    let text = |method: &str, path: &str, parameters: &[(&str, &str)]| {
        let (status, body) = ask(&world, method, path, parameters);
        format!(
            "{status} {}{}",
            body["message"].as_str().unwrap().trim_end(),
            if body["errors"].is_null() { String::new() } else { format!(" {}", body["errors"]) }
        )
    };
    for (method, path, parameters, expected) in [
        ("POST", "/nodes/homelab/qemu/9420/clone", &CLONE[..], "500 unable to create VM 401: config file already exists on node 'homelab'"),
        ("POST", "/nodes/homelab/qemu", &[("vmid", "401")], "500 unable to create VM 401 - VM 401 already exists on node 'homelab'"),
        ("GET", "/cluster/nextid", &[("vmid", "401")], r#"400 Parameter verification failed. {"vmid":"VM 401 already exists"}"#),
        ("GET", "/nodes/homelab/qemu/7/config", &[], "500 Configuration file 'nodes/homelab/qemu-server/7.conf' does not exist"),
        (
            "PUT",
            "/nodes/homelab/qemu/401/config",
            &[("digest", "0")],
            "500 detected modified configuration - file changed by other user? Try again.",
        ),
        (
            "PUT",
            "/nodes/homelab/qemu/401/config",
            &[("coers", "2")],
            r#"400 Parameter verification failed. {"coers":"property is not defined in schema and the schema does not allow additional properties"}"#,
        ),
        ("PUT", "/nodes/homelab/qemu/9420/resize", &[("disk", "scsi0"), ("size", "1G")], "500 shrinking disks is not supported"),
        (
            "GET",
            "/nodes/other/qemu",
            &[],
            "500 hostname lookup 'other' failed - failed to get address info for: other: Name or service not known",
        ),
        ("GET", "/nodes/homelab/lxc", &[], "501 Method 'GET /nodes/homelab/lxc' not implemented"),
        (
            "POST",
            "/nodes/homelab/storage/local/download-url",
            &[("content", "import"), ("filename", "u.img"), ("url", "https://x")],
            r#"400 Parameter verification failed. {"filename":"wrong file extension"}"#,
        ),
    ] {
        assert_eq!(text(method, path, parameters), expected, "{method} {path}");
    }
}

#[test]
fn a_clone_that_meets_a_lock_leaves_nothing_and_works_again() {
    let world = with_template();
    let lock = "can't lock file '/var/lock/qemu-server/lock-9420.conf' - got timeout";
    world.add_fault(Fault::task("qmclone", lock));
    world.add_fault(Fault::http("GET", "/cluster/resources", 595, "No route to host"));
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE), lock);
    assert_eq!(ask(&world, "GET", "/nodes/homelab/qemu/401/config", &[]).0, 500);
    assert_eq!(ask(&world, "GET", "/cluster/resources", &[]).0, 595);
    assert_eq!(good(&world, "GET", "/cluster/resources", &[("type", "vm")]).as_array().unwrap().len(), 1);
    assert_eq!(task(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE), "OK");
}

#[test]
fn reading_is_not_counted_as_writing() {
    let world = with_template();
    let before = world.writes();
    good(&world, "GET", "/cluster/resources", &[]);
    assert_eq!(world.writes(), before);
    ask(&world, "POST", "/nodes/homelab/qemu/9420/clone", &CLONE);
    assert_eq!(world.writes(), before + 1);
}

#[test]
fn other_hosts_and_strangers_are_refused() {
    let world = World::default();
    let send = |uri: &str| futures::executor::block_on(world.http_anywhere().send(http::Request::get(uri).body(Bytes::new()).unwrap()));
    let refused = send("https://github.com/x").unwrap_err();
    assert_eq!(
        (refused.reason.as_str(), refused.sent),
        ("the lab has no host `github.com`; its Proxmox VE is at https://pve.lab:8006/api2/json", false)
    );
    assert_eq!(send(&format!("{ENDPOINT}/version")).unwrap().status(), 401);
}
