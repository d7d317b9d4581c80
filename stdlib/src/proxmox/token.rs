//! An API token that is made anew in time: the new one works and is in the secrets file before the old one goes.
use super::{access::Credentials, call::Call, client::Client};
use crate::{
    rotation::{Stamp, today, wanted_generation},
    sops::Secrets,
    workspace::{Cluster, Rotation},
};
use jiff::civil::Date;
use kthw_engine::{BadOption, Change, Error, Field, Id, Peers, Permit, Resource, Result, SecretRef, field};

use miette::Diagnostic;
use serde::Deserialize;
use serde_json::Value;

mod exchange;

pub use exchange::remove_left;

/// The options of `proxmox::token`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The secret that holds the token, as `user@realm!id=uuid`.
    pub secret: SecretRef,
    /// Whose token it is; whoever the secret's token belongs to, or who is signed in, when absent.
    #[serde(default)]
    pub user: Option<String>,
}

/// The resource behind `proxmox::token`.
#[derive(Clone, Debug)]
pub struct Token {
    workspace: String,
    name: String,
    rotation: Rotation,
    spec: TokenSpec,
}

/// What was found: the token in the secrets file, and all tokens of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    user: String,
    /// The name of the token in the secrets file, if one of this user's is there.
    current: Option<String>,
    tokens: Vec<Listed>,
    today: Date,
}

/// A token as Proxmox lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Listed {
    tokenid: String,
    #[serde(default)]
    comment: String,
    /// Seconds since 1970; 0 for never.
    #[serde(default)]
    expire: i64,
    /// Whether it has rights of its own instead of its user's.
    #[serde(default = "privsep", deserialize_with = "flag")]
    privsep: bool,
}

fn privsep() -> bool {
    true
}

/// Proxmox writes truth values as 0 and 1.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(on) => on,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => text != "0",
        _ => true,
    })
}

impl Token {
    /// The token called `name` of a cluster.
    ///
    /// # Errors
    /// When `name` cannot be part of a token's name.
    pub fn new(cluster: &Cluster, name: &str, spec: TokenSpec) -> std::result::Result<Self, BadOption> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(fine) {
            let message = format!("{name:?} is not a token's name: a letter, then letters, digits and `._-`");
            return Err(BadOption::new("proxmox::token", message));
        }
        if let Some(user) = spec.user.as_ref().filter(|user| !user.contains('@') || user.contains('!')) {
            return Err(BadOption::new("proxmox::token", format!("{user:?} is not a user with its realm, such as `kthw@pve`")));
        }
        let workspace = cluster.workspace();
        Ok(Self { workspace: workspace.name.clone(), name: name.into(), rotation: workspace.rotation.clone(), spec })
    }

    fn stamp_name(&self) -> String {
        format!("token/{}", self.name)
    }

    fn token_id(&self, generation: u32) -> String {
        format!("{}-{generation}", self.name)
    }

    /// The stamp of a token of ours.
    fn stamp(&self, listed: &Listed) -> Option<Stamp> {
        Stamp::find(&listed.comment)
            .filter(|stamp| stamp.is_of(&self.workspace, &self.stamp_name()) && listed.tokenid == self.token_id(stamp.generation))
    }

    /// The token in the secrets file, as far as Proxmox knows it, and its stamp if it is ours.
    fn current<'l>(&self, live: &'l Live) -> Option<(&'l Listed, Option<Stamp>)> {
        let listed = live.tokens.iter().find(|listed| Some(&listed.tokenid) == live.current.as_ref())?;
        Some((listed, self.stamp(listed)))
    }

    /// The generation to make, if another one than that in the file is wanted.
    fn due(&self, live: &Live) -> Option<u32> {
        let stamp = self.current(live).and_then(|(_, stamp)| stamp);
        let wanted = wanted_generation(&self.rotation, stamp.as_ref(), live.today);
        stamp.is_none_or(|stamp| stamp.generation != wanted).then_some(wanted)
    }

    /// Tokens of ours that are not the one in the file: what a crash left, or what was rotated away.
    fn leftovers<'l>(&self, live: &'l Live) -> impl Iterator<Item = &'l str> {
        let ours = move |listed: &&Listed| Some(&listed.tokenid) != live.current.as_ref() && self.stamp(listed).is_some();
        live.tokens.iter().filter(ours).map(|listed| listed.tokenid.as_str()).collect::<Vec<_>>().into_iter()
    }

    async fn look(&self, peers: &Peers) -> Result<Live> {
        let client = peers.get::<Client>()?;
        let kept = self.kept(peers)?;
        let (holder, id) = match &kept {
            Some(Credentials::Token { id, .. }) => id.split_once('!').map(|(user, id)| (Some(user.to_owned()), Some(id.to_owned()))),
            _ => None,
        }
        .unwrap_or_default();
        let user = match self.spec.user.clone().or_else(|| holder.clone()) {
            Some(user) => user,
            None => client.identity().await?.split('!').next().unwrap_or_default().to_owned(),
        };
        let current = id.filter(|_| holder.as_ref() == Some(&user));
        let tokens = client.get(&Call::get(["access", "users", &user, "token"])).await?;
        Ok(Live { user, current, tokens, today: today(peers.clock()) })
    }

    /// What the secrets file holds.
    fn kept(&self, peers: &Peers) -> Result<Option<Credentials>> {
        match peers.get::<Secrets>()?.get_opt(&self.spec.secret.name)?.filter(|secret| !secret.is_blank()) {
            Some(secret) => {
                Credentials::token(&secret).map(Some).map_err(|_| Error::recipe(NoToken { name: self.spec.secret.name.clone() }))
            }
            None => Ok(None),
        }
    }
}

impl Resource for Token {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("proxmox.token", &self.name)
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        self.look(peers).await.map(Some)
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            let generation = self.rotation.generation.max(1);
            return Change::create([Field::new("token", self.token_id(generation)), Field::new("secret", &self.spec.secret)]);
        };
        let rotated = self.due(live).and_then(|generation| {
            let found = match self.current(live) {
                Some((_, Some(stamp))) => stamp.shown(),
                Some((listed, None)) => format!("{}, not made by kthw", listed.tokenid),
                None => "none".into(),
            };
            field("token", found, format!("generation {generation}"))
        });
        Change::between(
            std::iter::once(rotated).chain(self.leftovers(live).map(|id| field("unused token", id.to_owned(), "removed".into()))),
        )
    }

    async fn apply(&self, _: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        // Read again just before: what is removed here cannot be had back.
        let mut live = self.look(peers).await?;
        match self.due(&live) {
            Some(generation) => {
                live.current = Some(self.rotate(generation, &live, peers, permit).await?);
                live.tokens = peers.get::<Client>()?.get(&Call::get(["access", "users", &live.user, "token"])).await?;
            }
            None => {
                let kept = self.kept(peers)?.ok_or_else(|| Error::recipe(NoToken { name: self.spec.secret.name.clone() }))?;
                self.verify(&kept, None, peers).await?;
            }
        }
        for id in self.leftovers(&live) {
            self.remove(id, &live.user, peers, permit).await?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the secret `{name}` holds no Proxmox API token")]
#[diagnostic(code(kthw::proxmox::no_token), help("it is written `user@realm!id=uuid`; correct it with `kthw secrets edit`"))]
struct NoToken {
    name: String,
}

#[cfg(test)]
mod tests;
