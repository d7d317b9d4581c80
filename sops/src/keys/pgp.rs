//! PGP recipients, through the `gpg` program: its keyrings, its agent, its smart cards, as sops does.
//!
//! A key goes over gpg's stdin and stdout and nowhere else. gpg runs with `GNUPGHOME` of the user, or another program from `SOPS_GPG_EXEC`.
use super::{Asking, DataKey, KeyService, MasterKey, Recipient, Variables, program};
use crate::SopsError;
use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

/// gpg answers within a second; a smart card takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// As long as somebody looks for the passphrase that gpg's agent asks for.
const ASKING_LIMIT: Duration = Duration::from_secs(180);
const OPEN_HELP: &str = "import the private PGP key with `gpg --import`";
const SEAL_HELP: &str = "import its public key with `gpg --import`, and write its whole fingerprint as `gpg --list-keys` shows it";

pub(super) struct PgpService {
    variables: Arc<Variables>,
}

impl PgpService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self { variables }
    }

    /// gpg, before its arguments for a deed.
    fn gpg(&self) -> Result<Command, String> {
        if self.home().is_none() {
            return Err("gpg was not asked, because neither GNUPGHOME nor HOME is set".into());
        }
        let program = (self.variables)("SOPS_GPG_EXEC").filter(|program| !program.is_empty());
        let mut gpg = Command::new(program.unwrap_or_else(|| "gpg".into()));
        for name in ["GNUPGHOME", "HOME"] {
            match (self.variables)(name) {
                Some(value) => gpg.env(name, value),
                None => gpg.env_remove(name),
            };
        }
        // No key is ever looked for on the network.
        gpg.args(["--batch", "--no-auto-key-locate"]);
        Ok(gpg)
    }

    /// Where gpg keeps its keys.
    fn home(&self) -> Option<PathBuf> {
        let set = |name| (self.variables)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("GNUPGHOME").or_else(|| Some(set("HOME")?.join(".gnupg")))
    }

    /// What gpg said, and the folder in which it looked. It names keys and people, never what a key holds.
    fn said(&self, messages: &str) -> String {
        let home = self.home().unwrap_or_default();
        // `gpg: encrypted with …` comes first, the reason last.
        let reason = messages.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing");
        format!("gpg, with the keys in {}, says: {}", home.display(), reason.strip_prefix("gpg: ").unwrap_or(reason))
    }
}

impl KeyService for PgpService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::Pgp(_))
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        let failed = |reason: String| SopsError::CannotSeal { recipient: recipient.to_string(), reason, help: SEAL_HELP.into() };
        let Recipient::Pgp(fingerprint) = recipient else { return Err(failed("it is no PGP key".into())) };
        let fingerprint = fingerprint.replace(' ', "");
        if !is_fingerprint(&fingerprint) {
            return Err(failed("it is not a fingerprint".into()));
        }
        // Whoever listed the key trusts it; gpg's own web of trust has no say, nor have its defaults.
        let mut gpg = self.gpg().map_err(failed)?;
        gpg.args(["--yes", "--trust-model", "always", "--no-default-recipient", "--no-encrypt-to", "--armor"]);
        gpg.args(["--recipient", &fingerprint, "--encrypt"]);
        let ended = program::run(&mut gpg, plain, LIMIT).map_err(failed)?;
        match str::from_utf8(&ended.output).map(str::trim) {
            Ok(sealed) if ended.status.success() && !sealed.is_empty() => Ok(sealed.into()),
            _ => Err(failed(self.said(&ended.said))),
        }
    }

    fn may_ask(&self) -> bool {
        true
    }

    fn decrypt(&self, key: &MasterKey, asking: Asking<'_>) -> Result<DataKey, SopsError> {
        let failed = |reason: String| SopsError::CannotOpen { recipient: key.recipient.to_string(), reason, help: OPEN_HELP.into() };
        let mut gpg = self.gpg().map_err(failed)?;
        let limit = match asking {
            Asking::NotYet => {
                gpg.args(["--pinentry-mode", "error"]);
                LIMIT
            }
            // gpg's agent asks, in its own way.
            Asking::Programs | Asking::Person(_) => ASKING_LIMIT,
        };
        let ended = program::run(gpg.arg("--decrypt"), key.encrypted.as_bytes(), limit).map_err(failed)?;
        if ended.status.success() { Ok(ended.output) } else { Err(failed(self.said(&ended.said))) }
    }
}

/// Hexadecimal, from a short key id to a version 5 fingerprint; `!` at the end means exactly this subkey.
fn is_fingerprint(text: &str) -> bool {
    let digits = text.strip_suffix('!').unwrap_or(text);
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    (8..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        for (text, expected) in [
            ("85D77543B3D624B63CEA9E6DBC17301B491B3F21", true),
            ("85d77543b3d624b63cea9e6dbc17301b491b3f21!", true),
            ("0xBC17301B491B3F21", true),
            ("", false),
            ("somebody@example.test", false),
            ("--output=/etc/passwd", false),
            ("85D7", false),
        ] {
            assert_eq!(is_fingerprint(text), expected, "{text}");
        }
    }

    #[test]
    fn the_reason_is_the_last_thing_that_gpg_says() {
        let service = PgpService::new(Arc::new(|name| (name == "GNUPGHOME").then(|| "/keys".into())));
        let said = "gpg: encrypted with cv25519 key, ID 491B3F21\ngpg: decryption failed: No secret key\n\n";
        assert_eq!(service.said(said), "gpg, with the keys in /keys, says: decryption failed: No secret key");
    }
}
