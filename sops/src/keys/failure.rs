//! Why a service did not seal or open a key, on the way to the error that a person sees.
use super::Recipient;
use crate::SopsError;

/// What went wrong, and what to do when it is not what is usual for the service.
#[derive(Debug)]
pub(super) struct Failure {
    pub reason: String,
    pub help: Option<String>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, help: None }
    }
}

impl Failure {
    pub fn new(reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self { reason: reason.into(), help: Some(help.into()) }
    }

    /// The error of sealing to `recipient`; `usual` is what to do in general.
    pub fn sealing(self, recipient: &Recipient, usual: &str) -> SopsError {
        let help = self.help.unwrap_or_else(|| usual.into());
        SopsError::CannotSeal { recipient: recipient.to_string(), reason: self.reason, help }
    }

    /// The error of opening what was sealed to `recipient`; `usual` is what to do in general.
    pub fn opening(self, recipient: &Recipient, usual: &str) -> SopsError {
        let help = self.help.unwrap_or_else(|| usual.into());
        SopsError::CannotOpen { recipient: recipient.to_string(), reason: self.reason, help }
    }
}
