//! Records of names: what is declared, compared with all that the Pi-hole holds.
use super::{
    client::Client,
    error::NoPiHole,
    hosts::{Wanted, addresses, with, without},
};
use crate::workspace::Workspace;
use kthw_engine::{BadOption, Change, Error, Field, Id, Peers, Permit, Refusal, Removable, Resource, Result, field};
use miette::Diagnostic;
use serde::Deserialize;
use std::net::IpAddr;

/// The options of `dns::records`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordsSpec {
    /// Names, and the address of each.
    records: Wanted,
}

/// The resource behind `dns::records`.
#[derive(Clone, Debug)]
pub struct Records {
    id: Id,
    secret: String,
    wanted: Wanted,
}

/// A declaration that cannot be kept.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BadRecords {
    /// The workspace has no Pi-hole.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoPiHole(#[from] NoPiHole),
    /// The options are wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Option(#[from] BadOption),
}

impl Records {
    /// The records of a cluster or an edge.
    ///
    /// # Errors
    /// When the workspace names no Pi-hole, and for records that are none.
    pub fn new(workspace: &Workspace, spec: RecordsSpec) -> std::result::Result<Self, BadRecords> {
        let Some(dns) = &workspace.dns else {
            return Err(NoPiHole::of(&workspace.name).into());
        };
        let bad = |message: String| BadRecords::Option(BadOption::new("dns::records", message));
        if spec.records.is_empty() {
            return Err(bad("`records` names none".into()));
        }
        if let Some(address) = spec.records.keys().find(|name| name.parse::<IpAddr>().is_ok()) {
            return Err(bad(format!("`{address}` is an address and no name")));
        }
        Ok(Self { id: Self::id_of(workspace), secret: dns.pihole.password_secret.clone(), wanted: spec.records })
    }

    /// The identity of the records of this workspace.
    pub fn id_of(workspace: &Workspace) -> Id {
        Id::new("dns.records", &workspace.name)
    }

    /// The name of the secret that opens the Pi-hole.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The declared names that have several addresses, with those.
    fn ambiguous(&self, lines: &[String]) -> Vec<(String, String, IpAddr)> {
        let found = self.wanted.iter().map(|(name, address)| (name, addresses(lines, name, *address), address));
        let several = found.filter(|(_, found, _)| found.len() > 1);
        several.map(|(name, found, address)| (name.to_string(), joined(&found), *address)).collect()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.wanted.keys().map(|name| name.as_str()).collect();
        match names.split_at_checked(3) {
            Some((some, rest)) if !rest.is_empty() => format!("{} and {} more", some.join(", "), rest.len()),
            _ => names.join(", "),
        }
    }
}

impl Resource for Records {
    type Live = Vec<String>;

    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        self.id.clone()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Vec<String>>> {
        let lines = peers.get::<Client>()?.hosts(peers).await?;
        let is_there = self.wanted.iter().any(|(name, address)| !addresses(&lines, name, *address).is_empty());
        Ok(is_there.then_some(lines))
    }

    fn diff(&self, live: Option<&Vec<String>>) -> Change {
        let Some(lines) = live else {
            return Change::create(self.wanted.iter().map(|(name, address)| Field::new(name.to_string(), address)));
        };
        let ambiguous = self.ambiguous(lines);
        if !ambiguous.is_empty() {
            return Change::Refused(Refusal {
                why: "somebody gave a name several addresses, and which of them are wrong nobody knows here".into(),
                next: NEXT.into(),
                fields: ambiguous.into_iter().filter_map(|(name, found, address)| field(name, found, address.to_string())).collect(),
            });
        }
        Change::between(self.wanted.iter().map(|(name, address)| {
            let found = addresses(lines, name, *address);
            let found = if found.is_empty() { "absent".to_owned() } else { joined(&found) };
            field(name.to_string(), found, address.to_string())
        }))
    }

    async fn apply(&self, _: Option<Vec<String>>, peers: &Peers, permit: &Permit) -> Result<()> {
        let edit = |lines: &[String]| match self.ambiguous(lines).into_iter().next() {
            Some((name, found, _)) => Err(Error::refused(Ambiguous { name, found })),
            None => Ok(with(lines, &self.wanted)),
        };
        peers.get::<Client>()?.change(peers, permit, &format!("records of {}", self.names()), &edit).await
    }

    fn is_ours(&self, lines: &Vec<String>) -> bool {
        self.wanted.iter().any(|(name, address)| addresses(lines, name, *address).contains(address))
    }

    async fn remove(&self, _: Vec<String>, peers: &Peers, permit: &Permit) -> Result<()> {
        let edit = |lines: &[String]| Ok(without(lines, &self.wanted));
        peers.get::<Client>()?.change(peers, permit, &format!("removing the records of {}", self.names()), &edit).await
    }
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
}

const NEXT: &str = "take the wrong ones out in Pi-hole (Settings, Local DNS records), and run again";

/// A name got a second address since the plan was made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{name} has several addresses in Pi-hole: {found}")]
#[diagnostic(code(kthw::dns::ambiguous), help("{NEXT}"))]
struct Ambiguous {
    name: String,
    found: String,
}
