//! What a plan shows for a template, and the calls that build it.
use super::*;
use crate::proxmox::{config::Config, guest::Guest};
use expect_test::{Expect, expect};
use std::time::Duration;

const SHA256: &str = "6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733";

fn spec() -> TemplateSpec {
    let spec = serde_json::json!({
        "vmid": 9420, "node": "homelab", "image_url": "https://images.example/noble.img", "sha256": SHA256, "file": "noble.qcow2",
        "images": "local", "storage": "local-lvm", "bridge": "vmbr0", "cpu_type": "x86-64-v2-AES",
    });
    serde_json::from_value(spec).expect("a spec")
}

fn tpl() -> TemplateName {
    "tpl".parse().expect("a name")
}

fn template() -> Template {
    Template::new("ubuntu", tpl(), spec()).expect("a template")
}

fn live(changes: &[(&str, &str)]) -> Found {
    let name = template().machine_name();
    let usual = [
        ("name", name.as_str()),
        ("description", "kthw:ubuntu:template/tpl:00ff"),
        ("template", "1"),
        ("scsi0", "local-lvm:base-9420-disk-0,size=3584M"),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ("cpu", "x86-64-v2-AES"),
    ];
    let config: Config = usual.into_iter().chain(changes.iter().copied()).collect();
    Found {
        guest: Guest { vmid: 9420, host: "homelab".into() },
        config,
        running: false,
        halt: None,
        up_for: Duration::ZERO,
        waiting: Vec::new(),
        pool: None,
    }
}

fn check(template: &Template, live: Option<&Found>, expected: Expect) {
    let change = template.diff(live);
    let fields: Vec<String> = change.fields().iter().map(|field| format!("\n    {field}")).collect();
    expected.assert_eq(&format!("{} {}{}", change.mark(), template.id(), fields.concat()));
}

#[test]
fn calls() {
    let template = template();
    expect!["POST /nodes/homelab/storage/local/download-url content=import filename=noble-6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733.qcow2 url=https://images.example/noble.img checksum=6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733 checksum-algorithm=sha256"]
        .assert_eq(&template.download_call().to_string());
    let mark = Mark { workspace: "ubuntu".into(), name: "template/tpl".into(), nonce: "00ff".into() };
    expect!["POST /nodes/homelab/qemu vmid=9420 name=tpl-450ba73730d0 description=kthw:ubuntu:template/tpl:00ff agent=enabled=1 boot=order=scsi0 ciupgrade=0 cores=2 memory=2048 ostype=l26 scsihw=virtio-scsi-single serial0=socket vga=serial0 cpu=x86-64-v2-AES net0=virtio,bridge=vmbr0 scsi0=local-lvm:0,import-from=local:import/noble-6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733.qcow2,discard=on,iothread=1 ide2=local-lvm:cloudinit tags=kthw"].assert_eq(&template.create_call(&mark, &[]).to_string());
}

/// A template that is built, in a workspace with one on each of two Proxmox nodes.
fn built(packages: &[&str], node: &str) -> Template {
    let mut workspace = crate::ssh::testing::workspace();
    let of_workspace = workspace.template.as_mut().expect("a template");
    (of_workspace.name, of_workspace.build_address) = (tpl(), Some([10, 0, 0, 90].into()));
    of_workspace.replicas = [("pve2".parse().expect("a node"), 9421)].into();
    workspace.proxmox.as_mut().expect("a Proxmox").node = "homelab".parse().expect("a node");
    let packages = packages.iter().map(|name| (*name).to_owned()).collect();
    let spec = TemplateSpec { build: Some(BuildSpec { packages }), node: node.parse().expect("a node"), ..spec() };
    let template = Template::new(&workspace.name.clone(), tpl(), spec).expect("a template");
    template.of(&Arc::new(workspace)).expect("a build")
}

/// A build machine of ours, with this note, under the name that `template` has.
fn build_machine(template: &Template, note: &str) -> Found {
    let description = format!("kthw:{}:template/tpl:00ff\nbuild: {note}", template.workspace);
    live(&[("name", &template.machine_name()), ("description", &description), ("template", "0"), ("ciuser", "kthw")])
}

