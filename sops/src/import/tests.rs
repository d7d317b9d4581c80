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
    plain.assert_eq(std::str::from_utf8(&import.plain("new.yaml").expect("YAML")).expect("text"));
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
    check(
        text,
        &[],
        expect![[r#"
        Taken:
          default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
          default.proxmox.username -> proxmox.username (module proxmox)
          default.proxmox.password -> proxmox.password (module proxmox)
          global.vm_username -> vm.username (recipes, by `sops::secret`)
          global.vm_password -> vm.password (recipes, by `sops::secret`)
          global.vm_ssh_keys -> vm.ssh_keys (recipes, by `sops::secret`)
          global.cloudflare_dns_api_token -> cloudflare.api_token (recipes, by `sops::secret`)
          default.s3_backend.bucket -> s3.bucket (recipes, by `sops::secret`)
          default.s3_backend.access_key -> s3.access_key (recipes, by `sops::secret`)
          default.harbor.hostname -> harbor.hostname (recipes, by `sops::secret`)
          default.harbor.robot_username -> harbor.robot_username (recipes, by `sops::secret`)
          default.harbor.robot_token -> harbor.robot_token (recipes, by `sops::secret`)
        Unused:
          default.proxmox.ssh_username
          default.s3_backend.key
          default.s3_backend.skip_region_validation
        Notes:
          `kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed
          vm.username is no secret: write it into workspace.yaml as `ssh.user`
          vm.ssh_keys is no secret: write it into workspace.yaml as `ssh.authorized_keys`
    "#]],
        expect![[r#"
        proxmox:
          endpoint: https://pve.test:8006/
          username: root@pam
          password: "made: up #3"
        vm:
          username: ops
          password: made-up-1
          ssh_keys: ["ssh-ed25519 AAAA one","ssh-ed25519 BBBB two"]
        cloudflare:
          api_token: made-up-2
        s3:
          bucket: state
          access_key: made-up-4
        harbor:
          hostname: harbor.test
          robot_username: robot$ci
          robot_token: made-up-5
    "#]],
    );
}

#[test]
fn the_schema_of_the_top_level() {
    check(
        "vm_ssh_keys: ssh-ed25519 AAAA one\nvm_password: made-up\n",
        &[],
        expect![[r#"
        Taken:
          vm_password -> vm.password (recipes, by `sops::secret`)
          vm_ssh_keys -> vm.ssh_keys (recipes, by `sops::secret`)
        Missing:
          proxmox.endpoint
          proxmox.token (or proxmox.username and proxmox.password)
        Notes:
          vm.ssh_keys is no secret: write it into workspace.yaml as `ssh.authorized_keys`
    "#]],
        expect![[r#"
        vm:
          password: made-up
          ssh_keys: ["ssh-ed25519 AAAA one"]
    "#]],
    );
}

#[test]
fn the_schema_of_the_host_name_scripts() {
    let text = "virtual_environment_endpoint: https://pve.test:8006\nproxmox_username: root\nproxmox_password: made-up\n";
    check(
        text,
        &[],
        expect![[r#"
        Taken:
          virtual_environment_endpoint -> proxmox.endpoint (module proxmox)
          proxmox_username -> proxmox.username (module proxmox)
          proxmox_password -> proxmox.password (module proxmox)
        Notes:
          proxmox.username has no realm; add the one that it is in, such as `@pam` or `@pve`
          `kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed
    "#]],
        expect![[r#"
        proxmox:
          endpoint: https://pve.test:8006
          username: root
          password: made-up
    "#]],
    );
}

#[test]
fn the_schema_of_the_object_storage_script() {
    check(
        "minio_access_key: made-up-1\nminio_secret_key: made-up-2\nminio_port: 9000\n",
        &[],
        expect![[r#"
        Taken:
          minio_access_key -> s3.access_key (recipes, by `sops::secret`)
          minio_secret_key -> s3.secret_key (recipes, by `sops::secret`)
        Unused:
          minio_port
        Missing:
          proxmox.endpoint
          proxmox.token (or proxmox.username and proxmox.password)
    "#]],
        expect![[r#"
        s3:
          access_key: made-up-1
          secret_key: made-up-2
    "#]],
    );
}

#[test]
fn two_schemas_with_different_values_are_in_conflict_until_one_is_preferred() {
    let text =
        "default: {proxmox: {endpoint: pve, username: root@pam, password: one}}\nproxmox_password: two\nproxmox_username: root@pam\n";
    check(
        text,
        &[],
        expect![[r#"
        Taken:
          default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
          default.proxmox.username -> proxmox.username (module proxmox)
        Conflicting:
          proxmox.password: different values in default.proxmox.password, proxmox_password
        Notes:
          proxmox_username holds the same value; default.proxmox.username was taken
    "#]],
        expect![[r#"
        proxmox:
          endpoint: pve
          username: root@pam
    "#]],
    );
    check(
        text,
        &["proxmox_password"],
        expect![[r#"
        Taken:
          default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
          default.proxmox.username -> proxmox.username (module proxmox)
          proxmox_password -> proxmox.password (module proxmox)
        Notes:
          proxmox_username holds the same value; default.proxmox.username was taken
          default.proxmox.password holds another value, not preferred; proxmox_password was taken
          `kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed
    "#]],
        expect![[r#"
        proxmox:
          endpoint: pve
          username: root@pam
          password: two
    "#]],
    );
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
