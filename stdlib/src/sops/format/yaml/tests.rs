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
