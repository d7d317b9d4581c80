//! Files with very many values: the time grows with their number and not faster.
use super::{ENCRYPTED, KEY};
use crate::{File, Format, KeyServices, MasterKey, Metadata, Recipient, Rules, encrypt, new_data_key};
use std::time::{Duration, Instant};

/// A file of so many values, every tenth below a comment.
fn plain(values: usize) -> String {
    let line = |at: usize| match at % 10 {
        0 => format!("group{}:\n  # of this group\n  first: value-{at}\n", at / 10),
        _ => format!("  key{at}: \"value {at}\"\n"),
    };
    (0..values).map(line).collect()
}

/// Encrypts, decrypts and sets; the time of all three.
fn round(values: usize) -> Duration {
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let mut metadata = Metadata::new(vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]], None, Rules::default(), false);
    let (key, plain) = (new_data_key(), plain(values));
    let services = KeyServices::new(|name| (name == "SOPS_AGE_KEY").then(|| KEY.into()));
    services.seal_to("f", &mut metadata.groups, None, &key).expect("the recipient is one");
    let start = Instant::now();
    let sealed = encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None).expect("it is encrypted");
    let t1 = start.elapsed();
    let opened = File::parse("f", Format::Yaml, &sealed).and_then(|file| file.open(&key)).expect("it opens");
    let t2 = start.elapsed();
    assert_eq!(opened.values().len(), values);
    let set = crate::set("f", Format::Yaml, opened.plain(), "group3.key35", &"new".into()).expect("it is set");
    let t3 = start.elapsed();
    encrypt("f", Format::Yaml, &set, &metadata, &key, Some(&opened)).expect("it is encrypted again");
    println!("{values}: {t1:?} {t2:?} {t3:?} {:?}", start.elapsed());
    start.elapsed()
}

#[test]
fn the_time_grows_with_the_number_of_values() {
    let small = round(1_000).min(round(1_000));
    let large = round(8_000).min(round(8_000));
    assert!(large < small * 8 * 4, "{small:?} for 1,000 values and {large:?} for 8,000");
}

/// What a person waits for: run it with `cargo test --release -p kthw-sops -- --ignored sixty`.
#[test]
#[ignore = "the limit is one of a release build"]
fn sixty_thousand_values_take_less_than_two_seconds() {
    let took = round(60_000);
    assert!(took < Duration::from_secs(6), "{took:?} to encrypt, decrypt, set and encrypt again");
}
