//! `kthw secrets encrypt`: a plain file becomes one that only the recipients of `.sops.yaml` can read.
use super::{
    change::{new_key, seal, services},
    target::{Config, Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_sops::{Given, Mode};
use std::path::PathBuf;

/// Encrypt a plain file
#[derive(Debug, Args)]
pub struct Encrypt {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    recipients: Recipients,
    /// Replace the file instead of printing the encrypted text
    #[arg(short, long)]
    in_place: bool,
}

/// Who is to open the file, as sops takes it on its command line.
#[derive(Debug, Args)]
struct Recipients {
    /// Encrypt to these age or SSH public keys, in place of what `.sops.yaml` says; with commas, or repeated
    #[arg(long, env = "SOPS_AGE_RECIPIENTS", value_name = "KEYS")]
    age: Vec<String>,
    /// Encrypt to these PGP fingerprints
    #[arg(long, env = "SOPS_PGP_FP", value_name = "FINGERPRINTS")]
    pgp: Vec<String>,
    /// Encrypt to these keys of AWS KMS: `ARN`, or `ARN+ROLE`
    #[arg(long, env = "SOPS_KMS_ARN", value_name = "ARNS")]
    kms: Vec<String>,
    /// Encrypt to these keys of Google Cloud KMS: `projects/P/locations/L/keyRings/R/cryptoKeys/K`
    #[arg(long, env = "SOPS_GCP_KMS_IDS", value_name = "IDS")]
    gcp_kms: Vec<String>,
    /// Encrypt to these keys of Azure Key Vault, such as `https://VAULT.vault.azure.net/keys/NAME/VERSION`
    #[arg(long, env = "SOPS_AZURE_KEYVAULT_URLS", value_name = "URLS")]
    azure_kv: Vec<String>,
    /// Encrypt to these keys of HashiCorp Vault's transit engine, such as `https://vault:8200/v1/transit/keys/NAME`
    #[arg(long, visible_alias = "hc-vault", env = "SOPS_VAULT_URIS", value_name = "URIS")]
    hc_vault_transit: Vec<String>,
    /// How many key groups are needed to open the file, where its creation rule has several
    #[arg(long, value_name = "NUMBER")]
    shamir_secret_sharing_threshold: Option<usize>,
}

impl Recipients {
    fn given(&self) -> Result<Given> {
        let options = [&self.age, &self.pgp, &self.kms, &self.gcp_kms, &self.azure_kv, &self.hc_vault_transit].map(Vec::as_slice);
        Given::read(options, self.shamir_secret_sharing_threshold).map_err(Error::usage)
    }
}

impl Encrypt {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let plain = target.read()?;
        let mut metadata = target.creation_for(&self.config, &self.recipients.given()?)?;
        let key = new_key(&target, &mut metadata, &services(ui))?;
        let text = seal(&target, &plain, &metadata, &key, None)?;
        if !self.in_place {
            ui.raw(text.as_bytes());
            return Ok(0);
        }
        kthw_sops::replace(&target.path, &target.name, Some(&plain), text.as_bytes(), Mode::Keep).map_err(Error::usage)?;
        ui.note(&format!("Encrypted {}. If its plain text was ever committed or copied, change the secrets in it.", target.name));
        Ok(0)
    }
}
