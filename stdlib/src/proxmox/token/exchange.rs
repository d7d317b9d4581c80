//! One token in the place of another: made, given the old one's rights, tried, kept in the secrets file; and tokens removed.
use super::{Listed, Live, Token, flag, privsep};
use crate::{
    proxmox::{
        access::Credentials,
        call::Call,
        client::Client,
        error::{BadAnswer, Failure},
        texts::Class,
    },
    recovery::Leftover,
    rotation::Stamp,
    sops::Secrets,
};
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Recovery, Result, Secret, progress, wait};
use miette::Diagnostic;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How long a new token may take until every host of the Proxmox cluster knows it.
const KNOWN: Limit = Limit::seconds(30);

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
    /// Makes a token, tries it, and puts it into the secrets file. Whatever fails before that leaves the file as it was.
    pub(super) async fn rotate(&self, generation: u32, live: &Live, peers: &Peers, permit: &Permit) -> Result<String> {
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
        let secrets = peers.get::<Secrets>()?;
        let what = format!("the new value of {}", self.spec.secret.name);
        let intent = Intent::on(secrets.file(), what, Recovery::Look).taking_back(self.unkept(&live.user, &id)).closing();
        permit.effect(intent, async |effect| secrets.set(&[(&self.spec.secret.name, secret)], effect)).await?;
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

    fn unkept(&self, user: &str, id: &str) -> kthw_engine::Leftover {
        Leftover::ApiToken { user: user.to_owned(), id: id.to_owned(), secret: self.spec.secret.name.clone() }.into()
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
        let client = peers.get::<Client>()?;
        let id = self.token_id(generation);
        // Its value is in the answer and nowhere else.
        let recovery = Recovery::TakeBack(self.unkept(&live.user, &id));
        let intent = Intent::on("proxmox", format!("the token {}!{id}", live.user), recovery);
        let answer = permit.effect(intent, async |effect| Ok(client.make(&call, effect).await?)).await?;
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
            let intent = Intent::on("proxmox", format!("{} on {} for {new}", grant.roleid, grant.path), Recovery::Look);
            permit.effect(intent, async |effect| Ok(client.write(&call, effect).await?)).await?;
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
    pub(super) async fn verify(&self, credentials: &Credentials, before: Option<&Permissions>, peers: &Peers) -> Result<()> {
        let ours = peers.get::<Client>()?;
        let call = Call::get(["access", "permissions"]);
        let other = ours.as_other(credentials.clone()).await?;
        let theirs: Permissions =
            wait(peers, KNOWN, "Proxmox to know the token", "sign in with it by hand", async || match other.get(&call).await {
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

    pub(super) async fn remove(&self, id: &str, user: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        // Nobody knows its value any more, or it is no longer wanted: it goes whatever happens.
        let intent =
            Intent::on("proxmox", format!("the removal of the token {user}!{id}"), Recovery::Look).taking_back(self.unkept(user, id));
        remove(user, id, intent.closing(), peers, permit).await
    }
}

async fn remove(user: &str, id: &str, intent: Intent, peers: &Peers, permit: &Permit) -> Result<()> {
    let call = Call::delete(["access", "users", user, "token", id]);
    let client = peers.get::<Client>()?;
    let work = async |effect: &_| match client.write(&call, effect).await {
        Err(failure) if failure.is(Class::Missing) => Ok(()),
        done => Ok(done.map(drop)?),
    };
    permit.effect(intent, work).await
}

/// Removes a token whose run died before its value was kept in the secret `secret`; says in words what was done.
///
/// # Errors
/// When Proxmox cannot be asked, or refuses.
pub async fn remove_left(user: &str, id: &str, secret: &str, peers: &Peers, permit: &Permit) -> Result<String> {
    let kept = peers.get::<Secrets>()?.get_opt(secret)?.and_then(|value| Credentials::token(&value).ok());
    if matches!(kept, Some(Credentials::Token { id: kept, .. }) if kept == format!("{user}!{id}")) {
        return Ok(format!("the token {user}!{id} is kept"));
    }
    let listed: Vec<Listed> = peers.get::<Client>()?.get(&Call::get(["access", "users", user, "token"])).await?;
    let ours = |listed: &&Listed| listed.tokenid == id && Stamp::find(&listed.comment).is_some();
    if !listed.iter().any(|one| ours(&one)) {
        return Ok(format!("no token {user}!{id} of ours is there"));
    }
    remove(user, id, Intent::on("proxmox", format!("the removal of the token {user}!{id}"), Recovery::Look).closing(), peers, permit)
        .await?;
    Ok(format!("removed the token {user}!{id}, whose value was kept nowhere"))
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
