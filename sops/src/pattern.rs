//! Regular expressions as Go reads them, since sops does: what they leave in plain text must be the same.
//!
//! Both languages come from RE2. The differences that matter: Go's `\w`, `\d`, `\s` and `\b` know ASCII only, Go has `\Q…\E`, and Rust has
//! operators inside of brackets. <https://github.com/google/re2/wiki/Syntax>, <https://docs.rs/regex/latest/regex/#syntax>
use regex::bytes::Regex;

/// A regular expression with the meaning that it has in Go.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none. The message may quote the pattern as it was translated.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Ok(Self { text: text.to_owned(), regex: Regex::new(&translated(text))? })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }
}

/// A pattern of Go in the syntax of the crate `regex`.
fn translated(go: &str) -> String {
    let mut out = String::with_capacity(go.len());
    let mut rest = go;
    let mut in_brackets = false;
    while let Some(c) = rest.chars().next() {
        let (taken, by) = match c {
            '\\' => escape(rest, in_brackets),
            '[' if !in_brackets => {
                in_brackets = true;
                // A bracket that closes right behind the opening one stands for itself.
                let head = ["[^]", "[]", "[^"].into_iter().find(|head| rest.starts_with(head)).unwrap_or("[");
                (head.len(), head.replace(']', "\\]"))
            }
            '[' if rest.starts_with("[:") => {
                let end = rest.find(":]").map_or(1, |at| at + 2);
                (end, rest[..end].to_owned())
            }
            ']' if in_brackets => {
                in_brackets = false;
                (1, "]".to_owned())
            }
            // Nested brackets and operators on sets are Rust's alone.
            '[' | '&' | '~' if in_brackets => (1, format!("\\{c}")),
            '-' if in_brackets && rest.starts_with("--") => {
                // The end of a range, or its beginning.
                let is_end = !out.ends_with(['[', '^']);
                (2, if is_end { "-\\-" } else { "\\--" }.to_owned())
            }
            c => (c.len_utf8(), c.to_string()),
        };
        out.push_str(&by);
        rest = &rest[taken..];
    }
    out
}

/// What stands at the beginning of `rest`, a backslash and more: its length, and what to write in its place.
fn escape(rest: &str, in_brackets: bool) -> (usize, String) {
    let class = |set: &str, negated: bool| match (in_brackets, negated) {
        (true, false) => set.to_owned(),
        (_, true) => format!("[^{set}]"),
        (false, false) => format!("[{set}]"),
    };
    let Some(c) = rest[1..].chars().next() else { return (1, "\\".into()) };
    let by = match c {
        'd' | 'D' => class("0-9", c == 'D'),
        'w' | 'W' => class("0-9A-Za-z_", c == 'W'),
        's' | 'S' => class(r"\t\n\f\r ", c == 'S'),
        'b' | 'B' if !in_brackets => format!("(?-u:\\{c})"),
        'Q' if !in_brackets => {
            let literal = &rest[2..];
            let end = literal.find("\\E").unwrap_or(literal.len());
            return ((2 + end + 2).min(rest.len()), regex::escape(&literal[..end]));
        }
        c => format!("\\{c}"),
    };
    (1 + c.len_utf8(), by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_know_ascii_only() {
        for (pattern, yes, no) in [
            (r"^\w+$", "port_1", "größe"),
            (r"^\W+$", "ö-", "a"),
            (r"^port\d+$", "port3", "port٣"),
            (r"^[\d\-.]+$", "1-2.3", "١"),
            (r"^[^\W_]+$", "a1", "ö"),
            (r"a\sb", "a b", "a\u{a0}b"),
            (r"\bpub", "äpub", "xpub"),
            (r"(?i)^token$", "toKen", "tokens"),
            ("^tok\u{212a}en$", "tok\u{212a}en", "token"),
            (r"^[[:alpha:]]+$", "ab", "ä"),
            (r"^[]a]+$", "]a", "["),
            (r"^[^]a]$", "b", "]"),
            (r"^[[a]$", "[", "b"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[+--]+$", "+,-", "."),
            (r"^\Qa.b\E+$", "a.bb", "axb"),
            (r"^\pL+$", "größe", "1"),
        ] {
            let pattern = Pattern::new(pattern).expect("a pattern");
            assert!(pattern.is_match(yes), "{} {yes}", pattern.as_str());
            assert!(!pattern.is_match(no), "{} {no}", pattern.as_str());
        }
        for wrong in ["(", "[", r"\", r"\E"] {
            assert!(Pattern::new(wrong).is_err(), "{wrong}");
        }
    }
}
