//! A kept plan is refused after each kind of change, in the world or in what it was made of, with the fact that moved and before any effect.
use crate::{FULL, Lab, Recipes, changes, failures, nodes::built};
use kthw_engine::{Graph, Kind, Library, SavedPlan, Source};
use kthw_lab::{Fault, Kind as EntryKind, Machine, Object, Vm, World};
use kthw_stdlib::script_engine;
use serde_json::{Value, json};

/// A cluster with two things to do: a package is missing on `wu2`, and a file of `wu1` has another mode.
async fn drifted() -> Lab {
    let lab = built("moved").await;
    on(&lab, "wu2", |machine| _ = machine.packages.remove("socat").unwrap());
    on(&lab, "wu1", |machine| machine.files.get_mut("/etc/crictl.yaml").unwrap().mode = 0o600);
    lab
}

fn on(lab: &Lab, node: &str, change: impl FnOnce(&mut Machine)) {
    lab.world.with_state(|state| change(state.machines.get_mut(crate::nodes::machine(node)).unwrap()));
}

fn vm(lab: &Lab, vmid: u32, change: impl FnOnce(&mut Vm)) {
    lab.world.with_state(|state| change(state.pve.vms.get_mut(&vmid).unwrap()));
}

fn configure(lab: &Lab, vmid: u32, key: &str, value: &str) {
    vm(lab, vmid, |vm| _ = vm.config.insert(key.into(), value.into()));
}

/// Writes a file as an editor does.
fn edit(lab: &Lab, node: &str, path: &str, edit: impl FnOnce(&str) -> String) {
    on(lab, node, |machine| {
        let text = edit(&machine.files.text(path));
        let EntryKind::File(content) = &mut machine.files.get_mut(path).unwrap().kind else { panic!("{path} is no file") };
        *content = text.into_bytes();
    });
}

/// The object whose key ends like this: `installations||default`.
fn object(lab: &Lab, ends: &str, change: impl FnOnce(&mut Object)) {
    lab.world.with_state(|state| {
        let objects = &mut state.clusters[0].objects;
        change(objects.iter_mut().find(|(key, _)| key.ends_with(ends)).map(|(_, object)| object).unwrap());
    });
}

fn remove_object(lab: &Lab, ends: &str) {
    lab.world.with_state(|state| {
        let objects = &mut state.clusters[0].objects;
        let before = objects.len();
        objects.retain(|key, _| !key.ends_with(ends));
        assert_ne!(objects.len(), before, "{ends}");
    });
}

/// The host key of a node.
fn public_key(lab: &Lab, node: &str) -> String {
    lab.world.with_state(|state| state.machines[crate::nodes::machine(node)].files.text("/etc/ssh/ssh_host_ed25519_key.pub"))
}

fn always(lab: &Lab, fault: Fault) {
    lab.world.add_fault(fault.times(100_000));
}

/// One kind of change: its name, what somebody does, and what is said of it.
type Move = (&'static str, fn(&Lab), &'static str);

const MACHINES: &[Move] = &[
    ("a machine is destroyed", |lab| lab.world.destroy_vm(421), "proxmox.vm/wu1: was as wanted, is not there now"),
    (
        "somebody else's machine has its id",
        |lab| {
            lab.world.destroy_vm(421);
            lab.world.add_foreign_vm(421, "theirs");
        },
        "proxmox.vm/wu1: was as wanted, is refused now: VM 421",
    ),
    ("other cores", |lab| configure(lab, 421, "cores", "8"), "proxmox.vm/wu1: was as wanted, is now to be changed: cores: 8 -> 2"),
    (
        "other memory",
        |lab| configure(lab, 422, "memory", "8192"),
        "proxmox.vm/wu2: was as wanted, is now to be changed: memory_mib: 8192 -> 4096",
    ),
    ("other tags", |lab| configure(lab, 401, "tags", "mine"), "proxmox.vm/cu1: was as wanted, is now to be changed: tags: mine -> "),
    ("its mark is gone", |lab| configure(lab, 421, "description", "mine now"), "proxmox.vm/wu1: was as wanted, is refused now: "),
    (
        "it is paused",
        |lab| lab.world.halt_vm(421, "paused"),
        "proxmox.vm/wu1: was as wanted, is now to be changed: status: paused (somebody paused it; it is resumed) -> running",
    ),
    ("it is stopped", |lab| stop(lab, 421), "proxmox.vm/wu1: was as wanted, is now to be changed: status: stopped -> running"),
    ("the template is gone", |lab| lab.world.destroy_vm(9420), "proxmox.template/tpl-ubuntu-2404-k8s: was as wanted, is not there now"),
    (
        "Proxmox is silent",
        |lab| always(lab, Fault::http("GET", "/", 595, "No route to host")),
        "proxmox.template/tpl-ubuntu-2404-k8s: was as wanted, cannot be looked at now: ",
    ),
];

