//! Takes secrets out of what others say: a peer may echo what it was sent, in its error message, its output or its log.
//!
//! A secret is looked for from the moment at which its value is first handed to somebody ([`Secret::expose`](crate::Secret::expose)) until the
//! process ends. What a person gets to see passes through [`presentable`]: every [`Error`](crate::Error), every event, every field of a plan. The
//! list is one for the process, because an error does not know which run it belongs to.
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    sync::{PoisonError, RwLock},
};
use zeroize::Zeroizing;

/// Shorter values are not looked for: they are ordinary words, and taking those out would make every message a riddle.
const SHORTEST: usize = 8;
/// A line of a value of several lines is also looked for by itself when it has at least this many bytes: logs quote single lines.
const SHORTEST_LINE: usize = 16;
/// The number of leading bytes by which forms are indexed.
const KEY: usize = 4;
/// What stands in a text where a secret was.
const REMOVED: &str = "<secret>";

static REGISTERED: RwLock<Option<Registered>> = RwLock::new(None);

/// The forms of all registered values by their first bytes, the longest first.
#[derive(Default)]
struct Registered(HashMap<[u8; KEY], Vec<Zeroizing<String>>>);

/// `text` without the values of secrets that were used, also where they are written as base64, hex, JSON, a URL, or for a shell.
pub fn redacted(text: &str) -> Cow<'_, str> {
    match &*REGISTERED.read().unwrap_or_else(PoisonError::into_inner) {
        Some(registered) => registered.redacted(text),
        None => Cow::Borrowed(text),
    }
}

/// [`redacted`], and with what would control a terminal written out: a peer may put anything into a name. Line ends and tabs stay.
pub fn presentable(text: &str) -> Cow<'_, str> {
    let redacted = redacted(text);
    if !redacted.chars().any(controls) {
        return redacted;
    }
    let mut plain = String::with_capacity(redacted.len() + 8);
    for c in redacted.chars() {
        if controls(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// Whether a terminal would act on `c`, or show what follows in another order than it stands there (Unicode TR 9, explicit directions).
fn controls(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Wipes the list, at the end of the process.
pub fn forget_secrets() {
    *REGISTERED.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Looks for `value` from now on.
pub(crate) fn register(value: &str) {
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().add(value);
}

impl Registered {
    fn add(&mut self, value: &str) {
        let whole = value.trim();
        let lines = whole.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && line.len() < whole.len());
        for piece in std::iter::once(whole).filter(|whole| whole.len() >= SHORTEST).chain(lines) {
            for form in forms(piece) {
                let Some(key) = form.as_bytes().first_chunk::<KEY>().copied() else { continue };
                let known = self.0.entry(key).or_default();
                if !known.contains(&form) {
                    known.push(form);
                    known.sort_by_key(|form| std::cmp::Reverse(form.len()));
                }
            }
        }
    }

    fn redacted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let (mut cleaned, mut kept, mut at) = (String::new(), 0, 0);
        while let Some(key) = text.as_bytes().get(at..).and_then(|rest| rest.first_chunk::<KEY>()) {
            let found = self.0.get(key).and_then(|forms| forms.iter().find(|form| text.as_bytes()[at..].starts_with(form.as_bytes())));
            match found {
                Some(form) => {
                    // A form is text itself, so it begins and ends at the border of a character.
                    cleaned.push_str(&text[kept..at]);
                    cleaned.push_str(REMOVED);
                    at += form.len();
                    kept = at;
                }
                None => at += 1,
            }
        }
        if kept == 0 {
            return Cow::Borrowed(text);
        }
        cleaned.push_str(&text[kept..]);
        Cow::Owned(cleaned)
    }
}

/// How a peer may echo `piece`: what it was sent (the text, or a form of it), encoded once more in some way.
fn forms(piece: &str) -> Vec<Zeroizing<String>> {
    let mut forms: Vec<Zeroizing<String>> = Vec::new();
    for sent in spellings(piece).into_iter().filter(|sent| sent.len() < 4 * piece.len()).chain([piece.to_owned()]).map(Zeroizing::new) {
        forms.extend(spellings(&sent).into_iter().chain(encodings(&sent)).map(Zeroizing::new));
        forms.push(sent);
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// Spellings that leave letters as they are: JSON, Rust, shell, YAML, HTML, URLs and forms.
fn spellings(piece: &str) -> Vec<String> {
    let quoted = |text: String| text[1..text.len() - 1].to_owned();
    let json = quoted(serde_json::Value::from(piece).to_string());
    let mut spellings = vec![
        ascii_json(&json),
        json,
        quoted(format!("{piece:?}")),
        piece.replace('\'', r"'\''"),
        piece.replace('\'', "''"),
        piece.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
    ];
    // RFC 3986, `encodeURIComponent`, and HTML forms: they differ in what they leave as it is.
    for (plain, space) in [("-._~", "%20"), ("-._~!*'()", "%20"), ("-._*", "+"), ("-._~", "+")] {
        spellings.push(percent(piece, space, |byte| byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte)));
        spellings.push(lower_escapes(spellings.last().map_or("", String::as_str)));
    }
    spellings.sort();
    spellings.dedup();
    spellings.retain(|spelling| spelling != piece);
    spellings
}

/// Encodings of every byte.
fn encodings(piece: &str) -> Vec<String> {
    let every_byte = percent(piece, "%20", |_| false);
    let mut encodings = vec![hex::encode(piece), hex::encode_upper(piece), lower_escapes(&every_byte), every_byte];
    for before in 0..3 {
        encodings.extend(
            [STANDARD.encode(padded(piece, before)), URL_SAFE.encode(padded(piece, before))].map(|text| inner(&text, before, piece)),
        );
    }
    encodings
}

fn padded(piece: &str, before: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&[0; 2][..before], piece.as_bytes()].concat())
}

/// Those characters of a base64 text that depend on `piece` alone, wherever in a longer text it stood.
fn inner(encoded: &str, before: usize, piece: &str) -> String {
    let (from, to) = ((before * 8).div_ceil(6), (before + piece.len()) * 8 / 6);
    encoded[from..to].to_owned()
}

fn ascii_json(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(text, "\\u{unit:04x}").expect("a string takes every write"));
        }
        text
    })
}

