//! The four schemas of the system before, with made-up values: what is taken, left out, missing and in conflict.
use super::*;
use expect_test::{Expect, expect};

fn import(text: &str, prefer: &[&str]) -> Import {
    let values = old_values("old.yaml", text, &KeyServices::new(|_| None)).expect("YAML");
    Import::of(&values, &prefer.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn check(text: &str, prefer: &[&str], report: Expect, plain: Expect) {
    let import = import(text, prefer);
    report.assert_eq(&import.report());
    plain.assert_eq(&import.plain("new.yaml").expect("YAML"));
}

#[test]
fn the_schema_of_the_loader() {
    let text = "\
global:
    vm_username: ops
    vm_password: made-up-1
    vm_ssh_keys:
        - ssh-ed25519 AAAA one
        - ssh-ed25519 BBBB two
    cloudflare_dns_api_token: made-up-2
default:
    proxmox:
        endpoint: https://pve.test:8006/
        username: root@pam
        password: \"made: up #3\"
        ssh_username: terraform
    s3_backend:
        bucket: state
        key: a.tfstate
        access_key: made-up-4
        skip_region_validation: true
    harbor:
        hostname: harbor.test
        robot_username: robot$ci
        robot_token: made-up-5
";
    check(text, &[], expect![[""]], expect![[""]]);
}

#[test]
fn the_schema_of_the_top_level() {
    check("vm_ssh_keys: ssh-ed25519 AAAA one\nvm_password: made-up\n", &[], expect![[""]], expect![[""]]);
}

#[test]
fn the_schema_of_the_host_name_scripts() {
    let text = "virtual_environment_endpoint: https://pve.test:8006\nproxmox_username: root\nproxmox_password: made-up\n";
    check(text, &[], expect![[""]], expect![[""]]);
}

#[test]
fn the_schema_of_the_object_storage_script() {
    check("minio_access_key: made-up-1\nminio_secret_key: made-up-2\nminio_port: 9000\n", &[], expect![[""]], expect![[""]]);
}

#[test]
fn two_schemas_with_different_values_are_in_conflict_until_one_is_preferred() {
    let text = "default: {proxmox: {endpoint: pve, username: root@pam, password: one}}\nproxmox_password: two\nproxmox_username: root@pam\n";
    check(text, &[], expect![[""]], expect![[""]]);
    check(text, &["proxmox_password"], expect![[""]], expect![[""]]);
}

#[test]
fn every_old_name_belongs_to_one_secret() {
    let mut names: Vec<&str> = KNOWN.iter().flat_map(|known| known.old.iter().chain([&known.name])).copied().collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(KNOWN.iter().all(|known| !known.meaning.is_empty() && !known.used_by.is_empty()));
}
