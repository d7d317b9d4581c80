//! Templates and machines against a Proxmox API that nobody here wrote, over verified TLS: the shipped phases, faults, and other people's machines.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
mod fakepve;

use bytes::Bytes;
use expect_test::expect;
use fakepve::{explained, failure, shown, start, succeeded, workspace};
use http::{Request, Response};
use kthw_engine::{
    BoxFuture, Effect,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, Probe, Told},
};
use kthw_stdlib::{
    http::HttpClient,
    seams::{Http, Unreachable},
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_template_and_three_machines() {
    let Some(pve) = start("127.0.0.21") else { return };
    let peers = pve.peers(json!({}));
    let small = workspace(json!({}));

    let first = pve.plan(&peers, &small).await.unwrap();
    assert_eq!(first.changes(), 4, "{}", shown(&first));
    assert_eq!(pve.writes().await, 0, "planning writes nothing");

    succeeded(&pve.apply(&peers, &small).await);
    pve.writes().await;
    assert_eq!(pve.config(401, "ipconfig0").await, "ip=10.10.10.116/24,gw=10.10.10.1");
    assert!(pve.config(401, "scsi0").await.as_str().unwrap().ends_with("size=20G"));
    assert_eq!(pve.control(json!({"eval": "[pve.vm(v).status for v in (401, 421, 422)]"})).await, json!(["running", "running", "running"]));
    assert_eq!(pve.pinned(), 3, "host keys are pinned");

    expect![[r#"
        = proxmox.template/tpl
        = proxmox.vm/cu1
        = proxmox.vm/wu1
        = proxmox.vm/wu2
    "#]]
    .assert_eq(&shown(&pve.plan(&peers, &small).await.unwrap()));
    assert_eq!(pve.writes().await, 0);

    // Four cores for all machines: exactly that.
    let bigger = workspace(json!({"machine": {"cores": 4}}));
    expect![[r#"
        = proxmox.template/tpl
        ~ proxmox.vm/cu1
            cores: 2 -> 4  (needs a reboot)
        ~ proxmox.vm/wu1
            cores: 2 -> 4  (needs a reboot)
        ~ proxmox.vm/wu2
            cores: 2 -> 4  (needs a reboot)
    "#]]
    .assert_eq(&shown(&pve.plan(&peers, &bigger).await.unwrap()));
    succeeded(&pve.apply(&peers, &bigger).await);
    assert_eq!(pve.writes().await, 3, "one write for each machine");
    assert_eq!(pve.plan(&peers, &bigger).await.unwrap().changes(), 0);

    // Destroyed and stopped behind our back: brought back.
    pve.control(json!({"call": "destroy", "args": [422]})).await;
    pve.control(json!({"eval": "[setattr(pve.vm(421), 'status', 'stopped'), setattr(pve.vm(421), 'qmpstatus', 'stopped')]"})).await;
    let back = pve.plan(&peers, &bigger).await.unwrap();
    let marks: Vec<char> = back.planned().iter().map(|one| one.change.mark()).collect();
    assert_eq!(marks, ['=', '=', '~', '+'], "{}", shown(&back));
    succeeded(&pve.apply(&peers, &bigger).await);
    assert_eq!(pve.plan(&peers, &bigger).await.unwrap().changes(), 0);
    let pins = std::fs::read_to_string(pve.known.path()).unwrap();
    assert_eq!(pins.lines().count(), 3, "the new machine's key replaces the old one's: {pins}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_machine_is_refused_untouched() {
    let Some(pve) = start("127.0.0.22") else { return };
    pve.control(json!({"call": "add_vm", "args": [421, "web"], "kwargs": {"node": "pve2", "config": {"cores": 1, "description": "mine"}}}))
        .await;
    let peers = pve.peers(json!({}));
    let plan = pve.plan(&peers, &workspace(json!({}))).await.unwrap();
    assert_eq!(plan.failures().len(), 1, "the others can be made");
    expect![[r#"
        VM 421 on pve2 is not wu1: it is called `web` and carries no mark of kthw
        help: nothing was changed; choose another VM id for wu1 in workspace.yaml, or remove that machine yourself"#]]
    .assert_eq(&explained(&plan.failures()[0].1));
    assert_eq!(pve.writes().await, 0);
    assert_eq!(pve.config(421, "cores").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_and_lost_polls_are_got_over() {
    let Some(pve) = start("127.0.0.23") else { return };
    let peers = pve.peers(json!({}));
    pve.fail("POST", "/qemu/9420/clone", 500, "can't lock file '/var/lock/qemu-server/lock-9420.conf' - got timeout", 2).await;
    pve.fail("PUT", "/qemu/401/config", 500, "can't lock file '/var/lock/qemu-server/lock-401.conf' - got timeout", 1).await;
    pve.fail("GET", "/qemu/421/status/current", 596, "Connection timed out", 1).await;
    succeeded(&pve.apply(&peers, &workspace(json!({}))).await);
    assert_eq!(pve.plan(&peers, &workspace(json!({}))).await.unwrap().changes(), 0);
    let heard = pve.heard.lock().unwrap().join("\n");
    assert!(heard.contains("a lock is held by another task"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_agent_is_said_aloud() {
    let Some(mut pve) = start("127.0.0.24") else { return };
    pve.vm_option = "agent_timeout_s: 3,";
    let peers = pve.peers(json!({}));
    pve.fail("GET", "/qemu/401/agent/network-get-interfaces", 500, "QEMU guest agent is not running", 100).await;
    pve.fail("GET", "/qemu/421/agent/network-get-interfaces", 500, "QEMU guest agent is not running", 1).await;
    pve.fail("GET", "/qemu/401/agent/file-read", 500, "QEMU guest agent is not running", 100).await;
    succeeded(&pve.apply(&peers, &workspace(json!({}))).await);
    let heard = pve.heard.lock().unwrap().join("\n");
    assert!(heard.contains("the SSH host key at 10.10.10.116 will be taken on first use"), "{heard}");
    assert_eq!(pve.pinned(), 2, "the others' keys are pinned");
    pve.control(json!({"eval": "pve.failures.clear()"})).await;
    // Later it answers, or another computer knows no keys: they are read when planning, and believed; `ssh.node` keeps them.
    pve.plan(&peers, &workspace(json!({}))).await.unwrap();
    assert_eq!((pve.believed(), pve.pinned()), (3, 2));
}

/// Says of the first clone that it failed because of a lock, although it went well.
struct OneBadClone(HttpClient, AtomicBool);

impl Http for OneBadClone {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        let path = request.uri().path();
        let polls = path.contains("qmclone") && path.ends_with("/status");
        Box::pin(async move {
            let answer = self.0.send(request).await?;
            if polls && answer.body().windows(4).any(|part| part == b"\"OK\"") && !self.1.swap(true, Ordering::Relaxed) {
                let status = json!({"status": "stopped", "exitstatus": "clone failed: can't lock file '/x' - got timeout"});
                return Ok(Response::new(json!({ "data": status }).to_string().into()));
            }
            Ok(answer)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_clone_leaves_is_removed_and_made_again() {
    let Some(pve) = start("127.0.0.27") else { return };
    let peers = pve.peers_through(|http| OneBadClone(http, AtomicBool::new(false)));
    let one = workspace(json!({"nodes": [{"name": "cu1", "role": "control_plane", "vmid": 401, "address": "10.10.10.116"}]}));
    succeeded(&pve.apply(&peers, &one).await);
    let made = pve.control(json!({"eval": "[m for m, p, _ in pve.requests if p.endswith('/clone') or m == 'DELETE']"})).await;
    assert_eq!(made, json!(["POST", "DELETE", "POST"]));
    assert_eq!(pve.plan(&peers, &one).await.unwrap().changes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let Some(pve) = start("127.0.0.25") else { return };
    let peers = pve.peers(json!({}));
    pve.fail("POST", "/qemu/9420/clone", 403, "Permission check failed (/vms/9420, VM.Clone)", 1).await;
    let one = workspace(json!({"nodes": [{"name": "cu1", "role": "control_plane", "vmid": 401, "address": "10.10.10.116"}]}));
    expect![[r#"
        Proxmox refused `POST /nodes/homelab/qemu/9420/clone`: Permission check failed (/vms/9420, VM.Clone)
        help: grant VM.Clone on /vms/9420: `pveum acl modify /vms/9420 --users USER --roles ROLE` (or --tokens), with a role that has it; a token with privilege separation starts with no rights at all"#]]
    .assert_eq(&failure(&pve.apply(&peers, &one).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_in() {
    let Some(pve) = start("127.0.0.26") else { return };
    let one = workspace(json!({"nodes": [{"name": "cu1", "role": "control_plane", "vmid": 401, "address": "10.10.10.116"}]}));
    let value = |name: &str| pve.values[name].clone();

    // A password, with the first of two hosts down, and a ticket that is revoked on the way.
    let password = json!({
        "proxmox.endpoint": format!("127.0.0.26:1, {}", value("PVE_ENDPOINT")), "proxmox.token": null,
        "proxmox.username": value("PVE_USER"), "proxmox.password": value("PVE_PASSWORD"),
    });
    let peers = pve.peers(password);
    succeeded(&pve.apply(&peers, &one).await);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    pve.control(json!({"call": "revoke_tickets"})).await;
    assert_eq!(pve.plan(&peers, &one).await.unwrap().changes(), 0);

    // A fingerprint instead of a file.
    let pinned = |fingerprint: String| json!({"proxmox.fingerprint": fingerprint, "proxmox.ca_file": null});
    assert_eq!(pve.plan(&pve.peers(pinned(value("PVE_FINGERPRINT"))), &one).await.unwrap().changes(), 0);
    let plan = pve.plan(&pve.peers(pinned("AB".repeat(32))), &one).await.unwrap();
    let text = explained(&plan.failures()[0].1);
    assert!(text.contains(&format!("the certificate has the fingerprint {}", value("PVE_FINGERPRINT"))), "{text}");
    assert!(text.contains("set `proxmox.fingerprint`"), "{text}");

    // Not trusted by the system, and a wrong token.
    let plan = pve.plan(&pve.peers(json!({"proxmox.ca_file": null})), &one).await.unwrap();
    let text = explained(&plan.failures()[0].1);
    assert!(text.contains("proxmox.ca_file"), "{text}");
    let plan = pve.plan(&pve.peers(json!({"proxmox.token": "root@pam!kthw=0000"})), &one).await.unwrap();
    let text = explained(&plan.failures()[0].1);
    assert!(text.contains("check `proxmox.token`") && !text.contains("0000"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_change_their_pool_and_not_their_host() {
    let Some(pve) = start("127.0.0.28") else { return };
    pve.control(
        json!({"eval": "[pve.pools.setdefault(name, set()) and None or pve._pool_meta(name) and None for name in ('K8S', 'other')]"}),
    )
    .await;
    let peers = pve.peers(json!({}));
    let in_pool = |pool: &str| workspace(json!({"proxmox": {"node": "homelab", "storage": "local-lvm", "pool": pool}}));
    succeeded(&pve.apply(&peers, &in_pool("K8S")).await);
    assert_eq!(pve.plan(&peers, &in_pool("K8S")).await.unwrap().changes(), 0);
    let moved = pve.plan(&peers, &in_pool("other")).await.unwrap();
    assert!(shown(&moved).contains("~ proxmox.vm/cu1\n    pool: K8S -> other\n"), "{}", shown(&moved));
    succeeded(&pve.apply(&peers, &in_pool("other")).await);
    // Somebody who knows nothing of this run sees it too.
    assert_eq!(pve.plan(&pve.peers(json!({})), &in_pool("other")).await.unwrap().changes(), 0);

    let elsewhere = workspace(json!({"proxmox": {"node": "pve2", "storage": "local-lvm"}}));
    let plan = pve.plan(&peers, &elsewhere).await.unwrap();
    assert_eq!((plan.work(), shown(&plan).matches("    node: homelab -> pve2").count()), (0, 4), "{}", shown(&plan));
}

/// A machine in no cluster, which is in another boot when its hardware is another one.
struct Rebooting(String);

impl Rebooting {
    async fn boot(&self) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let question = json!({"eval": "str(pve.vm(421).config.get('cores')) + pve.vm(421).status"}).to_string();
        let answer = client.post(&self.0).body(question).send().await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["result"].as_str().unwrap().to_owned()
    }
}

impl Nodes for Rebooting {
    fn read<'a>(&'a self, _: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, kthw_engine::Result<Vec<Finding>>> {
        Box::pin(async move {
            let boot = self.boot().await;
            let says = |stdout: &str| Finding::Run(Output { stdout: stdout.into(), ..Output::default() });
            let answer = |probe: &Probe| match probe {
                Probe::Run { argv } if argv.iter().any(|word| word.ends_with("boot_id")) => says(&boot),
                Probe::Run { .. } => says(""),
                _ => Finding::Path(None),
            };
            Ok(probes.iter().map(answer).collect())
        })
    }

    fn change<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Block],
        _: &'a Effect,
        _: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, kthw_engine::Result<Vec<BlockOutcome>>> {
        unreachable!("nothing is changed on it")
    }

    fn keep_host_key<'a>(&'a self, _: &'a str, _: &'a Effect) -> BoxFuture<'a, kthw_engine::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn act<'a>(&'a self, _: &'a str, _: &'a Action, _: &'a Effect) -> BoxFuture<'a, kthw_engine::Result<Output>> {
        unreachable!("hardware that waits takes Proxmox's own restart")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_waits_comes_with_a_restart_through_proxmox() {
    let Some(pve) = start("127.0.0.35") else { return };
    let peers = pve.peers_on(Arc::new(Rebooting(pve.values["PVE_CONTROL"].clone())));
    succeeded(&pve.apply(&peers, &workspace(json!({}))).await);
    let bigger = workspace(json!({"machine": {"cores": 4}}));
    succeeded(&pve.apply(&peers, &bigger).await);
    assert_eq!(pve.config(421, "cores").await, 2);
    let declare = "kubernetes::node_restarted(cluster, cluster.workers[0]);";
    let planned = pve.plan_text(declare, &peers, &bigger).await;
    expect![[r#"
        = proxmox.host_keys/wu1
        ~ kubernetes.node_restarted/wu1
            restart: needed (waiting in Proxmox: cores) -> done
    "#]]
    .assert_eq(&shown(&planned));
    pve.writes().await;
    succeeded(&pve.run(planned, &peers).await);
    assert_eq!(pve.writes().await, 1, "one request shuts it down and starts it");
    assert_eq!(pve.config(421, "cores").await, "4");
    assert_eq!(pve.plan_text(declare, &peers, &bigger).await.changes(), 0);
}
