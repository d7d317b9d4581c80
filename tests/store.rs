//! A store in which somebody else could have written is refused: it says whose host keys are right.
use crate::support::{Said, Sandbox, said};
use kthw_peers::{MOTO, MotoServer, ask};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

fn run(sandbox: &Sandbox) -> Said {
    sandbox.kthw(&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab", "--dry-run"])
}

/// A sandbox with a store, and the store.
fn with_store() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    run(&sandbox).ended_with(0);
    let store = sandbox.path().join("store/ubuntu");
    assert!(store.join("lab.json").is_file());
    (sandbox, store)
}

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn refused(sandbox: &Sandbox, words: &[&str]) {
    let said = run(sandbox).ended_with(2);
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    for word in words.iter().chain(&["kthw::store::not_safe", "--store"]) {
        assert!(text.contains(word), "{word:?} is not in\n{}", said.stderr);
    }
}

#[test]
fn a_store_in_which_others_may_write_is_refused() {
    let (sandbox, store) = with_store();
    for (path, mode) in [(store.clone(), 0o777), (store.clone(), 0o770), (sandbox.path().join("store"), 0o777)] {
        set_mode(&path, mode);
        refused(&sandbox, &["others may write in", &format!("mode {mode:04o}"), "chmod -R go-w"]);
        set_mode(&path, 0o700);
        run(&sandbox).ended_with(0);
    }
    set_mode(&store, 0o755);
    set_mode(&store.join("lab.json"), 0o666);
    refused(&sandbox, &["others may write in", "mode 0666"]);
    set_mode(&store.join("lab.json"), 0o644);
    run(&sandbox).ended_with(0);
}

#[test]
fn a_link_in_a_store_or_in_its_place_is_refused() {
    let (sandbox, store) = with_store();
    let elsewhere = sandbox.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    for name in ["lab-known_hosts", "artifacts"] {
        symlink(&elsewhere, store.join(name)).unwrap();
        refused(&sandbox, &["is a symbolic link", "remove the link"]);
        fs::remove_file(store.join(name)).unwrap();
    }
    run(&sandbox).ended_with(0);

    let moved = sandbox.path().join("moved");
    fs::rename(&store, &moved).unwrap();
    symlink(&moved, &store).unwrap();
    refused(&sandbox, &["is a symbolic link"]);
    fs::remove_file(&store).unwrap();
    symlink(sandbox.path().join("nowhere"), &store).unwrap();
    refused(&sandbox, &["is a symbolic link"]);
    assert!(!sandbox.path().join("nowhere").exists(), "something was made behind the link");
}

#[test]
fn a_new_store_is_its_owners_alone() {
    let (_sandbox, store) = with_store();
    assert_eq!(fs::metadata(store).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn with_s3_for_the_records_the_rest_is_in_the_state_folder() {
    let sandbox = Sandbox::new();
    let with = |store: &str| sandbox.kthw(&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab", "--dry-run", "--store", store]);
    with("s3://team-kthw/clusters").ended_with(0);
    assert!(sandbox.path().join(".local/state/kthw/ubuntu/lab.json").is_file());
    for store in ["s3://", "s3://Team/x", "s3://key:canary@team/x"] {
        let said = with(store).ended_with(2);
        assert!(said.stderr.contains("kthw::store::s3_address") && said.stderr.contains("s3://BUCKET/PREFIX"), "{}", said.stderr);
        assert!(!said.stderr.contains("canary"), "{}", said.stderr);
    }
}

#[test]
fn resetting_the_lab_removes_its_records_and_no_others() {
    let (sandbox, store) = with_store();
    for file in ["lab/journal/1", "lab/lease", "journal/1", "known_hosts"] {
        fs::create_dir_all(store.join(file).parent().unwrap()).unwrap();
        fs::write(store.join(file), "").unwrap();
    }
    sandbox.kthw(&["lab", "reset", "-w", "ubuntu"]).ended_with(0);
    let there = |file: &&str| store.join(file).exists();
    let files = ["lab.json", "lab/journal/1", "lab/lease", "journal/1", "known_hosts"];
    assert_eq!(files.iter().filter(|file| there(file)).collect::<Vec<_>>(), [&"journal/1", &"known_hosts"]);
}

#[test]
fn what_a_team_shares_is_asked_in_s3() {
    let sandbox = Sandbox::new();
    let with = |arguments: &[&str], store: &str, variables: &[(&str, &str)]| {
        let mut command = sandbox.command(&[arguments, &["-w", "ubuntu", "--store", store]].concat());
        said(command.envs(variables.iter().copied()).output().unwrap())
    };
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "canary/K7MDENG/bPxRfiCYEXAMPLEKEY")];
    let alone = with(&["lock", "show"], "s3://team/clusters", &[keys[0], keys[1], ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    let alone = alone.ended_with(2);
    assert!(alone.stderr.contains("kthw::store::s3_http") && alone.stderr.contains("AWS_ALLOW_HTTP=true"), "{}", alone.stderr);

    let Some([moto]) = ask([&MOTO]) else { return };
    let moto = MotoServer::start(&moto);
    let s3 = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    moto.ask("PUT", "/team", &[("Authorization", s3)], b"");
    let endpoint = moto.endpoint();
    let variables = [keys[0], keys[1], ("AWS_ENDPOINT_URL_S3", &endpoint), ("AWS_ALLOW_HTTP", "true")];
    with(&["lock", "show"], "s3://team/clusters", &variables).ended_with(0);
    with(&["runs", "list"], "s3://team/clusters", &variables).ended_with(0);
    let missing = with(&["lock", "show"], "s3://another/clusters", &variables).ended_with(3);
    let told = missing.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    assert!(told.contains("in s3://another/clusters/ubuntu at") && told.contains("NoSuchBucket"), "{told}");
    assert!(told.contains("make the bucket") && !told.contains("canary"), "{told}");
}
