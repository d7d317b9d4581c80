//! One byte changed, at every place of a small file: it is refused, or it decrypts to the same tree.
use super::{ENCRYPTED, with_key};
use crate::{
    DataKey, File, Format, Group, KeyServices, MasterKey, Metadata, Recipient, Rules, SopsError, encrypt, new_data_key,
    text::{What, dotted},
};
use std::collections::BTreeSet;

/// Every kind of value that the format has, and what the MAC of sops leaves out: names of plain values, nulls, empty things.
const FILES: [(Format, &str); 5] = [
    (
        Format::Yaml,
        "# top\na: text\nlist: [x, 'y']\nn: null\nempty: ''\nm: {}\nl: []\nport_unencrypted: 80\non_unencrypted: true\nb:\n  # in\n  - 1\n  - 2.5\n  - c: |\n      two\n      lines\n---\na: 2020-01-01\n",
    ),
    (
        Format::Json,
        "{\"a\": \"text\", \"list\": [1, 2.5, true, null, {}], \"m\": {\"k\": \"\", \"l\": []}, \"port_unencrypted\": 80, \"s_unencrypted\": \"p\\u0041\"}\n",
    ),
    (Format::Dotenv, "# top\nA=text\nB=\nport_unencrypted=80\nC=two\\nlines\n"),
    (
        Format::Ini,
        "; top\na = text\nport_unencrypted = 80\n; sec\n[s]\nb = ; beside\n; up\n; more\nc = \"q\"\nd_unencrypted = `a;b`\n[empty]\n",
    ),
    (Format::Binary, "some bytes\n"),
];

/// A tree as text: names, types and values, and what is empty.
pub(super) fn tree(format: Format, plain: &[u8]) -> Result<Vec<String>, SopsError> {
    let (_, text) = format.layout().read_plain("plain", plain)?;
    let values = text.leaves.iter().filter_map(|leaf| match &leaf.what {
        What::Value(value) => {
            let bytes = value.bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            // sops writes 1.0 as 1.
            let kind = value.kind().map(|kind| if kind == "float" { "int" } else { kind });
            Some(format!("{} {} {kind:?} {bytes:?}", leaf.document, dotted(&leaf.path)))
        }
        What::Comment(_) | What::Stray(_) => None,
    });
    let empty = text.empty.iter().map(|empty| format!("{} {} empty {}", empty.document, dotted(&empty.path), empty.is_list));
    Ok(values.chain(empty).collect())
}

fn groups() -> Vec<Group> {
    let recipient = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]]
}

/// The plain file of a text; `None` when it is refused. The key of a block whose recipients are not touched is known already.
fn open(format: Format, text: &[u8], untouched: &str, key: &DataKey) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let file = File::parse("small", format, text).ok()?;
    let key = match format!("{:?}", file.metadata().groups) == untouched {
        true => key.clone(),
        false => KeyServices::new(with_key).data_key("small", file.metadata()).ok()?,
    };
    file.open(&key).ok().map(|opened| opened.plain().to_vec())
}

/// Calls `check` with every text that is one byte off before `end`, and the place of that byte.
fn each_flip(text: &str, end: usize, mut check: impl FnMut(usize, &[u8])) {
    for at in 0..end {
        let byte = text.as_bytes()[at];
        let mut changed = text.as_bytes().to_vec();
        for other in [byte ^ 1, byte ^ 0x20, b'\n'] {
            changed[at] = other;
            check(at, &changed);
        }
        changed.remove(at);
        check(at, &changed);
    }
}

#[track_caller]
fn check(format: Format) {
    let plain = FILES.iter().find(|file| file.0 == format).expect("every format has one").1;
    let key = new_data_key();
    let mut groups = groups();
    KeyServices::new(with_key).seal_to("small", &mut groups, None, &key).expect("the recipient is well-formed");
    let metadata = Metadata::new(groups, None, Rules::default(), false);
    let text = encrypt("small", format, plain.as_bytes(), &metadata, &key, None).expect("sops can hold it");
    let expected = tree(format, plain.as_bytes()).expect("it is of that format");
    let untouched = format!("{:?}", metadata.groups);
    let opened = open(format, text.as_bytes(), &untouched, &key).expect("nothing is changed yet");
    assert_eq!(tree(format, &opened).expect("it is of that format"), expected, "{format:?}");
    let (mut tried, mut same, mut other) = (0, 0, Vec::new());
    each_flip(&text, text.len(), |at, changed| {
        tried += 1;
        let Some(opened) = open(format, changed, &untouched, &key) else { return };
        match tree(format, &opened) {
            Ok(tree) if tree == expected => same += 1,
            _ => other.push(format!("byte {at}: {}", String::from_utf8_lossy(&changed[at.saturating_sub(20)..changed.len().min(at + 20)]))),
        }
    });
    println!("{format:?}: {} bytes, {tried} changes, {same} of them decrypt to the same tree, all others are refused", text.len());
    assert!(other.is_empty(), "{format:?}: other data after {} changes:\n{}", other.len(), other.join("\n"));
}

#[test]
fn one_byte_off_in_yaml() {
    check(Format::Yaml);
}

#[test]
fn one_byte_off_in_json() {
    check(Format::Json);
}

#[test]
fn one_byte_off_in_dotenv() {
    check(Format::Dotenv);
}

#[test]
fn one_byte_off_in_ini() {
    check(Format::Ini);
}

#[test]
fn one_byte_off_in_a_binary_file() {
    check(Format::Binary);
}

/// What the MAC of sops leaves out, nobody can miss: in a file that sops itself wrote, one byte in these lines can make another tree, and
/// only there. They are a null, an empty text and plain values (their names), and list items (the depth of their list).
#[test]
fn in_a_file_of_sops_only_what_its_mac_leaves_out_can_change() {
    let services = KeyServices::new(with_key);
    let file = File::parse("small", Format::Yaml, ENCRYPTED).expect("it is a SOPS file");
    let key = services.data_key("small", file.metadata()).expect("the fixture's key");
    let untouched = format!("{:?}", file.metadata().groups);
    let expected = tree(Format::Yaml, file.open(&key).expect("it is whole").plain()).expect("it is YAML");
    let values = ENCRYPTED.find("\nsops:").expect("the block comes last");
    let mut lines = BTreeSet::new();
    each_flip(ENCRYPTED, values, |at, changed| {
        let other =
            open(Format::Yaml, changed, &untouched, &key).filter(|opened| tree(Format::Yaml, opened).is_ok_and(|tree| tree != expected));
        if other.is_some() {
            let line = ENCRYPTED[..at].matches('\n').count();
            let name = ENCRYPTED.lines().nth(line).unwrap_or_default().trim().split([':', '[']).next().unwrap_or_default();
            lines.insert(name.to_owned());
        }
    });
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(lines, ["- ENC", "empty", "list_unencrypted", "note_unencrypted", "nothing"]);
}
