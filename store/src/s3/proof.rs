//! Whether a service does what conditional writes need. Some ignore the condition and write: with them, two would hold one lock.
use super::{failure::Failure, objects::Objects, tries::Tries};
use crate::records::{Condition, Version};
use object_store::path::Path;

/// The object that is written to find out. It has no record's name, and stays.
const OBJECT: &str = ".conditional-writes";
const CONTENT: &[u8] = b"kthw writes this object to see whether the service refuses to write it again.\n";
/// No object of this content has this ETag.
const ANOTHER: &str = "\"00000000000000000000000000000000\"";

/// Asks for two writes that have to be refused.
pub(super) async fn prove(objects: &Objects, root: &Path) -> Result<(), Failure> {
    let path = root.clone().join(OBJECT);
    let mut tries = objects.tries();
    // The first may make it, the second finds it.
    if !is_refused(objects, &path, &Condition::Absent, &mut tries).await?
        && !is_refused(objects, &path, &Condition::Absent, &mut tries).await?
    {
        return Err(ignored("If-None-Match"));
    }
    match is_refused(objects, &path, &Condition::Is(Version::new(ANOTHER)), &mut tries).await? {
        true => Ok(()),
        false => Err(ignored("If-Match")),
    }
}

async fn is_refused(objects: &Objects, path: &Path, condition: &Condition, tries: &mut Tries) -> Result<bool, Failure> {
    loop {
        match objects.write_once(path, CONTENT, condition).await {
            Ok(_) => return Ok(false),
            Err(Failure::Unmet | Failure::Absent) => return Ok(true),
            Err(failure) => tries.again(failure).await?,
        }
    }
}

fn ignored(header: &str) -> Failure {
    let help = "use a service that has conditional writes (docs/guides/share-a-store.md), or a folder";
    Failure::last(format!("the service ignores {header}: two could write one thing at once, and both believe that they did"), help)
}
