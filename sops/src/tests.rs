//! Reading what the real sops wrote: kept files, and the program itself.
use super::Secrets;
use kthw_peers::{SOPS, SSH_KEYGEN, ask, make_key};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::Command,
};
use tempfile::TempDir;

mod commented;
pub(super) mod documents;
mod flips;
mod kinds;
mod many;
mod matrix;
mod names;
mod samples;

const KEY: &str = include_str!("fixtures/age-key.txt");
const ENCRYPTED: &str = include_str!("fixtures/encrypted.yaml");

fn with_key(name: &str) -> Option<OsString> {
    (name == "SOPS_AGE_KEY").then(|| KEY.into())
}

fn write(folder: &TempDir, text: &str) -> std::path::PathBuf {
    let path = folder.path().join("secrets.sops.yaml");
    fs::write(&path, text).expect("the folder is ours");
    path
}

fn open(folder: &TempDir, text: &str) -> kthw_engine::Result<Secrets> {
    Secrets::open_with(write(folder, text), with_key)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[track_caller]
fn check_error(result: kthw_engine::Result<impl Sized>, folder: &TempDir, expected: &str) {
    let error = result.err().expect("it is refused");
    let help = error.diagnostic().help().map(|help| format!("; {help}")).unwrap_or_default();
    let shown = format!("{error}{help}").replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(shown, expected);
}

fn value(secrets: &Secrets, name: &str) -> String {
    secrets.get(name).expect("it is there").expose().to_owned()
}

#[test]
fn a_file_of_the_real_sops_reads_whole() {
    let folder = folder();
    let secrets = open(&folder, ENCRYPTED).expect("it is a SOPS file");
    for (name, expected) in [
        ("proxmox.endpoint", "https://pve.test:8006"),
        ("proxmox.token", "root@pam!kthw=abc"),
        ("proxmox.port", "8006"),
        ("proxmox.ratio", "1.5"),
        ("proxmox.big", "1000000000000000000000"),
        ("proxmox.on", "True"),
        ("proxmox.empty", ""),
        ("proxmox.date", "2020-01-01T00:00:00Z"),
        ("proxmox.pem", "-----BEGIN\nline é\n"),
        ("proxmox.note_unencrypted", "420"),
        ("proxmox.list_unencrypted.2", "2.5"),
        ("keys.0", "first"),
        ("keys.1.1", "7"),
        ("keys.2.name", "x"),
        ("a:b", "colon"),
    ] {
        assert_eq!(value(&secrets, name), expected, "{name}");
    }
    assert!(secrets.get_opt("proxmox.nothing").expect("it decrypts").is_none());
    assert_eq!(secrets.names()[..3], ["proxmox.endpoint", "proxmox.token", "proxmox.port"]);
    assert!(!format!("{secrets:?}").contains("kthw=abc"));
}

#[test]
fn a_missing_secret_names_its_neighbours() {
    let folder = folder();
    let secrets = open(&folder, ENCRYPTED).expect("it is a SOPS file");
    let file = "secrets.sops.yaml";
    check_error(secrets.get("proxmox.tokn"), &folder, &format!("no secret `proxmox.tokn` in {file}; did you mean `proxmox.token`?"));
    check_error(
        secrets.get("keys"),
        &folder,
        &format!("no secret `keys` in {file}; `keys` is a group; name one of its secrets: keys.0, keys.1.0, keys.1.1, keys.2.name"),
    );
    check_error(
        secrets.get("zzz"),
        &folder,
        &format!("no secret `zzz` in {file}; add it with `kthw secrets edit {}`", folder.path().join(file).display())
            .replace(&format!("{}/", folder.path().display()), ""),
    );
}

#[test]
fn no_file_is_no_secrets() {
    let folder = folder();
    let secrets = Secrets::open_with(folder.path().join("secrets.sops.yaml"), with_key).expect("a file may be missing");
    assert!(secrets.names().is_empty());
    assert!(secrets.get_opt("a").expect("nothing to decrypt").is_none());
    check_error(
        secrets.get("a"),
        &folder,
        "no secret `a` in secrets.sops.yaml; there is no such file yet: `kthw secrets edit secrets.sops.yaml` makes it; put `a` into it",
    );
}

#[test]
fn a_changed_file_is_refused() {
    let folder = folder();
    let tampered = |from: &str, to: &str, expected: &str| {
        let text = ENCRYPTED.replacen(from, to, 1);
        assert_ne!(text, ENCRYPTED);
        let expected = format!(
            "secrets.sops.yaml was changed after it was encrypted: {expected}; nothing of it was used. Restore it from version control (`git log -p secrets.sops.yaml` shows what became of it); a change that is wanted is made after that, with `kthw secrets edit`"
        );
        check_error(open(&folder, &text).expect("its form is right").get("keys.0"), &folder, &expected);
    };
    tampered("note_unencrypted: 420", "note_unencrypted: 421", "its MAC does not fit its values");
    tampered("    token: ENC", "    tokem: ENC", "`proxmox.tokem` does not decrypt");
    tampered("        - 2.5\n", "", "its MAC does not fit its values");
    tampered("lastmodified: \"20", "lastmodified: \"21", "its MAC does not fit its values");
    let token = ENCRYPTED.lines().find(|line| line.contains(" token: ENC")).expect("the fixture has it").trim();
    tampered(token, "token: plain", "`proxmox.token` should be encrypted and is not");
}

#[test]
fn every_changed_byte_of_a_value_is_noticed() {
    let folder = folder();
    let start = ENCRYPTED.find("    token: ENC").expect("the fixture has it");
    let end = start + ENCRYPTED[start..].find('\n').expect("the line ends");
    let mut refused = 0;
    for position in start..end {
        let mut bytes = ENCRYPTED.as_bytes().to_vec();
        bytes[position] ^= 1;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        match open(&folder, &text).and_then(|secrets| secrets.get("proxmox.token")) {
            Ok(secret) => assert_eq!(secret.expose(), "root@pam!kthw=abc", "byte {position}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn without_a_fitting_key_the_message_says_where_it_looked() {
    let folder = folder();
    let home = folder.path().to_owned();
    let secrets = Secrets::open_with(write(&folder, ENCRYPTED), move |name| (name == "HOME").then(|| home.clone().into_os_string()))
        .expect("its form is right");
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    check_error(
        secrets.get("keys.0"),
        &folder,
        &format!(
            "no key at hand opens secrets.sops.yaml; it is encrypted to age {recipient}: looked at .config/sops/age/keys.txt (not there). To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys secrets.sops.yaml`"
        ),
    );
}

#[test]
fn keys_come_from_the_places_that_sops_knows() {
    let folder = folder();
    let key_file = folder.path().join("my keys.txt");
    fs::write(&key_file, KEY).expect("the folder is ours");
    let usual = folder.path().join(".config/sops/age/keys.txt");
    fs::create_dir_all(usual.parent().expect("it has one")).expect("the folder is ours");
    fs::write(&usual, KEY).expect("the folder is ours");
    let (root, command) = (folder.path().as_os_str().to_owned(), OsString::from(format!("cat '{}'", key_file.display())));
    for (variable, setting) in [("SOPS_AGE_KEY_FILE", key_file.into_os_string()), ("SOPS_AGE_KEY_CMD", command), ("HOME", root)] {
        let secrets = Secrets::open_with(write(&folder, ENCRYPTED), move |name| (name == variable).then(|| setting.clone()));
        assert_eq!(value(&secrets.expect("its form is right"), "keys.0"), "first", "{variable}");
    }
    for (variable, setting, expected) in [
        (
            "SOPS_AGE_KEY",
            "AGE-SECRET-KEY-1WRONG",
            "cannot take age keys from SOPS_AGE_KEY: it holds something else than age keys; correct SOPS_AGE_KEY, or unset it",
        ),
        (
            "SOPS_AGE_KEY_CMD",
            "sh -c 'exit 3'",
            "cannot take age keys from SOPS_AGE_KEY_CMD: the command ended with exit status: 3; correct SOPS_AGE_KEY_CMD, or unset it",
        ),
        (
            "SOPS_AGE_KEY_FILE",
            "/nonexistent",
            "cannot take age keys from SOPS_AGE_KEY_FILE: No such file or directory (os error 2); correct SOPS_AGE_KEY_FILE, or unset it",
        ),
    ] {
        let secrets = Secrets::open_with(write(&folder, ENCRYPTED), move |name| (name == variable).then(|| setting.into()));
        check_error(secrets.expect("its form is right").get("keys.0"), &folder, expected);
    }
}

#[test]
fn other_files_are_refused_by_name() {
    let folder = folder();
    check_error(
        open(&folder, "a: 1\n"),
        &folder,
        "secrets.sops.yaml is not encrypted; encrypt it with `kthw secrets encrypt --in-place secrets.sops.yaml`, and change its secrets if it was ever committed like this",
    );
    let pgp = include_str!("fixtures/pgp-only.yaml");
    let fingerprint = pgp.split("fp: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    check_error(
        open(&folder, pgp).expect("its form is right").get("token"),
        &folder,
        &format!(
            "no key at hand opens secrets.sops.yaml; it is encrypted to PGP {fingerprint}: gpg was not asked, because neither GNUPGHOME nor HOME is set. To go on, import the private PGP key with `gpg --import`; or ask a holder to run `kthw secrets updatekeys secrets.sops.yaml`"
        ),
    );
}

/// A file, the further arguments that the real program encrypts it with, and some of the values to find in it.
type Shape = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// Files in many shapes.
const SHAPES: &[Shape] = &[
    ("a: text\nb: {c: 1, d: [x, y]}\n", &[], &[("a", "text"), ("b.c", "1"), ("b.d.1", "y")]),
    ("a: x\nb: y\n", &["--encrypted-regex", "^a$"], &[("a", "x"), ("b", "y")]),
    ("a: x\nb: 0o17\n", &["--unencrypted-regex", "^b$"], &[("a", "x")]),
    ("a: x\nb_pub: 1.50\n", &["--unencrypted-suffix", "_pub"], &[("b_pub", "1.5")]),
    ("a_key: x\nb: true\nc: null\n", &["--encrypted-suffix", "_key"], &[("a_key", "x"), ("b", "True")]),
    ("base: &b {k: v}\nmore:\n  <<: *b\n  l: w\n", &[], &[("base.k", "v"), ("more.l", "w")]),
    ("a: -0.0\nb: 1e-6\nc: -9223372036854775808\nd: 123456789.123456789\n", &[], &[("c", "-9223372036854775808"), ("b", "0.000001")]),
    ("# c\na: |\n  one\n  two\nb: >-\n  folded\n  text\n# end\n", &[], &[("a", "one\ntwo\n"), ("b", "folded text")]),
    ("ü: ö\n'1': n\n\"t\": 'yes'\nu: yes\n", &[], &[("ü", "ö"), ("1", "n"), ("t", "yes"), ("u", "yes")]),
    ("a: .inf\nb: -.inf\nc: 0755\nd: 2020-01-01T10:00:00+02:00\n", &[], &[("a", "+Inf"), ("b", "-Inf"), ("c", "493")]),
    ("a: x\nf_unencrypted: .inf\nd_unencrypted: 2020-01-01T10:00:00+02:00\nt_unencrypted: True\n", &[], &[("t_unencrypted", "True")]),
    ("empty_map: {}\nempty_list: []\na: ''\nb: x\n", &[], &[("a", ""), ("b", "x")]),
];

#[test]
fn the_real_sops_writes_what_is_read() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    for (text, arguments, expected) in SHAPES {
        let folder = folder();
        let plain = folder.path().join("plain.yaml");
        fs::write(&plain, text).expect("the folder is ours");
        let encrypted = encrypt(&sops, recipient, arguments, &plain);
        let secrets = open(&folder, &encrypted).unwrap_or_else(|error| panic!("{text}: {error}\n{encrypted}"));
        for (name, value) in *expected {
            let secret = secrets.get(name).unwrap_or_else(|error| panic!("{text}: {error}\n{encrypted}"));
            assert_eq!(secret.expose(), *value, "{name} in {text}");
        }
    }
}

#[test]
fn a_mac_over_encrypted_values_only_is_checked_too() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let folder = folder();
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let rules = folder.path().join("rules.yaml");
    let rule = format!("creation_rules: [{{ age: {recipient}, encrypted_regex: ^a$, mac_only_encrypted: true }}]\n");
    fs::write(&rules, rule).expect("the folder is ours");
    let plain = folder.path().join("plain.yaml");
    fs::write(&plain, "a: x\nb: old\n").expect("the folder is ours");
    let output = sops_encrypt(&sops, &["--config".as_ref(), rules.as_os_str(), "encrypt".as_ref()], &plain);
    let output = output.replace("b: old", "b: new");
    assert!(output.contains("b: new") && output.contains("mac_only_encrypted: true"), "{output}");
    let secrets = open(&folder, &output).expect("its form is right");
    assert_eq!((value(&secrets, "a"), value(&secrets, "b")), ("x".into(), "new".into()));
}

#[test]
fn ssh_keys_open_files_too() {
    let Some([sops, ssh_keygen]) = ask([&SOPS, &SSH_KEYGEN]) else { return };
    let folder = folder();
    let key = folder.path().join("id_ed25519");
    make_key(&ssh_keygen, &key, "ed25519", "");
    let public = fs::read_to_string(key.with_extension("pub")).expect("ssh-keygen wrote it");
    let plain = folder.path().join("plain.yaml");
    fs::write(&plain, "a: x\n").expect("the folder is ours");
    let encrypted = encrypt(&sops, public.trim(), &[], &plain);
    let secrets = Secrets::open_with(write(&folder, &encrypted), move |name| {
        (name == "SOPS_AGE_SSH_PRIVATE_KEY_FILE").then(|| key.clone().into_os_string())
    });
    assert_eq!(value(&secrets.expect("its form is right"), "a"), "x");
}

fn encrypt(sops: &Path, recipient: &str, arguments: &[&str], file: &Path) -> String {
    let arguments: Vec<&OsStr> = ["encrypt", "--age", recipient].into_iter().chain(arguments.iter().copied()).map(OsStr::new).collect();
    sops_encrypt(sops, &arguments, file)
}

fn sops_encrypt(sops: &Path, arguments: &[&OsStr], file: &Path) -> String {
    let output = Command::new(sops).env("SOPS_DISABLE_VERSION_CHECK", "1").args(arguments).arg(file).output().expect("sops runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("sops writes text")
}

#[test]
fn a_changed_secret_is_in_the_file_and_nothing_else_moved() {
    let folder = folder();
    let secrets = open(&folder, ENCRYPTED).expect("it is a SOPS file");
    let (same, pem) = (secrets.clone(), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n");
    let new = kthw_engine::Secret::new;
    secrets.change(&[("proxmox.token", new("root@pam!kthw-1=new")), ("ssh.private_key", new(pem))]).expect("it is written");
    assert_eq!(value(&same, "proxmox.token"), "root@pam!kthw-1=new");
    let written = fs::read_to_string(folder.path().join("secrets.sops.yaml")).expect("a file");
    let again = open(&folder, &written).expect("a SOPS file");
    assert_eq!((value(&again, "ssh.private_key"), value(&again, "proxmox.pem")), (pem.to_owned(), "-----BEGIN\nline é\n".to_owned()));
    let lines = |text: &str| text.lines().take_while(|line| *line != "sops:").map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(ENCRYPTED), lines(&written));
    let moved = after
        .iter()
        .filter(|line| !before.contains(line) && !line.trim().starts_with("#ENC["))
        .map(|line| line.split(':').next().unwrap_or_default().trim().to_owned());
    assert_eq!(moved.collect::<Vec<_>>(), ["token", "ssh", "private_key"]);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
}

#[test]
fn what_cannot_be_written_is_refused_and_the_file_stays() {
    let folder = folder();
    let new = [("proxmox.token", kthw_engine::Secret::new("x"))];
    let nobody = Secrets::from_values("the lab", std::iter::empty::<(String, kthw_engine::Secret)>());
    check_error(
        nobody.change(&new),
        &folder,
        "no file the lab to write a secret into; make it with `kthw secrets edit the lab`: kthw cannot know to whom it should be encrypted",
    );
    let broken = ENCRYPTED.replacen("data:j", "data:k", 1);
    let secrets = open(&folder, &broken).expect("it is a SOPS file");
    let error = secrets.change(&new).expect_err("it was changed").to_string();
    assert!(error.contains("was changed after it was encrypted"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("secrets.sops.yaml")).expect("a file"), broken);
    let group = open(&folder, ENCRYPTED).expect("a SOPS file");
    let error = group.change(&[("proxmox", kthw_engine::Secret::new("x"))]).expect_err("a group").to_string();
    assert!(error.contains("cannot set `proxmox`"), "{error}");
}
