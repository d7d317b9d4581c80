//! What the modules know about effects that a run left open: tasks that Proxmox goes on with, and things that no look at a resource finds.
use crate::{
    kubeadm::revoke_left_tokens,
    proxmox::{remove_left_token, wait_for_left_task},
};
use kthw_engine::{BoxFuture, Error, Peers, Permit, Recoverer, Result};
use serde::{Deserialize, Serialize};

/// Something that an effect leaves and that has to be taken back. Whoever adds one is led by the compiler to [`Recovery`], which takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "left")]
pub enum Leftover {
    /// A token for joining a cluster.
    JoinToken {
        /// The node on which it was made.
        control_plane: String,
        /// What it says of itself.
        description: String,
        /// When it ends by itself, in milliseconds since 1970.
        ends_ms: u64,
    },
    /// A token of Proxmox's API whose value is kept nowhere yet.
    ApiToken {
        /// Whose it is, such as `root@pam`.
        user: String,
        /// Its name.
        id: String,
        /// The secret that holds its value once it is kept; it stays then.
        secret: String,
    },
}

impl From<Leftover> for kthw_engine::Leftover {
    fn from(leftover: Leftover) -> Self {
        // Texts alone: there is nothing that JSON could not hold.
        Self(serde_json::to_value(leftover).unwrap_or_default())
    }
}

/// Settles what a run left open, as far as the modules know how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery;

impl Recoverer for Recovery {
    fn wait_for<'a>(&'a self, name: &'a str, peers: &'a Peers) -> BoxFuture<'a, Result<String>> {
        Box::pin(wait_for_left_task(name, peers))
    }

    fn take_back<'a>(&'a self, leftover: &'a kthw_engine::Leftover, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            match Leftover::deserialize(&leftover.0).map_err(|source| Error::usage(Unknown { source }))? {
                Leftover::JoinToken { control_plane, description, ends_ms } => {
                    revoke_left_tokens(&control_plane, &description, ends_ms, peers, permit).await
                }
                Leftover::ApiToken { user, id, secret } => remove_left_token(&user, &id, &secret, peers, permit).await,
            }
        })
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("this kthw does not know what an earlier run left")]
#[diagnostic(code(kthw::recovery::unknown), help("run the kthw that made it, or a newer one"))]
struct Unknown {
    source: serde_json::Error,
}
