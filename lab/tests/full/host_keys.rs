//! Who may be believed about a host key that is not pinned.
use crate::{Lab, changes, failures};
use kthw_lab::{Fault, World};
use kthw_stdlib::ssh::{FirstUse, KnownHosts};
use std::time::Duration;

/// A lab whose machines run, and whose pinned keys were lost.
async fn without_pins(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply("phases/system").await), "");
    // What was started a moment ago may only be booting.
    lab.peers.clock().sleep(Duration::from_secs(3600)).await;
    lab.elsewhere(&format!("{name}-again"))
}

fn warnings(lab: &Lab) -> Vec<String> {
    lab.peers.get::<KnownHosts>().unwrap().take_warnings()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_asked_opens_no_way_to_trust_at_first_sight() {
    for (status, said) in [
        (403, "Permission check failed (/vms/421, VM.GuestAgent.FileRead)"),
        (595, "No route to host"),
        (500, "VM 421 qmp command 'guest-file-open' failed - got timeout"),
        (500, "can't open file: Agent error: Command guest-file-open has been disabled"),
    ] {
        let lab = without_pins("unasked").await;
        lab.world.add_fault(Fault::http("GET", "/421/agent/", status, said).times(100_000));
        let plan = lab.plan("phases/system").await;
        let unknown = changes(&plan).into_iter().filter(|change| change.starts_with("unknown ssh.node/wu1")).count();
        assert_eq!(unknown, 1, "{said}: {plan}");
        let (id, error) = &plan.failures()[0];
        assert_eq!(id.to_string(), "ssh.node/wu1");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(warnings(&lab), Vec::<String>::new(), "{said}");
        let report = lab.apply("phases/system").await;
        assert_eq!(report.failures[0].0.to_string(), "ssh.node/wu1", "{}", failures(&report));
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_an_agent_is_trusted_at_first_sight_and_said_so() {
    let lab = without_pins("absent").await;
    let absent = Fault::http("GET", "/421/agent/", 500, "QEMU guest agent is not running").times(100_000);
    lab.world.add_fault(absent);
    let planned = changes(&lab.plan("phases/system").await);
    assert!(planned.len() == 3 && planned.iter().all(|one| one.starts_with("update ssh.node/")), "{planned:?}");
    let wu1 = planned.iter().find(|one| one.contains("/wu1")).unwrap();
    assert!(wu1.contains("host key: not kept here -> SHA256:") && wu1.contains("taken as it came"), "{wu1}");
    let said = warnings(&lab);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("will be taken on first use") && said[0].contains("of wu1 (QEMU guest agent is not running)"), "{said:?}");
    assert!(said[1].starts_with("first connection to wu1 at "), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_trusts_nobody_at_first_sight() {
    let lab = without_pins("dry").await;
    lab.peers.get::<KnownHosts>().unwrap().set_first_use(FirstUse::Never);
    lab.world.add_fault(Fault::http("GET", "/421/agent/", 500, "QEMU guest agent is not running").times(100_000));
    let plan = lab.plan("phases/system").await;
    let (id, error) = &plan.failures()[0];
    assert_eq!(id.to_string(), "ssh.node/wu1", "{plan}");
    assert!(error.to_string().ends_with("(a dry run trusts no key at first sight)"), "{error}");
    assert_eq!(warnings(&lab), Vec::<String>::new());

    // Machines that kthw did not make.
    let bare = Lab::changed("dry-bare", World::default(), &["proxmox=null"]);
    bare.peers.get::<KnownHosts>().unwrap().set_first_use(FirstUse::Never);
    let plan = bare.plan("phases/containerd").await;
    assert!(plan.failures().iter().all(|(_, error)| error.to_string().contains("a dry run trusts no key")), "{plan}");
    assert_ne!(plan.failures().len(), 0);
}
