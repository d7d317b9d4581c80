//! Bootstrap tokens: minted just before a join, revoked right after it, and never shown.
use kthw_engine::{Error, Peers, Permit, Result, Secret, node::Action, progress};
use miette::Diagnostic;

/// How long a token lives if it cannot be revoked.
const LIFETIME: &str = "15m0s";

/// What a node needs to join: a token, and the digest by which it knows the cluster's CA.
#[derive(Debug)]
pub struct Invitation {
    /// `<id>.<secret>`.
    pub token: Secret,
    /// `sha256:<hex>` of the CA's public key.
    pub ca_hash: String,
}

impl Invitation {
    /// Mints a token on `control_plane` for the node `guest`.
    ///
    /// # Errors
    /// When kubeadm fails, or answers something else than a join command.
    pub async fn mint(peers: &Peers, control_plane: &str, guest: &str, permit: &Permit) -> Result<Self> {
        let description = format!("kthw: join of {guest}");
        let argv = ["kubeadm", "token", "create", "--ttl", LIFETIME, "--description", &description, "--print-join-command"];
        let output = permit.act(peers, control_plane, &Action::run_for(60, argv)).await?;
        let failed = |reason: String| Error::peer(MintToken { node: control_plane.to_owned(), reason });
        if output.status != 0 {
            return Err(failed(output.stderr.trim().to_owned()));
        }
        // The answer holds the token: it is not repeated in an error.
        Self::parse(&output.stdout).ok_or_else(|| failed("kubeadm did not print a join command".into()))
    }

    /// Reads the command that `kubeadm token create --print-join-command` prints.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.trim_start().starts_with("kubeadm join "))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
        let (token, ca_hash) = (after("--token")?, after("--discovery-token-ca-cert-hash")?);
        let is_lower =
            |text: &str, length: usize| text.len() == length && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
        let (id, secret) = token.split_once('.')?;
        let digest = ca_hash.strip_prefix("sha256:")?;
        let sound = is_lower(id, 6) && is_lower(secret, 16) && digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit());
        sound.then(|| Self { token: Secret::new(token), ca_hash: ca_hash.to_owned() })
    }

    /// Takes the token back. If that fails it ends by itself, so the join counts all the same.
    pub async fn revoke(self, peers: &Peers, control_plane: &str, permit: &Permit) {
        // The part before the dot names the token and is no secret.
        let id = self.token.expose().split('.').next().unwrap_or_default().to_owned();
        let revoked = permit.act_closing(peers, control_plane, &Action::run_for(60, ["kubeadm", "token", "delete", &id])).await;
        if !matches!(revoked, Ok(output) if output.status == 0) {
            progress(format!("bootstrap token {id} could not be revoked; it ends by itself within {LIFETIME}"));
        }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot make a bootstrap token on {node}: {reason}")]
#[diagnostic(code(kthw::kubeadm::mint_token), help("see that the control plane runs: `kubeadm token list` there"))]
struct MintToken {
    node: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:f734aa3933faf19798ff520ddf47c47971e9c82095476fd445e2da83e0956bef";

    #[test]
    fn the_join_command_is_read() {
        let text = format!(
            "W1121 warning\nkubeadm join cu1.bevz.net:6443 --token abcdef.0123456789abcdef     --discovery-token-ca-cert-hash {HASH} \n"
        );
        let invitation = Invitation::parse(&text).expect("read");
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
            assert!(Invitation::parse(&text).is_none(), "{text}");
        }
    }
}
