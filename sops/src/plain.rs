//! Values as sops holds them: Go's types, what Go's YAML reader makes of unquoted text, and Go's spelling in the MAC.
use zeroize::Zeroizing;

/// A decrypted value, or one that is not encrypted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    /// Nothing; neither encrypted nor in the MAC.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits Go's `int`.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text. The empty text is never encrypted.
    Text(Zeroizing<String>),
    /// A point in time, in RFC 3339.
    Time(String),
    /// A text that is not UTF-8: the one value of a binary file.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Plain {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// What unquoted YAML is. <https://github.com/go-yaml/yaml/blob/v3.0.1/resolve.go> decides.
    ///
    /// # Errors
    /// In words, for a number that sops cannot hold.
    pub fn of_yaml(text: &str) -> Result<Self, &'static str> {
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Self::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Self::Float(f64::NEG_INFINITY),
            ".nan" | ".NaN" | ".NAN" => Self::Float(f64::NAN),
            _ => match integer(text) {
                Some(Some(number)) => Self::Int(number),
                Some(None) => return Err("it is a whole number beyond 64 bits; write it in quotes"),
                None => float(text).map(Self::Float).or_else(|| time(text).map(Self::Time)).unwrap_or_else(|| Self::text(text)),
            },
        })
    }

    /// A decrypted text of the type that the file says; `None` when it is not of that type, or sops has no such type.
    pub fn of_sealed(kind: &str, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return matches!(kind, "str" | "bytes").then_some(Self::Bytes(bytes));
        };
        Some(match kind {
            "str" | "bytes" => Self::text(text),
            "time" => Self::Time(text.to_owned()),
            "int" => Self::Int(text.parse().ok()?),
            "float" => match text {
                "+Inf" => Self::Float(f64::INFINITY),
                "-Inf" => Self::Float(f64::NEG_INFINITY),
                "NaN" => Self::Float(f64::NAN),
                _ => Self::Float(text.parse::<f64>().ok().filter(|number| number.is_finite())?),
            },
            "bool" => match text {
                "True" | "true" => Self::Bool(true),
                "False" | "false" => Self::Bool(false),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The name of its type inside `ENC[…]`; `None` for what is never encrypted.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Null => None,
            Self::Text(text) if text.is_empty() => None,
            Self::Text(_) | Self::Bytes(_) => Some("str"),
            Self::Bool(_) => Some("bool"),
            Self::Int(_) => Some("int"),
            Self::Float(_) => Some("float"),
            Self::Time(_) => Some("time"),
        }
    }

    /// The bytes that are encrypted and that stand for it in the MAC, in Go's spelling; `None` for null, which the MAC leaves out.
    pub fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let text = match self {
            Self::Null => return None,
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) if number.is_nan() => "NaN".into(),
            Self::Float(number) if number.is_infinite() => {
                if *number > 0.0 {
                    "+Inf".into()
                } else {
                    "-Inf".into()
                }
            }
            // Rust never writes an exponent, and neither does Go's 'f' with the shortest precision.
            Self::Float(number) => number.to_string(),
            Self::Text(text) => return Some(Zeroizing::new(text.as_bytes().to_vec())),
            Self::Time(time) => time.clone(),
            Self::Bytes(bytes) => return Some(bytes.clone()),
        };
        Some(Zeroizing::new(text.into_bytes()))
    }
}

/// A whole number; `Some(None)` when it is one and does not fit.
fn integer(text: &str) -> Option<Option<i64>> {
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
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // Beyond 64 bits Go reads a decimal number as a float, and between the two as a type that sops refuses.
    match u64::from_str_radix(digits, radix) {
        Ok(_) => Some(i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()),
        Err(_) => None,
    }
}

fn float(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !bare.starts_with(|first: char| first.is_ascii_digit() || first == '.') || !bare.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // Go takes underscores out of numbers that begin with a digit or a sign only.
    if text.starts_with('.') && text.contains('_') {
        return None;
    }
    text.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Go's YAML reader takes four spellings for a point in time; sops writes it as RFC 3339 with only the digits it needs.
fn time(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return None;
    }
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let (month, day) = date[5..].split_once('-')?;
    let (year, month, day) = (date[..4].parse::<i16>().ok()?, number(month)?, number(day)?);
    let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let Some((mark, rest)) = rest else { return Some(format!("{date}T00:00:00Z")) };
    let zone = rest.find(['Z', '+', '-']);
    let (clock, zone) = match (mark, zone) {
        (" ", None) => (rest, "Z"),
        ("T" | "t", Some(at)) => (&rest[..at], &rest[at..]),
        _ => return None,
    };
    let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let clock = clock.split(':').map(number).collect::<Option<Vec<u32>>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    let fits = hour < 24
        && minute < 60
        && second < 60
        && fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    // Go takes more digits than nanoseconds have, and drops them.
    let fraction = fraction.map_or("", |digits| &digits[..digits.len().min(9)]);
    let zoned = zone == "Z" || zone.len() == 6 && zone.as_bytes()[3] == b':' && number(&zone[1..3])? < 24 && number(&zone[4..])? < 60;
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    (fits && zoned).then(|| format!("{date}T{hour:02}:{minute:02}:{second:02}{point}{fraction}{zone}"))
}

/// A month, day, hour and so on: one or two digits.
fn number(digits: &str) -> Option<u32> {
    let fits = matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
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
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14 21:59:43.10", "2001-12-14T21:59:43.1Z"),
            ("2001-2-3", "2001-02-03T00:00:00Z"),
            ("2001-13-14", "2001-13-14"),
            ("2001-12-14 21:59", "2001-12-14 21:59"),
            ("18446744073709551616", "18446744073709552000"),
            ("1.2.3", "1.2.3"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("-", "-"),
        ] {
            let plain = Plain::of_yaml(text).expect("sops can hold it");
            assert_eq!(plain.bytes().as_deref().map(Vec::as_slice), Some(expected.as_bytes()), "{text}");
        }
        for null in ["", "~", "null"] {
            assert_eq!(Plain::of_yaml(null), Ok(Plain::Null));
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
            let plain = Plain::of_sealed(kind, Zeroizing::new(text.into()));
            let bytes = plain.and_then(|plain| plain.bytes());
            assert_eq!(bytes.as_deref().map(Vec::as_slice), expected.map(str::as_bytes), "{kind} {text}");
        }
    }
}
