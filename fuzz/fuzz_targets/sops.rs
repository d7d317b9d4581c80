//! SOPS files of every format: whatever the text, nothing panics, and what can be encrypted comes back the same.
//!
//! The first byte of an input chooses the format. Run it for ten minutes from the project's folder:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run sops -- -max_total_time=600 -max_len=4096`
#![no_main]
use kthw_sops::{DataKey, File, Format, MasterKey, Metadata, Opened, Recipient, Rules, encrypt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, text)) = input.split_first() else { return };
    let (_, format) = Format::NAMES[usize::from(*first) % Format::NAMES.len()];
    let key: DataKey = vec![7; 32].into();
    if let Ok(text) = std::str::from_utf8(text) {
        read(format, text, &key);
    }
    round(format, text, &key);
});

/// A text as an encrypted file. The key is known, so texts of the corpus open as long as they are whole.
fn read(format: Format, text: &str, key: &DataKey) {
    let Ok(file) = File::parse("fuzz", format, text) else { return };
    file.names();
    let same = file.with_metadata(file.metadata());
    if let Ok(opened) = file.open(key) {
        let same = same.expect("a block that was read can be written");
        let again = File::parse("fuzz", format, &same).and_then(|file| file.open(key)).expect("the values are the same");
        assert_eq!(values(&again), values(&opened));
    }
}

/// A text as a plain file: what is encrypted decrypts to the same values, and once more.
fn round(format: Format, plain: &[u8], key: &DataKey) {
    let recipient = MasterKey { encrypted: "sealed".into(), ..MasterKey::to(Recipient::Age("age1".into())) };
    let metadata = Metadata::new(vec![vec![recipient]], None, Rules::default(), false);
    let seal = |plain: &[u8], before: Option<&Opened>| encrypt("fuzz", format, plain, &metadata, key, before);
    let open = |text: &str| File::parse("fuzz", format, text).and_then(|file| file.open(key));
    // Also `NotKept`: encryption noticed itself that a layout would not come back, and wrote nothing. To look for such layouts, panic there.
    let Ok(sealed) = seal(plain, None) else { return };
    let opened = open(&sealed).unwrap_or_else(|error| panic!("{error}\n{sealed}"));
    let again = seal(opened.plain(), Some(&opened)).unwrap_or_else(|error| panic!("{error}\n{sealed}"));
    let reopened = open(&again).unwrap_or_else(|error| panic!("{error}\n{again}"));
    assert_eq!(values(&reopened), values(&opened), "{sealed}");
    assert_eq!(reopened.plain(), opened.plain(), "{sealed}");
    if format == Format::Binary {
        assert_eq!(opened.plain(), plain);
    }
}

fn values(opened: &Opened) -> Vec<(&str, &str)> {
    opened.values().iter().map(|(name, value)| (name.as_str(), value.disclose())).collect()
}
