//! Files with very many values: the time grows with their number and not faster.
use super::{ENCRYPTED, KEY};
use crate::{File, Format, KeyServices, MasterKey, Metadata, Recipient, Rules, encrypt, new_data_key};
use std::time::{Duration, Instant};

const FORMATS: [Format; 4] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini];

/// A file of so many values, and the name of one of them.
fn plain(format: Format, values: usize) -> (String, &'static str) {
    let line = |at: usize| match (format, at % 10) {
        (Format::Yaml, 0) => format!("group{}:\n  # of this group\n  first: value-{at}\n", at / 10),
        (Format::Yaml, _) => format!("  key{at}: \"value {at}\"\n"),
        (Format::Json, _) => format!("{}\"key{at}\": \"value {at}\"", if at == 0 { "{" } else { ",\n" }),
        (Format::Ini, 0) => format!("[section{at}]\n; of it\nkey{at} = value {at}\n"),
        (Format::Ini, _) => format!("key{at} = value {at}\n"),
        _ => format!("KEY{at}=value {at}\n"),
    };
    let name = match format {
        Format::Yaml => "group3.key35",
        Format::Json => "key35",
        Format::Ini => "section30.key35",
        _ => "KEY35",
    };
    ((0..values).map(line).collect::<String>() + if format == Format::Json { "}\n" } else { "" }, name)
}

/// The longest of encrypting, decrypting, setting and encrypting again.
fn longest(format: Format, values: usize) -> Duration {
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let mut metadata = Metadata::new(vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]], None, Rules::default(), false);
    let (key, (plain, name)) = (new_data_key(), plain(format, values));
    let services = KeyServices::new(|name| (name == "SOPS_AGE_KEY").then(|| KEY.into()));
    services.seal_to("f", &mut metadata.groups, None, &key).expect("the recipient is one");
    let mut times = Vec::new();
    let mut start = Instant::now();
    let mut lap = || times.push(std::mem::replace(&mut start, Instant::now()).elapsed());
    let sealed = encrypt("f", format, plain.as_bytes(), &metadata, &key, None).expect("it is encrypted");
    lap();
    let opened = File::parse("f", format, &sealed).and_then(|file| file.open(&key)).expect("it opens");
    lap();
    assert_eq!(opened.values().len(), values);
    let set = crate::set("f", format, opened.plain(), name, &"new".into()).expect("it is set");
    lap();
    encrypt("f", format, &set, &metadata, &key, Some(&opened)).expect("it is encrypted again");
    lap();
    println!("{format:?} {values}: {times:?}");
    times.into_iter().max().unwrap_or_default()
}

#[test]
fn the_time_grows_with_the_number_of_values() {
    for format in FORMATS {
        let small = longest(format, 500).min(longest(format, 500));
        let large = longest(format, 4_000).min(longest(format, 4_000));
        assert!(large < small * 8 * 4, "{format:?}: {small:?} for 500 values and {large:?} for 4,000");
    }
}

/// What a person waits for: run it with `cargo test --release -p kthw-sops -- --ignored sixty`.
#[test]
#[ignore = "the limit is one of a release build"]
fn sixty_thousand_values_take_less_than_two_seconds() {
    for format in FORMATS {
        let took = longest(format, 60_000);
        assert!(took < Duration::from_secs(2), "{format:?}: {took:?}");
    }
}
