//! Recipients that are named on the command line, as sops takes them there.
use super::{recipient, rule::distinct};
use crate::{
    Metadata, SopsError,
    keys::{Group, Recipient},
};
use std::path::Path;

/// Who is to open a file, in place of what the creation rules say.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The recipients, as one group; empty when none is named.
    pub(super) group: Group,
    threshold: Option<usize>,
}

impl Given {
    /// Reads recipients, each option a text with commas or several: age, PGP, AWS KMS (`ARN` or `ARN+ROLE`),
    /// GCP KMS, Azure Key Vault and Vault. `threshold` is how many
    /// key groups are needed, where a creation rule has several.
    ///
    /// # Errors
    /// When a recipient is none.
    pub fn read([age, pgp, kms, gcp, azure, vault]: [&[String]; 6], threshold: Option<usize>) -> Result<Self, SopsError> {
        let mut found = Vec::new();
        let mut each = |option, texts: &[String], make: fn(&str) -> Result<Recipient, recipient::Malformed>| {
            for text in texts.iter().flat_map(|texts| texts.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
                found.push(make(text).map_err(|malformed| malformed.given(option, text))?);
            }
            Ok::<(), SopsError>(())
        };
        each("--age", age, recipient::age)?;
        each("--pgp", pgp, recipient::pgp)?;
        each("--kms", kms, |arn| recipient::kms(arn, None))?;
        each("--gcp-kms", gcp, recipient::gcp_kms)?;
        each("--azure-kv", azure, recipient::azure_url)?;
        each("--hc-vault-transit", vault, recipient::vault)?;
        Ok(Self { group: distinct(found), threshold })
    }

    /// What a rule came to, with the threshold that is given. A single group needs none.
    pub(super) fn threshold_of(&self, file: &Path, rule: Metadata) -> Result<Metadata, SopsError> {
        let groups = rule.groups.len();
        match self.threshold.filter(|threshold| *threshold > 0 && groups > 1) {
            Some(threshold) if !(2..=groups).contains(&threshold) => {
                Err(SopsError::Threshold { file: file.display().to_string(), threshold, groups })
            }
            Some(threshold) => Ok(Metadata { shamir_threshold: Some(threshold), ..rule }),
            None => Ok(rule),
        }
    }
}
