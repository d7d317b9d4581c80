//! How contents of files are saved: text as it is, other bytes as base64.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serializer};

const MARK: &str = "base64:";

/// Writes.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(MARK) => serializer.serialize_str(text),
        _ => serializer.serialize_str(&format!("{MARK}{}", STANDARD.encode(bytes))),
    }
}

/// Reads.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.strip_prefix(MARK) {
        Some(encoded) => STANDARD.decode(encoded).map_err(serde::de::Error::custom),
        None => Ok(text.into_bytes()),
    }
}
