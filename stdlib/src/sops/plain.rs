//! The bytes that stand for a value in the MAC: Go's spelling of what Go's YAML reader makes of it.

/// The bytes of a value that is not encrypted; `None` for null, which the MAC leaves out.
///
/// Only unquoted text can be anything but itself. <https://github.com/go-yaml/yaml/blob/v3.0.1/resolve.go> decides what it is.
pub(super) fn bytes(text: &str, plain: bool) -> Option<String> {
    if !plain {
        return Some(text.to_owned());
    }
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" => "True".into(),
        "false" | "False" | "FALSE" => "False".into(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => "+Inf".into(),
        "-.inf" | "-.Inf" | "-.INF" => "-Inf".into(),
        ".nan" | ".NaN" | ".NAN" => "NaN".into(),
        _ => integer(text).or_else(|| float(text)).or_else(|| date(text)).unwrap_or_else(|| text.to_owned()),
    })
}

/// The bytes of a decrypted value: numbers are spelled again, everything else is as it was encrypted. `None` when the text is
/// not of that type, or sops has no such type.
pub(super) fn normal(kind: &str, text: &str) -> Option<String> {
    match kind {
        "str" | "bytes" | "time" => Some(text.to_owned()),
        "int" => text.parse::<i64>().ok().map(|number| number.to_string()),
        "float" => match text {
            "+Inf" | "-Inf" | "NaN" => Some(text.to_owned()),
            _ => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string()),
        },
        "bool" => match text {
            "True" | "true" => Some("True".into()),
            "False" | "false" => Some("False".into()),
            _ => None,
        },
        _ => None,
    }
}

fn integer(text: &str) -> Option<String> {
    let digits = text.replace('_', "");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().map(|number| if number == 0 { "0".into() } else { format!("{sign}{number}") })
}

fn float(text: &str) -> Option<String> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !bare.starts_with(|first: char| first.is_ascii_digit() || first == '.') || !bare.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // Rust never writes an exponent, and neither does Go's 'f' with the shortest precision.
    text.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string())
}

/// A bare date is a time to Go; sops writes longer ones as RFC 3339, which is what goes into the MAC.
fn date(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |position: usize| bytes[position].is_ascii_digit();
    let fits = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' && [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(digit);
    fits.then(|| format!("{text}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_spelled_as_go_does() {
        for (text, expected) in [
            ("x", "x"),
            ("true", "True"),
            ("yes", "yes"),
            ("1", "1"),
            ("-7", "-7"),
            ("0644", "420"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("1e21", "1000000000000000000000"),
            (".5", "0.5"),
            (".inf", "+Inf"),
            ("2020-01-01", "2020-01-01T00:00:00Z"),
            ("1.2.3", "1.2.3"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("-", "-"),
        ] {
            assert_eq!(bytes(text, true).as_deref(), Some(expected), "{text}");
            assert_eq!(bytes(text, false).as_deref(), Some(text), "quoted {text}");
        }
        for null in ["", "~", "null"] {
            assert_eq!(bytes(null, true), None);
        }
    }

    #[test]
    fn decrypted_numbers_are_spelled_again() {
        for (kind, text, expected) in [
            ("float", "1.50", Some("1.5")),
            ("float", "-Inf", Some("-Inf")),
            ("int", "42", Some("42")),
            ("int", "x", None),
            ("bool", "true", Some("True")),
            ("str", "1.50", Some("1.50")),
            ("stq", "1.50", None),
        ] {
            assert_eq!(normal(kind, text).as_deref(), expected, "{kind} {text}");
        }
    }
}
