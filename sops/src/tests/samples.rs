//! The plain files of the matrix: one for each format, and one for each feature that a format has.
use crate::Format;

/// A usual file of each format.
pub(super) const SAMPLES: [(Format, &str); 5] = [
    (Format::Yaml, "# top\na: text\nb: {c: 1, d: [x, y]}\nlist:\n  # in\n  - 1.5\n  - true\nn: null\n"),
    (Format::Json, "{\n  \"a\": \"text\",\n  \"b\": {\"c\": 1, \"d\": [\"x\", 2.5, true, null]}\n}\n"),
    (Format::Dotenv, "# top\nA=text\nB=two\\nlines\n"),
    (Format::Ini, "top = 1\n\n; about it\n[section]\n; about a\na = text\nb = `x;y`\n"),
    (Format::Binary, "any\ntext"),
];

/// Something that files can hold, or a way to encrypt them.
pub(super) struct Feature {
    pub name: &'static str,
    /// The field of the creation rule, and its text.
    pub rule: Option<(&'static str, &'static str)>,
    pub mac_only_encrypted: bool,
    texts: [Plain; 5],
}

/// A file with a feature, or why there is none.
type Plain = Result<&'static [u8], &'static str>;

impl Feature {
    pub fn of(&self, format: Format) -> Plain {
        let place = SAMPLES.iter().position(|sample| sample.0 == format).expect("every format has one");
        self.texts[place]
    }
}

const fn feature(name: &'static str, texts: [Plain; 5]) -> Feature {
    Feature { name, rule: None, mac_only_encrypted: false, texts }
}

const fn rule(field: &'static str, text: &'static str) -> Feature {
    let texts = [Ok(RULES_YAML), Ok(RULES_JSON), Ok(RULES_DOTENV), Ok(RULES_INI), ONE_VALUE];
    Feature { name: field, rule: Some((field, text)), mac_only_encrypted: false, texts }
}

const fn comment_rule(field: &'static str, text: &'static str) -> Feature {
    let texts = [Ok(RULES_YAML), NO_COMMENTS, Ok(RULES_DOTENV), Ok(RULES_INI), ONE_VALUE];
    Feature { texts, ..rule(field, text) }
}

const RULES_YAML: &[u8] =
    b"a_pub: x\nb:\n  c_pub: 1\n  d_key: y\nk_key: [z, 2]\n# plain\nm: one\n# secret\nn:\n  o: two\n  # plain\n  p: three\n";
const RULES_JSON: &[u8] = b"{\"a_pub\": \"x\", \"b\": {\"c_pub\": 1, \"d_key\": \"y\"}, \"k_key\": [\"z\", 2], \"m\": true}\n";
const RULES_DOTENV: &[u8] = b"a_pub=x\nk_key=z\n# plain\nm=one\n# secret\nn=two\n";
const RULES_INI: &[u8] = b"top_pub = 0\n[b_pub]\na = 1\n[c]\nx_pub = 1\nk_key = z\n; plain\nm = one\n; secret\nn = two\nlast = 3\n";
const NO_COMMENTS: Plain = Err("the format has no comments");
const ONE_VALUE: Plain = Err("the file is one value; sops ignores rules there");
const ONLY_TEXT: Plain = Err("all values of the format are text");
const ANY_BYTES: Plain = Err("the file is any bytes, without a structure");
const NO_LISTS: Plain = Err("the format has no lists");
const NO_ALIASES: Plain = Err("the format has no anchors");
const NO_DOCUMENTS: Plain = Err("a file is one document");

