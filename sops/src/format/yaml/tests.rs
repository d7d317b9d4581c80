//! Layout, comments, aliases and setting, with and without the real sops.
use crate::tests::documents::Draw;
use crate::{DataKey, File, Format, KeyServices, MasterKey, Metadata, Opened, Recipient, Rules, encrypt, new_data_key};
use kthw_peers::{FAKEPVE, SOPS, ask};

/// A file without recipients: tests hold the data key themselves.
fn metadata(rules: Rules) -> Metadata {
    Metadata::new(vec![vec![MasterKey::to(Recipient::Age("age1test".into()))]], None, rules, false)
}

fn seal(plain: &str, key: &DataKey, before: Option<&Opened>) -> String {
    encrypt("f", Format::Yaml, plain.as_bytes(), &metadata(Rules::default()), key, before).unwrap()
}

fn open(sealed: &str, key: &DataKey) -> Opened {
    File::parse("f", Format::Yaml, sealed)
        .unwrap_or_else(|error| panic!("{error}\n{sealed}"))
        .open(key)
        .unwrap_or_else(|error| panic!("{error}\n{sealed}"))
}

const LAYOUT: &str = "\
# head
proxmox:   # beside
    token: 'root@pam!x=1'   # secret
    port: 8006

    # about ratio
    ratio: 1.50
    pem: |
        -----BEGIN
        two

    \"quoted key\": \"a\\tb\"
list:
- one
# between
- {k: v, n: 7}
- [x, true, null, '']
nothing:
note_unencrypted: 0755
date: 2020-01-01
---
second: doc   # of two
...
";

