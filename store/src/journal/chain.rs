//! The digest at the end of each line, over itself and the line before it.
use sha2::{Digest, Sha256};

/// How many hex digits of SHA-256 are kept: 128 bits, against mistakes and against a hand that does not make the rest of the chain anew.
const DIGITS: usize = 32;
/// What stands between a line's fields and its digest.
const FIELD: &str = ",\"chain\":\"";
const END: &str = "\"}";

/// Ends `json`, an object, with the digest that follows `before`. Returns the line without its end, and the digest.
pub fn seal(json: &str, before: &str) -> (String, String) {
    let chain = digest(json, before);
    let open = json.strip_suffix('}').unwrap_or(json);
    (format!("{open}{FIELD}{chain}{END}"), chain)
}

/// Takes a line apart into the object that was sealed and its digest; `None` when it does not end as a line does.
pub fn open(line: &str) -> Option<(String, &str)> {
    let body = line.strip_suffix(END)?;
    let at = body.len().checked_sub(DIGITS)?;
    let (body, chain) = (body.get(..at)?, body.get(at..)?);
    let body = body.strip_suffix(FIELD)?;
    Some((format!("{body}}}"), chain))
}

/// The digest of `json` after `before`.
pub fn digest(json: &str, before: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update("\n");
    hash.update(json);
    let mut hex = hex::encode(hash.finalize());
    hex.truncate(DIGITS);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_again() {
        let (line, chain) = seal(r#"{"n":1,"kind":"note"}"#, "before");
        assert_eq!(line, format!(r#"{{"n":1,"kind":"note","chain":"{chain}"}}"#));
        assert_eq!(open(&line), Some((r#"{"n":1,"kind":"note"}"#.into(), &*chain)));
        assert_ne!(chain, digest(r#"{"n":1,"kind":"note"}"#, "another"));
        for cut in 0..line.len() {
            assert!(open(&line[..cut]).is_none(), "{cut}");
        }
    }
}
