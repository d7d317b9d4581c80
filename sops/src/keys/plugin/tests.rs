//! Plugins that behave in this way or that, each a few lines of shell. A real one is in `peer_tests`.
use super::{super::Person, *};
use age_core::format::FILE_KEY_BYTES;
use expect_test::{Expect, expect};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, sync::mpsc::sync_channel, time::Instant};
use tempfile::TempDir;

const RECIPIENT: &str = "age1x";
const KEY: [u8; FILE_KEY_BYTES] = *b"sixteen bytes ok";

/// A search path with `age-plugin-x` and the usual programs; the plugin reads to the end of the first phase and then does `script`.
fn plugin(script: &str) -> (TempDir, Arc<Variables>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("age-plugin-x");
    let text = format!("#!/bin/sh\nuntil [ \"$line\" = '-> done' ]; do read -r line || exit; done; read -r line\n{script}\n");
    fs::write(&program, text).expect("the folder is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let path = OsString::from(format!("{}:/usr/bin:/bin", folder.path().display()));
    (folder, Arc::new(move |name: &str| (name == "PATH").then(|| path.clone())))
}

fn seal(script: &str, limit: Duration) -> Result<(Vec<Stanza>, HashSet<String>), String> {
    let (_folder, variables) = plugin(script);
    let text = bech32::encode(RECIPIENT, [], Variant::Bech32).expect("a prefix");
    let recipient = PluginRecipient { limit, ..PluginRecipient::parse(&text, &variables).expect("it is a recipient") };
    recipient.wrap(&FileKey::new(Box::new(KEY)))
}

#[track_caller]
fn refused(script: &str, expected: Expect) {
    expected.assert_eq(&seal(script, Duration::from_secs(20)).expect_err("it is refused"));
}

#[test]
fn stanzas_come_back_as_the_plugin_gave_them() {
    let (stanzas, labels) = seal(
        "printf -- '-> recipient-stanza 0 x a b\\nAAAA\\n'; read -r a; read -r b; printf -- '-> labels one\\n\\n'; read -r a; read -r b; printf -- '-> done\\n\\n'",
        Duration::from_secs(20),
    )
    .expect("it seals");
    assert_eq!(stanzas, [Stanza { tag: "x".into(), args: vec!["a".into(), "b".into()], body: vec![0; 3] }]);
    assert_eq!(labels, HashSet::from(["one".to_owned()]));
}

#[test]
fn what_a_plugin_does_wrong_is_told() {
    refused("exit 1", expect!["age-plugin-x ended before it was done"]);
    refused("echo hello", expect!["age-plugin-x does not speak as a plugin of age does"]);
    refused("printf -- '-> done\\n\\n'", expect!["age-plugin-x sealed nothing"]);
    refused(
        "printf -- '-> error internal\\nbm8gY2FyZA\\n'; read -r a; read -r b; printf -- '-> done\\n\\n'",
        expect!["age-plugin-x says: no card"],
    );
    refused("printf -- '-> msg\\ndG91Y2ggaXQ\\n'; read -r a", expect!["age-plugin-x ended before it was done; it said: touch it"]);
    refused(
        "printf -- '-> request-secret\\nUElO\\n'; read -r a; read -r b; printf -- '-> done\\n\\n'",
        expect!["age-plugin-x says: nobody answered `PIN`"],
    );
    refused("yes '-> x' | tr -d '\\n'", expect!["age-plugin-x ended before it was done"]);
}

#[test]
fn a_plugin_that_hangs_is_ended() {
    let started = Instant::now();
    for script in ["exec sleep 30", "sleep 30", "sleep 30 & exit 0"] {
        let reason = seal(script, Duration::from_secs(1)).expect_err("it hangs");
        assert_eq!(reason, "age-plugin-x did not end within 1 s", "{script}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_person_is_asked_for_what_the_plugin_wants_to_know() {
    // It opens whoever tells it the PIN.
    let (_folder, variables) = plugin(
        "printf -- '-> msg\\ndG91Y2ggaXQ\\n'; read -r a; read -r b; printf -- '-> request-secret\\nUElO\\n'; read -r a; read -r b; [ \"$b\" = MTIzNA ] && printf -- '-> file-key 0\\nc2l4dGVlbiBieXRlcyBvaw\\n' && read -r a && read -r b; printf -- '-> done\\n\\n'",
    );
    let line = bech32::encode("age-plugin-x-", [], Variant::Bech32).expect("a prefix").to_uppercase();
    let identity = PluginIdentity::parse(&line).expect("it is an identity");
    let stanza = || Stanza { tag: "x".into(), args: Vec::new(), body: vec![1; 48] };
    let (told, telling) = sync_channel(1);
    let person = Person {
        ask: Box::new(|words| {
            assert_eq!(words, "age-plugin-x asks: PIN");
            Some(Secret::new("1234"))
        }),
        tell: Box::new(move |words| told.send(words.to_owned()).expect("it is heard")),
    };
    let opening = identity.opening(&*variables, Asking::Person(&person));
    let file_key = opening.unwrap(&[stanza()]).expect("it speaks").expect("it opens");
    assert_eq!(file_key.expose_secret(), &KEY);
    assert_eq!(telling.recv().as_deref(), Ok("age-plugin-x says: touch it"));
    let opening = identity.opening(&*variables, Asking::Programs);
    assert_eq!(opening.unwrap(&[stanza()]).err().as_deref(), Some("age-plugin-x says: nobody answered `PIN`"));
    // More than a pipe takes is not sent.
    let large = Stanza { body: vec![0; 64 << 10], ..stanza() };
    assert!(opening.unwrap(&[large]).is_err_and(|reason| reason.contains("more to tell")));
}

#[test]
fn recipients_and_identities_of_plugins() {
    let variables: Arc<Variables> = Arc::new(|_| None);
    let encode = |prefix: &str| bech32::encode(prefix, [], Variant::Bech32).expect("a prefix");
    assert!(PluginRecipient::parse(&encode("age1yubikey"), &variables).is_ok_and(|known| known.name == "yubikey"));
    for malformed in
        [encode("age1../x"), encode("age1x").to_uppercase(), format!("{}q", encode("age1x")), "age1x1 y".into(), "age11".into()]
    {
        assert_eq!(PluginRecipient::parse(&malformed, &variables).err().as_deref(), Some("it is malformed"), "{malformed}");
    }
    let name = |line: &str| PluginIdentity::parse(line).map(|identity| identity.name);
    assert_eq!(name(&encode("age-plugin-fido2-hmac-").to_uppercase()).as_deref(), Some("fido2-hmac"));
    assert_eq!(name(&encode("age-secret-key-pq-").to_uppercase()).as_deref(), Some("pq"));
    for other in [encode("age-plugin-"), encode("age-plugin-../x-"), encode("age-secret-key-"), "AGE-PLUGIN-X-1".into()] {
        assert_eq!(name(&other), None, "{other}");
    }
}
