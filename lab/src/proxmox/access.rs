//! Who may do what: API tokens, the access control list, permissions, and who sends a request.
use super::{
    answer::{Answer, Refusal, refuse, wrong_parameters},
    request::Request,
};
use crate::state::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The value of the token `root@pam!kthw` that a fresh lab has.
pub(crate) const FIRST_TOKEN: &str = "00000000-0000-0000-0000-000000000000";

/// Users with their API tokens, by name.
pub(crate) type Users = BTreeMap<String, BTreeMap<String, ApiToken>>;

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// What proves that somebody holds it.
    pub value: String,
    /// What people wrote about it.
    pub comment: String,
    /// Seconds since 1970 after which it is no longer good; 0 for never.
    pub expire: u64,
    /// Whether it has only the rights that it was given itself.
    pub privsep: bool,
}

/// One entry of the access control list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Such as `/vms`.
    pub path: String,
    /// `user` or `token`.
    pub kind: String,
    /// Whom it is for.
    pub who: String,
    /// The role.
    pub role: String,
    /// Whether it holds for what is below too.
    pub propagate: bool,
}

/// `root@pam` and its token, which the lab's client uses at first.
pub(crate) fn first_users() -> Users {
    let token = ApiToken { value: FIRST_TOKEN.into(), comment: String::new(), expire: 0, privsep: false };
    BTreeMap::from([("root@pam".into(), BTreeMap::from([("kthw".into(), token)]))])
}

/// Who sends a request: a known token, or any ticket, which needs its CSRF token to write.
pub(crate) fn signed_in(state: &State, request: &http::Request<bytes::Bytes>) -> Result<String, Refusal> {
    use http::header;
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if let Some(token) = text(header::AUTHORIZATION).strip_prefix("PVEAPIToken=") {
        let parts = token.split_once('=').and_then(|(id, value)| Some((id, id.split_once('!')?, value)));
        let Some((full, (user, id), value)) = parts else { return refuse(401, "no such token") };
        return match state.pve.users.get(user).and_then(|tokens| tokens.get(id)) {
            None => refuse(401, format!("no such token '{id}' for user '{user}'")),
            Some(known) if known.value != value => refuse(401, "invalid token value!"),
            Some(known) if known.expire > 0 && known.expire <= state.unix_s() => refuse(401, format!("token '{id}' access expired")),
            Some(_) => Ok(full.to_owned()),
        };
    }
    let Some(ticket) = text(header::COOKIE).split_once("PVEAuthCookie=").map(|(_, ticket)| ticket.to_owned()) else {
        return refuse(401, "No ticket");
    };
    if request.method() != http::Method::GET && !request.headers().contains_key("CSRFPreventionToken") {
        return refuse(401, "Permission denied - invalid csrf token");
    }
    Ok(ticket.split(':').nth(1).unwrap_or("root@pam").to_owned())
}

/// `GET /access/users/{userid}/token`.
pub(crate) fn tokens(state: &State, request: &Request) -> Answer {
    let tokens = of_user(&state.pve.users, request)?;
    Ok(tokens.iter().map(|(id, token)| info(Some(id), token)).collect())
}

/// `GET /access/users/{userid}/token/{tokenid}`.
pub(crate) fn token(state: &State, request: &Request) -> Answer {
    match of_user(&state.pve.users, request)?.get(request.text("tokenid")) {
        Some(token) => Ok(info(None, token)),
        None => no_such_token(request),
    }
}

/// `POST /access/users/{userid}/token/{tokenid}`: the only answer that holds its value.
pub(crate) fn make_token(state: &mut State, request: &Request) -> Answer {
    let (user, id) = (request.text("userid"), request.text("tokenid"));
    if of_user(&state.pve.users, request)?.contains_key(id) {
        return Err(wrong_parameters(BTreeMap::from([("tokenid".into(), "Token already exists.".into())])));
    }
    let digits = state.made_up("token");
    let value = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]].join("-");
    let token = ApiToken {
        value,
        comment: request.text("comment").into(),
        expire: request.number("expire").unwrap_or_default().into(),
        privsep: request.given("privsep").is_none() || request.flag("privsep"),
    };
    let answer = json!({ "full-tokenid": format!("{user}!{id}"), "value": token.value, "info": info(None, &token) });
    state.pve.users.entry(user.into()).or_default().insert(id.into(), token);
    Ok(answer)
}

