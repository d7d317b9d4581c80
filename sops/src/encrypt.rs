//! Encrypting a plain file in place.
use super::{
    cipher,
    error::SopsError,
    file::{File, Opened},
    format::Format,
    keys::DataKey,
    metadata::Metadata,
    plain::Plain,
    rules::CommentsAbove,
    shape::Shape,
    text::{Leaf, Text, What, dotted, edited},
    walk::{Mac, Rule, held},
};
use zeroize::Zeroizing;

/// Encrypts a plain file. The keys of `metadata` are sealed already; its MAC and date are made here.
///
/// What did not change since `before` keeps its encrypted text, so that a diff shows only what changed.
///
/// # Errors
/// When the text is not of that format, is encrypted already, or holds what sops cannot encrypt; or, by a mistake in kthw, when the
/// result would not read back as the same.
pub fn encrypt(
    name: &str,
    format: Format,
    plain: &[u8],
    metadata: &Metadata,
    key: &DataKey,
    before: Option<&Opened>,
) -> Result<String, SopsError> {
    let layout = format.layout();
    let (source, text) = layout.read_plain(name, plain)?;
    if text.block.is_some() {
        return Err(SopsError::AlreadyEncrypted { file: name.into() });
    }
    let mut mac = Mac::new(metadata);
    let mut shape = Shape::new(metadata, key);
    let mut above = CommentsAbove::default();
    let mut edits = Vec::new();
    let sealed = |plain: &[u8], aad: &str, kind: &str| {
        let kept = before.and_then(|before| before.sealed.get(&held(aad, kind, plain)).cloned());
        kept.unwrap_or_else(|| cipher::seal(key, plain, aad, kind))
    };
    for leaf in &text.leaves {
        let rule = Rule::at(metadata, leaf, &mut above);
        match &leaf.what {
            What::Comment(comment) if rule.encrypts && !comment.is_empty() => {
                let sealed = sealed(comment.as_bytes(), &rule.aad, "comment");
                edits.push((leaf.span.clone(), Zeroizing::new(sealed)));
            }
            What::Comment(_) => {}
            What::Value(value) => {
                mac.add(value, rule.encrypts);
                shape.add(leaf.document, &leaf.path, value, rule.encrypts);
                if !rule.encrypts && matches!(value, Plain::Bytes(_)) {
                    let reason = "it is not UTF-8, and its rules leave it unencrypted".into();
                    return Err(SopsError::Malformed { file: name.into(), reason });
                }
                if let (true, Some(kind), Some(bytes)) = (rule.encrypts, value.kind(), value.bytes()) {
                    let sealed = sealed(&bytes, &rule.aad, kind);
                    edits.push((leaf.span.clone(), Zeroizing::new(layout.spell_sealed(leaf, &sealed))));
                }
            }
        }
    }
    let last_modified = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mac = mac.hex();
    let nonce = shape.nonce(&text, &mac, &last_modified);
    let mac = cipher::seal_with(key, nonce, mac.as_bytes(), &last_modified, "str");
    let metadata = Metadata { mac, last_modified, ..metadata.clone() };
    let sealed = layout.with_block(&edited(&source, edits), &metadata.to_block())?;
    check(name, format, key, &text, &sealed)?;
    Ok(sealed)
}

/// Reads `sealed` back before it takes the place of anything: it must hold what `plain` does, at the same names.
fn check(name: &str, format: Format, key: &DataKey, plain: &Text, sealed: &str) -> Result<(), SopsError> {
    let lost = |what: String| SopsError::NotKept { file: name.into(), what };
    let opened = File::parse(name, format, sealed).and_then(|file| file.open(key)).map_err(|error| lost(error.to_string()))?;
    let (_, again) = format.layout().read_plain(name, opened.plain()).map_err(|error| lost(error.to_string()))?;
    // A name and a digest of what stands there.
    let values = |text: &Text| -> Vec<(usize, String, [u8; 32])> {
        let value = |leaf: &Leaf| {
            let What::Value(value) = &leaf.what else { return None };
            let kind = match value {
                Plain::Null => "null",
                // 1.0 is 1 to sops in JSON, and a number all the same.
                Plain::Int(_) | Plain::Float(_) => "number",
                value => value.kind().unwrap_or("str"),
            };
            Some((leaf.document, dotted(&leaf.path), held("", kind, &value.bytes().unwrap_or_default())))
        };
        text.leaves.iter().filter_map(value).collect()
    };
    let (wanted, found) = (values(plain), values(&again));
    match wanted.iter().zip(&found).find(|(wanted, found)| wanted != found) {
        Some((wanted, _)) => Err(lost(format!("`{}` would read back otherwise", wanted.1))),
        None if wanted.len() != found.len() => Err(lost(format!("{} values would read back as {}", wanted.len(), found.len()))),
        None => Ok(()),
    }
}
