//! Where the Pi-hole of a workspace is, and the password for it.
use super::error::NoPiHole;
use crate::{
    http::{Fingerprint, Trust},
    sops::Secrets,
    workspace::{PiHole, PiHoleVersion, Workspace},
};
use kthw_engine::{Error, Result, Secret};

/// How to reach a Pi-hole.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its URL without a path, such as `https://pihole.bevz.net`.
    pub url: String,
    /// Which API it has.
    pub version: PiHoleVersion,
    /// Its password.
    pub password: Secret,
    /// Which certificate to believe.
    pub trust: Trust,
}

impl Access {
    /// What the workspace and its secrets say.
    ///
    /// # Errors
    /// When the workspace names no Pi-hole, or its secrets hold no such password.
    pub fn of(workspace: &Workspace, secrets: &Secrets) -> Result<Self> {
        let PiHole { url, version, password_secret, fingerprint } = match &workspace.dns {
            Some(dns) => dns.pihole.clone(),
            None => return Err(Error::recipe(NoPiHole::of(&workspace.name))),
        };
        let trust = match fingerprint {
            Some(fingerprint) => Trust::Fingerprint(fingerprint.parse::<Fingerprint>().map_err(Error::usage)?),
            None => Trust::System,
        };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), version, password: secrets.get(&password_secret)?, trust })
    }
}
