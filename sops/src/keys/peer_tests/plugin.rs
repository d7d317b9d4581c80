//! A real plugin of age: the one for post-quantum recipients, as sops uses it.
use super::*;
use kthw_peers::AGE_PLUGIN_PQ;
use miette::Diagnostic;
use std::io::Write;

/// As `age-keygen -pq` of age 1.3 prints it.
const KEYS: &str = include_str!("post-quantum.txt");

/// A home in which the plugin is found, or is not.
fn home(plugin: Option<&Path>) -> Home {
    let usual = std::env::var("PATH").unwrap_or_default();
    let path = plugin.and_then(Path::parent).map_or_else(|| usual.clone(), |folder| format!("{}:{usual}", folder.display()));
    Home::new().with("PATH", if plugin.is_some() { path } else { "/nonexistent".into() })
}

#[test]
fn a_post_quantum_recipient() {
    let Some([sops, plugin]) = ask([&SOPS, &AGE_PLUGIN_PQ]) else { return };
    let recipient = KEYS.split("public key: ").nth(1).and_then(|rest| rest.lines().next()).expect("a recipient");
    // For programs that know age 1.2 the plugin spells the identity as one of its own.
    let mut converts = Command::new(&plugin)
        .arg("-identity")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    converts.stdin.take().expect("piped").write_all(KEYS.as_bytes()).expect("it reads");
    let converted = text(converts.wait_with_output().expect("it ends"));
    assert!(converted.starts_with("AGE-PLUGIN-PQ-1"), "{converted}");

    let with = |keys: &str| home(Some(&plugin)).with("SOPS_AGE_KEY", keys);
    let both = with(&converted);
    both_ways(&both, &sops, &["encrypt", "--age", recipient], &[Recipient::Age(recipient.into())]);
    // kthw takes the identity as age-keygen prints it, too.
    let theirs = both.sops_encrypts(&sops, &["encrypt", "--age", recipient]);
    assert!(theirs.contains("-----BEGIN AGE ENCRYPTED FILE-----"), "{theirs}");
    assert_eq!(opened(&with(KEYS).services(), &theirs).expect("it is the same key"), "secret ü");

    // Another key does not fit; and without the plugin the next step is told, for opening as for sealing.
    let (private, public) = (KEYS.lines().last().expect("a key"), recipient);
    let other = ::age::x25519::Identity::generate();
    let other = ::age::secrecy::ExposeSecret::expose_secret(&other.to_string()).to_owned();
    let error = opened(&with(&other).services(), &theirs).expect_err("another key");
    assert!(error.help().is_some_and(|help| help.to_string().contains("looked at SOPS_AGE_KEY")), "{error:?}");
    let without = home(None).with("SOPS_AGE_KEY", private).services();
    let error = opened(&without, &theirs).expect_err("there is no plugin");
    let help = error.help().expect("it has help").to_string();
    assert!(help.contains("looked at SOPS_AGE_KEY (age-plugin-pq is not in the search path)"), "{help}");
    assert!(!help.contains(private), "{help}");
    let mut groups = [vec![MasterKey::to(Recipient::Age(public.into()))]];
    let error = without.seal_to("f", &mut groups, None, &new_data_key()).expect_err("there is no plugin");
    assert!(error.to_string().ends_with(": age-plugin-pq is not in the search path"), "{error}");
    let help = error.help().expect("it has help").to_string();
    assert!(help.starts_with("put age-plugin-pq of age 1.3 into the search path") && help.contains("or add an X25519 recipient"), "{help}");
    let mistyped = Recipient::Age(public.replacen("age1pq1", "age1pq1q", 1));
    let error = without.seal_to("f", &mut [vec![MasterKey::to(mistyped)]], None, &new_data_key()).expect_err("a letter too many");
    assert!(error.to_string().ends_with(": it is malformed"), "{error}");
}
