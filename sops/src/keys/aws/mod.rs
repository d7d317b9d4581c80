//! Signed requests to AWS: credentials, roles, endpoints. reqsign finds credentials and signs; kthw's own HTTP client sends.
//!
//! The variables are those of the AWS SDKs (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>): credentials from
//! the environment, shared files, single sign-on, a process, a container or, on EC2, the instance; `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_KMS`
//! and `AWS_ENDPOINT_URL_STS`; `AWS_CA_BUNDLE`.
mod context;
mod profile;

use self::{
    context::{Client, context},
    profile::{Base, Role},
};
use super::{Variables, exchange::within_limit};
use bytes::Bytes;
use http::Request;
use kthw_http::{HttpClient, Trust, send};
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, ProvideCredential, Signer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{fs, sync::Arc};
use zeroize::Zeroizing;

/// Whose key is used, and how to become somebody who may.
pub(super) struct Account<'a> {
    /// `aws`, `aws-cn`, …
    pub partition: &'a str,
    pub region: &'a str,
    pub role: Option<&'a str>,
    pub profile: Option<&'a str>,
}

/// A request.
pub(super) struct Call<'a> {
    pub service: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Zeroizing<Vec<u8>>,
}

/// Sends a signed request and gives its answer. The error says in words what was refused, or where credentials were looked for.
pub(super) fn call(variables: &Arc<Variables>, account: &Account<'_>, call: Call<'_>) -> Result<Zeroizing<Vec<u8>>, String> {
    let work = async {
        let trust = variables("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        let trust = trust.map_or(Trust::System, |path| Trust::CaFile(path.into()));
        let client = Client(Arc::new(HttpClient::new(&trust).map_err(|error| error.to_string())?));
        let session = Session { variables: &**variables, account, client: client.clone(), context: context(variables, client) };
        let (base, mut roles) = profile::resolve(&**variables, account.profile)?;
        roles.extend(account.role.map(Role::new));
        let mut credential = session.credential(&base).await?;
        for role in &roles {
            credential = session.assume(&credential, role).await?;
        }
        session.send(&credential, call).await
    };
    within_limit("AWS", work)
}

struct Session<'a> {
    variables: &'a Variables,
    account: &'a Account<'a>,
    client: Client,
    context: Context,
}

impl Session<'_> {
    async fn credential(&self, base: &Base) -> Result<Credential, String> {
        let mut builder = DefaultCredentialProvider::builder();
        builder = match base {
            Base::Anything => builder,
            Base::Profile(profile) => builder.no_env().no_web_identity().with_profile(profile),
            Base::Environment => builder.no_profile().no_sso().no_process().no_ecs().no_imds(),
            Base::Surroundings => builder.no_env().no_profile().no_sso().no_process().no_web_identity(),
        };
        if !on_ec2() {
            builder = builder.no_imds();
        }
        match builder.build().provide_credential(&self.context).await {
            Ok(Some(credential)) => Ok(credential),
            _ => Err(self.no_credential(base)),
        }
    }

    fn no_credential(&self, base: &Base) -> String {
        let [credentials, config] =
            profile::files(self.variables).map(|file| file.map_or("(no HOME)".into(), |file| file.display().to_string()));
        let environment = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        let named = || (self.variables)("AWS_PROFILE").map_or("default".into(), |name| name.to_string_lossy().into_owned());
        let looked = match base {
            Base::Anything => format!("{environment}, the profile `{}` in {credentials} and {config}", named()),
            Base::Profile(profile) => format!("the profile `{profile}` in {credentials} and {config}"),
            Base::Environment => environment.into(),
            Base::Surroundings => "the container and the instance".into(),
        };
        format!("found no AWS credentials; looked at {looked}")
    }

    /// Credentials of a role, from STS (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
    async fn assume(&self, credential: &Credential, role: &Role) -> Result<Credential, String> {
        let Role { arn, session, external_id } = role;
        let session = session.clone().unwrap_or_else(session_name);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", arn), ("RoleSessionName", &session)])
            .extend_pairs(external_id.iter().map(|id| ("ExternalId", id)))
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let request = Call { service: "sts", headers: &headers, body: Zeroizing::new(form.into_bytes()) };
        let answer = self.send(credential, request).await.map_err(|reason| format!("cannot assume the role {arn}: {reason}"))?;
        let answer = Zeroizing::new(String::from_utf8_lossy(&answer).into_owned());
        let field = |name: &str| element(&answer, name).ok_or_else(|| format!("cannot assume the role {arn}: STS answered without {name}"));
        Ok(Credential {
            access_key_id: field("AccessKeyId")?.into(),
            secret_access_key: field("SecretAccessKey")?.into(),
            session_token: Some(field("SessionToken")?.into()),
            expires_in: None,
        })
    }

    async fn send(&self, credential: &Credential, call: Call<'_>) -> Result<Zeroizing<Vec<u8>>, String> {
        let endpoint = endpoint(self.variables, call.service, self.account);
        let mut request = Request::post(&endpoint).header("x-amz-content-sha256", hex::encode(Sha256::digest(&*call.body)));
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        // The bytes are wiped when the request is done with.
        let request = request.body(Bytes::from_owner(call.body)).map_err(|_| format!("{endpoint} is no address"))?;
        let (mut head, body) = request.into_parts();
        let mut known = StaticCredentialProvider::new(&credential.access_key_id, &credential.secret_access_key);
        if let Some(token) = &credential.session_token {
            known = known.with_session_token(token);
        }
        let signer = Signer::new(self.context.clone(), known, RequestSigner::new(call.service, self.account.region));
        signer.sign(&mut head, None).await.map_err(|error| format!("the request to {endpoint} cannot be signed: {error}"))?;
        let answer = send(&*self.client.0, Request::from_parts(head, body)).await;
        let answer = answer.map_err(|error| format!("{endpoint} does not answer: {error}"))?;
        if answer.status().is_success() {
            return Ok(Zeroizing::new(answer.into_body().to_vec()));
        }
        Err(format!("{endpoint} answers {}", refusal(answer.status().as_u16(), answer.body())))
    }
}

