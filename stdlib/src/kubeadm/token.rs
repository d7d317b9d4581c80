//! Bootstrap tokens: minted just before a join, revoked right after it, and never shown.
use crate::recovery::Leftover;
use kthw_engine::{Error, Intent, Peers, Permit, Recovery, Result, Secret, node::Action, progress};
use miette::Diagnostic;
use serde::Deserialize;

/// How long a token lives if it cannot be revoked.
const LIFETIME: &str = "15m0s";
/// The same in milliseconds.
const LIFETIME_MS: u64 = 15 * 60 * 1000;

/// What a node needs to join: a token, and the digest by which it knows the cluster's CA.
#[derive(Debug)]
pub struct Invitation {
    /// `<id>.<secret>`.
    pub token: Secret,
    /// `sha256:<hex>` of the CA's public key.
    pub ca_hash: String,
    /// By what the token is found again if its value is lost.
    leftover: Leftover,
}

/// A token as `kubeadm token list -o json` prints it, one JSON text for each; its value is not kept.
#[derive(Deserialize)]
struct Listed {
    #[serde(deserialize_with = "secret")]
    token: Secret,
    #[serde(default)]
    description: String,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl Invitation {
    /// Mints a token on `control_plane` for the node `guest`.
    ///
    /// # Errors
    /// When kubeadm fails, or answers something else than a join command.
    pub async fn mint(peers: &Peers, control_plane: &str, guest: &str, permit: &Permit) -> Result<Self> {
        // Its value is kubeadm's to choose, so its description says whose it is, from before it is made.
        let mark = format!("kthw: join of {guest} in run {}", permit.run());
        let argv = ["kubeadm", "token", "create", "--ttl", LIFETIME, "--description", &mark, "--print-join-command"];
        let action = Action::run_for(60, argv);
        let ends_ms = peers.clock().unix_ms() + LIFETIME_MS;
        let leftover = Leftover::JoinToken { control_plane: control_plane.to_owned(), description: mark.clone(), ends_ms };
        let intent = Intent::on(control_plane, action.to_string(), Recovery::TakeBack(leftover.clone().into()));
        let output = permit.effect(intent, async |effect| peers.nodes().act(control_plane, &action, effect).await).await?;
        let failed = |reason: String| Error::peer(MintToken { node: control_plane.to_owned(), reason });
        if output.status != 0 {
            return Err(failed(output.stderr.trim().to_owned()));
        }
        // The answer holds the token: it is not repeated in an error.
        Self::parse(&output.stdout, leftover).ok_or_else(|| failed("kubeadm did not print a join command".into()))
    }

    /// Reads the command that `kubeadm token create --print-join-command` prints.
    fn parse(text: &str, leftover: Leftover) -> Option<Self> {
        let line = text.lines().find(|line| line.trim_start().starts_with("kubeadm join "))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
        let (token, ca_hash) = (after("--token")?, after("--discovery-token-ca-cert-hash")?);
        let is_lower =
            |text: &str, length: usize| text.len() == length && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
        let (id, secret) = token.split_once('.')?;
        let digest = ca_hash.strip_prefix("sha256:")?;
        let sound = is_lower(id, 6) && is_lower(secret, 16) && digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit());
        sound.then(|| Self { token: Secret::new(token), ca_hash: ca_hash.to_owned(), leftover })
    }

    /// Takes the token back. If that fails it ends by itself, so the join counts all the same.
    pub async fn revoke(self, peers: &Peers, control_plane: &str, permit: &Permit) {
        let id = id_of(&self.token);
        let action = delete(&id);
        let intent = Intent::on(control_plane, action.to_string(), Recovery::Look).taking_back(self.leftover.into()).closing();
        let work = async |effect: &_| match peers.nodes().act(control_plane, &action, effect).await? {
            output if output.status == 0 => Ok(()),
            output => {
                Err(Error::peer(RevokeToken { id: id.clone(), node: control_plane.to_owned(), said: output.stderr.trim().to_owned() }))
            }
        };
        if permit.effect(intent, work).await.is_err() {
            progress(format!(
                "bootstrap token {id} could not be revoked; the next run tries again, and it ends by itself within {LIFETIME}"
            ));
        }
    }
}

/// Revokes the tokens of a run that died before it did so itself; says in words what was done.
///
/// # Errors
/// When the node cannot be reached, or kubeadm fails.
pub async fn revoke_left(control_plane: &str, mark: &str, ends_ms: u64, peers: &Peers, permit: &Permit) -> Result<String> {
    if peers.clock().unix_ms() >= ends_ms {
        return Ok("its token has ended by itself".into());
    }
    let list = permit.act(peers, control_plane, &Action::run_for(60, ["kubeadm", "token", "list", "-o", "json"])).await?;
    let failed =
        |said: &str| Error::peer(RevokeToken { id: mark.to_owned(), node: control_plane.to_owned(), said: said.trim().to_owned() });
    if list.status != 0 {
        return Err(failed(&list.stderr));
    }
    let mut revoked = Vec::new();
    for listed in serde_json::Deserializer::from_str(&list.stdout).into_iter::<Listed>() {
        let listed = listed.map_err(|error| failed(&format!("the list of tokens cannot be read: {error}")))?;
        if listed.description == mark {
            let id = id_of(&listed.token);
            let output = permit.act_closing(peers, control_plane, &delete(&id)).await?;
            if output.status != 0 {
                return Err(failed(&output.stderr));
            }
            revoked.push(id);
        }
    }
    Ok(if revoked.is_empty() { "no token of it is left".into() } else { format!("revoked bootstrap token {}", revoked.join(", ")) })
}

/// The part before the dot names a token and is no secret.
fn id_of(token: &Secret) -> String {
    token.expose().split('.').next().unwrap_or_default().to_owned()
}

fn delete(id: &str) -> Action {
    Action::run_for(60, ["kubeadm", "token", "delete", id])
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot make a bootstrap token on {node}: {reason}")]
#[diagnostic(code(kthw::kubeadm::mint_token), help("see that the control plane runs: `kubeadm token list` there"))]
struct MintToken {
    node: String,
    reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot revoke bootstrap token {id} on {node}: {said}")]
#[diagnostic(
    code(kthw::kubeadm::revoke_token),
    help("it ends by itself within {LIFETIME} of its making; `kubeadm token list` on {node} shows it")
)]
struct RevokeToken {
    id: String,
    node: String,
    said: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:f734aa3933faf19798ff520ddf47c47971e9c82095476fd445e2da83e0956bef";

    fn a_leftover() -> Leftover {
        Leftover::JoinToken { control_plane: "cp1".into(), description: String::new(), ends_ms: 0 }
    }

    #[test]
    fn the_join_command_is_read() {
        let text = format!(
            "W1121 warning\nkubeadm join cu1.bevz.net:6443 --token abcdef.0123456789abcdef     --discovery-token-ca-cert-hash {HASH} \n"
        );
        let invitation = Invitation::parse(&text, a_leftover()).expect("read");
        assert_eq!((invitation.token.expose(), &*invitation.ca_hash), ("abcdef.0123456789abcdef", HASH));
        assert!(!format!("{invitation:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            String::new(),
            format!("kubeadm join a:6443 --token abcdef --discovery-token-ca-cert-hash {HASH}"),
            format!("kubeadm join a:6443 --token ABCDEF.0123456789abcdef --discovery-token-ca-cert-hash {HASH}"),
            "kubeadm join a:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:00".into(),
            "kubeadm join a:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash".into(),
        ] {
            assert!(Invitation::parse(&text, a_leftover()).is_none(), "{text}");
        }
    }
}
