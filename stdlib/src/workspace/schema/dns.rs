//! Who answers for the names of nodes.
use super::super::json_schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The DNS that the nodes' names are kept in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The Pi-hole that gets a record for each node, and for the endpoint.
    pub pihole: PiHole,
}

/// A Pi-hole, as its own API is reached.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PiHole {
    /// Where it is, such as `https://pihole.bevz.net`; the password travels there, so `http` is taken for this computer alone
    /// (`http://127.0.0.1:8080`, the end of a tunnel).
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: String,
    /// 5 or 6: each has an API of its own.
    #[schemars(with = "u8", range(min = 5, max = 6))]
    pub version: PiHoleVersion,
    /// The name of its password in `secrets.sops.yaml`, such as `pihole.web_password`. An app password of Pi-hole 6 may only write where
    /// `webserver.api.app_sudo` is on.
    pub password_secret: String,
    /// The SHA-256 fingerprint of its certificate, where no authority that this computer trusts has signed it: Pi-hole 6 makes one of its own.
    /// `openssl x509 -noout -fingerprint -sha256 -in /etc/pihole/tls.pem` shows it there.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// A version of Pi-hole that kthw can talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum PiHoleVersion {
    /// 5, with `admin/api.php`.
    Five,
    /// 6, with `/api` and sessions.
    Six,
}

impl TryFrom<u8> for PiHoleVersion {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            5 => Ok(Self::Five),
            6 => Ok(Self::Six),
            other => Err(format!("there is no API of Pi-hole {other} here; write 5 or 6")),
        }
    }
}

impl From<PiHoleVersion> for u8 {
    fn from(version: PiHoleVersion) -> Self {
        match version {
            PiHoleVersion::Five => 5,
            PiHoleVersion::Six => 6,
        }
    }
}

impl fmt::Display for PiHoleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        u8::from(*self).fmt(f)
    }
}
