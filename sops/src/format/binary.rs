//! Any other file, as one value: a JSON object with the key `data`, whatever bytes the file holds.
use super::{
    super::{
        error::SopsError,
        plain::Plain,
        text::{Edit, Layout, Leaf, Step, Style, Text, What},
    },
    json::Json,
};
use serde_json::Value;
use zeroize::Zeroizing;

/// The one key.
const DATA: &str = "data";

pub(super) struct Binary;

impl Layout for Binary {
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError> {
        let found = Json.read(file, text)?;
        let is_data = |leaf: &Leaf| matches!(&leaf.path[..], [Step::Key(key)] if key == DATA);
        match &found.leaves[..] {
            [Leaf { what: What::Value(Plain::Text(_)), .. }] if found.leaves.iter().all(is_data) => Ok(found),
            _ => Err(SopsError::Malformed { file: file.into(), reason: format!("it does not hold just one text, `{DATA}`") }),
        }
    }

    fn read_plain(&self, _file: &str, plain: &[u8]) -> Result<(Zeroizing<String>, Text), SopsError> {
        let (value, text) = match std::str::from_utf8(plain) {
            Ok(text) => (Plain::text(text), Value::from(text).to_string()),
            Err(_) => (Plain::Bytes(Zeroizing::new(plain.to_vec())), "\"\"".to_owned()),
        };
        let before = format!("{{\n\t\"{DATA}\": ");
        let source = Zeroizing::new(format!("{before}{text}\n}}\n"));
        let span = before.len()..before.len() + text.len();
        let leaf = Leaf { document: 0, path: vec![Step::Key(DATA.into())], span, what: What::Value(value), style: Style::default() };
        Ok((source, Text { leaves: vec![leaf], ..Text::default() }))
    }

    fn plain(&self, _edited: Zeroizing<String>, values: &[Plain]) -> Zeroizing<Vec<u8>> {
        values.first().and_then(Plain::bytes).unwrap_or_default()
    }

    fn spell(&self, leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str> {
        match value {
            // `plain` takes the bytes as they are.
            Plain::Bytes(_) => Ok(Zeroizing::default()),
            other => Json.spell(leaf, other),
        }
    }

    fn spell_sealed(&self, leaf: &Leaf, sealed: &str) -> String {
        Json.spell_sealed(leaf, sealed)
    }

    fn comment_item(&self, text: &str, leaf: &Leaf, comment: &str, alone: bool) -> Edit {
        Json.comment_item(text, leaf, comment, alone)
    }

    fn with_block(&self, text: &str, block: &Value, gap: bool) -> Result<String, SopsError> {
        Json.with_block(text, block, gap)
    }

    fn set(&self, file: &str, _text: &str, path: &[Step], _value: &Value) -> Result<Zeroizing<String>, SopsError> {
        let reason = "a binary file is one value; use `kthw secrets edit`, or encrypt the new file".into();
        Err(SopsError::CannotSet { file: file.into(), name: crate::text::dotted(path), reason })
    }
}
