//! The same keys as gpg sees them; it made them.
use super::*;
use jiff::civil::date;

/// ed25519, signs, made on 2025-01-01 for a year.
pub(crate) const ENDS: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ3UuQBYJKwYBBAHaRw8BAQdA89gs5KjUOzr5MjVOJZciXlxxCuVRT9BRNPSc
K0RpVXC0BGVuZHOIlgQTFggAPhYhBLFK57uVSP4wbkcX91LmJ2KKEfLLBQJndS5A
AhsDBQkB4TOABQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEFLmJ2KKEfLLWDAA
/3MoJqodXp7viqOok16t9+ufeL4vr/VUFIF3EexrOarfAP0aex66zbnnyzElWR8r
SuZiNQiCF6vUBG4+T4fHO7xMBw==
=Afyp
-----END PGP PUBLIC KEY BLOCK-----
";

/// The same without an end.
pub(crate) const NEVER: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ3UuQBYJKwYBBAHaRw8BAQdA+XpqsoWN0+n8/yd39Kkn9w2GzIZ90oao6Ig6
PHcoCXS0BW5ldmVyiJAEExYIADgWIQTosQGyIfq3rFIlObSC30GRUaB/cgUCZ3Uu
QAIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRCC30GRUaB/cp+IAP9V4SPs
vPa4sBkO5d3K7YSq04FHirgThaCF8tYJSQzw1QD/X1cUkjVY0Ok5iVCaFMOkCctJ
QT/wGyR9onhHfPYKdAI=
=rraR
-----END PGP PUBLIC KEY BLOCK-----
";

/// Certifies alone and has no end; a subkey signs, until 2027-01-01.
pub(crate) const SUB: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ3UuQBYJKwYBBAHaRw8BAQdA+la8iUTBaMDv7cKwZbHfvLrSvubwDMlCMlL1
1AECTjO0A3N1YoiQBBMWCAA4FiEEv27ySKKpGeQXHF9zICC22ofxRHgFAmd1LkAC
GwEFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQICC22ofxRHhKpwEA+4VahDoe
ayXB5QRh7OzywtMoCSdnyVXLHy2hvchR9oYBAN2a6PHzDVzk4fuNDl6WjtH0eNyI
m6zo2FlPn+lz81MDuDMEZ3UuQBYJKwYBBAHaRw8BAQdA29D4hYnff1QwyXSUCG7d
LaOZ/+PsGavYgKoOXOHBpaKI9QQYFggAJhYhBL9u8kiiqRnkFxxfcyAgttqH8UR4
BQJndS5AAhsCBQkDwmcAAIEJECAgttqH8UR4diAEGRYIAB0WIQRkEQygjkOhrkmA
wzBp6oOOlpbufAUCZ3UuQAAKCRBp6oOOlpbufAnMAP9/M+5inl+5437wCOewGwKS
w1ROm91eGU2ax5V7k/HquAEA7AjBz1SkdH9FtgWjI2kzzch5lN5u5Gbcct+rF1TZ
IwWpdwD/VDf3gGCmCtRm9Qj7qtvVEx6OiE7k14uiQXtV+yIxwg4BAN3XyJ2n9gxM
kDHF2bTuzflfPKKVylkmt9LkaJ5A2lcC
=Pe3c
-----END PGP PUBLIC KEY BLOCK-----
";

/// Made for a year; later it was given three more.
pub(crate) const EXTENDED: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ3UuQBYJKwYBBAHaRw8BAQdAqOTBRHGHduOYD5vaCHNE3IbndkyeBtko3G+r
TgtvHtW0CGV4dGVuZGVkiJUEExYIAD4CGwMFCwkIBwIGFQoJCAsCBBYCAwECHgEC
F4AWIQTtfGBPRC8Hfv6/aV3qypScmqvJRwUCaS2DQAUJB1vvgAAKCRDqypScmqvJ
R6t7APwOwEAqgelgs6OBrvWCyVgTNIydFkDqQ3TKWLWf0zv24wDzBhnGmdiNiUXB
MIatTGnRTOgCXEU8jA2zOC45c9PqCQ==
=Y4QK
-----END PGP PUBLIC KEY BLOCK-----
";

/// The same, certified by another key, which says nothing of its end.
pub(crate) const CERTIFIED: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ3UuQBYJKwYBBAHaRw8BAQdAqOTBRHGHduOYD5vaCHNE3IbndkyeBtko3G+r
TgtvHtW0CGV4dGVuZGVkiJUEExYIAD4CGwMFCwkIBwIGFQoJCAsCBBYCAwECHgEC
F4AWIQTtfGBPRC8Hfv6/aV3qypScmqvJRwUCaS2DQAUJB1vvgAAKCRDqypScmqvJ
R6t7APwOwEAqgelgs6OBrvWCyVgTNIydFkDqQ3TKWLWf0zv24wDzBhnGmdiNiUXB
MIatTGnRTOgCXEU8jA2zOC45c9PqCYh1BBAWCAAdFiEE6LEBsiH6t6xSJTm0gt9B
kVGgf3IFAmlWYcAACgkQgt9BkVGgf3IZ/gEAqZOcWLJqQOJ42+yUqEqZUBMHv6fu
vd3rO/jgo3noZEMBALlGqQIpWtTVcWzx8T/8PDf3CP8uyRUJG1JBVdlWooYO
=TNhs
-----END PGP PUBLIC KEY BLOCK-----
";

fn ends(text: &str) -> Vec<Option<Date>> {
    keys(text).into_iter().map(|key| key.ends).collect()
}

#[test]
fn a_key_says_when_it_ends() {
    let key = Key { fingerprint: "B14AE7BB9548FE306E4717F752E627628A11F2CB".into(), ends: Some(date(2026, 1, 1)) };
    assert_eq!(keys(ENDS), [key]);
    assert_eq!(ends(NEVER), [None]);
    assert_eq!(ends(SUB), [Some(date(2027, 1, 1))], "what signs is the subkey");
}

#[test]
fn the_newest_word_of_the_key_itself_counts() {
    assert_eq!(ends(EXTENDED), [Some(date(2028, 11, 30))]);
    assert_eq!(ends(CERTIFIED), ends(EXTENDED));
    assert_eq!(keys(CERTIFIED)[0].fingerprint, "ED7C604F442F077EFEBF695DEACA949C9AABC947");
}

#[test]
fn a_text_may_hold_several_keys() {
    assert_eq!(ends(&format!("Comment\n{ENDS}\n{NEVER}")), [Some(date(2026, 1, 1)), None]);
    assert_eq!(ends(&ENDS.replace('\n', "\r\n")), ends(ENDS));
    let version = "KEY BLOCK-----\nVersion: 1\nComment: x\n";
    assert_eq!(ends(&ENDS.replacen("KEY BLOCK-----\n", version, 1)), ends(ENDS));
}

#[test]
fn what_is_no_key_is_none_and_no_panic() {
    assert_eq!(keys("KEY"), []);
    for block in blocks(CERTIFIED) {
        for end in 0..block.len() {
            let _ = read(&block[..end]);
            for byte in [0, 0x7f, 0x80, 0xc0, 0xff] {
                let mut spoilt = block.clone();
                spoilt[end] = byte;
                let _ = read(&spoilt);
            }
        }
        assert_eq!(read(&block[..20]), None);
    }
}
