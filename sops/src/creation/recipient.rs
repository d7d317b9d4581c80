//! Recipients as people write them in `.sops.yaml`, checked as far as that can be done without asking a service.
use super::{CreationRules, start_of};
use crate::{
    SopsError,
    keys::{OtherKind, Recipient, is_gcp_key, is_plugin_recipient},
};
use kthw_yaml::{Node, Problem};
use miette::NamedSource;
use regex::{Captures, Regex};
use std::sync::Arc;
use url::Url;

/// Why a text names nobody.
#[derive(Debug)]
pub(super) struct Malformed {
    what: &'static str,
    help: &'static str,
    text: Option<String>,
}

impl Malformed {
    fn new(what: &'static str, help: &'static str) -> Self {
        Self { what, help, text: None }
    }

    /// Knows which of several texts with commas it is.
    pub fn of(self, text: &str) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    /// The error about a recipient on the command line, which is not shown: it may be a private key.
    pub fn given(self, option: &'static str, text: &str) -> SopsError {
        let help = if is_private(text) { PRIVATE_HELP.replace("this file", "the command line") } else { self.help.into() };
        SopsError::NoSuchRecipient { option, what: self.what, help }
    }

    /// The diagnostic, with its place: the text itself where it is written in one piece, or else the node.
    pub fn at(self, file: &CreationRules, node: &Node) -> SopsError {
        let source = file.source.inner();
        let written = source.get(node.span.clone()).unwrap_or_default();
        let start = self.text.as_ref().and_then(|text| Some((node.span.start + written.find(text.as_str())?, text.len())));
        let span = start.map_or_else(|| start_of(node, source), |(start, len)| start..start + len);
        let problem = match is_private(written) {
            true => Problem::new(PRIVATE_CODE, "a private key stands here", Arc::new(without_private_keys(&file.source)), PRIVATE_HELP),
            false => file.problem("kthw::sops::malformed_recipient", format!("this is not {}", self.what), self.help),
        };
        problem.at(span, "nobody").into()
    }
}

/// What a private key of age begins with, and one of its plugins, which may be as secret.
const PRIVATE: [&str; 2] = ["AGE-SECRET-KEY-", "AGE-PLUGIN-"];
const PRIVATE_CODE: &str = "kthw::sops::private_key";
const PRIVATE_HELP: &str =
    "write the public key, which begins with `age1`. Whoever saw this file can open what the key opens: make a new key";

fn is_private(text: &str) -> bool {
    PRIVATE.iter().any(|start| text.contains(start))
}

/// The same text with all private keys covered, since a diagnostic shows the lines that it is about.
fn without_private_keys(source: &NamedSource<String>) -> NamedSource<String> {
    let key = Regex::new(&format!("({})[A-Z0-9+._-]*", PRIVATE.join("|"))).expect("the pattern is right");
    let covered = key.replace_all(source.inner(), |found: &Captures<'_>| "*".repeat(found[0].len())).into_owned();
    NamedSource::new(source.name(), covered)
}

pub(super) fn age(text: &str) -> Result<Recipient, Malformed> {
    let help = "a public key begins with `age1` (as `age-keygen` prints it), `ssh-ed25519` or `ssh-rsa`; a private key never stands here";
    let fits = match text {
        // What it says only the plugin knows, but it has a checksum.
        _ if is_plugin_recipient(text) => bech32::decode(text).is_ok(),
        _ if text.starts_with("age1") => text.parse::<age::x25519::Recipient>().is_ok(),
        _ if text.starts_with("ssh-") => text.parse::<age::ssh::Recipient>().is_ok(),
        _ => false,
    };
    if fits { Ok(Recipient::Age(text.into())) } else { Err(Malformed::new("an age or SSH public key", help)) }
}

pub(super) fn pgp(text: &str) -> Result<Recipient, Malformed> {
    let fingerprint = text.replace(' ', "");
    let digits = fingerprint.strip_prefix("0x").unwrap_or(&fingerprint).trim_end_matches('!');
    if digits.len() < 8 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Malformed::new("the fingerprint of a PGP key", "write the 40 digits that `gpg --list-keys` shows"));
    }
    Ok(Recipient::Pgp(fingerprint))
}

