//! The pure compiler between the data of [`kthw_engine::node`] and POSIX shell: commands out, answers back in. Nothing here does I/O.
//!
//! What a node pays for is processes, so a whole query is one `find`, one `sha256sum`, one `grep` and one process per program that is
//! run; everything else is done by the shell itself. The tools are GNU's, as on every supported distribution.

mod answer;
mod change_script;
mod login_word;
mod query;
mod turn;

pub(crate) use answer::{Malformed, Sections, tail};
pub(crate) use change_script::{ChangeScript, NotDone, ScriptEnd};
pub(crate) use query::Query;
pub use turn::WAIT_S;
pub(crate) use turn::{NoTurn, Turn};

use login_word::login_word;
use std::fmt::Write as _;

/// One argument of a command holds at most 128 KiB on Linux, and a login shell gets a command line as one (execve(2)).
pub(crate) const COMMAND_LIMIT: usize = 100 * 1024;

/// Starts every line that is ours in a node's answer. It is random, so that no program's output can be taken for one.
#[derive(Clone, Debug)]
pub(crate) struct Separator(String);

impl Separator {
    /// A new random one.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("kthw-{}-", hex::encode(bytes))))
    }

    #[cfg(test)]
    pub fn fixed() -> Self {
        Self("kthw-0123456789abcdef-".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who runs the commands on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// The login user is root.
    Root,
    /// The login user may use `sudo` without a password.
    Sudo,
}

impl Privilege {
    /// The command line for the login shell, whichever that is, that has a POSIX shell run `script` as root.
    pub fn command(self, script: &str) -> String {
        let program = match self {
            Self::Root => "sh",
            Self::Sudo => "sudo -n -- sh",
        };
        format!("exec {program} -c 'eval \"$(printf %b \"$1\")\"' sh '{}'", login_word(script))
    }
}

/// A word of a shell script that means exactly `text`.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | ',' | '@' | '%' | '+' | '=');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quoted words with spaces between them.
pub(crate) fn words<S: AsRef<str>>(all: impl IntoIterator<Item = S>) -> String {
    let mut line = String::new();
    for (position, word) in all.into_iter().enumerate() {
        let gap = if position == 0 { "" } else { " " };
        let _ = write!(line, "{gap}{}", quote(word.as_ref()));
    }
    line
}

/// What every script begins with: one language, one search path, and its mark in `$N`.
fn prologue(mark: &Separator) -> String {
    format!("N={}\nexport LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n", mark.as_str())
}

#[cfg(test)]
mod tests;
