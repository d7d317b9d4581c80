//! What Proxmox refused, in its own words, with the call and the next thing to do.
use super::texts::{Class, class_of};
use http::StatusCode;
use miette::Diagnostic;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// An answer that is not a success.
#[derive(Debug, thiserror::Error)]
#[error("Proxmox refused `{call}`: {message}")]
pub struct Refused {
    /// Method and path.
    pub call: String,
    /// The host that answered.
    pub endpoint: String,
    /// The HTTP status. Proxmox also uses 595 to 599 for hosts that it could not reach.
    pub status: u16,
    /// Proxmox's message, with the parameters that it found wrong.
    pub message: String,
}

/// No host answered.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach Proxmox for `{call}`: {}", shown(tried))]
pub struct NoAnswer {
    /// Method and path.
    pub call: String,
    /// Every host that was tried, and why it did not answer.
    pub tried: Vec<(String, String)>,
    /// Whether the request may have been carried out all the same.
    pub maybe_done: bool,
}

fn shown(tried: &[(String, String)]) -> String {
    tried.iter().map(|(host, reason)| format!("{host}: {reason}")).collect::<Vec<_>>().join("; ")
}

/// An answer that is not what the API promises.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot understand the answer to `{call}`: {reason}")]
#[diagnostic(code(kthw::proxmox::bad_answer), help("is this the API of a Proxmox VE 8 or 9, and no proxy's page?"))]
pub struct BadAnswer {
    /// Method and path.
    pub call: String,
    /// What does not fit.
    pub reason: String,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Proxmox answered, and refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody answered.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// What came back makes no sense.
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    /// Something of kthw's own: settings that cannot be used, or a ledger that takes nothing.
    #[error("{0}")]
    Ours(kthw_engine::Error),
    /// The user cannot sign in without a person.
    #[error(transparent)]
    SecondFactor(#[from] super::session::SecondFactor),
}

impl From<Failure> for kthw_engine::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Ours(error) => error,
            Failure::Refused(error) => Self::peer(error),
            Failure::NoAnswer(error) => Self::peer(error),
            Failure::BadAnswer(error) => Self::peer(error),
            Failure::SecondFactor(error) => Self::peer(error),
        }
    }
}

impl Failure {
    /// Whether asking again may well succeed: nobody answered, one host could not reach another, or what stands before them gave up.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(refused) => is_proxy_status(refused.status) || is_gateway_status(refused.status),
            Self::BadAnswer(_) | Self::Ours(_) | Self::SecondFactor(_) => false,
        }
    }

    /// Whether a write may have been carried out although this came back: the answer was lost on its way.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::NoAnswer(error) => error.maybe_done,
            // 595: the other host was never reached.
            Self::Refused(refused) => matches!(refused.status, 596 | 599) || is_gateway_status(refused.status),
            Self::BadAnswer(_) | Self::Ours(_) | Self::SecondFactor(_) => false,
        }
    }

    /// What Proxmox's words mean, where it refused in words that we know.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Refused(refused) => class_of(&refused.message),
            _ => None,
        }
    }

    /// Whether Proxmox refused with a text of this class.
    pub fn is(&self, class: Class) -> bool {
        self.class() == Some(class)
    }
}

/// Statuses by which pveproxy says that it could not hand the request to another host of the cluster.
pub(super) fn is_proxy_status(status: u16) -> bool {
    matches!(status, 595 | 596 | 599)
}

/// Statuses by which whatever stands before Proxmox says that it got no answer, or none in time.
fn is_gateway_status(status: u16) -> bool {
    matches!(status, 502..=504)
}

impl Refused {
    /// Understands an error answer. Proxmox puts the message into the body, and older versions only into the status line.
    pub(super) fn new(call: String, endpoint: &str, status: StatusCode, phrase: Option<&str>, body: &[u8]) -> Self {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Body {
            message: Option<String>,
            errors: BTreeMap<String, Value>,
        }
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let given = body.message.as_deref().or(phrase).map(str::trim).filter(|text| !text.is_empty());
        let mut message = given.map_or_else(|| status.to_string(), str::to_owned);
        for (parameter, error) in body.errors {
            let error = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
            message.push_str(&format!("; {parameter}: {}", error.trim().replace('\n', " ")));
        }
        Self { call, endpoint: endpoint.into(), status: status.as_u16(), message }
    }

    /// `(path, privilege)` of a message such as `Permission check failed (/vms/401, VM.Clone)`.
    fn permission(&self) -> Option<(&str, &str)> {
        let (_, rest) = self.message.split_once("Permission check failed (")?;
        rest.split_once(')')?.0.split_once(", ").filter(|(path, _)| path.starts_with('/'))
    }
}

