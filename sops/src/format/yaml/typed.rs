//! What unquoted text some reader of YAML takes for something else than text. Such text is written in quotes.
//!
//! sops goes by go-yaml, and whoever reads what it decrypts goes by other rules: PyYAML, Ruby and Java by those of YAML 1.1
//! (<https://yaml.org/type/>), some of them with additions. A text is typed here when any of them says so.
use regex::Regex;
use std::sync::LazyLock;

/// Words of YAML 1.1 and 1.2, in lower case.
const WORDS: [&str; 16] = ["", "~", "null", "y", "n", "yes", "no", "on", "off", "true", "false", "=", "<<", ".inf", ".nan", "nan"];

/// Numbers and points in time. Each is wider than its specification: a text that is quoted for nothing stays a text.
const NUMBERS: [&str; 6] = [
    // Whole: 1_000, 010, +7, 1,000
    "[0-9][0-9_,]*",
    // In other bases, 0o10 of YAML 1.2 among them
    "0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+",
    // Broken: 1.5, 1., .5, 1_0.5e+3, 1e3
    r"(?:[0-9][0-9_,]*\.?[0-9_.]*|\.[0-9_][0-9_.]*)(?:[eE][-+]?[0-9_]+)?",
    // To the base of sixty: 12:30, 190:20:30.15
    r"[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?",
    // No number, and more than all
    r"\.(?i:inf|nan)|(?i:inf|infinity|nan)",
    // Days and times
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{1,2}(?::[0-9]{1,2}(?:[.,][0-9]*)?)?[ \t]*(?:Z|z|[-+][0-9:]+)?)?",
];

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("^[-+]?(?:{})$", NUMBERS.join("|"))).expect("the patterns are right"));

/// Whether some reader takes the text for a truth value, nothing, a number, a point in time, or a mark of YAML's own.
pub(super) fn is_typed(text: &str) -> bool {
    // A word of 64 bytes is none of these, nor is a text of many lines.
    let short = text.len() <= 64 && WORDS.contains(&text.to_ascii_lowercase().as_str());
    short || NUMBER.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_reader_types_is_typed() {
        for text in [
            "",
            "~",
            "Null",
            "y",
            "N",
            "YES",
            "Off",
            "=",
            "<<",
            "0",
            "-7",
            "+7",
            "010",
            "0o10",
            "0b101",
            "-0x_1F",
            "1_000",
            "1,000",
            "1.",
            ".5",
            "1.5e3",
            "1e3",
            "1E-3",
            "6.8523015e+5",
            "685_230.15",
            "190:20:30.15",
            "12:30",
            "12:30:45",
            "-1:00",
            "11:22:33:44:55:10",
            ".inf",
            "-.Inf",
            "+.INF",
            ".NaN",
            "2020-01-01",
            "2001-1-1",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14 21:59:43.10 -5",
            "2001-12-15 2:59:43",
            "1.2.3",
        ] {
            assert!(is_typed(text), "{text}");
        }
        for text in [
            "x",
            "v1",
            "10.0.0.0/24",
            "1a",
            "0x",
            "0xg",
            "a:1",
            "12:3a",
            "yes!",
            "2020-01",
            "https://a:1",
            "11:22:33:44:55:aa",
            "1-2",
            "-",
            "--",
        ] {
            assert!(!is_typed(text), "{text}");
        }
    }
}
