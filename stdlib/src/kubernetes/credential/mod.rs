//! A kubeconfig for somebody: a certificate or a token with an end, which the cluster itself makes.
mod holder;
mod request;
mod shown;

pub use holder::{Holder, duration_s};
pub use shown::{Shown, users};

use super::{
    client::{Approval, At, Client},
    error::{in_words, is_not_found, is_passing},
    objects,
    place::Place,
};
use crate::workspace::Workspace;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Recovery, Result, Secret, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use request::Request;
use serde_json::{Value, json};

/// What the cluster may give less than it was asked for without a word: it dates certificates back by five minutes.
const LESS_S: i64 = 360;

/// A kubeconfig that was made for somebody.
#[derive(Debug)]
pub struct Issued {
    /// The file's text; it holds a key or a token.
    pub kubeconfig: Secret,
    /// When it ends.
    pub ends: Timestamp,
    /// Whether that is earlier than it was asked for.
    pub is_shorter: bool,
}

/// Has the cluster make a kubeconfig for `holder` that ends after `valid_s` seconds. A person's key is made here and goes nowhere but into it.
///
/// # Errors
/// A cluster that cannot be reached or does not sign, and a service account that is not there.
pub async fn issue(workspace: &Workspace, holder: &Holder, valid_s: u32, peers: &Peers, permit: &Permit) -> Result<Issued> {
    let place = Place::of(workspace).map_err(Error::usage)?;
    let conf = super::admin_conf(peers.nodes(), &place.node).await?;
    let client = objects::client(peers, &place.node).await?;
    let (user, ends) = match holder {
        Holder::Person { user, groups } => certificate(&client, user, groups, valid_s, peers, permit).await?,
        Holder::ServiceAccount { namespace, name } => token(&client, namespace, name, valid_s, permit).await?,
    };
    let wanted_s = i64::try_from(peers.clock().unix_ms() / 1000).unwrap_or(0) + i64::from(valid_s);
    let text = super::kubeconfig::write(&conf.of_user(&workspace.name, &holder.label(), &user))?;
    Ok(Issued { kubeconfig: Secret::holding(text), ends, is_shorter: ends.as_second() < wanted_s - LESS_S })
}

/// The kind of requests for certificates.
fn requests() -> At {
    let kind = GroupVersionKind::gvk("certificates.k8s.io", "v1", "CertificateSigningRequest");
    At { resource: ApiResource::from_gvk_with_plural(&kind, "certificatesigningrequests"), namespace: None }
}

/// Asks for a certificate, approves that, and waits for it. The request goes in any case; one that a killed kthw leaves goes within an hour by
/// itself, <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#certificate-signing-request-process>.
async fn certificate(
    client: &Client,
    user: &str,
    groups: &[String],
    valid_s: u32,
    peers: &Peers,
    permit: &Permit,
) -> Result<(Value, Timestamp)> {
    let request = Request::of(user, groups).map_err(|why| not_made(user, why))?;
    let mut mark = [0; 5];
    peers.random().fill(&mut mark);
    let name = format!("kthw-{}", hex::encode(mark));
    let what = format!("a certificate for {user} (groups: {}), for {valid_s} s", groups.join(", "));
    let at = requests();
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(&request.pem),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": valid_s,
            "usages": ["client auth"],
        },
    });
    let refused = |error: &kube::Error| not_made(user, in_words(error));
    let asking = Intent::on("kubernetes", format!("asking for {what}"), Recovery::Look).told_by(name.clone());
    permit.effect(asking, async |effect| client.apply(&at, &name, &body, effect).await.map_err(|error| refused(&error))).await?;
    let approving = Intent::on("kubernetes", format!("approving {what}"), Recovery::Look).told_by(name.clone());
    let approval = Approval { version: None, reason: "AskedForWithKthw", message: "approved by kthw kubeconfig" };
    let approved =
        permit.effect(approving, async |effect| client.approve(&at, &name, approval, effect).await.map_err(|error| refused(&error))).await;
    let signed = match approved {
        Ok(()) => signed(client, &at, &name, user, peers).await,
        Err(error) => Err(error),
    };
    let removing = Intent::on("kubernetes", format!("removing the request for {what}"), Recovery::Look).closing();
    let removed = permit.effect(removing, async |effect| client.delete(&at, &name, effect).await.map_err(|error| refused(&error))).await;
    let pem = signed?;
    removed?;
    let certificate = shown::certificate(&pem).ok_or_else(|| not_made(user, "what the cluster signed is no certificate".into()))?;
    let is_its_own = certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes() == request.public_key;
    let ends = shown::shown(&certificate).and_then(|shown| shown.ends).filter(|_| is_its_own);
    let ends = ends.ok_or_else(|| not_made(user, "the cluster signed another key than the one that was sent".into()))?;
    let key = STANDARD.encode(request.key.expose());
    Ok((json!({"client-certificate-data": STANDARD.encode(&pem), "client-key-data": key}), ends))
}

