//! Who can open a file: recipients, the data key sealed to each of them, and the services that seal and open it.
//!
//! A file has one group of keys, any of which opens it; or several groups, each holding one part of the data key
//! (<https://github.com/getsops/sops/blob/v3.11.0/README.rst>, "Key groups").
//!
//! [`KeyServices`] decides what has to open and in which order; a [`KeyService`] knows one kind of key and nothing about files.
mod age;
mod aws;
mod azure;
mod exchange;
mod failure;
mod gcp;
mod identities;
mod kms;
mod oauth;
#[cfg(test)]
pub(super) mod peer_tests;
mod pgp;
mod plugin;
mod program;
mod services;
mod shamir;
#[cfg(test)]
mod tests;
mod vault;

pub(crate) use gcp::is_key as is_gcp_key;
pub(crate) use plugin::is_recipient as is_plugin_recipient;
pub use services::KeyServices;

use super::SopsError;
use kthw_engine::Secret;
use std::{collections::BTreeMap, ffi::OsString, fmt};
use zeroize::Zeroizing;

/// The key that encrypts all values of a file, 32 bytes; the file holds it sealed to each recipient.
pub type DataKey = Zeroizing<Vec<u8>>;

/// The length of a data key.
const KEY_BYTES: usize = 32;

/// Looks up an environment variable.
type Variables = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Somebody or something that can open a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// An age or SSH public key: `age1…`, `ssh-ed25519 AAAA…`.
    Age(String),
    /// The fingerprint of a PGP key.
    Pgp(String),
    /// A key of AWS KMS.
    AwsKms {
        /// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
        arn: String,
        /// The role to assume first, an ARN.
        role: Option<String>,
        /// The encryption context; opening needs the same one.
        context: BTreeMap<String, String>,
        /// A profile of the AWS configuration files.
        profile: Option<String>,
    },
    /// A key of another service; kept as it stands in the file.
    Other {
        /// The service.
        kind: OtherKind,
        /// The fields that name the key, as sops calls them, in the order of the file, without `enc` and `created_at`.
        fields: Vec<(String, String)>,
    },
}

/// Key services that sops knows beside AWS KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKind {
    /// Google Cloud KMS.
    GcpKms,
    /// Azure Key Vault.
    AzureKeyVault,
    /// The transit engine of HashiCorp Vault.
    Vault,
    /// Huawei Cloud KMS.
    HuaweiKms,
}

impl OtherKind {
    /// All of them, with the name of their list in the `sops` block and the name that people use.
    pub(super) const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::GcpKms, "gcp_kms", "GCP KMS"),
        (Self::AzureKeyVault, "azure_kv", "Azure Key Vault"),
        (Self::Vault, "hc_vault", "HashiCorp Vault"),
        (Self::HuaweiKms, "hckms", "Huawei Cloud KMS"),
    ];

    fn names(self) -> (&'static str, &'static str) {
        let (_, list, words) = Self::ALL.into_iter().find(|known| known.0 == self).expect("ALL lists every kind");
        (list, words)
    }

    /// The name of their list in the `sops` block.
    pub(super) fn list(self) -> &'static str {
        self.names().0
    }

    /// What people call it.
    pub(super) fn words(self) -> &'static str {
        self.names().1
    }
}

impl Recipient {
    /// The kind, as `SOPS_DECRYPTION_ORDER` and the lists in the `sops` block spell it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Age(_) => "age",
            Self::Pgp(_) => "pgp",
            Self::AwsKms { .. } => "kms",
            Self::Other { kind, .. } => kind.list(),
        }
    }

    /// A field that names a key of another service; empty when it is not there.
    pub(super) fn field(&self, name: &str) -> &str {
        let Self::Other { fields, .. } = self else { return "" };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The same with another value of a field.
    pub(super) fn with_field(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        if let Self::Other { fields, .. } = &mut changed {
            match fields.iter_mut().find(|(key, _)| key == name) {
                Some((_, old)) => *old = value.into(),
                None => fields.push((name.into(), value.into())),
            }
        }
        changed
    }

    /// Whether both are the same key, however it is spelled. A key of Azure that names no version is the key in any version.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Age(this), Self::Age(other)) => this.trim() == other.trim(),
            (Self::Pgp(this), Self::Pgp(other)) => this.replace(' ', "").eq_ignore_ascii_case(&other.replace(' ', "")),
            (Self::Other { kind, fields }, Self::Other { kind: other_kind, fields: other_fields }) => {
                let open = |name: &str| name == "version" && (self.field(name).is_empty() || other.field(name).is_empty());
                let all_in = |fields: &[(String, String)], holder: &Self| {
                    fields.iter().filter(|(name, value)| !value.is_empty() && !open(name)).all(|(name, value)| holder.field(name) == value)
                };
                kind == other_kind && all_in(fields, other) && all_in(other_fields, self)
            }
            _ => self == other,
        }
    }
}