pub(super) const FEATURES: &[Feature] = &[
    feature(
        "comments",
        [
            Ok(b"# top\n#\na: x # beside\nlist:\n  # in a list\n  - one\n  # two\n  - two\nm:\n  # in a map\n  k: v\n  # end of it\n\n# end\n"),
            NO_COMMENTS,
            Ok(b"# top\n#\nA=x\n#end\n"),
            Ok(b"# top\na = x\n; one\n; two\nb = y\nc = z ; beside\n\n;; section\n[s]\n; c\nk = v\n"),
            ANY_BYTES,
        ],
    ),
    feature(
        "anchors and merge keys",
        [Ok(b"base: &b {k: v, n: 1}\nmore:\n  <<: *b\n  l: w\nagain: *b\nlist: &l [1, x]\nsame: *l\n"), NO_ALIASES, NO_ALIASES, NO_ALIASES, ANY_BYTES],
    ),
    feature(
        "multi-line texts",
        [
            Ok(b"a: |\n  one\n  two\nb: >-\n  folded\n  text\nc: \"x\\ny\"\nd: |+\n  keep\n\ne: plain\n  goes on\n"),
            Ok(b"{\"a\": \"one\\ntwo\\n\", \"b\": \"\\ttab\\r\\n\"}"),
            Ok(b"A=one\\ntwo\\n\nB=x\n"),
            Ok(b"a = \"\"\"one\ntwo\n\"\"\"\nb = `three\nfour`\n[s]\nc = 1\n"),
            Ok(b"one\ntwo\r\n"),
        ],
    ),
    feature(
        "unicode",
        [
            Ok("ü: ö\nsmile: 😀\nx: \"\\u00e9\\U0001F600\"\n# ä\ny: 'ß'\n".as_bytes()),
            Ok("{\"ü\": \"ö\", \"s\": \"\\ud83d\\ude00 😀 <&>\"}".as_bytes()),
            Ok("Ü=ö 😀\n# ä\n".as_bytes()),
            Ok("[ü]\n; ä\nö = 😀 ß\n".as_bytes()),
            Ok("ü 😀\n".as_bytes()),
        ],
    ),
    feature(
        "numbers",
        [
            Ok(b"a: 1\nb: -5\nc: 1.5\nd: 1e21\ne: 0644\nf: 0x1F\ng: -9223372036854775808\nh: 1e-7\ni: '5'\nj: 1.0\nk_unencrypted: 1.50\nl_unencrypted: 0o17\n"),
            Ok(b"{\"a\": 1, \"b\": -5, \"c\": 1.50, \"d\": 1e21, \"e\": -0, \"f\": 9007199254740992, \"g\": 1e-7, \"h\": 1.0, \"k_unencrypted\": 1.50, \"l_unencrypted\": 7}"),
            Ok(b"A=1\nB=1.50\n"),
            Ok(b"a = 1\nb = 1.50\n"),
            ANY_BYTES,
        ],
    ),
    feature("special floats", [Ok(b"b: -.inf\nc_unencrypted: .inf\na: .inf\n"), Err("JSON has no such numbers"), ONLY_TEXT, ONLY_TEXT, ANY_BYTES]),
    feature(
        "booleans",
        [
            Ok(b"a: true\nb: False\nc: yes\nd: 'true'\ne_unencrypted: true\n"),
            Ok(b"{\"a\": true, \"b\": [false], \"c_unencrypted\": false}"),
            Ok(b"A=true\n"),
            Ok(b"a = true\n"),
            ANY_BYTES,
        ],
    ),
    feature("nulls", [Ok(b"a: null\nb: ~\nc:\nd: [x, null]\ne: y\n"), Ok(b"{\"a\": null, \"b\": [null, 1]}"), ONLY_TEXT, ONLY_TEXT, ANY_BYTES]),
    feature(
        "empty values",
        [
            Ok(b"a: ''\nm: {}\nl: []\nb: x\nn: {o: [], p: [{}]}\n"),
            Ok(b"{\"a\": \"\", \"m\": {}, \"l\": [], \"n\": [[], {}]}"),
            Ok(b"A=\nB=x\n"),
            Ok(b"a =\n[empty]\n[s]\nb = \"\"\n"),
            Ok(b""),
        ],
    ),
    feature(
        "nested lists",
        [
            Ok(b"a: [[1, [2, x]], {k: [y]}]\nb:\n  - - p\n    - q\n  - r: s\n    t: [u]\n"),
            Ok(b"{\"a\": [[1, [2, \"x\"]], {\"k\": [\"y\"]}]}"),
            NO_LISTS,
            NO_LISTS,
            ANY_BYTES,
        ],
    ),
    feature(
        "times",
        [
            Ok(b"a: 2020-01-01\nb: 2001-12-14t21:59:43.10-05:00\nc: '2020-01-01'\nd: 2001-12-14 21:59:43\n"),
            Err("JSON has no times"),
            ONLY_TEXT,
            ONLY_TEXT,
            ANY_BYTES,
        ],
    ),
    feature("bytes that are no text", [Err("YAML is UTF-8"), Err("JSON is UTF-8"), Err("kthw takes UTF-8 only; as a binary file it goes"), Err("kthw takes UTF-8 only; as a binary file it goes"), Ok(b"\x00\xff\xfe\x80\n")]),
    feature("several documents", [Ok(b"a: x\n---\nb: y\n# c\n---\nc: [1]\n"), NO_DOCUMENTS, NO_DOCUMENTS, NO_DOCUMENTS, NO_DOCUMENTS]),
    feature(
        "repeated sections",
        [
            Err("keys are unique"),
            Err("keys are unique"),
            Err("there are no sections"),
            Ok(b"[Peer]\nk = 1\n\n[Peer]\nk = 2\n"),
            ANY_BYTES,
        ],
    ),
    Feature {
        mac_only_encrypted: true,
        ..Feature { name: "mac_only_encrypted", ..rule("encrypted_regex", "_key$|^data$") }
    },
    rule("unencrypted_suffix", "_pub"),
    rule("encrypted_suffix", "_key"),
    rule("unencrypted_regex", "_pub$"),
    rule("encrypted_regex", "_key$"),
    comment_rule("unencrypted_comment_regex", "plain"),
    comment_rule("encrypted_comment_regex", "secret"),
];