#[test]
fn a_template_that_is_built_says_what_is_in_it() {
    check(
        &built(&["socat"], "homelab"),
        None,
        expect![[r#"
        + proxmox.template/tpl
            name: tpl-3c32a86ec952
            vmid: 9420
            node: homelab
            image: noble.qcow2
            sha256: 6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733
            storage: local-lvm
            bridge: vmbr0
            cpu_type: x86-64-v2-AES
            agent: qemu-guest-agent, built in
            packages: socat
            build_address: 10.0.0.90"#]],
    );
    let replica = built(&["socat"], "pve2");
    assert_eq!(replica.id().to_string(), "proxmox.template/tpl@pve2");
    assert_eq!(replica.machine_name(), built(&["socat"], "homelab").machine_name(), "the same template on another node");
    assert_ne!(built(&[], "homelab").machine_name(), replica.machine_name());
    assert_ne!(built(&[], "homelab").machine_name(), template().machine_name());
    let mark = Mark { workspace: "ubuntu".into(), name: "template/tpl".into(), nonce: "00ff".into() };
    let call = replica.create_call(&mark, &["ssh-ed25519 AAAA me".into()]).to_string();
    expect![" ciuser=kthw sshkeys=ssh-ed25519%20AAAA%20me%0A ipconfig0=ip=10.0.0.90/24,gw=10.10.10.1 nameserver=10.10.10.100 searchdomain=bevz.net"].assert_eq(&call[call.find(" ciuser").expect("a user")..]);
    assert!(call.contains("description=kthw:ubuntu:template/tpl:00ff\nbuild: making agent="), "{call}");
}

#[test]
fn a_build_that_was_left_goes_on_and_one_of_something_else_begins_anew() {
    let template = built(&["socat"], "homelab");
    for (note, expected) in [
        (
            "making",
            expect![[r#"
            ~ proxmox.template/tpl
                build: making -> done
                template: no -> yes"#]],
        ),
        (
            "cleaning",
            expect![[r#"
            ~ proxmox.template/tpl
                build: cleaning -> done
                template: no -> yes"#]],
        ),
        (
            "done",
            expect![[r#"
            ~ proxmox.template/tpl
                template: no -> yes"#]],
        ),
    ] {
        check(&template, Some(&build_machine(&template, note)), expected);
    }
    let other = built(&["socat", "tree"], "homelab");
    check(
        &template,
        Some(&build_machine(&other, "making")),
        expect![[r#"
        ~ proxmox.template/tpl
            build: left half made, of another image or recipe -> done"#]],
    );
    // Once it is a template, machines may have been cloned from it.
    let mut made = build_machine(&other, "done");
    made.config = live(&[("name", &other.machine_name()), ("description", made.config.get("description").expect("one"))]).config;
    let Change::Refused(_) = template.diff(Some(&made)) else { panic!("refused") };
}

#[test]
fn what_cannot_be_built_is_refused() {
    let mut workspace = crate::ssh::testing::workspace();
    let of = |packages: &[&str], workspace: &Workspace| {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        let spec = TemplateSpec { build: Some(BuildSpec { packages }), ..spec() };
        Template::new("ubuntu", tpl(), spec).expect("a template").of(&Arc::new(workspace.clone())).map(drop).map_err(|bad| bad.to_string())
    };
    assert_eq!(of(&[], &workspace), Err("the workspace names no address on which `tpl` is built on homelab".into()));
    let of_workspace = workspace.template.as_mut().expect("a template");
    (of_workspace.name, of_workspace.build_address) = (tpl(), Some([10, 0, 0, 90].into()));
    workspace.proxmox.as_mut().expect("a Proxmox").node = "homelab".parse().expect("a node");
    assert_eq!(of(&["-o"], &workspace), Err("\"-o\" is not the name of a package".into()));
    assert_eq!(of(&["g++", "libstdc++"], &workspace), Ok(()));
}

#[test]
fn an_image_of_another_digest_is_another_file_whatever_it_is_called() {
    let other = Template::new("ubuntu", tpl(), TemplateSpec { sha256: Some(SHA256.replace('6', "7")), ..spec() }).expect("a template");
    assert_eq!(other.spec.file, template().spec.file);
    assert_ne!(other.volume(), template().volume());
    for template in [template(), other] {
        let (file, digest) = (template.stored_file(), template.pin().to_owned());
        assert!(file.contains(&digest) && file.ends_with(".qcow2"), "{file}");
        assert!(
            template.volume().ends_with(&file) && template.download_call().to_string().contains(&format!("filename={file} ")),
            "{file}"
        );
    }
}

#[test]
fn the_longest_name_has_room_for_the_digest() {
    let longest = format!("{}.qcow2", "a".repeat(174));
    let template = Template::new("ubuntu", tpl(), TemplateSpec { file: longest.parse().expect("a file"), ..spec() }).expect("a template");
    assert!(template.stored_file().len() <= 255, "Proxmox takes no more");
    assert!(format!("a{longest}").parse::<ImageFile>().is_err());
}

#[test]
fn the_name_follows_image_and_steps() {
    let name = template().machine_name();
    expect!["tpl-450ba73730d0"].assert_eq(&name);
    assert!(Template::is_called(&name, "tpl") && Template::is_called("tpl", "tpl"));
    assert!(!Template::is_called("tpl-old", "tpl") && !Template::is_called(&name, "tp"));
    let bigger = Template::new("ubuntu", tpl(), TemplateSpec { disk_gib: Some(8), ..spec() }).expect("a template");
    assert_ne!(bigger.machine_name(), name);
    let moved = Template::new("ubuntu", tpl(), TemplateSpec { bridge: "vmbr1".parse().expect("a bridge"), ..spec() }).expect("a template");
    assert_eq!(moved.machine_name(), name);
}

#[test]
fn a_template_that_was_left_before_its_disk_grew_is_grown() {
    let bigger = Template::new("ubuntu", tpl(), TemplateSpec { disk_gib: Some(8), ..spec() }).expect("a template");
    let sized = |size: &str| Drive::parse(&format!("local-lvm:vm-9420-disk-0,size={size}")).expect("a disk");
    assert_eq!(bigger.growth(&sized("3584M")), Some(8));
    assert_eq!((bigger.growth(&sized("8G")), bigger.growth(&sized("9G"))), (None, None));
    assert_eq!(template().growth(&sized("3584M")), None);
}

#[test]
fn diffs() {
    check(
        &template(),
        None,
        expect![[r#"
        + proxmox.template/tpl
            name: tpl-450ba73730d0
            vmid: 9420
            node: homelab
            image: noble.qcow2
            sha256: 6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733
            storage: local-lvm
            bridge: vmbr0
            cpu_type: x86-64-v2-AES"#]],
    );
    check(&template(), Some(&live(&[])), expect!["= proxmox.template/tpl"]);
    check(
        &template(),
        Some(&live(&[("template", "0")])),
        expect![[r#"
        ~ proxmox.template/tpl
            template: no -> yes"#]],
    );
    check(
        &template(),
        Some(&live(&[("cpu", "host"), ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr1,tag=5")])),
        expect![[r#"
        ~ proxmox.template/tpl
            cpu_type: host -> x86-64-v2-AES
            network: vmbr1, VLAN 5 -> vmbr0"#]],
    );
    check(
        &template(),
        Some(&live(&[("name", "tpl-000000000000"), ("scsi0", "nfs:base-9420-disk-0")])),
        expect![[r#"
            ! proxmox.template/tpl
                name: tpl-000000000000 -> tpl-450ba73730d0 (another image or build: choose another VM id for it)  (needs replacement)
                storage: nfs -> local-lvm  (needs replacement)"#]],
    );
}

#[test]
fn another_workspaces_template_is_waited_for_and_never_changed() {
    let theirs = [("description", "kthw:other:template/tpl:00ff"), ("cpu", "host")];
    check(&template(), Some(&live(&theirs[..1])), expect!["= proxmox.template/tpl"]);
    check(
        &template(),
        Some(&live(&theirs)),
        expect![[r#"
            ! proxmox.template/tpl
                cpu_type: host -> x86-64-v2-AES"#]],
    );
    check(
        &template(),
        Some(&live(&[theirs[0], ("template", "0")])),
        expect![[r#"
            ~ proxmox.template/tpl
                template: in the making by workspace `other` -> yes"#]],
    );
    let Change::Refused(refusal) = template().diff(Some(&live(&theirs))) else { panic!("refused") };
    assert_eq!(refusal.why, "VM 9420 is the template of workspace `other`");
}

#[test]
fn an_image_that_cannot_be_imported_is_refused() {
    let refused = |spec| Template::new("ubuntu", tpl(), spec).expect_err("a bad image").to_string();
    assert_eq!(refused(TemplateSpec { sha256: Some("6E".into()), ..spec() }), "`6E` is not a SHA-256 in lower-case hexadecimal digits");
}
