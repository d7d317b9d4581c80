//! The form in which a script gets through a login shell, whichever that is.
//!
//! sshd hands the command line to the user's login shell (sshd(8), "LOGIN PROCESS"), and shells differ in what a quoted word is: fish takes
//! `\\` for one backslash within single quotes, csh and tcsh end a line at a newline there and replace `!`. What none of them touches within
//! single quotes is printable ASCII without quote, backslash and exclamation mark. Everything else becomes `\0` and three octal digits,
//! which are not special to any of them behind a backslash, and which the POSIX `printf %b` turns back.
use std::fmt::Write as _;

/// What stands between single quotes for `printf %b` to print `text`.
pub(super) fn login_word(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        if is_plain(byte) {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "\\0{byte:03o}");
        }
    }
    word
}

/// How long [`login_word`] makes a text, in bytes.
pub(super) fn login_length(text: &str) -> usize {
    text.bytes().map(|byte| if is_plain(byte) { 1 } else { 5 }).sum()
}

fn is_plain(byte: u8) -> bool {
    (byte == b' ' || byte.is_ascii_graphic()) && !matches!(byte, b'\'' | b'\\' | b'!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_plain_within_single_quotes_and_as_long_as_foretold() {
        let text = "echo 'a\\b' !x\n\t\u{fc} $HOME \"q\" `id` %s ~";
        let word = login_word(text);
        assert_eq!(word, r#"echo \0047a\0134b\0047 \0041x\0012\0011\0303\0274 $HOME "q" `id` %s ~"#);
        assert_eq!(word.len(), login_length(text));
    }
}
