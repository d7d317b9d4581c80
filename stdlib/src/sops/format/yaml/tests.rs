use super::super::super::{Format, File, Metadata, Recipient, MasterKey, Rules, encrypt, new_data_key, file::Opened, keys::DataKey};

/// A file without recipients: tests hold the data key themselves.
fn metadata(rules: Rules) -> Metadata {
    Metadata::new(vec![vec![MasterKey::to(Recipient::Age("age1test".into()))]], None, rules, false)
}

fn seal(plain: &str, key: &DataKey, before: Option<&Opened>) -> String {
    encrypt("f", Format::Yaml, plain.as_bytes(), &metadata(Rules::default()), key, before).unwrap()
}

fn open(sealed: &str, key: &DataKey) -> Opened {
    File::parse("f", Format::Yaml, sealed).unwrap_or_else(|error| panic!("{error}\n{sealed}")).open(key).unwrap_or_else(|error| panic!("{error}\n{sealed}"))
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
    "##]].assert_eq(std::str::from_utf8(opened.plain()).unwrap());
    // Nothing changed: nothing but date and MAC is new.
    let again = seal(std::str::from_utf8(opened.plain()).unwrap(), &key, Some(&opened));
    let differ = sealed.lines().zip(again.lines()).filter(|(one, other)| one != other).map(|(line, _)| line.trim_start().split(':').next().unwrap());
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
    "#]].assert_eq(std::str::from_utf8(opened.plain()).unwrap());
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
        ("[\"new.key\"][\"deep\"]", "\"1\\n2\\n\"", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\nempty:\nlast: 'q'\nnew.key:\n  deep: |\n    1\n    2\n"),
        ("a.new", "true", "a:\n  b: 1 # one\n  list:\n    - x\n  flow: {k: v}\n  new: true\nempty:\nlast: 'q'\n"),
        ("a", "1", "cannot set `a` in f: it is a group; name one of its values, or use `kthw secrets edit`"),
        ("a.list.5", "1", "cannot set `a.list.5` in f: the list has 1 items; 5 is not the next"),
        ("a..b", "1", "cannot set `a..b` in f: the path is malformed"),
    ] {
        let set = crate::sops::set("f", Format::Yaml, plain.as_bytes(), path, &serde_json::from_str(value).unwrap());
        let shown = set.map_or_else(|error| error.to_string(), |bytes| String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(shown, expected, "{path}");
    }
}
