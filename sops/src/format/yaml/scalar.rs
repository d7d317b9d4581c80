//! What a scalar of a YAML text is, by its style and its tag.
use crate::plain::Plain;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_saphyr::granit_parser::{ScalarStyle, Tag};
use zeroize::Zeroizing;

/// What a scalar is: quoted and block text is text, and so is what a tag of one's own marks.
pub(super) fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Plain, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { Plain::of_yaml(text).map_err(str::to_owned) } else { Ok(Plain::text(text)) };
    };
    match yaml_tag(tag) {
        Some("binary") => {
            let compact = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
            let bytes = STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).map_err(|_| "`!!binary` is not base64".to_owned())?;
            Ok(std::str::from_utf8(&bytes).map(Plain::text).unwrap_or(Plain::Bytes(bytes)))
        }
        None if tag.parts() == ("", "!") => Err("the tag `!`, which readers take differently; leave it out, or write quotes".into()),
        // `!!merge <<` is how sops writes a merge key that it wrote out.
        None | Some("str" | "merge") => Ok(Plain::text(text)),
        Some(name) => Err(format!("the tag `!!{name}` is nothing that kthw encrypts; leave it out")),
    }
}

/// The name of one of YAML's own tags, such as `str` of `!!str`.
pub(super) fn yaml_tag(tag: &Tag) -> Option<&str> {
    const OWN: &str = "tag:yaml.org,2002:";
    match tag.parts() {
        (OWN, name) => Some(name),
        ("", whole) => whole.strip_prefix(OWN),
        _ => None,
    }
}
