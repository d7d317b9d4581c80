//! Whether a run still has its workspace to itself: asked before every effect.
use crate::{error::Result, peers::BoxFuture};
use std::fmt;

/// Keeps a run that was overtaken from changing anything more.
pub trait Fence: fmt::Debug + Send + Sync {
    /// Returns at once while it is certain that no other run has taken over; may ask whoever knows when it is not.
    ///
    /// # Errors
    /// [`Kind::Overtaken`](crate::Kind::Overtaken) when another run has; [`Kind::Peer`](crate::Kind::Peer) when that cannot be told.
    fn check(&self) -> BoxFuture<'_, Result<()>>;
}

/// For what is not a run of a workspace, such as one command on a node: nothing is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFence;

impl Fence for NoFence {
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
