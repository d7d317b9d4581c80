//! `kthw secrets import`: the four schemas of the system before, as people meet them.
use super::desk::{Desk, check};
use expect_test::expect;

const OLD: &str = "global:\n  vm_password: made-up-1\n  cloudflare_email: me@site.test\ndefault:\n  proxmox:\n    endpoint: https://pve.test:8006\n    username: root@pam\n    password: made-up-2\n    ssh_username: terraform\nminio_access_key: made-up-3\n";

#[test]
fn an_old_file_becomes_a_new_one_and_stays() {
    let desk = Desk::with("old.yaml", OLD);
    let before = desk.read("old.yaml");
    check(
        &desk,
        &[(&["import", "old.yaml", "--dry-run"], "")],
        expect![[r#"
        $ kthw secrets import old.yaml --dry-run
        Taken:
          default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
          default.proxmox.username -> proxmox.username (module proxmox)
          default.proxmox.password -> proxmox.password (module proxmox)
          global.vm_password -> vm.password (recipes, by `sops::secret`)
          global.cloudflare_email -> cloudflare.email (recipes, by `sops::secret`)
          minio_access_key -> s3.access_key (recipes, by `sops::secret`)
        Unused:
          default.proxmox.ssh_username
        Notes:
          `kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed
        Nothing was written. Without `--dry-run`, secrets.sops.yaml is made of this.
    "#]],
    );
    assert!(!desk.file("secrets.sops.yaml").exists());
    check(
        &desk,
        &[(&["import", "old.yaml"], ""), (&["decrypt"], ""), (&["import", "old.yaml"], "")],
        expect![[r#"
        $ kthw secrets import old.yaml
        Taken:
          default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
          default.proxmox.username -> proxmox.username (module proxmox)
          default.proxmox.password -> proxmox.password (module proxmox)
          global.vm_password -> vm.password (recipes, by `sops::secret`)
          global.cloudflare_email -> cloudflare.email (recipes, by `sops::secret`)
          minio_access_key -> s3.access_key (recipes, by `sops::secret`)
        Unused:
          default.proxmox.ssh_username
        Notes:
          `kthw run operations/rotate-secrets` makes an API token, and the password is no longer needed
        Made secrets.sops.yaml. old.yaml is as it was; remove it when nothing uses it any more.
        $ kthw secrets decrypt
        proxmox:
          endpoint: https://pve.test:8006
          username: root@pam
          password: made-up-2
        vm:
          password: made-up-1
        cloudflare:
          email: me@site.test
        s3:
          access_key: made-up-3
        $ kthw secrets import old.yaml
        kthw::secrets::exists

          × secrets.sops.yaml is there already
          help: it is as it was; name another new file with `--file`, or move this one away

        (ended with 2)
    "#]],
    );
    assert_eq!(desk.read("old.yaml"), before);
}

#[test]
fn what_cannot_be_taken_over_is_said_and_nothing_is_written() {
    let desk = Desk::new();
    desk.write("two.yaml", &format!("{OLD}proxmox_password: made-up-4\n"));
    desk.write("other.yaml", "colour: made-up-5\n");
    desk.write("broken.yaml", "a: [made-up-6\n");
    let calls: &[(&[&str], &str)] = &[
        (&["import", "two.yaml"], ""),
        (&["import", "two.yaml", "--prefer", "proxmox_pasword"], ""),
        (&["import", "other.yaml"], ""),
        (&["import", "broken.yaml"], ""),
        (&["import", "none.yaml"], ""),
        (&["import", "two.yaml", "--file", "new.json"], ""),
    ];
    check(
        &desk,
        calls,
        expect![[r#"
            $ kthw secrets import two.yaml
            Taken:
              default.proxmox.endpoint -> proxmox.endpoint (module proxmox)
              default.proxmox.username -> proxmox.username (module proxmox)
              global.vm_password -> vm.password (recipes, by `sops::secret`)
              global.cloudflare_email -> cloudflare.email (recipes, by `sops::secret`)
              minio_access_key -> s3.access_key (recipes, by `sops::secret`)
            Unused:
              default.proxmox.ssh_username
            Conflicting:
              proxmox.password: different values in default.proxmox.password, proxmox_password
            kthw::secrets::conflict

              × `proxmox.password` has different values in default.proxmox.password, proxmox_password
              help: nothing was written; say which one counts, such as `--prefer default.proxmox.password`

            (ended with 2)
            $ kthw secrets import two.yaml --prefer proxmox_pasword
            kthw::secrets::no_such_name

              × there is no `proxmox_pasword` in two.yaml
              help: `--prefer` takes a name of the old file, such as `default.proxmox.password`

            (ended with 2)
            $ kthw secrets import other.yaml
            Unused:
              colour
            Missing:
              proxmox.endpoint
              proxmox.token (or proxmox.username and proxmox.password)
            kthw::secrets::nothing_known

              × nothing in other.yaml is known to kthw
              help: nothing was written; a file with names of your own is used as it is, by `sops::secret`

            (ended with 2)
            $ kthw secrets import broken.yaml
            kthw::sops::malformed

              × broken.yaml is not a SOPS file: unclosed bracket '[' (line 1)
              help: restore it from version control (`git log -p broken.yaml` shows what became of it), or mend that
                    place in an editor

            (ended with 2)
            $ kthw secrets import none.yaml
            kthw::secrets::no_file

              × there is no file none.yaml
              help: make it with `kthw secrets edit none.yaml`

            (ended with 2)
            $ kthw secrets import two.yaml --file new.json
            kthw::secrets::not_yaml

              × the secrets of a workspace are YAML, and new.json would not be
              help: name a file that ends in `.yaml`

            (ended with 2)
        "#]],
    );
    assert!(!desk.file("secrets.sops.yaml").exists());
    let said = desk.kthw(&["import", "two.yaml", "--prefer", "proxmox_password"], "");
    said.ended_with(0);
    assert_eq!(desk.kthw(&["get", "proxmox.password"], "").stdout, "made-up-4");
}
