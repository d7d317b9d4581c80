//! What a name means is the same for reading and for writing.
use super::ENCRYPTED;
use crate::{File, Format, MasterKey, Metadata, Recipient, Rules, encrypt, new_data_key, set};

const TWO: &str = "stringData:\n  user: u1\n---\nstringData:\n  user: u2\n  password: p2\n  \"ca.crt\": c\n";

/// Every name, the value that it reads, and the plain text once it is set to `new`.
fn check(plain: &str, name: &str, expected: (&str, &str)) {
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let metadata = Metadata::new(vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]], None, Rules::default(), false);
    let key = new_data_key();
    let sealed = encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None).expect("it is encrypted");
    let opened = File::parse("f", Format::Yaml, &sealed).and_then(|file| file.open(&key)).expect("it opens");
    let read = opened.get("f", name).map_or_else(|error| error.to_string(), |value| value.map_or("-", |value| value.expose()).to_owned());
    let set = set("f", Format::Yaml, plain.as_bytes(), name, &"new".into());
    let set = set.map_or_else(|error| error.to_string(), |text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!((read.as_str(), set.as_str()), expected, "{name}");
}

#[test]
fn the_document_that_has_the_value_is_meant() {
    check(TWO, "stringData.password", ("p2", &TWO.replace("p2", "new")));
    check(TWO, "[1].stringData.user", ("u2", &TWO.replace("u2", "new")));
    check(TWO, "[0]['stringData'][\"user\"]", ("u1", &TWO.replace("u1", "new")));
    check(TWO, "stringData.ca.crt", ("c", &TWO.replace(": c", ": new")));
    let both = "`stringData.user` means 2 values in f";
    check(TWO, "stringData.user", (both, both));
    check(TWO, "[2].stringData.user", ("-", "cannot set `[2].stringData.user` in f: the file has no such document"));
}

#[test]
fn what_is_new_goes_where_its_group_is() {
    check(TWO, "stringData.new", ("-", "`stringData.new` means 2 values in f"));
    check(TWO, "[0].stringData.new", ("-", &TWO.replace("u1\n", "u1\n  new: new\n")));
    let dotted = "a.b:\n  c: 1\nd: 2\n";
    check(dotted, "a.b.e", ("-", "a.b:\n  c: 1\n  e: new\nd: 2\n"));
    check(dotted, "['a']['b']", ("-", "a.b:\n  c: 1\nd: 2\na:\n  b: new\n"));
    let either = "a.b: 1\na:\n  b: 2\n";
    check(either, "a.b", ("`a.b` means 2 values in f", "`a.b` means 2 values in f"));
    check(either, "['a.b']", ("1", "a.b: new\na:\n  b: 2\n"));
    check(either, "['a']['b']", ("2", "a.b: 1\na:\n  b: new\n"));
}

#[test]
fn names_that_are_shown_read_back() {
    let key = new_data_key();
    let metadata = Metadata::new(vec![vec![MasterKey::to(Recipient::Age("age1test".into()))]], None, Rules::default(), false);
    let plain = "a: {b: [1, 2], \"c.d\": 3}\n---\n\"\": 4\na: {b: [5]}\n";
    let sealed = encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None).expect("it is encrypted");
    let file = File::parse("f", Format::Yaml, &sealed).expect("it is a file");
    let opened = file.open(&key).expect("it opens");
    assert_eq!(file.names(), ["[0].a.b.0", "[0].a.b.1", "[0][\"a\"][\"c.d\"]", "[1][\"\"]", "[1].a.b.0"]);
    for ((name, value), number) in opened.values().iter().zip(1..) {
        assert_eq!(value.expose(), number.to_string(), "{name}");
        assert!(opened.get("f", name).expect("it means one").is_some_and(|found| found.expose() == value.expose()), "{name}");
    }
}
