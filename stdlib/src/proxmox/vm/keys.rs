//! The public keys that a machine is made with: those of the workspace, and the public half of the operator's key.
use crate::{sops::Secrets, ssh::public_half, workspace::Ssh};
use kthw_engine::{Error, Result};
use miette::Diagnostic;
use std::path::PathBuf;

/// Where the public keys of a machine come from.
#[derive(Clone, Debug)]
pub struct Keys {
    listed: Vec<String>,
    file: Option<PathBuf>,
    secret: Option<String>,
}

impl Keys {
    /// The keys that a workspace names.
    pub fn of(ssh: &Ssh) -> Self {
        let listed = ssh.authorized_keys.iter().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect();
        Self { listed, file: ssh.key_file.as_deref().map(public_file), secret: ssh.key_secret.clone() }
    }

    /// Reads them.
    ///
    /// # Errors
    /// When the public half of the key file cannot be read, or the secret holds no private key.
    pub async fn read(&self, secrets: &Secrets) -> Result<Vec<String>> {
        let mut keys = self.listed.clone();
        if let Some(name) = &self.secret {
            keys.push(public_half(name, &secrets.get(name)?)?);
        }
        if let Some(file) = &self.file {
            let text = tokio::fs::read_to_string(file)
                .await
                .map_err(|error| Error::usage(NoPublicKey { file: file.clone(), reason: error.to_string() }))?;
            keys.extend(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
        }
        let mut seen = Vec::new();
        keys.retain(|key| {
            !seen.contains(key) && {
                seen.push(key.clone());
                true
            }
        });
        Ok(keys)
    }
}

fn public_file(key_file: &str) -> PathBuf {
    let file = match (key_file.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(key_file),
    };
    let mut name = file.into_os_string();
    name.push(".pub");
    name.into()
}

/// A key as a plan shows it: its comment, or its type and last characters.
pub fn short(key: &str) -> String {
    let mut parts = key.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(_), Some(comment)) if !comment.trim().is_empty() => comment.trim().to_owned(),
        (Some(kind), Some(data), _) => format!("{kind} …{}", &data[data.len().saturating_sub(8)..]),
        _ => key.to_owned(),
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read the public key `{}`: {reason}", file.display())]
#[diagnostic(
    code(kthw::proxmox::no_public_key),
    help("machines are made with the public half of `ssh.key_file`; make it by `ssh-keygen -y -f KEY > KEY.pub`")
)]
struct NoPublicKey {
    file: PathBuf,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_of_list_and_file_come_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = Secrets::from_values("secrets.sops.yaml", std::iter::empty::<(String, kthw_engine::Secret)>());
        let key_file = folder.path().join("id");
        std::fs::write(folder.path().join("id.pub"), "ssh-ed25519 AAAA me\n").expect("a file");
        let ssh = Ssh {
            key_file: Some(key_file.display().to_string()),
            authorized_keys: vec!["ssh-ed25519 BBBB you".into(), "ssh-ed25519 AAAA me".into()],
            ..Ssh::default()
        };
        assert_eq!(Keys::of(&ssh).read(&secrets).await.expect("keys"), ["ssh-ed25519 BBBB you", "ssh-ed25519 AAAA me"]);
        let missing = Ssh { key_file: Some("/nonexistent/id".into()), ..Ssh::default() };
        let error = Keys::of(&missing).read(&secrets).await.expect_err("no such file").to_string();
        assert!(error.starts_with("cannot read the public key `/nonexistent/id.pub`"), "{error}");
    }

    #[test]
    fn keys_are_shown_short() {
        assert_eq!(short("ssh-ed25519 AAAA me@home"), "me@home");
        assert_eq!(short("ssh-ed25519 AAAABBBBCCCCDDDD"), "ssh-ed25519 …CCCCDDDD");
    }
}
