//! Who can open a file: recipients, the data key sealed to each of them, and the services that seal and open it.
//!
//! A file has one group of keys, any of which opens it; or several groups, each holding one part of the data key
//! (<https://github.com/getsops/sops/blob/v3.11.0/README.rst>, "Key groups").
pub(super) mod age;

use super::{Metadata, SopsError};
use std::{collections::BTreeMap, ffi::OsString, fmt};
use zeroize::Zeroizing;

/// The key that encrypts all values of a file, 32 bytes; the file holds it sealed to each recipient.
pub type DataKey = Zeroizing<Vec<u8>>;

/// Looks up an environment variable.
pub(super) type Variables = dyn Fn(&str) -> Option<OsString> + Send + Sync;

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
    /// A key of a service that kthw does not use; kept as it stands in the file.
    Other {
        /// The service.
        kind: OtherKind,
        /// The fields that name the key, in the order of the file, without `enc` and `created_at`.
        fields: Vec<(String, String)>,
    },
}

/// Key services that sops knows and kthw does not use yet.
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
    /// All of them, with the name of their list in the `sops` block, the name that people use, and the field that tells keys apart.
    pub(super) const ALL: [(Self, &'static str, &'static str, &'static str); 4] = [
        (Self::GcpKms, "gcp_kms", "GCP KMS", "resource_id"),
        (Self::AzureKeyVault, "azure_kv", "Azure Key Vault", "name"),
        (Self::Vault, "hc_vault", "HashiCorp Vault", "key_name"),
        (Self::HuaweiKms, "hckms", "Huawei Cloud KMS", "key_id"),
    ];
}

/// As people know it: `age age1…`, `PGP 85D7…`, `AWS KMS arn:…`.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(recipient) => write!(f, "age {recipient}"),
            Self::Pgp(fingerprint) => write!(f, "PGP {fingerprint}"),
            Self::AwsKms { arn, .. } => write!(f, "AWS KMS {arn}"),
            Self::Other { kind, fields } => {
                let (_, _, words, field) = OtherKind::ALL.iter().find(|known| known.0 == *kind).expect("ALL lists every kind");
                let name = fields.iter().find(|(key, _)| key == field).map(|(_, value)| value.as_str()).unwrap_or_default();
                write!(f, "{words} {name}")
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

/// One way to seal and open data keys: age, PGP, AWS KMS. Another service is one more file in this folder.
pub trait KeyService: Send + Sync {
    /// Whether it is responsible for a recipient.
    fn serves(&self, recipient: &Recipient) -> bool;

    /// Seals `plain` (a data key or a part of one) to a recipient; the answer is what stands in the file.
    ///
    /// # Errors
    /// When the recipient is malformed or the service cannot be reached.
    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError>;

    /// Opens what [`KeyService::encrypt`] sealed.
    ///
    /// # Errors
    /// When no private key at hand fits, or the service cannot be reached.
    fn decrypt(&self, key: &MasterKey) -> Result<DataKey, SopsError>;
}

/// A new data key from the system's random bytes.
pub fn new_data_key() -> DataKey {
    let mut key = Zeroizing::new(vec![0; 32]);
    getrandom::fill(&mut key).expect("the system has random bytes");
    key
}

/// All services that kthw knows, over one environment.
pub struct KeyServices {
    variables: Box<Variables>,
}

impl KeyServices {
    /// Over the environment of the process.
    pub fn of_environment() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    /// Over other variables.
    pub fn new(variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self { variables: Box::new(variables) }
    }

    /// The data key of `file`, whose `sops` block is `metadata`.
    ///
    /// # Errors
    /// When no key at hand opens it, or too few groups of several.
    pub fn data_key(&self, file: &str, metadata: &Metadata) -> Result<DataKey, SopsError> {
        age::data_key(file, metadata, &*self.variables)
    }

    /// Seals `key` to everybody in `groups`; with several groups, a part to each, of which `threshold` (all, if `None`) are needed.
    ///
    /// # Errors
    /// When one recipient is malformed or its service cannot be reached: then nobody's key is changed.
    pub fn seal_to(&self, file: &str, groups: &mut [Group], threshold: Option<usize>, key: &DataKey) -> Result<(), SopsError> {
        age::seal_to(file, groups, threshold, key)
    }
}