const NODES: &[Move] = &[
    (
        "a file has another content",
        |lab| edit(lab, "wu1", "/etc/hosts", |text| format!("{text}10.0.0.1 gateway\n")),
        "ssh.file/wu1/etc/hosts: was as wanted, is now to be changed: content: ",
    ),
    (
        "a file that is to be changed has another mode",
        |lab| on(lab, "wu1", |machine| machine.files.get_mut("/etc/crictl.yaml").unwrap().mode = 0o640),
        "ssh.file/wu1/etc/crictl.yaml: mode: was 0600 -> 0644, is now 0640 -> 0644",
    ),
    (
        "a file that is to be changed differs in more",
        |lab| on(lab, "wu1", |machine| machine.files.get_mut("/etc/crictl.yaml").unwrap().owner = "nobody".into()),
        "ssh.file/wu1/etc/crictl.yaml: owner: was as wanted, is now nobody:root -> root:root",
    ),
    (
        "a file is as wanted",
        |lab| on(lab, "wu1", |machine| machine.files.get_mut("/etc/crictl.yaml").unwrap().mode = 0o644),
        "ssh.file/wu1/etc/crictl.yaml: was to be changed, is now as wanted",
    ),
    (
        "a file is gone",
        |lab| on(lab, "wu1", |machine| machine.files.remove("/etc/crictl.yaml").unwrap()),
        "ssh.file/wu1/etc/crictl.yaml: was to be changed, is not there now",
    ),
    (
        "a link is where a file was",
        |lab| {
            on(lab, "cu1", |machine| {
                machine.files.remove("/etc/hosts").unwrap();
                machine.files.link("/etc/hosts", "/tmp/hosts", 0).unwrap();
            });
        },
        "ssh.file/cu1/etc/hosts: was as wanted, is now to be changed: kind: ",
    ),
    (
        "a package is there that was to be installed",
        |lab| {
            let package = lab.world.with_state(|state| state.machines["vm/401"].packages["socat"].clone());
            on(lab, "wu2", |machine| _ = machine.packages.insert("socat".into(), package));
        },
        "ssh.package/wu2/socat: was to be created, is there now and as wanted",
    ),
    (
        "a package is gone",
        |lab| on(lab, "cu1", |machine| _ = machine.packages.remove("conntrack").unwrap()),
        "ssh.package/cu1/conntrack: was as wanted, is not there now",
    ),
    (
        "a package has another version",
        |lab| on(lab, "wu2", |machine| machine.packages.get_mut("kubelet").unwrap().version = "1.31.8-1.1".into()),
        "ssh.package/wu2/kubelet: was as wanted, is refused now: ",
    ),
    (
        "a package is not held any more",
        |lab| on(lab, "wu2", |machine| machine.packages.get_mut("kubectl").unwrap().held = false),
        "ssh.package/wu2/kubectl: was as wanted, is now to be changed: hold: false -> true",
    ),
    (
        "a service is stopped",
        |lab| on(lab, "wu1", |machine| machine.units.get_mut("containerd.service").unwrap().started = false),
        "ssh.service/wu1/containerd: was as wanted, is now to be changed: state: inactive -> active",
    ),
    (
        "a service does not start with its machine",
        |lab| on(lab, "wu1", |machine| machine.units.get_mut("kubelet.service").unwrap().enabled = false),
        "ssh.service/wu1/kubelet: was as wanted, is now to be changed: enabled: false -> true",
    ),
    (
        "another kernel parameter",
        |lab| on(lab, "wu2", |machine| _ = machine.sysctls.insert("net.ipv4.ip_forward".into(), "0".into())),
        "ssh.sysctl/wu2/net.ipv4.ip_forward: was as wanted, is now to be changed: value: 0 -> 1",
    ),
    (
        "a kernel module is unloaded",
        |lab| on(lab, "wu2", |machine| _ = machine.modules.remove("br_netfilter")),
        "ssh.kernel_module/wu2/br_netfilter: was as wanted, is now to be changed: loaded: false -> true",
    ),
    (
        "swap is on",
        |lab| on(lab, "cu1", |machine| machine.swaps.push("/swap.img".into())),
        "ssh.swap/cu1: was as wanted, is now to be changed: swap: /swap.img -> off",
    ),
    ("a node is silent", |lab| always(lab, Fault::node_reset("wu1", false)), "ssh.node/wu1: was as wanted, cannot be looked at now: "),
    (
        "a host key is kept no more",
        |lab| std::fs::write(lab.folder.join("known_hosts"), "").unwrap(),
        "ssh.node/cu1: was as wanted, is now to be changed: host key: not kept here -> SHA256:",
    ),
    (
        "a host key is another one",
        |lab| {
            let key = public_key(lab, "cu1");
            edit(lab, "wu1", "/etc/ssh/ssh_host_ed25519_key.pub", |_| key);
        },
        "ssh.node/wu1: was as wanted, cannot be looked at now: ",
    ),
];

