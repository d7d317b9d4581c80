//! How values are written as YAML: plainly where every reader agrees on what that is, else in quotes or as a block of lines.
use super::reader::Reader;
use crate::{
    plain::Plain,
    text::{Step, Style, What},
};
use serde_json::Value;
use std::fmt::Write;
use zeroize::Zeroizing;

/// A value in the place that `style` describes.
pub(super) fn value(style: Style, value: &Plain) -> Zeroizing<String> {
    Zeroizing::new(match value {
        Plain::Null => "null".into(),
        Plain::Bool(on) => on.to_string(),
        Plain::Int(number) => number.to_string(),
        Plain::Float(number) => float(*number),
        Plain::Time(time) => time.clone(),
        Plain::Text(text) => return self::text(style, text),
        // sops writes such a text as base64 under a tag.
        Plain::Bytes(bytes) => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            format!("!!binary {}", STANDARD.encode(bytes))
        }
    })
}

/// A number that Go's reader takes for a float again.
fn float(number: f64) -> String {
    match number {
        number if number.is_nan() => ".nan".into(),
        number if number.is_infinite() => if number > 0.0 { ".inf" } else { "-.inf" }.into(),
        number if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.1}"),
        number => {
            let text = number.to_string();
            if text.contains('.') {
                return text;
            }
            // YAML 1.1 wants a point and a sign: `1.0e+21`.
            let short = format!("{number:e}");
            let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
            let point = if digits.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            format!("{digits}{point}e{sign}{exponent}")
        }
    }
}

/// A text: in the quotes that stood there, plainly, as a block of lines, or in double quotes.
pub(super) fn text(style: Style, text: &str) -> Zeroizing<String> {
    let candidates = match style.quote {
        Some('\'') => [single(text), None],
        Some(_) => [None, None],
        None if style.flow => [plain(text), None],
        None if style.tail => [plain(text), None],
        None => [plain(text), lines(style.indent, text)],
    };
    candidates.into_iter().flatten().find(|spelled| reads_as(style, spelled, text)).unwrap_or_else(|| double(text))
}

/// Whether `spelled` is `text` to a reader.
fn reads_as(style: Style, spelled: &str, text: &str) -> bool {
    let whole = Zeroizing::new(match style.flow {
        true => format!("{:indent$}k: [{spelled}]\n", "", indent = style.indent),
        false => format!("{:indent$}k: {spelled}\n", "", indent = style.indent),
    });
    let Ok(read) = Reader::read(&whole) else { return false };
    read.comments.is_empty()
        && matches!(&read.leaves[..], [one] if matches!(&one.what, What::Value(Plain::Text(found)) if found.as_str() == text))
}

fn plain(text: &str) -> Option<Zeroizing<String>> {
    let fits = !text.chars().any(must_escape) && !super::typed::is_typed(text);
    fits.then(|| Zeroizing::new(text.to_owned()))
}

fn single(text: &str) -> Option<Zeroizing<String>> {
    let fits = !text.chars().any(must_escape) && !text.contains('\n');
    fits.then(|| Zeroizing::new(format!("'{}'", text.replace('\'', "''"))))
}

/// A block of lines, two columns deeper than what it belongs to.
fn lines(indent: usize, text: &str) -> Option<Zeroizing<String>> {
    let fits =
        text.contains('\n') && !text.starts_with([' ', '\t', '\n']) && !text.chars().any(|c| c != '\n' && c != '\t' && must_escape(c));
    let chomp = match text.trim_end_matches('\n').len() {
        end if end == text.len() => "-",
        end if end + 1 == text.len() => "",
        // A block that keeps its last lines would take in the empty lines that follow it.
        _ => return None,
    };
    let mut spelled = Zeroizing::new(format!("|{chomp}"));
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        spelled.push('\n');
        if !line.is_empty() {
            write!(spelled, "{:width$}{line}", "", width = indent + 2).ok()?;
        }
    }
    fits.then_some(spelled)
}

