//! Where the service is and who asks: the variables of the AWS SDKs
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>), and those two of `object_store` that they have no name for.
//!
//! Only what stands here is read. `object_store` has variables of its own for much more, one of which would turn off the verification of TLS.
use super::{address::S3Address, answers::Attentive};
use kthw_engine::{Error, Result, Secret};
use object_store::{
    Certificate, ClientOptions, HeaderValue, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key},
};
use std::{fs, path::PathBuf, time::Duration};

/// Looks up a variable of the environment.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One request, from the connection to the last byte of the answer.
    pub request: Duration,
    /// All requests that try to do one thing.
    pub together: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request: Duration::from_secs(5), together: Duration::from_secs(20) }
    }
}

/// In the order in which they are set: of two regions the first counts.
const READ: [(&str, Key); 16] = [
    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Key::Token),
    ("AWS_REGION", Key::Region),
    ("AWS_DEFAULT_REGION", Key::DefaultRegion),
    ("AWS_ENDPOINT_URL", Key::Endpoint),
    ("AWS_ENDPOINT_URL_S3", Key::S3Endpoint),
    ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", Key::VirtualHostedStyleRequest),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Key::MetadataEndpoint),
];
/// What is taken out of whatever a person gets to see.
const SECRET: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
/// One of these says where credentials come from.
const CREDENTIALS: [&str; 4] =
    ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"];
/// The one word that lets http be spoken, as `object_store` and its users spell it.
const ALLOW_HTTP: &str = "AWS_ALLOW_HTTP";

/// A client for the bucket of `address`. Nothing is asked yet.
pub(super) fn client(address: &S3Address, variables: &Variables<'_>, limits: Limits) -> Result<AmazonS3> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let http = set(ALLOW_HTTP).is_some_and(|value| value == "true");
    for name in ENDPOINTS {
        if let Some(url) = set(name) {
            check_endpoint(name, &url, http)?;
        }
    }
    if !CREDENTIALS.iter().any(|name| set(name).is_some()) && !on_ec2() {
        return Err(Error::usage(NoCredentials));
    }
    for secret in SECRET.iter().filter_map(|name| set(name)) {
        // Whoever gets it may echo it.
        Secret::new(secret).expose();
    }
    let mut options = ClientOptions::new()
        .with_timeout(limits.request)
        .with_connect_timeout(limits.request)
        .with_user_agent(HeaderValue::from_static(concat!("kthw/", env!("CARGO_PKG_VERSION"))))
        .with_allow_http(http);
    if let Some(path) = set("AWS_CA_BUNDLE") {
        for certificate in certificates(path.into())? {
            options = options.with_root_certificate(certificate);
        }
    }
    // Every try is one of ours: a write that is tried again needs a look at what the first try did.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new()
        .with_bucket_name(address.bucket())
        .with_client_options(options)
        .with_retry(retry)
        .with_disable_bulk_delete(true)
        .with_http_connector(Attentive);
    let builder = READ.iter().fold(builder, |builder, (name, key)| match set(name) {
        Some(value) => builder.with_config(*key, value),
        None => builder,
    });
    // The library takes the process-wide provider. A second call finds the first one's and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.build().map_err(|error| Error::usage(Unusable { why: error.to_string() }))
}

/// The endpoint that is asked, for messages.
pub(super) fn endpoint(variables: &Variables<'_>) -> String {
    let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().filter_map(variables).find(|url| !url.is_empty());
    named.unwrap_or_else(|| "AWS".into())
}

fn check_endpoint(name: &'static str, url: &str, http: bool) -> Result<()> {
    let uri: Option<http::Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(http::Uri::authority);
    match uri.as_ref().and_then(http::Uri::scheme_str) {
        // A password in it would be shown wherever the endpoint is.
        Some("http" | "https") if authority.is_none_or(|authority| authority.as_str().contains('@')) => {
            Err(Error::usage(BadEndpoint { name }))
        }
        Some("https") => Ok(()),
        Some("http") if http => Ok(()),
        Some("http") => Err(Error::usage(PlainHttp { name, url: url.into() })),
        _ => Err(Error::usage(BadEndpoint { name })),
    }
}

