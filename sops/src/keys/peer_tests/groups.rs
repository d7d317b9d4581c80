//! Several key groups, each of another kind, of which two open a file.
use super::{
    moto::{Moto, recipient},
    pgp::Keys,
    *,
};

#[test]
fn any_two_of_three_groups_open_what_either_sealed() {
    let Some([sops, gpg, moto, age]) = ask([&SOPS, &GPG, &MOTO, &AGE]) else { return };
    let moto = Moto::start(&moto);
    let home = moto.home();
    let arn = moto.key(&home);
    let made = text(home.run(&age.with_file_name("age-keygen"), &[]));
    let (private, public) = (made.lines().last().expect("a key"), made.split("public key: ").nth(1).expect("a recipient"));
    let public = public.lines().next().expect("a line").to_owned();
    let keys = Keys::new(home.with("SOPS_AGE_KEY", private), &gpg, "");
    let home = &keys.home;
    let fingerprint = &keys.fingerprint;
    let groups = format!("[{{age: [{public}]}}, {{pgp: [{fingerprint}]}}, {{kms: [{{arn: '{arn}'}}]}}]");
    let rules = home.write("rules.yaml", format!("creation_rules: [{{shamir_threshold: 2, key_groups: {groups}}}]\n"));
    let theirs = home.sops_encrypts(&sops, &["--config", rules.to_str().expect("UTF-8"), "encrypt"]);
    let recipients = [vec![Recipient::Age(public)], vec![keys.recipient()], vec![recipient(&arn)]];
    let ours = encrypted_to(&home.services(), &recipients, Some(2));
    assert!(ours.contains("shamir_threshold: 2"), "{ours}");
    let kinds = ["SOPS_AGE_KEY", "GNUPGHOME", "AWS_ACCESS_KEY_ID"];
    for missing in [&[][..], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]] {
        let missing: Vec<&str> = missing.iter().map(|index| kinds[*index]).collect();
        let variables = home.without(&missing);
        let enough = missing.len() < 2;
        for text in [&theirs, &ours] {
            let found = opened(&services(variables.clone()), text);
            assert_eq!(found.is_ok(), enough, "kthw without {missing:?}: {found:?}");
            assert!(enough || matches!(found, Err(SopsError::TooFewGroups { opened: 1, needed: 2, .. })));
            assert_eq!(home.sops_decrypts(&sops, text, &variables).is_some(), enough, "sops without {missing:?}");
        }
    }
    // When nothing says how many, all are needed.
    let all = encrypted_to(&home.services(), &recipients, None);
    assert_eq!(opened(&home.services(), &all).expect("all keys are there"), "secret ü");
    assert!(home.sops_decrypts(&sops, &all, &home.variables).is_some());
    assert!(opened(&services(home.without(&kinds[..1])), &all).is_err());
    assert!(home.sops_decrypts(&sops, &all, &home.without(&kinds[..1])).is_none());
}