/// `ARN`, or `ARN+ROLE`.
pub(super) fn kms(text: &str, profile: Option<&str>) -> Result<Recipient, Malformed> {
    let text = text.replace(' ', "");
    let (arn, role) = match text.find("+arn:aws:iam::") {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text.as_str(), ""),
    };
    kms_block(arn, role, Vec::new(), profile.unwrap_or_default())
}

pub(super) fn kms_block(arn: &str, role: &str, context: Vec<(String, String)>, profile: &str) -> Result<Recipient, Malformed> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let fits = matches!(parts[..], ["arn", partition, "kms", region, account, key]
        if partition.starts_with("aws") && !region.is_empty() && !account.is_empty() && account.bytes().all(|digit| digit.is_ascii_digit())
            && (key.starts_with("key/") || key.starts_with("alias/")));
    if !fits {
        return Err(Malformed::new("the ARN of an AWS KMS key", "write it as `arn:aws:kms:REGION:ACCOUNT:key/ID`"));
    }
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(Recipient::AwsKms { arn: arn.into(), role: some(role), context: context.into_iter().collect(), profile: some(profile) })
}

pub(super) fn gcp_kms(text: &str) -> Result<Recipient, Malformed> {
    let help = "write it as `projects/P/locations/L/keyRings/R/cryptoKeys/K`";
    let text = text.replace(' ', "");
    other(OtherKind::GcpKms, &[("resource_id", &text)], is_gcp_key(&text), "the name of a GCP KMS key", help)
}

pub(super) fn huawei_kms(text: &str) -> Result<Recipient, Malformed> {
    other(OtherKind::HuaweiKms, &[("key_id", text)], text.contains(':'), "the name of a Huawei Cloud KMS key", "write it as `REGION:ID`")
}

/// `https://VAULT/keys/NAME/VERSION`.
pub(super) fn azure_url(text: &str) -> Result<Recipient, Malformed> {
    let (vault, key) = text.split_once("/keys/").unwrap_or((text, ""));
    let (name, version) = key.split_once('/').unwrap_or((key, ""));
    azure(vault, name, version)
}

pub(super) fn azure(vault: &str, name: &str, version: &str) -> Result<Recipient, Malformed> {
    let fits = vault.starts_with("https://") && !name.is_empty() && !name.contains('/') && !version.contains('/');
    let fields = [("vault_url", vault), ("name", name), ("version", version)];
    other(
        OtherKind::AzureKeyVault,
        &fields,
        fits,
        "a key in Azure Key Vault",
        "write it as `https://VAULT.vault.azure.net/keys/NAME/VERSION`",
    )
}

/// `https://HOST:PORT/v1/ENGINE/keys/NAME`.
pub(super) fn vault(text: &str) -> Result<Recipient, Malformed> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let path: Vec<&str> = url.as_ref().map(|url| url.path().trim_matches('/').split('/').collect()).unwrap_or_default();
    let fits = path.len() >= 4 && path[0].strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    let address = url.as_ref().and_then(|url| text.find(url.path()).filter(|_| fits)).map(|at| &text[..at]).unwrap_or_default();
    let (engine, name) = if fits { (path[1..path.len() - 2].join("/"), path[path.len() - 1]) } else { (String::new(), "") };
    let fields = [("vault_address", address), ("engine_path", &engine), ("key_name", name)];
    other(OtherKind::Vault, &fields, fits, "a key of Vault's transit engine", "write it as `https://VAULT:8200/v1/transit/keys/NAME`")
}

fn other(kind: OtherKind, fields: &[(&str, &str)], fits: bool, what: &'static str, help: &'static str) -> Result<Recipient, Malformed> {
    if !fits {
        return Err(Malformed::new(what, help));
    }
    Ok(Recipient::Other { kind, fields: fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect() })
}