/// Waits for the certificate. The controller manager makes it.
async fn signed(client: &Client, at: &At, name: &str, user: &str, peers: &Peers) -> Result<Vec<u8>> {
    let help = "the controller manager signs: `kubectl -n kube-system get pods -l component=kube-controller-manager`, and its log";
    wait(peers, Limit::minutes(1), &format!("the cluster to sign the certificate of {user}"), help, || async move {
        let live = match client.get(at, name).await {
            Ok(Some(live)) => serde_json::to_value(live).unwrap_or_default(),
            Ok(None) => return Err(not_made(user, "somebody removed the request before it was signed".into())),
            Err(error) if is_passing(&error) => return Ok(Poll::Pending(in_words(&error))),
            Err(error) => return Err(not_made(user, in_words(&error))),
        };
        for condition in ["Failed", "Denied"] {
            if let Some(("True", why)) = objects::condition(&live, condition) {
                return Err(not_made(user, format!("{}: {why}", condition.to_lowercase())));
            }
        }
        let pem = live.pointer("/status/certificate").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        Ok(pem.map_or_else(|| Poll::Pending("it is approved and not signed yet".into()), Poll::Ready))
    })
    .await
}

/// Asks for a token of a service account. It ends by itself, and with the service account.
async fn token(client: &Client, namespace: &str, name: &str, valid_s: u32, permit: &Permit) -> Result<(Value, Timestamp)> {
    let who = format!("{namespace}/{name}");
    let intent = Intent::on("kubernetes", format!("asking for a token of the service account {who}, for {valid_s} s"), Recovery::Look);
    let answer = permit
        .effect(intent, async |effect| {
            client.token(namespace, name, valid_s, effect).await.map_err(|error| match is_not_found(&error) {
                true => Error::usage(NoServiceAccount { who: who.clone() }),
                false => not_made(&who, in_words(&error)),
            })
        })
        .await?;
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let ends = text("/status/expirationTimestamp").and_then(|text| text.parse().ok());
    match (text("/status/token"), ends) {
        (Some(token), Some(ends)) => {
            // From here on it is taken out of whatever is printed.
            let token = Secret::new(token);
            Ok((json!({"token": token.expose()}), ends))
        }
        _ => Err(not_made(&who, "the answer holds no token".into())),
    }
}

fn not_made(who: &str, why: String) -> Error {
    Error::peer(NotMade { who: who.to_owned(), why })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no kubeconfig was made for {who}: {why}")]
#[diagnostic(
    code(kthw::kubeconfig::not_made),
    help("nothing is left of it in the cluster that does not go by itself; run the command again")
)]
struct NotMade {
    who: String,
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no service account {who}")]
#[diagnostic(
    code(kthw::kubeconfig::no_service_account),
    help("declare it with `kubernetes::service_account` in a recipe, and run that first")
)]
struct NoServiceAccount {
    who: String,
}
