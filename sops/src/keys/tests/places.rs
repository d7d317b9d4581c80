//! Where keys are looked for, what is said when none fits, and when a passphrase is asked for.
use super::*;
use std::{
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

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

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("the folder is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
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
    groups[0].extend(group(&[&kms("arn:aws:kms:eu-west-1:123456789012:key/1"), &Recipient::Pgp(fingerprint.into()), &huawei()]));
    let name = age.to_string();
    let home_path = home.path().to_str().expect("it is UTF-8");
    let differing = [(name.as_str(), "AGE"), (home_path, "~"), (fingerprint, "FINGERPRINT")];
    check(
        services(&[("HOME", home_path)]).data_key("s.yaml", &metadata(groups.clone(), None)),
        &differing,
        expect![[r#"
        no key at hand opens s.yaml
        it is encrypted to AGE, age ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@here: looked at ~/.config/sops/age/keys.txt (not there), ~/.ssh/id_ed25519 (not there), ~/.ssh/id_rsa (not an ed25519 or RSA key); PGP FINGERPRINT: /nonexistent/gpg does not start: No such file or directory (os error 2); AWS KMS arn:aws:kms:eu-west-1:123456789012:key/1: found no AWS credentials; looked at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile `default` in ~/.aws/credentials and ~/.aws/config; Huawei Cloud KMS tr-west-1:abc: kthw does not use this kind of key. To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or import the private PGP key with `gpg --import`; or give credentials that may use the KMS key: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or ask a holder to run `kthw secrets updatekeys s.yaml`
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
        services(&[]).data_key("s.yaml", &metadata(vec![group(&[&huawei()])], None)),
        &[],
        expect![[r#"
        s.yaml is encrypted to Huawei Cloud KMS tr-west-1:abc only, and kthw does not use this kind of key
        add a recipient of another kind, such as `age: age1…`: list it in `.sops.yaml`, then run `sops updatekeys s.yaml` of the real sops as someone who can decrypt it
    "#]],
    );
    check(
        services(&[]).data_key("s.yaml", &metadata(vec![Group::new()], None)),
        &[],
        expect![[r#"
            s.yaml is not a SOPS file: its `sops` block lists no key
            restore it from version control (`git log -p s.yaml` shows what became of it), or mend that place in an editor
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