/// As people know it: `age age1…`, `PGP 85D7…`, `AWS KMS arn:…`.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(recipient) => write!(f, "age {recipient}"),
            Self::Pgp(fingerprint) => write!(f, "PGP {fingerprint}"),
            Self::AwsKms { arn, .. } => write!(f, "AWS KMS {arn}"),
            Self::Other { kind, .. } => {
                let field = |name| self.field(name).trim_end_matches('/');
                write!(f, "{} ", kind.words())?;
                match kind {
                    OtherKind::GcpKms => f.write_str(field("resource_id")),
                    OtherKind::HuaweiKms => f.write_str(field("key_id")),
                    OtherKind::Vault => write!(f, "{}/v1/{}/keys/{}", field("vault_address"), field("engine_path"), field("key_name")),
                    OtherKind::AzureKeyVault => write!(f, "{}/keys/{}/{}", field("vault_url"), field("name"), field("version")),
                }
            }
        }
    }
}

/// The data key, or a part of it, sealed to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKey {
    /// Who opens it.
    pub recipient: Recipient,
    /// The sealed key as it stands in the file; empty when it is not sealed yet.
    pub encrypted: String,
    /// When it was sealed, RFC 3339; age has no such field.
    pub created_at: Option<String>,
}

impl MasterKey {
    /// A key that is not sealed yet.
    pub fn to(recipient: Recipient) -> Self {
        Self { recipient, encrypted: String::new(), created_at: None }
    }
}

/// Keys of which any one is enough.
pub type Group = Vec<MasterKey>;

/// Asks a person for a passphrase, given the words to ask with; `None` when there is no answer.
pub type Passphrase = dyn Fn(&str) -> Option<Secret> + Send + Sync;

/// Tells a person something while a key is opened, such as what a device waits for.
pub type Tell = dyn Fn(&str) + Send + Sync;

/// How kthw talks with a person while a key is opened.
pub struct Person {
    ask: Box<Passphrase>,
    tell: Box<Tell>,
}

/// Whether a person may be asked while a key is opened.
#[derive(Clone, Copy)]
pub enum Asking<'a> {
    /// Not yet: another key may open the file without anybody being asked.
    NotYet,
    /// By programs that have a dialogue of their own, such as gpg's agent; kthw has none here.
    Programs,
    /// By programs, and by kthw in this way.
    Person(&'a Person),
}

/// One way to seal and open data keys: age, PGP, AWS KMS and so on. Another service is one more file in this folder.
pub trait KeyService: Send + Sync {
    /// Whether it is responsible for a recipient.
    fn serves(&self, recipient: &Recipient) -> bool;

    /// The recipient as it is to stand in a file, where a part of it is only known to the service; asked for before [`KeyService::encrypt`].
    ///
    /// # Errors
    /// When the service cannot be reached.
    fn settle(&self, _: &Recipient) -> Result<Option<Recipient>, SopsError> {
        Ok(None)
    }

    /// Seals `plain` (a data key or a part of one) to a recipient; the answer is what stands in the file.
    ///
    /// # Errors
    /// When the recipient is malformed or the service cannot be reached.
    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError>;

    /// Whether asking a person can help [`KeyService::decrypt`].
    fn may_ask(&self) -> bool {
        false
    }

    /// Opens what [`KeyService::encrypt`] sealed. It is called with [`Asking::NotYet`] first, and again, if nothing else
    /// opens the file and it [may ask](KeyService::may_ask).
    ///
    /// # Errors
    /// When no private key at hand fits, or the service cannot be reached.
    fn decrypt(&self, key: &MasterKey, asking: Asking<'_>) -> Result<DataKey, SopsError>;
}

/// A new data key from the system's random bytes.
pub fn new_data_key() -> DataKey {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    getrandom::fill(&mut key).expect("the system has random bytes");
    key
}