/// `DELETE /access/users/{userid}/token/{tokenid}`; what it was granted goes with it.
pub(crate) fn remove_token(state: &mut State, request: &Request) -> Answer {
    let (user, id) = (request.text("userid"), request.text("tokenid"));
    of_user(&state.pve.users, request)?;
    if state.pve.users.get_mut(user).and_then(|tokens| tokens.remove(id)).is_none() {
        return no_such_token(request);
    }
    let full = format!("{user}!{id}");
    state.pve.acl.retain(|grant| grant.who != full);
    Ok(Value::Null)
}

/// `GET /access/acl`.
pub(crate) fn acl(state: &State) -> Answer {
    let shown = |grant: &Grant| {
        let propagate = u8::from(grant.propagate);
        json!({ "path": grant.path, "type": grant.kind, "ugid": grant.who, "roleid": grant.role, "propagate": propagate })
    };
    Ok(state.pve.acl.iter().map(shown).collect())
}

/// `PUT /access/acl`, for users and tokens.
pub(crate) fn change_acl(state: &mut State, request: &Request) -> Answer {
    for (parameter, kind) in [("users", "user"), ("tokens", "token")] {
        for who in super::patterns::split_list(request.text(parameter)) {
            for role in super::patterns::split_list(request.text("roles")) {
                let path = request.text("path").to_owned();
                let propagate = request.given("propagate").is_none() || request.flag("propagate");
                let grant = Grant { path, kind: kind.into(), who: who.into(), role: role.into(), propagate };
                state.pve.acl.retain(|old| (&old.path, &old.who, &old.role) != (&grant.path, &grant.who, &grant.role));
                if !request.flag("delete") {
                    state.pve.acl.push(grant);
                }
            }
        }
    }
    Ok(Value::Null)
}

/// `GET /access/permissions`: a user may do everything, and so may a token without privilege separation. One with it may do everything
/// where it has an entry of its own; the lab knows no roles.
pub(crate) fn permissions(state: &State, request: &Request) -> Answer {
    let all: BTreeMap<&str, u8> = PRIVILEGES.iter().map(|name| (*name, 1)).collect();
    let who = request.given("userid").unwrap_or(&request.who);
    let token = who.split_once('!').and_then(|(user, id)| state.pve.users.get(user)?.get(id));
    if token.is_some_and(|token| token.privsep) {
        let paths = state.pve.acl.iter().filter(|grant| grant.who == who).map(|grant| grant.path.as_str());
        return Ok(json!(paths.map(|path| (path, &all)).collect::<BTreeMap<_, _>>()));
    }
    Ok(json!(
        ["/", "/vms", "/storage", "/nodes", "/pool", "/sdn", "/access"].map(|path| (path, &all)).into_iter().collect::<BTreeMap<_, _>>()
    ))
}

const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Modify",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.Unrestricted",
    "VM.PowerMgmt",
];

fn of_user<'s>(users: &'s Users, request: &Request) -> Result<&'s BTreeMap<String, ApiToken>, Refusal> {
    let user = request.text("userid");
    users.get(user).map_or_else(|| refuse(500, format!("no such user ('{user}')")), Ok)
}

fn no_such_token(request: &Request) -> Answer {
    refuse(500, format!("no such token '{}' for user '{}'", request.text("tokenid"), request.text("userid")))
}

fn info(id: Option<&String>, token: &ApiToken) -> Value {
    let mut shown = json!({ "expire": token.expire, "privsep": u8::from(token.privsep) });
    if !token.comment.is_empty() {
        shown["comment"] = json!(token.comment);
    }
    if let Some(id) = id {
        shown["tokenid"] = json!(id);
    }
    shown
}
