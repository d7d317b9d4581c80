//! An API token that is made anew in time: the new one works and is in the secrets file before the old one goes.
use super::{
    call::Call,
    client::Client,
    error::{BadAnswer, Failure},
    settings::Credentials,
};
use crate::{
    rotation::{Stamp, today, wanted_generation},
    sops::Secrets,
    workspace::{Cluster, Rotation},
};
use jiff::civil::Date;
use kthw_engine::{
    BadOption, Change, Error, Field, Id, Limit, Peers, Permit, Poll, Resource, Result, Secret, SecretRef, field, progress, wait,
};
use miette::Diagnostic;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How long a new token may take until every host of the Proxmox cluster knows it.
const KNOWN: Limit = Limit::seconds(30);

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

/// One entry of the access control list.
#[derive(Debug, Deserialize)]
struct Grant {
    path: String,
    roleid: String,
    #[serde(rename = "type")]
    kind: String,
    ugid: String,
    #[serde(default = "privsep", deserialize_with = "flag")]
    propagate: bool,
}

/// Privileges by path, as `/access/permissions` answers.
type Permissions = BTreeMap<String, BTreeMap<String, Value>>;

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
            Some(secret) => Credentials::token(&secret).map(Some).map_err(|_| Error::recipe(NoToken { name: self.spec.secret.name.clone() })),
            None => Ok(None),
        }
    }

    /// Makes a token, tries it, and puts it into the secrets file. Whatever fails before that leaves the file as it was.
    async fn rotate(&self, generation: u32, live: &Live, peers: &Peers, permit: &Permit) -> Result<String> {
        let client = peers.get::<Client>()?;
        let (old, stamp) = self.current(live).unzip();
        let id = self.token_id(generation);
        if let Some(taken) = live.tokens.iter().find(|listed| listed.tokenid == id) {
            if self.stamp(taken).is_none() {
                return Err(Error::peer(NotOurs { id: format!("{}!{id}", live.user) }));
            }
            // A run that ended before it was kept made it; its value is known to nobody.
            self.remove(&id, &live.user, peers, permit).await?;
        }
        let before = self.permissions_before(live, peers).await?;
        let (secret, credentials) = self.make(generation, old, stamp.flatten(), live, peers, permit).await?;
        let tried = async {
            if let Some(old) = old.filter(|old| old.privsep) {
                self.copy_grants(&old.tokenid, &id, &live.user, peers, permit).await?;
            }
            self.verify(&credentials, before.as_ref(), peers).await
        };
        if let Err(error) = tried.await {
            // The file does not name it; what cannot be removed now is seen by the next run.
            if self.remove(&id, &live.user, peers, permit).await.is_err() {
                progress(format!("the token {}!{id} stays behind; the next run removes it", live.user));
            }
            return Err(error);
        }
        let was = self.kept(peers)?;
        peers.get::<Secrets>()?.set(&[(&self.spec.secret.name, secret)], permit)?;
        if let Some(Credentials::Token { id: was, .. }) = was
            && client.identity().await? == was
        {
            client.sign_in_as(credentials).await?;
        }
        if let Some(foreign) = old.filter(|old| self.stamp(old).is_none()) {
            let full = format!("{}!{}", live.user, foreign.tokenid);
            progress(format!(
                "kthw no longer uses the token {full}, and did not make it, so it stays; when nothing else uses it: \
                 `pveum user token remove {} {}`",
                live.user, foreign.tokenid
            ));
        }
        Ok(id)
    }

    async fn make(
        &self,
        generation: u32,
        old: Option<&Listed>,
        stamp: Option<Stamp>,
        live: &Live,
        peers: &Peers,
        permit: &Permit,
    ) -> Result<(Secret, Credentials)> {
        let made = Stamp { workspace: self.workspace.clone(), name: self.stamp_name(), generation, made: live.today };
        // A token that expires is followed by one that lives as long.
        let expire = match (old.filter(|old| old.expire > 0), stamp) {
            (Some(old), Some(stamp)) => {
                let begun = stamp.made.to_zoned(jiff::tz::TimeZone::UTC).map_or(old.expire, |day| day.timestamp().as_second());
                peers.clock().unix_s().saturating_add((old.expire - begun).max(86_400))
            }
            _ => 0,
        };
        let call = Call::post(["access", "users", &live.user, "token", &self.token_id(generation)])
            .with("comment", made)
            .with("expire", expire)
            .with("privsep", u8::from(old.is_some_and(|old| old.privsep)));
        let answer = peers.get::<Client>()?.make(&call, permit).await?;
        let (Some(id), Some(value)) = (answer["full-tokenid"].as_str(), answer["value"].as_str()) else {
            return Err(Failure::from(BadAnswer { call: call.name(), reason: "it holds no token".into() }).into());
        };
        let secret = Secret::new(format!("{id}={value}"));
        let credentials = Credentials::token(&secret).map_err(Error::peer)?;
        Ok((secret, credentials))
    }

    /// Gives the new token the rights that the old one has of its own.
    async fn copy_grants(&self, old: &str, new: &str, user: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        let grants: Vec<Grant> = client.get(&Call::get(["access", "acl"])).await?;
        let (old, new) = (format!("{user}!{old}"), format!("{user}!{new}"));
        for grant in grants.into_iter().filter(|grant| grant.kind == "token" && grant.ugid == old) {
            let call = Call::put(["access", "acl"])
                .with("path", &grant.path)
                .with("roles", &grant.roleid)
                .with("tokens", &new)
                .with("propagate", u8::from(grant.propagate));
            client.put(&call, permit).await?;
        }
        Ok(())
    }

    /// What the token that is to be replaced may do, or its user where there is none yet.
    async fn permissions_before(&self, live: &Live, peers: &Peers) -> Result<Option<Permissions>> {
        let client = peers.get::<Client>()?;
        let call = Call::get(["access", "permissions"]);
        if let Some(kept) = self.kept(peers)? {
            return match client.as_other(kept).await?.get(&call).await {
                // It was removed by hand: there is nothing that the new one could be compared with.
                Err(Failure::Refused(refused)) if refused.status == 401 => Ok(None),
                answered => Ok(Some(answered?)),
            };
        }
        let is_user = client.identity().await?.split('!').next() == Some(live.user.as_str());
        if is_user { Ok(Some(client.get(&call).await?)) } else { Ok(None) }
    }

    /// Signs in with a token and asks what it may do: no less than `before`.
    async fn verify(&self, credentials: &Credentials, before: Option<&Permissions>, peers: &Peers) -> Result<()> {
        let ours = peers.get::<Client>()?;
        let call = Call::get(["access", "permissions"]);
        let other = ours.as_other(credentials.clone()).await?;
        let theirs: Permissions = wait(peers, KNOWN, "Proxmox to know the token", "sign in with it by hand", async || match other.get(&call).await {
            Err(Failure::Refused(refused)) if refused.status == 401 => Ok(Poll::Pending(refused.message)),
            answered => Ok(Poll::Ready(answered?)),
        })
        .await?;
        let lacking: Vec<String> = before
            .into_iter()
            .flatten()
            .flat_map(|(path, privileges)| privileges.keys().map(move |privilege| (path, privilege)))
            .filter(|(path, privilege)| theirs.get(*path).is_none_or(|theirs| !theirs.contains_key(*privilege)))
            .map(|(path, privilege)| format!("{privilege} on {path}"))
            .collect();
        match lacking.first() {
            None => Ok(()),
            Some(first) => {
                let more = if lacking.len() > 1 { format!(" and {} more", lacking.len() - 1) } else { String::new() };
                Err(Error::peer(Lacking { lacking: format!("{first}{more}") }))
            }
        }
    }

    async fn remove(&self, id: &str, user: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let call = Call::delete(["access", "users", user, "token", id]);
        match peers.get::<Client>()?.delete(&call, permit).await {
            Err(failure) if failure.says("no such token") => Ok(()),
            done => Ok(done.map(drop)?),
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
                Some((_, Some(stamp))) => format!("generation {}", stamp.shown(live.today)),
                Some((listed, None)) => format!("{}, not made by kthw", listed.tokenid),
                None => "none".into(),
            };
            field("token", found, format!("generation {generation}"))
        });
        Change::between(std::iter::once(rotated).chain(self.leftovers(live).map(|id| field("unused token", id.to_owned(), "removed".into()))))
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

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("Proxmox has a token {id} already, and kthw did not make it")]
#[diagnostic(
    code(kthw::proxmox::token_taken),
    help("give `proxmox::token` another name in the recipe, or raise `rotation.generation`; kthw never touches what it did not make")
)]
struct NotOurs {
    id: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the new token may do less than the old one: it lacks {lacking}")]
#[diagnostic(
    code(kthw::proxmox::token_lacks),
    help("the old token stays in use; whoever rotates needs `Permissions.Modify` to copy the rights of a token with privilege separation")
)]
struct Lacking {
    lacking: String,
}

#[cfg(test)]
mod tests;
