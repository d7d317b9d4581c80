//! Single objects, read and written until it is known how it went.
use super::{failure::Failure, settings::Limits, tries::Tries};
use crate::records::{Condition, Record, Version};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion, aws::AmazonS3, path::Path};

const NO_ETAG: &str = "it gives no ETag";
const NEEDS_ETAG: &str = "use a service that has conditional writes (docs/guides/share-a-store.md)";

/// The objects of a bucket.
pub(super) struct Objects {
    pub store: AmazonS3,
    pub limits: Limits,
}

impl Objects {
    pub fn tries(&self) -> Tries {
        Tries::new(self.limits)
    }

    pub async fn read(&self, path: &Path, tries: &mut Tries) -> Result<Option<Record>, Failure> {
        loop {
            match self.read_once(path).await {
                Ok(record) => return Ok(Some(record)),
                Err(Failure::Absent) => return Ok(None),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    async fn read_once(&self, path: &Path) -> Result<Record, Failure> {
        self.ready().await?;
        let found = self.store.get(path).await?;
        let version = found.meta.e_tag.clone().ok_or_else(|| Failure::last(NO_ETAG, NEEDS_ETAG))?;
        let bytes = found.bytes().await?;
        Ok(Record { bytes: bytes.into(), version: Version::new(version) })
    }

    /// Writes an object if `condition` holds; `None` when it does not.
    pub async fn write(&self, path: &Path, bytes: &[u8], condition: &Condition) -> Result<Option<Version>, Failure> {
        let mut tries = self.tries();
        // Whether one of the tries may have been done although nobody said so.
        let mut unsure = false;
        loop {
            let failure = match self.write_once(path, bytes, condition).await {
                Ok(version) => return Ok(Some(version)),
                Err(Failure::Unmet | Failure::Absent) => {
                    let found = self.read(path, &mut tries).await?;
                    if !condition.holds(found.as_ref().map(|found| &found.version)) {
                        // What an earlier try wrote, whose answer was lost, is in its own way now.
                        return Ok(found.filter(|found| unsure && found.bytes == bytes).map(|found| found.version));
                    }
                    // Two writers at once may both be sent away (409), and one who wrote in between may have removed it.
                    Failure::passing("it refuses a write although nothing is in its way", NEEDS_ETAG)
                }
                Err(failure) => {
                    unsure |= matches!(failure, Failure::Passing { .. });
                    failure
                }
            };
            tries.again(failure).await?;
        }
    }

    /// One try.
    pub async fn write_once(&self, path: &Path, bytes: &[u8], condition: &Condition) -> Result<Version, Failure> {
        self.ready().await?;
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Is(version) => PutMode::Update(UpdateVersion { e_tag: Some(version.as_str().to_owned()), version: None }),
        };
        let put = self.store.put_opts(path, bytes.to_vec().into(), PutOptions::from(mode)).await?;
        put.e_tag.map(Version::new).ok_or_else(|| Failure::last(NO_ETAG, NEEDS_ETAG))
    }

    /// Removes an object; it may be gone already.
    pub async fn remove(&self, path: &Path) -> Result<(), Failure> {
        let mut tries = self.tries();
        loop {
            let removed = match self.ready().await {
                Ok(()) => self.store.delete(path).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            match removed {
                Ok(()) | Err(Failure::Absent) => return Ok(()),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// All objects below a path.
    pub async fn list(&self, below: &Path, tries: &mut Tries) -> Result<Vec<ObjectMeta>, Failure> {
        loop {
            let listed = match self.ready().await {
                Ok(()) => self.store.list(Some(below)).try_collect().await.map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            match listed {
                Ok(found) => return Ok(found),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Gets the credentials that the next request is signed with: what goes wrong then is not the storage's refusal.
    async fn ready(&self) -> Result<(), Failure> {
        self.store.credentials().get_credential().await.map(drop).map_err(|error| Failure::of_credentials(&error))
    }
}