fn percent(piece: &str, space: &str, plain: impl Fn(u8) -> bool) -> String {
    piece.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b' ' => text.push_str(space),
            byte if plain(byte) => text.push(char::from(byte)),
            byte => write!(text, "%{byte:02X}").expect("a string takes every write"),
        }
        text
    })
}

/// `%2F` as `%2f`, and letters as they are.
fn lower_escapes(percent: &str) -> String {
    let mut since = usize::MAX;
    let lower = |c: char| {
        since = if c == '%' { 0 } else { since.saturating_add(1) };
        if (1..=2).contains(&since) { c.to_ascii_lowercase() } else { c }
    };
    percent.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, text: &str, expected: &str) {
        let mut registered = Registered::default();
        registered.add(value);
        assert_eq!(registered.redacted(text), expected);
    }

    #[test]
    fn a_value_is_taken_out_and_the_rest_stays() {
        check("hunter2hunter2", "401: token hunter2hunter2 is wrong", "401: token <secret> is wrong");
        check("hunter2hunter2", "hunter2hunter2hunter2hunter2", "<secret><secret>");
        check("hunter2hunter2", "ü hunter2hunter ü", "ü hunter2hunter ü");
        check("größe-größe\n", "ist größe-größe!", "ist <secret>!");
    }

    #[test]
    fn short_values_are_ordinary_words() {
        check("ubuntu", "workspace ubuntu", "workspace ubuntu");
        check("  \n", "a  \n b", "a  \n b");
    }

    #[test]
    fn what_would_control_a_terminal_is_written_out() {
        assert_eq!(presentable("a\tb\nc ü"), "a\tb\nc ü");
        assert_eq!(presentable("\u{1b}[31mred\r\u{9b}2J\u{202e}x"), r"\u{1b}[31mred\u{d}\u{9b}2J\u{202e}x");
    }

    #[test]
    fn other_spellings_are_found() {
        let value = "p&ss w'rd=\"1\"/ü+x";
        for spelled in [
            r#"p&ss w'rd=\"1\"/ü+x"#,
            r#"p&ss w'rd=\"1\"/\u00fc+x"#,
            r#"p&ss w'\''rd="1"/ü+x"#,
            "p%26ss%20w%27rd%3D%221%22%2F%C3%BC%2Bx",
            "p%26ss%20w%27rd%3d%221%22%2f%c3%bc%2bx",
            "p%26ss%20w'rd%3D%221%22%2F%C3%BC%2Bx",
            "p%26ss+w%27rd%3D%221%22%2F%C3%BC%2Bx",
            "p&amp;ss w'rd=&quot;1&quot;/ü+x",
            "702673732077277264",
            "%70%26%73%73%20%77%27%72%64",
        ] {
            let mut registered = Registered::default();
            registered.add(value);
            registered.add("p&ss w'rd");
            assert_eq!(registered.redacted(&format!("[{spelled}]")), "[<secret>]", "{spelled}");
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for engine in [&STANDARD, &URL_SAFE] {
                let encoded = engine.encode(format!("{before}{value}"));
                let mut registered = Registered::default();
                registered.add(value);
                let cleaned = registered.redacted(&encoded);
                assert!(cleaned.contains(REMOVED) && cleaned.len() < encoded.len() / 2 + REMOVED.len(), "{before}: {cleaned}");
            }
        }
    }

    #[test]
    fn long_lines_of_a_key_are_found_alone() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nshort\n-----END KEY-----\n";
        check(key, "near `MIIEvQIBADANBgkqhkiG9w0BAQEFAASC` on line 2", "near `<secret>` on line 2");
        check(key, &format!("is\n{key}"), "is\n<secret>\n");
        check(key, "a short line", "a short line");
    }
}
