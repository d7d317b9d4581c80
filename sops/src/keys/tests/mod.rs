//! The services over the variables of a test. Nothing here leaves the process; the real programs are in `peer_tests`.
mod groups;
mod places;
pub(super) mod stand_in;

use super::*;
use crate::{Metadata, Rules};
use ::age::{
    Encryptor, scrypt,
    secrecy::{ExposeSecret, SecretString},
    x25519::Identity,
};
use expect_test::{Expect, expect};
use miette::Diagnostic;
use std::fs;
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

fn huawei() -> Recipient {
    let fields = vec![("key_id".into(), "tr-west-1:abc".into())];
    Recipient::Other { kind: OtherKind::HuaweiKms, fields }
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
            "cannot encrypt to age age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t: age-plugin-yubikey is not in the search path",
        ),
        (Recipient::Age("ssh-dss AAAA".into()), "cannot encrypt to age ssh-dss AAAA: it is not an SSH public key that age knows"),
        (Recipient::Pgp("me@example.test".into()), "cannot encrypt to PGP me@example.test: it is not a fingerprint"),
        (
            Recipient::Pgp("85D77543B3D624B63CEA9E6DBC17301B491B3F21".into()),
            "cannot encrypt to PGP 85D77543B3D624B63CEA9E6DBC17301B491B3F21: /nonexistent/gpg does not start: No such file or directory (os error 2)",
        ),
        (kms("alias/mine"), "cannot encrypt to AWS KMS alias/mine: its name is not of the form arn:aws:kms:REGION:ACCOUNT:key/ID"),
        (huawei(), "cannot encrypt to Huawei Cloud KMS tr-west-1:abc: kthw does not use this kind of key"),
    ] {
        let mut groups = vec![group(&[&good, &recipient])];
        let before = groups.clone();
        let error = seal(&mut groups, None, &new_data_key()).expect_err("it is refused");
        assert_eq!(error.to_string(), expected);
        assert!(error.help().is_some_and(|help| !help.to_string().is_empty()) && error.code().is_some(), "{expected}");
        assert_eq!(groups, before, "{expected}");
    }
}