impl Diagnostic for Refused {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(match self.status {
            401 => "kthw::proxmox::signed_out",
            403 => "kthw::proxmox::permission",
            _ => "kthw::proxmox::refused",
        }))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let class = class_of(&self.message);
        let help = match self.status {
            401 => "check `proxmox.token` (`user@realm!id=uuid`) or `proxmox.username` and `proxmox.password`; a token may also be expired \
                    or removed"
                .into(),
            403 => match self.permission() {
                Some((path, privilege)) => format!(
                    "grant {privilege} on {path}: `pveum acl modify {path} --users USER --roles ROLE` (or --tokens), with a role that has it; a \
                     token with privilege separation starts with no rights at all"
                ),
                None => "the user or token lacks a privilege for this; a token with privilege separation starts with no rights at all".into(),
            },
            400 if class == Some(Class::Unsupported) => {
                "this Proxmox VE is older than kthw needs (8.4), or newer than it knows; `pveversion` on its host says which it is".into()
            }
            _ if class == Some(Class::Content) => {
                "allow the content type on the storage: `pvesm set STORAGE --content …` or Datacenter, Storage, Edit; cloud images need `import`".into()
            }
            _ if class == Some(Class::NoQuorum) => "the Proxmox cluster has lost its quorum: bring enough of its hosts back".into(),
            _ if class == Some(Class::LocalStorage) => {
                "the template lies on storage of another Proxmox host: build one per host, or use shared storage".into()
            }
            _ if class == Some(Class::Hibernated) => "the machine hibernates: wake it (`qm resume VMID` on its host), then run again".into(),
            _ if class == Some(Class::Held) => {
                "something else works on this machine (a backup, a snapshot, a migration); run again when it has ended".into()
            }
            _ if class == Some(Class::Making) => {
                "something makes this machine, or was interrupted in that: let it end, or `qm unlock VMID` on its host; then run again".into()
            }
            _ if class == Some(Class::Lock) => "another task held the lock all the time; run again when it has ended".into(),
            status if is_proxy_status(status) => "a host of the Proxmox cluster is down or its network is; run again when it is back".into(),
            status if is_gateway_status(status) => format!(
                "what stands before Proxmox at {} (a reverse proxy, or pveproxy while it restarts) had no answer for us; run again when it is back",
                self.endpoint
            ),
            400 => "set what it names to something that this Proxmox VE takes, in workspace.yaml".into(),
            _ => format!(
                "see what its host says of that, `journalctl -u pvedaemon -u pveproxy` on {}; then run again: kthw reads what is there before it \
                 changes anything",
                self.endpoint.split(':').next().unwrap_or_default()
            ),
        };
        Some(Box::new(help))
    }
}

impl Diagnostic for NoAnswer {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("kthw::proxmox::no_answer"))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let says = |part: &str| self.tried.iter().any(|(_, reason)| reason.contains(part));
        Some(Box::new(if says("certificate") || says("fingerprint") {
            "if this is your Proxmox, set `proxmox.fingerprint` (compare it with `pvenode cert info` on the host) or `proxmox.ca_file` (a copy of \
             /etc/pve/pve-root-ca.pem); kthw never skips the check"
        } else if self.maybe_done {
            "the request may have been carried out; run again: kthw reads what is there before it changes anything"
        } else {
            "check `proxmox.endpoint` and whether port 8006 is reachable from here; several endpoints may be given"
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, phrase: Option<&str>, body: &str) -> Refused {
        let status = StatusCode::from_u16(status).expect("a status");
        Refused::new("POST /x".into(), "h:8006", status, phrase, body.as_bytes())
    }

    #[test]
    fn the_message_comes_from_the_body_or_the_status_line() {
        let message = |phrase, body: &str| refused(500, phrase, body).message;
        assert_eq!(message(None, r#"{"message":"no\n","data":null}"#), "no");
        assert_eq!(message(Some("got timeout"), r#"{"data":null}"#), "got timeout");
        assert_eq!(message(None, "<html>"), "500 Internal Server Error");
        let wrong = r#"{"message":"Parameter verification failed.","errors":{"cores":"value must be at least 1\n"}}"#;
        assert_eq!(message(None, wrong), "Parameter verification failed.; cores: value must be at least 1");
    }

    #[test]
    fn help_names_the_next_step() {
        let help = |status, text| refused(status, Some(text), "").help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help(403, "Permission check failed (/vms/401, VM.Clone)").starts_with("grant VM.Clone on /vms/401: "));
        assert!(help(403, "Permission check failed").contains("privilege separation"));
        assert!(help(401, "authentication failure").contains("proxmox.token"));
        assert!(help(595, "No route to host").contains("down"));
        assert!(help(500, "unable to do it").contains("`journalctl -u pvedaemon -u pveproxy` on h; then run again"));
        assert!(help(400, "Parameter verification failed.; cores: value must be at least 1").contains("workspace.yaml"));
    }

    #[test]
    fn a_lost_answer_is_told_from_a_refusal() {
        let failure = |status, text| Failure::from(refused(status, Some(text), ""));
        for status in [502, 503, 504, 596, 599] {
            assert!(failure(status, "").may_be_done() && failure(status, "").is_passing(), "{status}");
        }
        assert!(failure(595, "No route to host").is_passing() && !failure(595, "No route to host").may_be_done());
        assert!(!failure(500, "got timeout").may_be_done() && !failure(500, "got timeout").is_passing());
        assert!(failure(500, "VM 401 already running").is(Class::Running));
    }

    #[test]
    fn help_follows_what_a_text_means() {
        let help = |status, text| refused(status, Some(text), "").help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help(500, "VM is locked (suspended)").contains("qm resume"));
        assert!(help(500, "VM is locked (backup)").contains("a backup"));
        assert!(help(400, "Parameter verification failed.; ciupgrade: property is not defined in schema").contains("pveversion"));
        assert!(help(502, "Bad Gateway").contains("before Proxmox at h:8006"));
    }
}
