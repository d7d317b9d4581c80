//! gpg with a home of its own.
use super::*;
use miette::Diagnostic;
use std::os::unix::fs::PermissionsExt;

/// A home whose gpg has a key; its agent ends with it.
pub(crate) struct Keys {
    pub home: Home,
    pub fingerprint: String,
    gpg: PathBuf,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.home.run(&self.gpg.with_file_name("gpgconf"), &["--kill", "all"]);
    }
}

impl Keys {
    /// A key for encryption (cv25519) below one for signatures (ed25519), protected or not.
    pub fn new(home: Home, gpg: &Path, passphrase: &str) -> Self {
        let gnupg = home.path().join("gnupg");
        fs::create_dir(&gnupg).expect("the folder is ours");
        fs::set_permissions(&gnupg, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        let mut keys = Self { home, fingerprint: String::new(), gpg: gpg.to_owned() };
        let made = ["--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase];
        text(keys.home.run(gpg, &[&made[..], &["--quick-generate-key", "me <me@example.test>", "ed25519", "sign"]].concat()));
        let listed = text(keys.home.run(gpg, &["--batch", "--with-colons", "--list-keys"]));
        let line = listed.lines().find_map(|line| line.strip_prefix("fpr:")).expect("the key is listed");
        keys.fingerprint = line.trim_matches(':').to_owned();
        text(keys.home.run(gpg, &[&made[..], &["--quick-add-key", &keys.fingerprint, "cv25519", "encr"]].concat()));
        keys
    }

    pub fn recipient(&self) -> Recipient {
        Recipient::Pgp(self.fingerprint.clone())
    }
}

#[test]
fn a_key_of_gpg() {
    let Some([sops, gpg]) = ask([&SOPS, &GPG]) else { return };
    let keys = Keys::new(Home::new(), &gpg, "");
    both_ways(&keys.home, &sops, &["encrypt", "--pgp", &keys.fingerprint], &[keys.recipient()]);
    let mut groups = vec![vec![MasterKey::to(keys.recipient())]];
    keys.home.services().seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect("gpg has the key");
    let sealed = &groups[0][0];
    assert!(sealed.encrypted.starts_with("-----BEGIN PGP MESSAGE-----\n") && sealed.encrypted.ends_with("-----END PGP MESSAGE-----"));
    let created = sealed.created_at.as_deref().expect("a date");
    assert!(created.len() == 20 && created.ends_with('Z') && created.parse::<jiff::Timestamp>().is_ok(), "{created}");

    // Spaces, small letters and another name for the program are taken as well.
    let spaced: String = keys.fingerprint.to_lowercase().chars().map(|c| format!("{c} ")).collect();
    let other = [keys.home.without(&[]), vec![("SOPS_GPG_EXEC".into(), gpg.clone().into())]].concat();
    let ours = encrypted_to(&services(other.clone()), &[vec![Recipient::Pgp(spaced)]], None);
    assert_eq!(opened(&services(other), &ours).expect("it is the same key"), "secret ü");

    // Somebody without the key.
    let stranger = Home::new();
    fs::create_dir(stranger.path().join("gnupg")).expect("the folder is ours");
    let error = opened(&stranger.services(), &ours).expect_err("the key is elsewhere");
    let help = error.help().expect("it has help").to_string();
    let home = stranger.path().join("gnupg");
    assert!(help.contains(&format!("gpg, with the keys in {}, says: ", home.display())), "{help}");
    let error = stranger.services().seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect_err("gpg does not know it");
    assert!(error.to_string().starts_with(&format!("cannot encrypt to PGP {}: gpg, with the keys in", keys.fingerprint)), "{error}");
}

/// Speaks for a person: tells the passphrase and leaves a note that it was asked.
const PINENTRY: &str = r#"#!/bin/sh
echo OK ready
while read -r command rest; do
    case $command in
        GETPIN) echo asked >>"$(dirname "$0")/asked"; echo "D correct horse"; echo OK ;;
        BYE) echo OK; exit 0 ;;
        *) echo OK ;;
    esac
done
"#;

#[test]
fn the_agent_of_gpg_asks_for_a_passphrase_when_nothing_else_opens() {
    let Some([sops, gpg, age]) = ask([&SOPS, &GPG, &AGE]) else { return };
    let keys = Keys::new(Home::new(), &gpg, "correct horse");
    let pinentry = keys.home.write("pinentry", PINENTRY);
    fs::set_permissions(&pinentry, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    keys.home.write("gnupg/gpg-agent.conf", format!("pinentry-program {}\n", pinentry.display()));
    // It has the passphrase in its memory, from when the key was made.
    keys.home.run(&gpg.with_file_name("gpgconf"), &["--kill", "gpg-agent"]);
    let asked = keys.home.path().join("asked");
    let made = text(Home::new().run(&age.with_file_name("age-keygen"), &[]));
    let (private, public) = (made.lines().last().expect("a key"), made.split("public key: ").nth(1).expect("a recipient"));
    let public = public.lines().next().expect("a line").to_owned();
    let both = encrypted_to(&keys.home.services(), &[vec![keys.recipient(), Recipient::Age(public)]], None);
    let with_age = [keys.home.without(&[]), vec![("SOPS_AGE_KEY".into(), private.into()), ("SOPS_DECRYPTION_ORDER".into(), "pgp".into())]];
    assert_eq!(opened(&services(with_age.concat()), &both).expect("age opens it"), "secret ü");
    assert!(!asked.exists(), "nobody is asked while the age key fits");
    let theirs = keys.home.sops_encrypts(&sops, &["encrypt", "--pgp", &keys.fingerprint]);
    assert_eq!(opened(&keys.home.services(), &theirs).expect("the agent asks"), "secret ü");
    assert!(asked.exists());
}
