//! Plugins of age: recipients `age1NAME1…` and identities `AGE-PLUGIN-NAME-1…`, for which the program `age-plugin-NAME` seals and opens.
//!
//! Post-quantum recipients, `age1pq1…`, are among them: `age-plugin-pq` comes with age 1.3, and sops 3.11 uses it in the same way.
mod session;
#[cfg(test)]
mod tests;

use self::session::Session;
use super::{Asking, Variables};
use age::{DecryptError, EncryptError, secrecy::ExposeSecret};
use age_core::format::{FileKey, Stanza};
use bech32::Variant;
use kthw_engine::Secret;
use std::{cell::RefCell, collections::HashSet, io, sync::Arc, time::Duration};

/// A plugin that talks to a device answers within seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// As long as somebody touches a device, or looks for its PIN.
const ASKING_LIMIT: Duration = Duration::from_secs(180);

/// What people have to install, or to do instead.
pub(super) fn advice(recipient: &str) -> &'static str {
    match recipient.trim().starts_with("age1pq1") {
        true => {
            "put age-plugin-pq of age 1.3 into the search path: kthw seals to post-quantum recipients by it; or add an X25519 recipient, as `age-keygen -y` prints it"
        }
        false => {
            "put the plugin that the recipient names into the search path, or add a recipient of age itself, as `age-keygen -y` prints it"
        }
    }
}

/// Whether a recipient belongs to a plugin: a second `1` ends its name, as in sops.
pub(crate) fn is_recipient(text: &str) -> bool {
    text.starts_with("age1") && text.matches('1').count() > 1
}

/// `age1NAME1DATA`
pub(super) struct PluginRecipient {
    name: String,
    text: String,
    variables: Arc<Variables>,
    limit: Duration,
}

/// The name of a plugin becomes that of a program.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_'))
}

impl PluginRecipient {
    /// Reads a recipient, whose checksum is checked too.
    pub fn parse(text: &str, variables: &Arc<Variables>) -> Result<Self, String> {
        let (name, _) = text.strip_prefix("age1").and_then(|rest| rest.rsplit_once('1')).ok_or("it is malformed")?;
        let (prefix, ..) = bech32::decode(text).map_err(|_| "it is malformed")?;
        if !is_name(name) || prefix != format!("age1{name}") || text.chars().any(|c| c.is_ascii_uppercase()) {
            return Err("it is malformed".into());
        }
        Ok(Self { name: name.into(), text: text.into(), variables: variables.clone(), limit: LIMIT })
    }

    fn wrap(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), String> {
        let mut session = Session::start(&self.name, "recipient-v1", &*self.variables, self.limit)?;
        session.send("add-recipient", &[&self.text], b"")?;
        session.send("extension-labels", &[], b"")?;
        session.send("wrap-file-key", &[], file_key.expose_secret())?;
        session.send("done", &[], b"")?;
        let (mut stanzas, mut labels) = (Vec::new(), HashSet::new());
        session.hear(Asking::NotYet, |command| match (command.tag.as_str(), &command.args[..]) {
            // There is one file, of number 0.
            ("recipient-stanza", [number, tag, rest @ ..]) if number == "0" => {
                stanzas.push(Stanza { tag: tag.clone(), args: rest.to_vec(), body: command.body.clone() });
                true
            }
            ("labels", names) => {
                labels.extend(names.iter().cloned());
                true
            }
            _ => false,
        })?;
        match stanzas.is_empty() {
            true => Err(format!("age-plugin-{} sealed nothing", self.name)),
            false => Ok((stanzas, labels)),
        }
    }
}

impl age::Recipient for PluginRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.wrap(file_key).map_err(|reason| EncryptError::Io(io::Error::other(reason)))
    }
}

/// `AGE-PLUGIN-NAME-1DATA`: which key of the plugin it is, which may be a secret.
pub(super) struct PluginIdentity {
    name: String,
    text: Secret,
}

impl PluginIdentity {
    /// Reads a line of a file of keys: an identity of a plugin, or a post-quantum one of age 1.3, which is that of `age-plugin-pq` under
    /// another name (<https://github.com/FiloSottile/age/blob/v1.3.1/extra/age-plugin-pq/plugin-pq.go>).
    pub fn parse(line: &str) -> Option<Self> {
        let (prefix, data, _) = bech32::decode(line).ok()?;
        let (name, text) = match prefix.as_str() {
            "age-secret-key-pq-" => ("pq", bech32::encode("age-plugin-pq-", data, Variant::Bech32).ok()?.to_uppercase()),
            other => (other.strip_prefix("age-plugin-")?.strip_suffix('-')?, line.to_owned()),
        };
        is_name(name).then(|| Self { name: name.to_owned(), text: Secret::new(text) })
    }

    /// The identity, as it opens one file.
    pub fn opening<'a>(&'a self, variables: &'a Variables, asking: Asking<'a>) -> Opening<'a> {
        let limit = if matches!(asking, Asking::Person(_)) { ASKING_LIMIT } else { LIMIT };
        Opening { identity: self, variables, asking, limit, failed: RefCell::default() }
    }
}

/// An identity at work.
pub(super) struct Opening<'a> {
    identity: &'a PluginIdentity,
    variables: &'a Variables,
    asking: Asking<'a>,
    limit: Duration,
    failed: RefCell<Option<String>>,
}

impl Opening<'_> {
    /// Why it did not open the file, apart from not fitting.
    pub fn failed(self) -> Option<String> {
        self.failed.into_inner()
    }

    fn unwrap(&self, stanzas: &[Stanza]) -> Result<Option<FileKey>, String> {
        let PluginIdentity { name, text } = self.identity;
        let mut session = Session::start(name, "identity-v1", self.variables, self.limit)?;
        session.send("add-identity", &[text.expose()], b"")?;
        for stanza in stanzas {
            let arguments: Vec<&str> = ["0", &stanza.tag].into_iter().chain(stanza.args.iter().map(String::as_str)).collect();
            session.send("recipient-stanza", &arguments, &stanza.body)?;
        }
        session.send("done", &[], b"")?;
        let mut file_key = None;
        session.hear(self.asking, |command| {
            let body = <[u8; 16]>::try_from(command.body.as_slice());
            let (true, Ok(body)) = (command.tag == "file-key" && command.args == ["0"], body) else { return false };
            file_key = Some(FileKey::new(Box::new(body)));
            true
        })?;
        Ok(file_key)
    }
}

impl age::Identity for Opening<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        match self.unwrap(stanzas) {
            Ok(file_key) => file_key.map(Ok),
            Err(reason) => {
                *self.failed.borrow_mut() = Some(reason);
                None
            }
        }
    }
}