const CLUSTER: &[Move] = &[
    (
        "the kubelet has other arguments",
        |lab| edit(lab, "wu1", "/var/lib/kubelet/kubeadm-flags.env", |text| text.replacen("=\"", "=\"--v=9 ", 1)),
        "kubeadm.worker/wu1: was as wanted, is now to be changed: kubelet --v: 9 -> absent",
    ),
    (
        "an object differs",
        |lab| {
            object(lab, "installations||default", |object| {
                object.value["spec"]["calicoNetwork"]["ipPools"][0]["natOutgoing"] = json!("Disabled")
            })
        },
        "calico.installation/ubuntu: was as wanted, is now to be changed: ",
    ),
    (
        "an object is gone",
        |lab| remove_object(lab, "deployments|tigera-operator|tigera-operator"),
        "calico.operator/ubuntu: was as wanted, is now to be changed: Deployment tigera-operator/tigera-operator: absent -> present",
    ),
    (
        "a kind of objects is gone",
        |lab| remove_object(lab, "customresourcedefinitions||installations.operator.tigera.io"),
        "calico.operator/ubuntu: was as wanted, is now to be changed: CustomResourceDefinition installations.operator.tigera.io: absent -> present",
    ),
    ("a node left the cluster", |lab| remove_object(lab, "|nodes||wu2"), "kubernetes.node_ready/wu2: was as wanted, is not there now"),
    (
        "a machine was reset",
        |lab| on(lab, "wu2", |machine| machine.files.remove_tree("/etc/kubernetes")),
        "kubeadm.worker/wu2: was as wanted, is not there now",
    ),
    (
        "a node is not ready",
        |lab| {
            on(lab, "wu2", |machine| machine.units.get_mut("kubelet.service").unwrap().started = false);
            lab.world.with_state(|state| state.now_ms += 300_000);
        },
        "kubernetes.node_ready/wu2: was as wanted, is now to be changed: ready: false (",
    ),
    (
        "the API is silent",
        |lab| always(lab, Fault::kubernetes("GET", "/", 503, "the server is currently unable to handle the request")),
        "kubeadm.control_plane/ubuntu: was as wanted, is now to be changed: API server: ",
    ),
];

