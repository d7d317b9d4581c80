//! Keys of AWS KMS: `Encrypt` and `Decrypt`, as sops calls them
//! (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>).
use super::{
    Asking, DataKey, KeyService, MasterKey, Recipient, Variables,
    aws::{self, Account, Call},
};
use crate::SopsError;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

const HELP: &str = "give credentials that may use the KMS key: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

pub(super) struct KmsService {
    variables: Arc<Variables>,
}

impl KmsService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self { variables }
    }

    /// Calls an operation of KMS with the key of `recipient`.
    fn call<A: for<'a> Deserialize<'a>>(
        &self,
        recipient: &Recipient,
        operation: &str,
        body: impl FnOnce(&str, &BTreeMap<String, String>) -> Zeroizing<Vec<u8>>,
    ) -> Result<A, String> {
        let Recipient::AwsKms { arn, role, context, profile } = recipient else { return Err("it is no KMS key".into()) };
        let (partition, region) = parse(arn).ok_or("its name is not of the form arn:aws:kms:REGION:ACCOUNT:key/ID")?;
        let account = Account { partition, region, role: role.as_deref(), profile: profile.as_deref().filter(|name| !name.is_empty()) };
        let target = format!("TrentService.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
        let answer = aws::call(&self.variables, &account, Call { service: "kms", headers: &headers, body: body(arn, context) })?;
        serde_json::from_slice(&answer).map_err(|_| "its answer is not what KMS answers".into())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptRequest<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptAnswer {
    ciphertext_blob: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptRequest<'a> {
    key_id: &'a str,
    ciphertext_blob: &'a str,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptAnswer {
    plaintext: String,
}

impl KeyService for KmsService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::AwsKms { .. })
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(plain));
        let body = |key_id: &str, encryption_context: &_| json(&EncryptRequest { key_id, plaintext: &plaintext, encryption_context });
        let answer: Result<EncryptAnswer, String> = self.call(recipient, "Encrypt", body);
        answer.map(|answer| answer.ciphertext_blob).map_err(|reason| SopsError::CannotSeal {
            recipient: recipient.to_string(),
            reason,
            help: HELP.into(),
        })
    }

    fn decrypt(&self, key: &MasterKey, _: Asking<'_>) -> Result<DataKey, SopsError> {
        let failed = |reason: String| SopsError::CannotOpen { recipient: key.recipient.to_string(), reason, help: HELP.into() };
        let ciphertext_blob = key.encrypted.trim();
        let body = |key_id: &str, encryption_context: &_| json(&DecryptRequest { key_id, ciphertext_blob, encryption_context });
        let answer: DecryptAnswer = self.call(&key.recipient, "Decrypt", body).map_err(failed)?;
        let plaintext = Zeroizing::new(answer.plaintext);
        BASE64_STANDARD.decode(&*plaintext).map(Zeroizing::new).map_err(|_| failed("its answer is not what KMS answers".into()))
    }
}

fn json(request: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Room for everything at once: a vector that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(16 << 10));
    serde_json::to_writer(&mut *body, request).expect("strings and maps of strings have a JSON form");
    body
}

/// The partition and the region in the ARN of a KMS key or alias.
fn parse(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, resource] = parts[..] else { return None };
    let name = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"))?;
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // The region becomes part of a host name.
    let fits = partition.starts_with("aws") && word(partition) && word(region) && !name.is_empty();
    (fits && !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit())).then_some((partition, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns() {
        for (arn, expected) in [
            ("arn:aws:kms:eu-west-1:123456789012:key/612d5f0d-a1b2", Some(("aws", "eu-west-1"))),
            ("arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/team/a:b", Some(("aws-us-gov", "us-gov-west-1"))),
            ("arn:aws:kms:eu-west-1:123456789012:key/", None),
            ("arn:aws:kms:evil.test/:123456789012:key/1", None),
            ("arn:aws:kms::123456789012:key/1", None),
            ("arn:aws:s3:eu-west-1:123456789012:key/1", None),
            ("arn:aws:kms:eu-west-1:me:key/1", None),
            ("612d5f0d-a1b2", None),
        ] {
            assert_eq!(parse(arn), expected, "{arn}");
        }
    }

    #[test]
    fn a_request_has_the_names_of_kms() {
        let context = BTreeMap::from([("app".into(), "kthw".into())]);
        let request = json(&EncryptRequest { key_id: "arn", plaintext: "AAA=", encryption_context: &context });
        assert_eq!(str::from_utf8(&request), Ok(r#"{"KeyId":"arn","Plaintext":"AAA=","EncryptionContext":{"app":"kthw"}}"#));
    }
}