/// Where a service is: `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL`, or its place at AWS.
fn endpoint(variables: &Variables, service: &str, account: &Account<'_>) -> String {
    let named = [format!("AWS_ENDPOINT_URL_{}", service.to_uppercase()), "AWS_ENDPOINT_URL".into()];
    let named = named.iter().filter_map(|name| variables(name)?.into_string().ok()).find(|url| !url.is_empty());
    let endpoint = named.unwrap_or_else(|| {
        let domain = match account.partition {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            "aws-iso" => "c2s.ic.gov",
            "aws-iso-b" => "sc2s.sgov.gov",
            _ => "amazonaws.com",
        };
        format!("https://{service}.{}.{domain}", account.region)
    });
    format!("{}/", endpoint.trim_end_matches('/'))
}

/// What a service says when it refuses: JSON from KMS, XML from STS.
fn refusal(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| json.get(name).and_then(Value::as_str);
    let kind = field("__type").and_then(|kind| kind.rsplit('#').next()).or_else(|| element(&text, "Code"));
    let message = field("message").or_else(|| field("Message")).or_else(|| element(&text, "Message"));
    let words: Vec<&str> = [kind, message].into_iter().flatten().collect();
    let words: String = words.join(": ").chars().filter(|c| !c.is_control()).take(300).collect();
    if words.is_empty() { format!("with status {status}") } else { words }
}

/// The text of the first element of this name. What STS puts there has no markup.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(text, _)| text).filter(|text| !text.is_empty())
}

/// As sops names it, because policies may ask for that name.
fn session_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).take(58).collect();
    format!("sops@{}", if host.is_empty() { "kthw" } else { &host })
}

/// Only EC2 has a metadata service; elsewhere asking for it only costs time.
fn on_ec2() -> bool {
    fs::read_to_string("/sys/class/dmi/id/sys_vendor").is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    const ACCOUNT: Account<'_> = Account { partition: "aws", region: "eu-west-1", role: None, profile: None };

    #[test]
    fn endpoints() {
        let with = |variables: &'static [(&str, &str)]| {
            move |name: &str| variables.iter().find(|known| known.0 == name).map(|known| OsString::from(known.1))
        };
        assert_eq!(endpoint(&with(&[]), "kms", &ACCOUNT), "https://kms.eu-west-1.amazonaws.com/");
        let china = Account { partition: "aws-cn", region: "cn-north-1", ..ACCOUNT };
        assert_eq!(endpoint(&with(&[]), "sts", &china), "https://sts.cn-north-1.amazonaws.com.cn/");
        let both = with(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:2/")]);
        assert_eq!(endpoint(&both, "kms", &ACCOUNT), "http://127.0.0.1:2/");
        assert_eq!(endpoint(&both, "sts", &ACCOUNT), "http://127.0.0.1:1/");
        assert_eq!(endpoint(&with(&[("AWS_ENDPOINT_URL", "")]), "kms", &ACCOUNT), "https://kms.eu-west-1.amazonaws.com/");
    }

    #[test]
    fn refusals_in_json_and_xml() {
        let json = br#"{"__type":"com.amazonaws.kms#AccessDeniedException","message":"User is not authorized"}"#;
        assert_eq!(refusal(400, json), "AccessDeniedException: User is not authorized");
        let xml = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no\nway</Message></Error></ErrorResponse>";
        assert_eq!(refusal(403, xml), "AccessDenied: noway");
        assert_eq!(refusal(502, b"<html>"), "with status 502");
    }
}
