//! The file formats of sops. Each is one file here: how a text is read into leaves, and how values and the `sops` block are written.
mod binary;
mod dotenv;
mod flat;
mod ini;
mod json;
mod yaml;

use super::text::Layout;
use std::{path::Path, str::FromStr};

/// A file format of sops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.yaml`, `.yml`; with comments, anchors and several documents.
    Yaml,
    /// `.json`.
    Json,
    /// `.env`: `NAME=value` lines.
    Dotenv,
    /// `.ini`: sections of `name = value` lines.
    Ini,
    /// Any other file, as one value.
    Binary,
}

impl Format {
    /// The names that people use, as sops does in `--input-type`.
    pub const NAMES: [(&str, Self); 5] =
        [("yaml", Self::Yaml), ("json", Self::Json), ("dotenv", Self::Dotenv), ("ini", Self::Ini), ("binary", Self::Binary)];

    /// The format of a file, by the ending of its name.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("env") => Self::Dotenv,
            Some("ini") => Self::Ini,
            // A file that is called just `.env` has no ending.
            _ if path.file_name().is_some_and(|name| name == ".env") => Self::Dotenv,
            _ => Self::Binary,
        }
    }

    pub(super) fn layout(self) -> &'static dyn Layout {
        match self {
            Self::Yaml => &yaml::Yaml,
            Self::Json => &json::Json,
            Self::Dotenv => &dotenv::Dotenv,
            Self::Ini => &ini::Ini,
            Self::Binary => &binary::Binary,
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::NAMES.map(|(name, _)| name).join(", ");
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| format!("use one of {}", names()))
    }
}