fn certificates(path: PathBuf) -> Result<Vec<Certificate>> {
    let unusable = |why: String| Error::usage(BadBundle { path: path.clone(), why });
    let text = fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() { Err(unusable("it holds no certificate".into())) } else { Ok(found) }
}

/// Only EC2 has a metadata service that gives credentials to whoever runs there; elsewhere asking for it only costs time.
fn on_ec2() -> bool {
    fs::read_to_string("/sys/class/dmi/id/sys_vendor").is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there are no credentials for S3")]
#[diagnostic(
    code(kthw::store::s3_credentials),
    help(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; those of a profile become variables with \
         `eval \"$(aws configure export-credentials --format env)\"`"
    )
)]
struct NoCredentials;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{name} is not encrypted: {url}")]
#[diagnostic(
    code(kthw::store::s3_http),
    help("use https; where nobody else is on the way, such as on this machine, set AWS_ALLOW_HTTP=true")
)]
struct PlainHttp {
    name: &'static str,
    url: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{name} is no address of a service")]
#[diagnostic(code(kthw::store::s3_endpoint), help("write it as https://HOST or https://HOST:PORT, without user and password"))]
struct BadEndpoint {
    name: &'static str,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot use the certificates of `{}`, which AWS_CA_BUNDLE names: {why}", path.display())]
#[diagnostic(code(kthw::store::s3_certificates), help("it must be a file of certificates in PEM"))]
struct BadBundle {
    path: PathBuf,
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the settings for S3 cannot be used: {why}")]
#[diagnostic(code(kthw::store::s3_settings), help("look at the variables that begin with AWS_"))]
struct Unusable {
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(variables: &[(&str, &str)]) -> std::result::Result<AmazonS3, String> {
        let find = |name: &str| variables.iter().find(|known| known.0 == name).map(|known| known.1.to_owned());
        let address = "s3://team-kthw/clusters".parse().expect("an address");
        client(&address, &find, Limits::default()).map_err(|error| error.to_string())
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "canary-of-the-settings")];

    #[test]
    fn what_is_missing_or_wrong_is_told_before_anybody_is_asked() {
        assert!(made(&KEYS).is_ok());
        let with = |more: &[(&'static str, &'static str)]| made(&[&KEYS[..], more].concat());
        assert!(with(&[("AWS_ENDPOINT_URL", "")]).is_ok());
        assert!(with(&[("AWS_ENDPOINT_URL", "https://s3.example.com:9000")]).is_ok());
        assert!(with(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_ALLOW_HTTP", "true")]).is_ok());
        for (variables, expected) in [
            (vec![KEYS[0]], "Missing SecretAccessKey"),
            ([&KEYS[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]].concat(), "AWS_ENDPOINT_URL is not encrypted: http://127.0.0.1:9"),
            (
                [&KEYS[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_ALLOW_HTTP", "false")]].concat(),
                "AWS_ENDPOINT_URL is not encrypted",
            ),
            ([&KEYS[..], &[("AWS_ENDPOINT_URL_S3", "s3.example.com")]].concat(), "AWS_ENDPOINT_URL_S3 is no address of a service"),
            ([&KEYS[..], &[("AWS_ENDPOINT_URL", "https://me:canary-2@s3.example.com")]].concat(), "AWS_ENDPOINT_URL is no address"),
            ([&KEYS[..], &[("AWS_CA_BUNDLE", "/nowhere/at/all")]].concat(), "cannot use the certificates of `/nowhere/at/all`"),
        ] {
            let told = made(&variables).expect_err(expected);
            assert!(told.contains(expected) && !told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn a_secret_that_was_read_is_never_shown() {
        made(&KEYS).expect("the settings are right");
        assert_eq!(kthw_engine::presentable("it says canary-of-the-settings"), "it says <secret>");
    }

    #[test]
    fn without_credentials_nobody_is_asked_for_them_but_on_ec2() {
        assert_eq!(made(&[]).err().as_deref(), (!on_ec2()).then_some("there are no credentials for S3"));
    }

    /// A variable of `object_store`'s own that would let anybody answer.
    #[test]
    fn verification_cannot_be_turned_off() {
        assert!(READ.iter().all(|(name, _)| !name.contains("INVALID")));
        assert_eq!("aws_allow_invalid_certificates".parse::<Key>().map(|key| READ.iter().any(|(_, read)| *read == key)).ok(), Some(false));
    }
}
