//! Runs what docs/guides/secrets.md tells people to type, in the order of the guide.
use super::desk::Desk;
use crate::support::{root, said};
use std::process::Command;

#[test]
fn the_guide_works_as_it_is_written() {
    let guide = std::fs::read_to_string(root().join("docs/guides/secrets.md")).unwrap();
    let desk = Desk::new();
    std::fs::remove_file(desk.file(".sops.yaml")).unwrap();
    let kthw = desk.command(&[]).get_program().to_owned();
    let folder = std::path::Path::new(&kthw).parent().unwrap().display().to_string();
    let mut calls = 0;
    for block in guide.split("```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        let replaced = text.replace("age1alice", &desk.alice.public).replace("age1bob", &desk.bob.public);
        match kind.split_once(' ') {
            Some(("yaml", file)) => desk.write(file, &replaced),
            _ if kind == "console" => {
                for line in replaced.lines() {
                    let Some(call) = line.strip_prefix("$ ") else { continue };
                    let mut command = Command::new("sh");
                    command.args(["-ec", call.split(" # ").next().unwrap()]).current_dir(desk.path()).env_clear().env("HOME", desk.path());
                    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap())).env("SOPS_AGE_KEY", &desk.alice.private);
                    command.env("EDITOR", "printf 'proxmox:\\n  token: abc\\n' >").env("TMPDIR", desk.file("tmp"));
                    command.stdin(std::process::Stdio::null());
                    let said = said(command.output().unwrap());
                    assert_eq!(said.code, 0, "{call}\n{}{}", said.stdout, said.stderr);
                    calls += 1;
                }
            }
            _ => {}
        }
    }
    assert!(calls >= 10, "{calls} calls");
}
