//! A ledger that does something at one effect.
use kthw_engine::{BoxFuture, Entry, Error, Ledger, Result, Stop};
use std::sync::Arc;
use tokio::sync::Notify;

/// Does `action` at the effect with this number.
#[derive(Debug)]
pub struct At {
    pub number: u64,
    pub action: Do,
}

#[derive(Debug)]
pub enum Do {
    /// Cannot write it down.
    Fail,
    /// Asks the run to stop while the effect is done.
    Stop(Stop),
    /// Tells somebody, and never comes back.
    End(Arc<Notify>),
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the disk is full")]
#[diagnostic(code(tiny::full), help("make room"))]
struct Full;

impl Ledger for At {
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match &self.action {
                _ if entry.number != self.number => Ok(()),
                Do::Fail => Err(Error::peer(Full)),
                Do::Stop(stop) => {
                    stop.ask();
                    Ok(())
                }
                Do::End(told) => {
                    told.notify_one();
                    std::future::pending().await
                }
            }
        })
    }
    fn note<'a>(&'a self, _: u64, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn end<'a>(&'a self, _: u64, _: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
