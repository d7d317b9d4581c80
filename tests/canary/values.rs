//! Canaries: secrets that nobody can guess, in all the shapes that break quoting.
use std::io::Read;

/// One secret.
pub struct Canary {
    /// Its name in the secrets file.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The unguessable parts of the value; no other text holds them by chance.
    pub cores: Vec<String>,
}

/// How many there are.
pub const COUNT: usize = 50;

/// Fifty new canaries.
pub fn canaries() -> Vec<Canary> {
    (0..COUNT).map(canary).collect()
}

fn canary(number: usize) -> Canary {
    let (a, b) = (core(), core());
    let value = match number % 10 {
        0 => a.clone(),
        1 => format!("key: [{a}, {{b: *{b}}}] # {a}"),
        2 => format!("{{\"token\": \"{a}\", \"n\": [1, \"{b}\"]}}"),
        3 => format!("$(echo {a}) && rm -rf \"${{HOME}}/{b}\" `id`; exit 3"),
        4 => format!("-----BEGIN PRIVATE KEY-----\n{a}{b}\n{b}{a}\n-----END PRIVATE KEY-----\n"),
        5 => format!("größe-{a}-☃-\u{1F511}-{b}"),
        6 => format!("it's \"{a}\" '{b}'\\n\\"),
        7 => format!("{a}%20%41%{b}%%s%n"),
        8 => format!("{a} with  spaces and\ttabs {b}"),
        _ => format!("{a}=+/{b}=="),
    };
    Canary {
        name: format!("canary.c{number:02}"),
        cores: vec![a, b].into_iter().filter(|core| value.contains(core.as_str())).collect(),
        value,
    }
}

/// 24 random letters and digits.
fn core() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
    let mut random = [0_u8; 24];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
}
