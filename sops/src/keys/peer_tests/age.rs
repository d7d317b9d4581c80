//! age and SSH keys, with and without a passphrase.
use super::*;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Makes an SSH key; gives its public key.
fn ssh_key(home: &Home, ssh_keygen: &Path, name: &str, kind: &str, passphrase: &str) -> String {
    let path = home.write(name, "");
    fs::remove_file(&path).expect("it was just made");
    let path = path.to_str().expect("UTF-8");
    let bits: &[&str] = if kind == "rsa" { &["-b", "2048"] } else { &[] };
    text(home.run(ssh_keygen, &[&["-q", "-t", kind, "-N", passphrase, "-C", "me@here", "-f", path], bits].concat()));
    fs::read_to_string(format!("{path}.pub")).expect("ssh-keygen wrote it").trim().to_owned()
}

/// Makes an age key in `keys.txt`; gives the recipient.
fn age_key(home: &Home, age: &Path) -> String {
    let file = home.path().join("keys.txt");
    text(home.run(&age.with_file_name("age-keygen"), &["-o", file.to_str().expect("UTF-8")]));
    text(home.run(&age.with_file_name("age-keygen"), &["-y", file.to_str().expect("UTF-8")])).trim().to_owned()
}

#[test]
fn keys_of_age_keygen() {
    let Some([sops, age]) = ask([&SOPS, &AGE]) else { return };
    let home = Home::new();
    let recipient = age_key(&home, &age);
    let file = home.path().join("keys.txt");
    let home = home.with("SOPS_AGE_KEY_FILE", file.clone());
    both_ways(&home, &sops, &["encrypt", "--age", &recipient], &[Recipient::Age(recipient.clone())]);
    // The sealed key alone is a file of age.
    let mut groups = vec![vec![MasterKey::to(Recipient::Age(recipient))]];
    let key = new_data_key();
    home.services().seal_to("ours.yaml", &mut groups, None, &key).expect("the recipient is well-formed");
    let sealed = home.write("key.age", &groups[0][0].encrypted);
    let opened = home.run(&age, &["-d", "-i", file.to_str().expect("UTF-8"), sealed.to_str().expect("UTF-8")]);
    assert_eq!(opened.stdout, *key);
}

#[test]
fn keys_of_ssh_keygen() {
    let Some([sops, ssh_keygen]) = ask([&SOPS, &SSH_KEYGEN]) else { return };
    for (kind, name) in [("ed25519", ".ssh/id_ed25519"), ("rsa", ".ssh/id_rsa"), ("ed25519", "elsewhere/key")] {
        let home = Home::new();
        let public = ssh_key(&home, &ssh_keygen, name, kind, "");
        let path = home.path().join(name);
        let home = if name.starts_with(".ssh") { home } else { home.with("SOPS_AGE_SSH_PRIVATE_KEY_FILE", path) };
        both_ways(&home, &sops, &["encrypt", "--age", &public], &[Recipient::Age(public.clone())]);
    }
}

#[test]
fn a_protected_ssh_key_is_asked_for_only_when_it_fits() {
    let Some([sops, ssh_keygen]) = ask([&SOPS, &SSH_KEYGEN]) else { return };
    let home = Home::new();
    let public = ssh_key(&home, &ssh_keygen, ".ssh/id_ed25519", "ed25519", "correct horse");
    let other = ssh_key(&home, &ssh_keygen, "other", "ed25519", "");
    let theirs = home.sops_encrypts(&sops, &["encrypt", "--age", &public]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let services = home.services().with_passphrase(move |words| {
        assert!(words.starts_with("Passphrase of /") && words.ends_with("/.ssh/id_ed25519"), "{words}");
        count.fetch_add(1, Ordering::Relaxed);
        Some(Secret::new("correct horse"))
    });
    let for_other = home.sops_encrypts(&sops, &["encrypt", "--age", &other]);
    assert!(opened(&services, &for_other).is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    for _ in 0..2 {
        assert_eq!(opened(&services, &theirs).expect("the passphrase fits"), "secret ü");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let wrong = home.services().with_passphrase(|_| Some(Secret::new("battery staple")));
    assert!(opened(&wrong, &theirs).is_err());
}

/// `age -p` asks on a terminal: a few lines of Python give it one.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
for _ in range(2):
    time.sleep(0.5)
    os.write(terminal, b"correct horse\n")
try:
    while os.read(terminal, 1024):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_file_of_keys_that_age_protects() {
    let Some([sops, age, python]) = ask([&SOPS, &AGE, &PYTHON]) else { return };
    let home = Home::new();
    let recipient = age_key(&home, &age);
    let (plain, protected) = (home.path().join("keys.txt"), home.path().join("keys.age"));
    let [age, plain, file] = [&age, &plain, &protected].map(|path| path.to_str().expect("UTF-8"));
    for armor in [&["-a"][..], &[]] {
        let arguments = [&["-c", ON_A_TERMINAL, age, "-p"], armor, &["-o", file, plain]].concat();
        text(home.run(&python, &arguments));
        let theirs = home.sops_encrypts(&sops, &["encrypt", "--age", &recipient]);
        let variables = [home.without(&[]), vec![("SOPS_AGE_KEY_FILE".into(), protected.clone().into())]].concat();
        let services = services(variables).with_passphrase(|_| Some(Secret::new("correct horse")));
        assert_eq!(opened(&services, &theirs).expect("the passphrase fits"), "secret ü");
        fs::remove_file(&protected).expect("age wrote it");
    }
}
