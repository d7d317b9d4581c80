//! The services over the variables of a test. Nothing here leaves the process; the real programs are in `peers.rs`.
use super::*;
use crate::sops::{Metadata, Rules};
use ::age::{
    Encryptor, scrypt,
    secrecy::{ExposeSecret, SecretString},
    x25519::Identity,
};
use expect_test::{Expect, expect};
use miette::Diagnostic;
use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// Services that see these variables and nothing of the machine: no home, no gpg, no metadata service.
pub(super) fn services(variables: &[(&str, &str)]) -> KeyServices {
    let alone = [("SOPS_GPG_EXEC", "/nonexistent/gpg"), ("GNUPGHOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let variables: Vec<(String, OsString)> =
        variables.iter().chain(&alone).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    KeyServices::new(move |name| variables.iter().find(|known| known.0 == name).map(|known| known.1.clone()))
}

pub(super) fn metadata(groups: Vec<Group>, threshold: Option<usize>) -> Metadata {
    Metadata::new(groups, threshold, Rules::default(), false)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A new age key: the private one, and the recipient.
fn age_key() -> (String, Recipient) {
    let identity = Identity::generate();
    (identity.to_string().expose_secret().to_owned(), Recipient::Age(identity.to_public().to_string()))
}

fn kms(arn: &str) -> Recipient {
    Recipient::AwsKms { arn: arn.into(), role: None, context: BTreeMap::new(), profile: None }
}

fn gcp() -> Recipient {
    let fields = vec![("resource_id".into(), "projects/p/locations/l/keyRings/r/cryptoKeys/k".into())];
    Recipient::Other { kind: OtherKind::GcpKms, fields }
}

fn group(recipients: &[&Recipient]) -> Group {
    recipients.iter().map(|recipient| MasterKey::to((*recipient).clone())).collect()
}

fn seal(groups: &mut [Group], threshold: Option<usize>, key: &DataKey) -> Result<(), SopsError> {
    services(&[]).seal_to("s.yaml", groups, threshold, key)
}

/// The message and its help, without what differs from run to run.
#[track_caller]
fn check(result: Result<impl Sized, SopsError>, differing: &[(&str, &str)], expected: Expect) {
    let error = result.err().expect("it is refused");
    let mut shown = format!("{error}\n{}\n", error.help().map(|help| help.to_string()).unwrap_or_default());
    for (text, name) in differing {
        shown = shown.replace(text, name);
    }
    assert!(error.code().is_some(), "{shown}");
    expected.assert_eq(&shown);
}

/// A file of age keys as `age -p` writes it, at next to no cost.
fn protect(keys: &str, passphrase: &str) -> Vec<u8> {
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(2);
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _)).expect("a recipient");
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).expect("memory");
    writer.write_all(keys.as_bytes()).expect("memory");
    writer.finish().expect("memory");
    file
}

/// What was asked, and services that answer with `answer`.
fn asking(services: KeyServices, answer: Option<&'static str>) -> (KeyServices, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let services = services.with_passphrase(move |words| {
        log.lock().expect("nobody panicked").push(words.to_owned());
        answer.map(Secret::new)
    });
    (services, asked)
}

#[test]
fn what_is_sealed_opens() {
    let (private, recipient) = age_key();
    let (_, other) = age_key();
    let key = new_data_key();
    let mut groups = vec![group(&[&other, &recipient])];
    seal(&mut groups, None, &key).expect("the recipients are well-formed");
    assert!(groups[0].iter().all(|key| key.encrypted.ends_with("-----END AGE ENCRYPTED FILE-----\n") && key.created_at.is_none()));
    let opened = services(&[("SOPS_AGE_KEY", &private)]).data_key("s.yaml", &metadata(groups, None));
    assert_eq!(opened.expect("the key is there"), key);
}

