//! What a failed request means: whether it is worth another try, and what a person can do about it.
use super::answers::Refusal;
use kthw_engine::Error;
use object_store::client::{HttpError, HttpErrorKind};
use std::{error::Error as StdError, io};

const ELSEWHERE: &str = "look whether AWS_ENDPOINT_URL is the address of an S3";

/// Why a request did not do what it was to.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such object.
    Absent,
    /// What is there is not as the write's condition says, or somebody else is writing it.
    Unmet,
    /// It may go better next time. Whether it was done, nobody knows.
    Passing { why: String, help: String },
    /// It will not.
    Final { why: String, help: String },
}

impl Failure {
    pub fn passing(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), help: help.into() }
    }

    pub fn last(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Final { why: why.into(), help: help.into() }
    }

    /// No credentials could be had, whoever was asked for them.
    pub fn of_credentials(error: &object_store::Error) -> Self {
        let help = "look at the variables AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and AWS_CONTAINER_*, or give AWS_ACCESS_KEY_ID and \
                    AWS_SECRET_ACCESS_KEY";
        Self::passing(format!("no credentials could be had: {}", innermost(error)), help)
    }

    /// The error for a person: `deed` was to be done, such as "write `lease`".
    pub fn told(self, deed: String, place: String) -> Error {
        let (why, help) = match self {
            Self::Absent => ("it is not there".into(), "look whether somebody removes it".into()),
            Self::Unmet => ("somebody else changes it all the time".into(), "try again".into()),
            Self::Passing { why, help } | Self::Final { why, help } => (why, help),
        };
        Error::peer(S3Failed { deed, place, why, help })
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        if let Some(refusal) = causes(&error).find_map(|cause| cause.downcast_ref::<Refusal>()) {
            return of_refusal(refusal);
        }
        if let Some(tls) = causes(&error).find_map(of_tls) {
            let help = "if the service's certificate is signed by an authority of your own, name its file in AWS_CA_BUNDLE";
            return Self::last(format!("TLS: {tls}"), help);
        }
        let help = "look whether the service runs and is reached from here";
        match causes(&error).find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind) {
            Some(HttpErrorKind::Timeout) => Self::passing("it does not answer in time", help),
            Some(_) => Self::passing(innermost(&error), help),
            None => Self::last(innermost(&error), ELSEWHERE),
        }
    }
}

fn of_refusal(refusal: &Refusal) -> Failure {
    let told = format!("it answers {refusal}");
    let last = |help: &str| Failure::last(told.clone(), help);
    match (refusal.status, refusal.code.as_str()) {
        (301 | 307 | 308, _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => match &refusal.region {
            Some(region) => Failure::last(format!("the bucket is in the region {region}"), format!("set AWS_REGION={region}")),
            None => last("set AWS_REGION to the region of the bucket"),
        },
        (404, "NoSuchKey") => Failure::Absent,
        (404, "NoSuchBucket") => last("make the bucket, or look at its name, AWS_REGION and AWS_ENDPOINT_URL"),
        (409 | 412, _) => Failure::Unmet,
        (_, "RequestTimeTooSkewed") => last("set the clock of this machine"),
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidClientTokenId") => {
            last("look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and that they are of this service")
        }
        (_, "ExpiredToken") => last("get new credentials: AWS_SESSION_TOKEN is too old"),
        (401 | 403, _) => {
            last("let these credentials s3:GetObject, s3:PutObject and s3:DeleteObject there, and s3:ListBucket in the bucket")
        }
        (501, _) => last("it knows no conditional writes: use another service (docs/guides/share-a-store.md)"),
        (408 | 429 | 500.., _) => Failure::passing(told, "try again later"),
        _ => last(ELSEWHERE),
    }
}

/// An error of TLS. Others hide it: an error of input and output gives as its cause not what it holds, but the cause of that.
fn of_tls<'e>(cause: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    cause.downcast_ref().or_else(|| of_tls(cause.downcast_ref::<io::Error>()?.get_ref()?))
}

/// What wraps it says only "error sending request" and the like, or quotes an address.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // Some libraries end with the address of their manual.
    text.split_once(": https://").map_or(text.as_str(), |(said, _)| said).to_owned()
}

/// An error, its cause, the cause of that, and so on.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause: &&'e (dyn StdError + 'static)| {
        let cause: &'e (dyn StdError + 'static) = *cause;
        cause.source()
    })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot {deed} in {place}: {why}")]
#[diagnostic(code(kthw::store::s3), help("{help}"))]
struct S3Failed {
    deed: String,
    place: String,
    why: String,
    help: String,
}
