//! Records as objects of S3-compatible storage, for a team.
//!
//! A record is an object, a log a row of objects, and whoever writes says in the request what must be there: `If-None-Match: *` or
//! `If-Match: ETag` (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). The service judges that and writes as one.
use crate::{
    name::Name,
    records::{Condition, Record, Records, Version, list_below},
};
use kthw_engine::{BoxFuture, Result};
use object_store::path::Path;
use std::{collections::BTreeSet, fmt};
use tokio::sync::OnceCell;

mod address;
mod answers;
mod failure;
mod logs;
mod objects;
mod proof;
mod settings;
mod tries;

pub use address::{BadAddress, S3Address};
use failure::Failure;
use objects::Objects;
pub use settings::{Limits, Variables};

/// The records of a workspace in S3.
pub struct S3Records {
    objects: Objects,
    address: S3Address,
    root: Path,
    endpoint: String,
    /// Set once it is known that the service refuses a write whose condition does not hold.
    proven: OnceCell<()>,
}

impl S3Records {
    /// The records at `address`, which is the [place of one workspace](S3Address::below). Nothing is asked yet.
    ///
    /// # Errors
    /// Settings that are missing or wrong.
    pub fn open(address: S3Address, variables: &Variables<'_>, limits: Limits) -> Result<Self> {
        let objects = Objects { store: settings::client(&address, variables, limits)?, limits };
        let root = Path::from(address.prefix());
        Ok(Self { objects, root, endpoint: settings::endpoint(variables), address, proven: OnceCell::new() })
    }

    fn path(&self, name: &Name) -> Path {
        name.as_str().split('/').fold(self.root.clone(), Path::join)
    }

    /// Sees once that conditions count here, before anything relies on them.
    async fn conditions_count(&self) -> std::result::Result<(), Failure> {
        self.proven.get_or_try_init(|| proof::prove(&self.objects, &self.root)).await.copied()
    }

    fn told<T>(&self, verb: &str, what: &str, done: std::result::Result<T, Failure>) -> Result<T> {
        let what = if what.is_empty() { "records".to_owned() } else { format!("`{what}`") };
        done.map_err(|failure| failure.told(format!("{verb} {what}"), format!("{} at {}", self.address, self.endpoint)))
    }

    async fn write(&self, path: &Path, bytes: &[u8], condition: &Condition) -> std::result::Result<Option<Version>, Failure> {
        self.conditions_count().await?;
        self.objects.write(path, bytes, condition).await
    }

    async fn names(&self, below: Option<&Name>) -> std::result::Result<Vec<Name>, Failure> {
        let folder = below.map_or_else(|| self.root.clone(), |below| self.path(below));
        let found = self.objects.list(&folder, &mut self.objects.tries()).await?;
        let name = |object: &Path| {
            let path = logs::log_of(object).map_or(object.as_ref(), |(log, _)| log);
            path.strip_prefix(self.root.as_ref())?.trim_start_matches('/').parse::<Name>().ok()
        };
        let names: BTreeSet<Name> = found.iter().filter_map(|object| name(&object.location)).collect();
        Ok(names.into_iter().filter(|name| below.is_none_or(|below| name.is_below(below))).collect())
    }
}

impl fmt::Debug for S3Records {
    /// Without the client, which holds the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Records").field(&self.address).finish()
    }
}

impl Records for S3Records {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        Box::pin(async move {
            let found = self.objects.read(&self.path(name), &mut self.objects.tries()).await;
            self.told("read", name.as_str(), found)
        })
    }

    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        Box::pin(async move {
            let done = self.write(&self.path(name), bytes, &condition).await;
            self.told("write", name.as_str(), done)
        })
    }

    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        Box::pin(async move {
            if bytes.is_empty() {
                return Ok(Some(()));
            }
            let piece = logs::piece(&self.path(name), at);
            let done = self.write(&piece, bytes, &Condition::Absent).await;
            self.told("add to", name.as_str(), done.map(|written| written.map(drop)))
        })
    }

    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let found = logs::read(&self.objects, &self.path(name)).await;
            self.told("read", name.as_str(), found)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        Box::pin(async move {
            let below = list_below(prefix)?;
            let found = self.names(below.as_ref()).await;
            self.told("list", prefix, found)
        })
    }

    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = self.path(name);
            let mut done = self.objects.remove(&path).await;
            if done.is_ok() {
                done = logs::remove(&self.objects, &path).await;
            }
            self.told("remove", name.as_str(), done)
        })
    }

    fn place(&self) -> String {
        self.address.to_string()
    }
}