#[test]
fn malformed_recipients_are_refused_and_nothing_is_changed() {
    let (_, good) = age_key();
    for (recipient, expected) in [
        (Recipient::Age("age1xyz".into()), "cannot encrypt to age age1xyz: it is malformed"),
        (Recipient::Age(String::new()), "cannot encrypt to age : it is malformed"),
        (
            Recipient::Age("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t".into()),
            "cannot encrypt to age age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t: it belongs to an age plugin, and kthw runs none; encrypt to it with the real sops",
        ),
        (Recipient::Age("ssh-dss AAAA".into()), "cannot encrypt to age ssh-dss AAAA: it is not an SSH public key that age knows"),
        (Recipient::Pgp("me@example.test".into()), "cannot encrypt to PGP me@example.test: it is not a fingerprint"),
        (
            Recipient::Pgp("85D77543B3D624B63CEA9E6DBC17301B491B3F21".into()),
            "cannot encrypt to PGP 85D77543B3D624B63CEA9E6DBC17301B491B3F21: /nonexistent/gpg does not start: No such file or directory (os error 2)",
        ),
        (kms("alias/mine"), "cannot encrypt to AWS KMS alias/mine: its name is not of the form arn:aws:kms:REGION:ACCOUNT:key/ID"),
        (gcp(), "cannot encrypt to GCP KMS projects/p/locations/l/keyRings/r/cryptoKeys/k: kthw uses age, PGP and AWS KMS only"),
    ] {
        let mut groups = vec![group(&[&good, &recipient])];
        let before = groups.clone();
        let error = seal(&mut groups, None, &new_data_key()).expect_err("it is refused");
        assert_eq!(error.to_string(), expected);
        assert!(error.help().is_some_and(|help| !help.to_string().is_empty()) && error.code().is_some(), "{expected}");
        assert_eq!(groups, before, "{expected}");
    }
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let (_, one) = age_key();
    let refused = |groups: &mut [Group], threshold| seal(groups, threshold, &new_data_key());
    check(
        refused(&mut [], None),
        &[],
        expect![[r#"
        cannot encrypt s.yaml: it has no recipient
        list one in `.sops.yaml`, such as `age: age1…`
    "#]],
    );
    check(
        refused(&mut [group(&[&one]), group(&[])], None),
        &[],
        expect![[r#"
        cannot encrypt s.yaml: key group 2 has no recipient
        list one in `.sops.yaml`, such as `age: age1…`
    "#]],
    );
    for threshold in [0, 1, 3] {
        let error = refused(&mut [group(&[&one]), group(&[&one])], Some(threshold)).expect_err("it is refused");
        assert_eq!(error.to_string(), format!("cannot encrypt s.yaml: a threshold of {threshold} does not fit 2 key groups"));
    }
}

#[test]
fn as_many_groups_as_the_threshold_says_open_a_file() {
    let keys: Vec<(String, Recipient)> = (0..4).map(|_| age_key()).collect();
    let key = new_data_key();
    for (threshold, needed) in [(Some(2), 2), (Some(3), 3), (Some(4), 4), (None, 4)] {
        let mut groups: Vec<Group> = keys.iter().map(|(_, recipient)| group(&[recipient])).collect();
        seal(&mut groups, threshold, &key).expect("the groups are well-formed");
        for have in 0..=4 {
            let private: Vec<&str> = keys.iter().rev().take(have).map(|(private, _)| private.as_str()).collect();
            let opened = services(&[("SOPS_AGE_KEY", &private.join("\n"))]).data_key("s.yaml", &metadata(groups.clone(), threshold));
            assert_eq!(opened.ok().as_ref() == Some(&key), have >= needed, "{have} of {threshold:?}");
        }
    }
}

#[test]
fn too_few_groups_are_named_with_their_recipients_and_reasons() {
    let [(first_private, first), (_, second), (_, third)] = [age_key(), age_key(), age_key()];
    let mut groups = vec![group(&[&first]), group(&[&second, &third]), group(&[&third])];
    seal(&mut groups, Some(2), &new_data_key()).expect("they are well-formed");
    groups[2] = vec![MasterKey::to(gcp())];
    let names: Vec<(String, &str)> =
        [(&first, "FIRST"), (&second, "SECOND"), (&third, "THIRD")].map(|(recipient, name)| (recipient.to_string(), name)).into();
    let names: Vec<(&str, &str)> = names.iter().map(|(text, name)| (text.as_str(), *name)).collect();
    let services = services(&[("SOPS_AGE_KEY", &first_private)]);
    check(
        services.data_key("s.yaml", &metadata(groups, Some(2))),
        &names,
        expect![[r#"
            too few key groups of s.yaml open: 1 of the 2 that are needed
            group 1 (FIRST) opens. group 2 does not: SECOND, THIRD: looked at SOPS_AGE_KEY. group 3 does not: GCP KMS projects/p/locations/l/keyRings/r/cryptoKeys/k: kthw does not use this kind of key. To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
        "#]],
    );
}

#[test]
fn parts_that_do_not_belong_together_are_no_key() {
    let (private, recipient) = age_key();
    let mut groups = vec![group(&[&recipient]), group(&[&recipient])];
    seal(&mut groups, None, &new_data_key()).expect("they are well-formed");
    let twice = vec![groups[0].clone(), groups[0].clone()];
    let services = services(&[("SOPS_AGE_KEY", &private)]);
    check(
        services.data_key("s.yaml", &metadata(twice, None)),
        &[],
        expect![[r#"
        s.yaml is not a SOPS file: the parts in its key groups do not belong together
        open it with `kthw secrets edit s.yaml`, or restore it from version control
    "#]],
    );
    // A part is no whole key, and a key is no part.
    let error = services.data_key("s.yaml", &metadata(vec![groups[0].clone()], None)).expect_err("it is refused");
    assert!(error.help().is_some_and(|help| help.to_string().contains("it holds 33 bytes in place of 32")), "{error:?}");
}

#[test]
fn recipients_that_stay_keep_their_sealed_key() {
    let [(_, stays), (_, leaves), (private, comes)] = [age_key(), age_key(), age_key()];
    let key = new_data_key();
    let mut before = vec![group(&[&stays, &leaves])];
    seal(&mut before, None, &key).expect("they are well-formed");
    // kthw cannot seal to this one, and need not.
    before[0].push(MasterKey { encrypted: "kept".into(), created_at: Some("2020-01-01T00:00:00Z".into()), ..MasterKey::to(gcp()) });
    let mut after = vec![group(&[&comes, &gcp(), &stays])];
    services(&[]).seal_missing("s.yaml", &mut after, None, &key, &before).expect("only one has to be sealed");
    assert_eq!((&after[0][1], &after[0][2]), (&before[0][2], &before[0][0]));
    let opened = services(&[("SOPS_AGE_KEY", &private)]).data_key("s.yaml", &metadata(after, None));
    assert_eq!(opened.expect("the new key opens it"), key);
    // Several groups get new parts.
    let mut groups = vec![group(&[&stays]), group(&[&comes])];
    services(&[]).seal_missing("s.yaml", &mut groups, None, &key, &before).expect("all can be sealed");
    assert_ne!(groups[0][0].encrypted, before[0][0].encrypted);
}

#[test]
fn without_a_key_the_message_says_where_it_looked() {
    let home = folder();
    fs::create_dir(home.path().join(".ssh")).expect("the folder is ours");
    fs::write(home.path().join(".ssh/id_rsa"), "no key").expect("the folder is ours");
    let (_, age) = age_key();
    let ssh = Recipient::Age("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@here".into());
    let mut groups = vec![group(&[&age, &ssh])];
    seal(&mut groups, None, &new_data_key()).expect("they are well-formed");
    let fingerprint = "85D77543B3D624B63CEA9E6DBC17301B491B3F21";
    groups[0].extend(group(&[&kms("arn:aws:kms:eu-west-1:123456789012:key/1"), &Recipient::Pgp(fingerprint.into()), &gcp()]));
    let name = age.to_string();
    let home_path = home.path().to_str().expect("it is UTF-8");
    let differing = [(name.as_str(), "AGE"), (home_path, "~"), (fingerprint, "FINGERPRINT")];
    check(
        services(&[("HOME", home_path)]).data_key("s.yaml", &metadata(groups.clone(), None)),
        &differing,
        expect![[r#"
        no key at hand opens s.yaml
        it is encrypted to AGE, age ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@here: looked at ~/.config/sops/age/keys.txt (not there), ~/.ssh/id_ed25519 (not there), ~/.ssh/id_rsa (not an ed25519 or RSA key); PGP FINGERPRINT: /nonexistent/gpg does not start: No such file or directory (os error 2); AWS KMS arn:aws:kms:eu-west-1:123456789012:key/1: found no AWS credentials; looked at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile `default` in ~/.aws/credentials and ~/.aws/config; GCP KMS projects/p/locations/l/keyRings/r/cryptoKeys/k: kthw does not use this kind of key. To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or import the private PGP key with `gpg --import`; or give credentials that may use the KMS key: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or ask a holder to run `kthw secrets updatekeys s.yaml`
    "#]],
    );
    check(
        services(&[]).data_key("s.yaml", &metadata(vec![groups[0][..1].to_vec()], None)),
        &differing,
        expect![[r#"
        no key at hand opens s.yaml
        it is encrypted to AGE: looked at no place, because HOME is not set. To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
    "#]],
    );
    check(
        services(&[]).data_key("s.yaml", &metadata(vec![group(&[&gcp()])], None)),
        &[],
        expect![[r#"
        s.yaml is encrypted to GCP KMS projects/p/locations/l/keyRings/r/cryptoKeys/k only, and kthw opens age, PGP and AWS KMS
        add an age, PGP or AWS KMS recipient: list it in `.sops.yaml`, then run `sops updatekeys s.yaml` of the real sops as someone who can decrypt it
    "#]],
    );
    check(
        services(&[]).data_key("s.yaml", &metadata(vec![Group::new()], None)),
        &[],
        expect![[r#"
            s.yaml is not a SOPS file: its `sops` block lists no key
            open it with `kthw secrets edit s.yaml`, or restore it from version control
        "#]],
    );
}

#[test]
fn one_broken_place_does_not_hide_another_that_works() {
    let home = folder();
    let (private, recipient) = age_key();
    let mut groups = vec![group(&[&recipient])];
    seal(&mut groups, None, &new_data_key()).expect("it is well-formed");
    let metadata = metadata(groups, None);
    let home_path = home.path().to_str().expect("it is UTF-8");
    let broken = [("SOPS_AGE_KEY_FILE", "/nonexistent"), ("HOME", home_path)];
    check(
        services(&broken).data_key("s.yaml", &metadata),
        &[],
        expect![[r#"
        cannot take age keys from SOPS_AGE_KEY_FILE: No such file or directory (os error 2)
        correct SOPS_AGE_KEY_FILE, or unset it
    "#]],
    );
    let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    let usual = home.path().join(usual).join("sops/age");
    fs::create_dir_all(&usual).expect("the folder is ours");
    // Comments, other keys and keys of plugins are no obstacle.
    let keys = format!("# created: today\r\n{}\r\n\r\nAGE-PLUGIN-YUBIKEY-1QQPQQ\r\n{private}\r\n", age_key().0);
    fs::write(usual.join("keys.txt"), keys).expect("the folder is ours");
    services(&broken).data_key("s.yaml", &metadata).expect("the usual place has the key");
}

#[test]
fn a_protected_file_of_keys_is_opened_with_its_passphrase() {
    let folder = folder();
    let [(private, recipient), (open_private, open)] = [age_key(), age_key()];
    let path = folder.path().join("keys.age");
    fs::write(&path, protect(&private, "correct horse")).expect("the folder is ours");
    let file = path.to_str().expect("it is UTF-8");
    let key = new_data_key();
    let mut groups = vec![group(&[&recipient])];
    seal(&mut groups, None, &key).expect("it is well-formed");
    let metadata_of_one = metadata(groups.clone(), None);
    let protected = || services(&[("SOPS_AGE_KEY_FILE", file)]);
    let differing = [(recipient.to_string(), "AGE")];
    let differing: Vec<(&str, &str)> = differing.iter().map(|(text, name)| (text.as_str(), *name)).collect();

    let (right, asked) = asking(protected(), Some("correct horse"));
    for _ in 0..2 {
        assert_eq!(right.data_key("s.yaml", &metadata_of_one).expect("the passphrase fits"), key);
    }
    assert_eq!(*asked.lock().expect("nobody panicked"), [format!("Passphrase of {file}")]);

    // Nobody asks while another key opens the file, even one that is listed later.
    seal(&mut groups, None, &key).expect("it is well-formed");
    groups[0].extend(group(&[&open]));
    seal(&mut groups, None, &key).expect("it is well-formed");
    let both = services(&[("SOPS_AGE_KEY_FILE", file), ("SOPS_AGE_KEY", &open_private)]);
    let (lazy, asked) = asking(both, Some("correct horse"));
    assert_eq!(lazy.data_key("s.yaml", &metadata(groups, None)).expect("the other key fits"), key);
    assert!(asked.lock().expect("nobody panicked").is_empty());

    check(
        protected().data_key("s.yaml", &metadata_of_one),
        &differing,
        expect![[r#"
            no key at hand opens s.yaml
            it is encrypted to AGE: looked at SOPS_AGE_KEY_FILE (protected by a passphrase, and nobody could be asked). To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
        "#]],
    );
    check(
        asking(protected(), None).0.data_key("s.yaml", &metadata_of_one),
        &differing,
        expect![[r#"
        no key at hand opens s.yaml
        it is encrypted to AGE: looked at SOPS_AGE_KEY_FILE (no passphrase was given). To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
    "#]],
    );
    check(
        asking(protected(), Some("battery staple")).0.data_key("s.yaml", &metadata_of_one),
        &differing,
        expect![[r#"
        no key at hand opens s.yaml
        it is encrypted to AGE: looked at SOPS_AGE_KEY_FILE (the passphrase does not fit). To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
    "#]],
    );
}

#[test]
fn the_order_of_kinds_can_be_said() {
    let marker = folder();
    let path = marker.path().join("asked");
    let (private, recipient) = age_key();
    let command = format!("sh -c 'echo asked > {}; echo {private}'", path.display());
    let mut groups = vec![group(&[&recipient])];
    seal(&mut groups, None, &new_data_key()).expect("it is well-formed");
    groups[0].insert(0, MasterKey::to(Recipient::Pgp("85D77543B3D624B63CEA9E6DBC17301B491B3F21".into())));
    // gpg that opens everything, with a key of its own.
    let gpg = marker.path().join("gpg");
    write_program(&gpg, "#!/bin/sh\ncat >/dev/null\nprintf '%032d' 7\n");
    let run = |order: &str| {
        let variables = [
            ("SOPS_AGE_KEY_CMD", command.as_str()),
            ("SOPS_GPG_EXEC", gpg.to_str().expect("UTF-8")),
            ("GNUPGHOME", "/nonexistent"),
            ("SOPS_DECRYPTION_ORDER", order),
        ];
        services(&variables).data_key("s.yaml", &metadata(groups.clone(), None)).expect("either opens it")
    };
    assert_eq!(&run("pgp,age")[..], b"00000000000000000000000000000007");
    assert!(!path.exists());
    assert_ne!(&run("")[..], b"00000000000000000000000000000007");
    assert!(path.exists());
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("the folder is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}