#[test]
fn layout_and_comments_survive() {
    let key = new_data_key();
    let sealed = seal(LAYOUT, &key, None);
    for secret in ["# head", "root@pam", "BEGIN", "# secret", "between", "- one", "8006"] {
        assert!(!sealed.contains(secret), "{secret} in {sealed}");
    }
    let opened = open(&sealed, &key);
    expect_test::expect![[r##"
        # head
        proxmox:   # beside
            token: 'root@pam!x=1'   # secret
            port: 8006

            # about ratio
            ratio: 1.5
            pem: |
              -----BEGIN
              two

            "quoted key": "a\tb"
        list:
        - one
        # between
        - {k: "v", n: 7}
        - ["x", true, null, '']
        nothing:
        note_unencrypted: 0755
        date: 2020-01-01T00:00:00Z
        ---
        second: doc   # of two
        ...
    "##]]
    .assert_eq(std::str::from_utf8(opened.plain()).unwrap());
    // Nothing changed: nothing but date and MAC is new.
    let again = seal(std::str::from_utf8(opened.plain()).unwrap(), &key, Some(&opened));
    let differ =
        sealed.lines().zip(again.lines()).filter(|(one, other)| one != other).map(|(line, _)| line.trim_start().split(':').next().unwrap());
    let differ: std::collections::BTreeSet<_> = differ.collect();
    assert!(differ.iter().all(|name| ["mac", "lastmodified"].contains(name)), "{differ:?}");
}

#[test]
fn aliases_are_written_out() {
    let key = new_data_key();
    let sealed = seal("base: &b {k: v, n: [1, x]}\nmore:\n  <<: *b\n  l: &s 'it''s'\nlast: *s\n", &key, None);
    let opened = open(&sealed, &key);
    expect_test::expect![[r#"
        base: &b {k: "v", n: [1, "x"]}
        more:
          <<: {"k": "v", "n": [1, "x"]}
          l: &s 'it''s'
        last: "it's"
    "#]]
    .assert_eq(std::str::from_utf8(opened.plain()).unwrap());
}

#[test]
fn a_value_is_set_where_it_stands_or_at_the_end() {
    let plain = "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty:\nlast: 'q'\n";
    for (path, value, expected) in [
        ("a.b", "\"two words\"", "a:\n  b: two words # one\n  list:\n    - x\n  flow: {k: v}\nempty:\nlast: 'q'\n"),
        ("a.list.1", "7", "a:\n  b: 1 # one\n  list:\n    - x\n    - 7\n  flow: {k: v}\nempty:\nlast: 'q'\n"),
        ("a.list.0", "null", "a:\n  b: 1 # one\n  list:\n    - null\n  flow: {k: v}\nempty:\nlast: 'q'\n"),
        ("a.flow.n", "\"x, y\"", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v, \"n\": \"x, y\"}\nempty:\nlast: 'q'\n"),
        ("empty", "\"1\"", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty: \"1\"\nlast: 'q'\n"),
        ("last", "\"it's\"", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty:\nlast: 'it''s'\n"),
        (
            "[\"new.key\"][\"deep\"]",
            "\"1\\n2\\n\"",
            "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty:\nlast: 'q'\nnew.key:\n  deep: |\n    1\n    2\n",
        ),
        ("a.new", "true", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\n  new: true\nempty:\nlast: 'q'\n"),
        ("empty.deep", "1", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty:\n  deep: 1\nlast: 'q'\n"),
        ("last.deep", "1", "cannot set `last.deep` in f: `last` is a value, and nothing can stand below it"),
        ("a", "1", "cannot set `a` in f: it is a group; name one of its values, or use `kthw secrets edit`"),
        ("a.list.5", "1", "cannot set `a.list.5` in f: the list has 1 items; 5 is not the next"),
        ("a..b", "1", "cannot set `a..b` in f: the path is malformed"),
    ] {
        let set = crate::set("f", Format::Yaml, plain.as_bytes(), path, &serde_json::from_str(value).unwrap());
        let shown = set.map_or_else(|error| error.to_string(), |bytes| String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(shown, expected, "{path}");
    }
}

/// Comments in all kinds of places.
const COMMENTED: &[&str] = &[
    "# head one\n# head two\n\n# separated\na: # beside a group\n  # first in a\n  b: 1 # beside b\n\n  # before c\n  c: 2\n  # last in a\nd:\n  - x # beside x\n  # before y\n  - y\n  # before map\n  - k: 1\n    # in map\n    l: 2\n  # last in list\n\n# before e after blank\ne: |\n  text\n# after block text\nf: {g: 1} # beside flow\n# end one\n\n# end two\n",
    "d:\n  - x\n  # tail\ne: 1\n",
    "d:\n  - x\n  # tail\n\ne: 1\n",
    "d:\n  - x\n\n  # tail\ne: 1\n",
    "d:\n- x\n# tail col0\ne: 1\n",
    "d:\n- x\n# tail col0\n\ne: 1\n",
    "d:\n  b: 1\n  # tail\ne: 1\n",
    "d:\n  b: 1\n# tail col 0\ne: 1\n",
    "d:\n  b: 1\n# tail col 0\n\ne: 1\n",
    "d:\n  b:\n    c: 1\n    # deep\n  # mid\n# top\ne: 1\n",
    "d:\n  b:\n    c: 1\n  # mid only\ne: 1\n",
    "d:\n  b:\n    c: 1\n  # mid before f\n  f: 2\ne: 1\n",
    "d:\n  - k: 1\n    # in item\n  - k: 2\n    # in last item\ne: 1\n",
    "d:\n  - k: 1\n    l:\n      - z\n      # deep list\n    # item map\n  # list\ne: 1\n",
    "# h\n\n# h2\na: 1\n# end\n",
    "a: # beside a list\n  - 1 # beside 1\nb: [1, 2] # beside flow list\nc: {k: v} # beside flow map\n",
    "a: 1\n---\n# doc two\nb: 2 # b\n# end two\n",
    "d:\n  - x\n  # before last\n  - y\n# at 0 directly\n\n# next at 0\ne: 1\n",
    "a:\n    # only comment first\n    # second\n    b:\n        c: x\nz: |\n  t\n# after text\ny: >-\n  t\n# after folded\n",
    "a: 1\n  # deeper than its sibling\nb: 2\n",
    "a:\n  b: 1\n# end\n",
    "a:\n  b: 1\n\n# end\n",
    "a:\n  b:\n    c: 1\n\n  # mid after blank\ne: 1\n",
    "a:\n  b:\n    c: 1\n  # mid, blank after\n\ne: 1\n",
    "a:\n  b:\n    - 1\n  # mid after list\ne: 1\n",
    "a:\n  - x\n# end col0\n",
    "a:\n- x\n# end col0\n",
    "a:\n  b:\n    c:\n      d: 1\n  # up two\ne: 1\n",
    "a:\n  b: {x: 1}\n  # after flow\ne: 1\n",
    "l:\n  - - 1\n    - 2\n    # inner\n  # outer\n  - 3\ne: 1\n",
    "a: 1\n\n\n# after two blanks\n\n# another\n",
    "l:\n  # first in list\n  - 1\n",
    "l:\n  -\n    # in item before k\n    k: 1\n  # before 2\n  - 2\n",
    "a:\n  b:\n    c: 1\n  # one\n  # two\ne: 1\n",
    "a:\n  - b:\n      c: 1\n    # item level\n  - d\ne: 1\n",
    "a: |\n  x\n\n# c1\n\n# c2\nb: 1\n",
];

#[test]
fn the_real_sops_reads_every_comment() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let identity = include_str!("../../fixtures/age-key.txt");
    let recipient = identity.split("public key: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let key = new_data_key();
    let mut metadata = metadata(Rules::default());
    metadata.groups = vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]];
    KeyServices::new(|_| None).seal_to("f", &mut metadata.groups, None, &key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.yaml");
    for plain in COMMENTED {
        std::fs::write(&path, encrypt("f", Format::Yaml, plain.as_bytes(), &metadata, &key, None).unwrap()).unwrap();
        let mut command = std::process::Command::new(&sops);
        let output =
            command.arg("decrypt").arg(&path).env("SOPS_DISABLE_VERSION_CHECK", "1").env("SOPS_AGE_KEY", identity).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !text.contains("ENC["), "{plain}\n{text}{}", String::from_utf8_lossy(&output.stderr));
        let words = |text: &str| {
            text.lines().filter_map(|line| Some(line.split_once('#')?.1.trim().to_owned())).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(words(plain), words(&text), "{plain}\n{text}");
    }
}

#[test]
fn a_comment_beside_the_last_value_stays_there() {
    let set = crate::set("f", Format::Yaml, b"a:\n  b: 1 # one\nc: 2\n", "a.d", &"x".into()).unwrap();
    assert_eq!(std::str::from_utf8(&set).unwrap(), "a:\n  b: 1 # one\n  d: x\nc: 2\n");
}

/// What PyYAML, a reader of YAML 1.1, makes of texts out of the letters that numbers, times and words are made of.
#[test]
fn a_reader_of_yaml_1_1_takes_every_text_for_text() {
    const TEXTS: usize = 20_000;
    const READ: &str =
        "import json, sys, yaml\nfor line in sys.stdin: print(json.dumps(yaml.safe_load(json.loads(line))['k'], default=repr))";
    // The Python that plays Proxmox has PyYAML too.
    let Some([python]) = ask([&FAKEPVE]) else { return };
    let letters: Vec<char> = "0011225_..::+-eExXoObBTZ yntrufalsoinN=<,~\t#'\"{[&*!|>%@`\u{85}\u{2028}é".chars().collect();
    let mut draw = Draw(1);
    let mut texts: Vec<String> =
        ["yes", "0o10", "1_000", "12:30:45", "2020-01-01", "=", "<<", ".inf", "010", "1e3", "a\tb", "x\u{85}y", "null", "---", "..."]
            .map(str::to_owned)
            .to_vec();
    texts.extend((0..TEXTS).map(|_| (0..=draw.below(9)).map(|_| letters[draw.below(letters.len() as u64)]).collect()));
    let floats = [1e21, 1e-7, 1.5, -0.25, 2.0, 1e300, 123_456.789];
    let mut spelled: Vec<String> =
        texts.iter().map(|text| super::spelling::text(crate::text::Style::default(), text).to_string()).collect();
    spelled.extend(
        floats.iter().map(|number| super::spelling::value(crate::text::Style::default(), &crate::plain::Plain::Float(*number)).to_string()),
    );
    let mut child = std::process::Command::new(python)
        .args(["-c", READ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = spelled.iter().map(|spelled| format!("{}\n", serde_json::json!(format!("k: {spelled}\n")))).collect();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let read: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted: Vec<serde_json::Value> =
        texts.iter().map(|text| text.as_str().into()).chain(floats.iter().map(|number| (*number).into())).collect();
    let wrong: Vec<_> = wanted.iter().zip(&read).zip(&spelled).filter(|((wanted, read), _)| wanted != read).take(20).collect();
    assert!(wrong.is_empty() && read.len() == wanted.len(), "{} of {}: {wrong:?}", read.len(), wanted.len());
}