#[tokio::test(start_paused = true)]
async fn after_every_kind_of_change_a_plan_is_refused_with_the_fact_that_moved() {
    let first = drifted().await;
    assert_eq!(changes(&first.plan(FULL).await).len(), 2);
    let kept = first.folder.join("lab.json");
    first.world.save(&kept).unwrap();
    let text = first.again().keep(FULL).await;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, change, expected) in MACHINES.iter().chain(NODES).chain(CLUSTER) {
        let lab = Lab::changed("moved-now", World::open(&kept).unwrap(), &[]);
        change(&lab);
        let lab = lab.again_from_its_folder();
        let writes = lab.world.writes();
        match lab.carry_out(&text).await {
            Ok(report) => wrong.push(format!("{name}: it was carried out: {} changed {}", report.changed(), failures(&report))),
            Err(error) if error.kind() != Kind::Refused || !says(&error.to_string(), expected) => wrong.push(format!("{name}: {error}")),
            Err(_) => count += 1,
        }
        if lab.world.writes() != writes {
            wrong.push(format!("{name}: something was written"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 36, "{count} kinds of change");
    // Where nothing moved, it is carried out.
    let lab = Lab::changed("moved-not", World::open(&kept).unwrap(), &[]);
    let report = lab.carry_out(&text).await.unwrap();
    assert_eq!((failures(&report).as_str(), report.changed()), ("", 2));
}

/// Whether one of the facts in an error begins like this.
fn says(error: &str, fact: &str) -> bool {
    error.lines().any(|line| line.strip_prefix("  ").is_some_and(|line| line.starts_with(fact)))
}

fn stop(lab: &Lab, vmid: u32) {
    vm(lab, vmid, |vm| vm.running = false);
    lab.world.with_state(|state| state.machines.get_mut(&format!("vm/{vmid}")).unwrap().running = false);
}

/// The shipped recipes, one of them changed.
struct Changed {
    name: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Library for Changed {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        let mut found = Recipes.find(name)?;
        if let Some(source) = found.as_mut().filter(|_| name == self.name) {
            assert!(source.text.contains(self.from), "{name}");
            source.text = source.text.replacen(self.from, self.to, 1);
        }
        Ok(found)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn other_recipes_and_another_workspace_are_named_before_anybody_is_asked() {
    let lab = Lab::new("moved-inputs");
    let text = lab.keep(FULL).await;
    let saved = SavedPlan::parse("plan.json", &text).unwrap();
    let asked = lab.world.journal().len();
    for (name, from, to, expected) in [
        ("phases/system", "VERSION = \"2.0.0\"", "VERSION = \"2.1.0\"", "recipe phases/system: 2.0.0 -> 2.1.0"),
        ("phases/system", "ip6-loopback", "ip6-elsewhere", "recipe phases/system 2.0.0: its text is another one"),
        ("phases/workers", "\"phases/network@1\"", "\"phases/network\"", "recipe phases/workers 1.3.0: its text is another one"),
        ("ubuntu/full", "\"phases/validate-cluster@1\"", "\"phases/network@1\"", "recipe phases/traefik 1.0.0: is not needed any more"),
        (
            "ubuntu/full",
            "\"phases/validate-cluster@1\"]",
            "\"phases/validate-cluster@1\", \"operations/restart\"]",
            "recipe operations/restart 1.0.1: was not needed",
        ),
    ] {
        let graph = Graph::load(&script_engine(), &Changed { name, from, to }, FULL).unwrap();
        let error = saved.check_inputs(graph.recipes(), &lab.workspace_as_json()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(says(&error.to_string(), expected), "{error}");
    }
    for (set, expected) in [
        ("machine.cores=4", "workspace: machine.cores 2 -> 4"),
        ("nodes.wu1.memory_mib=8192", "workspace: nodes.wu1.memory_mib nothing -> 8192"),
        ("versions.kubernetes=1.31.8", "workspace: versions.kubernetes 1.31.9 -> 1.31.8"),
        ("network.dns=[]", "workspace: network.dns[0] 10.10.10.100 -> nothing"),
        ("proxmox=null", "workspace: proxmox {\"node\":"),
        ("environment=production", "workspace: environment development -> production"),
        ("values.note=hello", "workspace: values.note nothing -> hello"),
    ] {
        let other = Lab::changed("moved-set", lab.world.clone(), &[set]);
        let error = other.carry_out(&text).await.unwrap_err();
        assert!(says(&error.to_string(), expected), "{set}: {error}");
    }
    assert_eq!(lab.world.journal().len(), asked, "somebody was asked");
    let workspace: Value = lab.workspace_as_json();
    saved.check_inputs(&lab.recipes(FULL), &workspace).unwrap();
}
