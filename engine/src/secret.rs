//! Secrets: values that cannot be printed, and references that recipes may hold instead of them.
use crate::redact;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use zeroize::Zeroizing;

/// A secret value. It is wiped when its last owner drops it, shows as `<secret>` wherever it is printed, and has no serde form.
#[derive(Clone)]
pub struct Secret(Arc<Custody>);

/// The one copy of a value.
struct Custody {
    value: Zeroizing<String>,
    /// Whether redaction looks for it.
    registered: AtomicBool,
}

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Arc::new(Custody { value: Zeroizing::new(value.into()), registered: AtomicBool::new(false) }))
    }

    /// A text that holds secrets, each of which was exposed already. It is not printed either, but redaction looks for those secrets only: the
    /// rest of such a text is not secret, and there may be one for every node.
    pub fn holding(text: impl Into<String>) -> Self {
        Self(Arc::new(Custody { value: Zeroizing::new(text.into()), registered: AtomicBool::new(true) }))
    }

    /// The value itself; call it only where it is handed to a peer or a file that its owner asked for.
    ///
    /// From now on the value is taken out of every error, event and plan: whoever gets it may echo it.
    pub fn expose(&self) -> &str {
        if !self.0.registered.swap(true, Ordering::Relaxed) {
            redact::register(&self.0.value);
        }
        &self.0.value
    }

    /// A value that is kept among secrets but is not secret, such as the address of a server: it may be shown.
    pub fn disclose(&self) -> &str {
        &self.0.value
    }

    /// Whether it consists of white space only.
    pub fn is_blank(&self) -> bool {
        self.0.value.trim().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Names a secret without holding it: what `sops::secret("proxmox.token")` returns to a script.
///
/// Spec structs take it as a field type. In JSON and YAML it is spelled `{"$secret": "proxmox.token"}`, and so it is inside a
/// script's options map when that is parsed; a plain `String` field refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The dotted path in the secrets file.
    #[serde(rename = "$secret")]
    pub name: String,
}

/// The end of the placeholder that a secret becomes inside a text: words that nobody writes by chance.
const IN_TEXT: &str = ", not its value>";

impl SecretRef {
    /// What a script gets when it turns a secret into a text: its name, in a form that [`SecretRef::named_in`] finds again.
    pub fn in_text(&self) -> String {
        format!("<secret {}{IN_TEXT}", self.name)
    }

    /// The name of a secret that was made part of `text`.
    pub(crate) fn named_in(text: &str) -> Option<&str> {
        let (before, _) = text.split_once(IN_TEXT)?;
        before.rsplit_once("<secret ").map(|(_, name)| name)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<secret {}>", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_text_that_holds_a_secret_only_the_secret_is_taken_out() {
        let token = Secret::new("abcdef.0123456789abcdef");
        let text = Secret::holding(format!("kind: JoinConfiguration\ntoken: {}\n", token.expose()));
        assert_eq!(redact::redacted(text.expose()), "kind: JoinConfiguration\ntoken: <secret>\n");
        assert_eq!(format!("{text} {text:?}"), "<secret> <secret>");
    }
}
