//! Text that people write: recipes and workspaces, read in one way whatever editor wrote them.
use std::{io, path::Path};

/// Reads a text file: a byte order mark is left out, and lines end with a line feed alone.
///
/// # Errors
/// In words: why it cannot be read, or in which other encoding it seems to be and how to change that.
pub fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error: io::Error| error.to_string())?;
    decode(&bytes, &path.display().to_string())
}

fn decode(bytes: &[u8], name: &str) -> Result<String, String> {
    let wide = match bytes {
        [0xFF, 0xFE, ..] => Some("UTF-16LE"),
        [0xFE, 0xFF, ..] => Some("UTF-16BE"),
        [first, 0, ..] if first.is_ascii() && *first != 0 => Some("UTF-16LE"),
        [0, second, ..] if second.is_ascii() && *second != 0 => Some("UTF-16BE"),
        _ => None,
    };
    if let Some(encoding) = wide {
        return Err(format!(
            "it is {encoding}, and has to be UTF-8: `iconv -f {encoding} -t UTF-8 {name}` changes that, and so does your editor"
        ));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at(error.valid_up_to());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        let byte = rest.first().copied().unwrap_or_default();
        format!(
            "line {line}, column {column}: the byte 0x{byte:02X} is not UTF-8 (in Latin-1 it is `{}`): `iconv -f LATIN1 -t UTF-8 {name}` changes \
             that, if the file is Latin-1",
            char::from(byte)
        )
    })?;
    Ok(text.replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_line_ends_of_other_editors_are_left_out() {
        assert_eq!(decode(b"\xEF\xBB\xBFa\r\nb\n", "w.yaml").as_deref(), Ok("a\nb\n"));
        assert_eq!(decode("ü\n".as_bytes(), "w.yaml").as_deref(), Ok("ü\n"));
        assert_eq!(decode(b"", "w.yaml").as_deref(), Ok(""));
    }

    #[test]
    fn other_encodings_are_named_with_what_to_do() {
        let utf_16 = |bytes: &[u8]| decode(bytes, "w.yaml").unwrap_err();
        assert!(utf_16(b"\xFF\xFEn\0").contains("`iconv -f UTF-16LE -t UTF-8 w.yaml`"));
        assert!(utf_16(b"\xFE\xFF\0n").contains("UTF-16BE") && utf_16(b"n\0a\0").contains("UTF-16LE"));
        let latin = decode(b"a: 1\nname: M\xFCller\n", "w.yaml").unwrap_err();
        assert!(latin.starts_with("line 2, column 8: the byte 0xFC is not UTF-8 (in Latin-1 it is `ü`)"), "{latin}");
    }
}