fn double(text: &str) -> Zeroizing<String> {
    let mut spelled = Zeroizing::new(String::with_capacity(text.len() + 2));
    spelled.push('"');
    for c in text.chars() {
        match c {
            '"' => spelled.push_str("\\\""),
            '\\' => spelled.push_str("\\\\"),
            '\n' => spelled.push_str("\\n"),
            '\r' => spelled.push_str("\\r"),
            '\t' => spelled.push_str("\\t"),
            c if must_escape(c) => spelled.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => spelled.push(c),
        }
    }
    spelled.push('"');
    spelled
}

/// What a YAML reader refuses or changes when it stands as it is (<https://yaml.org/spec/1.2.2/#51-character-set>).
fn must_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// What a user typed as JSON, in the place that `style` describes.
pub(super) fn json(style: Style, value: &Value) -> Zeroizing<String> {
    match value {
        Value::String(text) => self::text(style, text),
        other => Zeroizing::new(other.to_string()),
    }
}

/// `key: value`, or `- value`, as lines of a block in this column; what is deeper in `path` is nested.
pub(super) fn entry(column: usize, path: &[Step], value: &Value) -> String {
    let style = Style { indent: column, ..Style::default() };
    let head = match &path[0] {
        Step::Key(key) => format!("{:column$}{}:", "", *key_text(key)),
        Step::Index(_) => format!("{:column$}-", ""),
    };
    match &path[1..] {
        [] => format!("{head} {}\n", *json(style, value)),
        rest => format!("{head}\n{}", entry(column + 2, rest, value)),
    }
}

/// The same inside brackets.
pub(super) fn flow_entry(path: &[Step], value: &Value) -> String {
    let rest = match &path[1..] {
        [] => json(Style { flow: true, ..Style::default() }, value).to_string(),
        rest => match rest[0] {
            Step::Key(_) => format!("{{{}}}", flow_entry(rest, value)),
            Step::Index(_) => format!("[{}]", flow_entry(rest, value)),
        },
    };
    match &path[0] {
        Step::Key(key) => format!("{}: {rest}", *double(key)),
        Step::Index(_) => rest,
    }
}

fn key_text(key: &str) -> Zeroizing<String> {
    let as_key = Zeroizing::new(format!("{key}: 1\n"));
    let reads = Reader::read(&as_key).is_ok_and(|read| matches!(&read.leaves[..], [one] if one.path == [Step::Key(key.into())]));
    if reads && key != "<<" && plain(key).is_some() { Zeroizing::new(key.to_owned()) } else { double(key) }
}

/// The `sops` block as sops lays it out: four columns a level.
pub(super) fn block(name: &str, block: &Value) -> String {
    let mut out = format!("{name}:\n");
    nested(&mut out, 4, block);
    out
}

fn nested(out: &mut String, indent: usize, value: &Value) {
    let pad = " ".repeat(indent);
    let one = |out: &mut String, head: &str, value: &Value| match value {
        Value::Object(map) if map.is_empty() => out.push_str(&format!("{head} {{}}\n")),
        Value::Array(items) if items.is_empty() => out.push_str(&format!("{head} []\n")),
        Value::Object(_) | Value::Array(_) => {
            out.push_str(&format!("{head}\n"));
            nested(out, indent + 4, value);
        }
        scalar => out.push_str(&format!("{head} {}\n", *json(Style { indent: indent + 2, ..Style::default() }, scalar))),
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| one(out, &format!("{pad}{}:", *key_text(key)), value)),
        Value::Array(items) => {
            for item in items {
                match item {
                    // The first key stands beside the dash.
                    Value::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        nested(&mut inner, indent + 2, item);
                        out.push_str(&format!("{pad}- {}", &inner[indent + 2..]));
                    }
                    item => one(out, &format!("{pad}-"), item),
                }
            }
        }
        _ => {}
    }
}
