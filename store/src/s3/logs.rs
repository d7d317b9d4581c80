//! Logs of objects that never change: each piece is an object of its own, called by the byte at which it begins.
//!
//! Two who add to a log at one place want to make one object, which only one of them can.
use super::{failure::Failure, objects::Objects};
use crate::name::{OFFSET_DIGITS, is_offset};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

/// So many pieces are fetched at a time.
const AT_ONCE: usize = 16;

/// Where the piece is, or would be, that begins at a byte of a log.
pub(super) fn piece(log: &Path, at: u64) -> Path {
    log.clone().join(format!("{at:0OFFSET_DIGITS$}"))
}

/// The log that an object is a piece of, and where in it the piece begins.
pub(super) fn log_of(object: &Path) -> Option<(&str, u64)> {
    let (log, offset) = object.as_ref().rsplit_once('/')?;
    is_offset(offset).then(|| offset.parse().ok().map(|at| (log, at)))?
}

/// All bytes of a log; `None` when there is none.
pub(super) async fn read(objects: &Objects, log: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut tries = objects.tries();
    loop {
        let offsets = offsets(objects, log).await?;
        if offsets.is_empty() {
            return Ok(None);
        }
        let pieces = stream::iter(offsets).map(|at| async move {
            let path = piece(log, at);
            objects.read(&path, &mut objects.tries()).await.map(|found| (at, found.map(|found| found.bytes)))
        });
        let pieces: Vec<_> = pieces.buffered(AT_ONCE).try_collect().await?;
        match joined(log, pieces) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(failure) => tries.again(failure).await?,
        }
    }
}

/// Removes a log from its end, so that what is there of it is a whole log at any time.
pub(super) async fn remove(objects: &Objects, log: &Path) -> Result<(), Failure> {
    for at in offsets(objects, log).await?.into_iter().rev() {
        objects.remove(&piece(log, at)).await?;
    }
    Ok(())
}

/// Where the pieces of a log begin, in order.
async fn offsets(objects: &Objects, log: &Path) -> Result<Vec<u64>, Failure> {
    let found = objects.list(log, &mut objects.tries()).await?;
    let ours = |object: &Path| log_of(object).filter(|(of, _)| *of == log.as_ref()).map(|(_, at)| at);
    let mut offsets: Vec<u64> = found.iter().filter_map(|object| ours(&object.location)).collect();
    offsets.sort_unstable();
    Ok(offsets)
}

fn joined(log: &Path, pieces: Vec<(u64, Option<Vec<u8>>)>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for (at, found) in pieces {
        let Some(found) = found else {
            return Err(Failure::passing(format!("the object {} went away while the log was read", piece(log, at)), "try again"));
        };
        if at != bytes.len() as u64 {
            let help = "restore that object from a version or a copy; or move all objects of the log away, and what it tells is lost";
            let why = match at > bytes.len() as u64 {
                true => format!("the object {} is missing, and {} comes after it", piece(log, bytes.len() as u64), piece(log, at)),
                false => format!("the object {} begins before the one before it ends", piece(log, at)),
            };
            return Err(Failure::last(why, help));
        }
        bytes.extend(found);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[(u64, Option<&str>)], expected: Result<&str, &str>) {
        let log = Path::from("team/ubuntu/journal/7");
        let pieces = pieces.iter().map(|(at, text)| (*at, text.map(|text| text.as_bytes().to_vec()))).collect();
        let told = joined(&log, pieces).map_err(|failure| match failure {
            Failure::Passing { why, .. } | Failure::Final { why, .. } => why,
            other => format!("{other:?}"),
        });
        assert_eq!(told.as_deref(), expected.map(str::as_bytes).map_err(|why| why.to_owned()).as_ref().map(|bytes| *bytes));
    }

    #[test]
    fn pieces_follow_each_other() {
        check(&[(0, Some("one")), (3, Some("two"))], Ok("onetwo"));
        let gap = "the object team/ubuntu/journal/7/00000000000000000003 is missing, and team/ubuntu/journal/7/00000000000000000006 comes after it";
        check(&[(0, Some("one")), (6, Some("three"))], Err(gap));
        let first = "the object team/ubuntu/journal/7/00000000000000000000 is missing, and team/ubuntu/journal/7/00000000000000000003 comes after it";
        check(&[(3, Some("two"))], Err(first));
        check(
            &[(0, Some("one")), (2, Some("two"))],
            Err("the object team/ubuntu/journal/7/00000000000000000002 begins before the one before it ends"),
        );
        check(&[(0, None)], Err("the object team/ubuntu/journal/7/00000000000000000000 went away while the log was read"));
    }

    #[test]
    fn a_piece_says_where_it_begins() {
        let log = Path::from("team/journal/7");
        assert_eq!(piece(&log, 42).as_ref(), "team/journal/7/00000000000000000042");
        assert_eq!(log_of(&piece(&log, u64::MAX)), Some(("team/journal/7", u64::MAX)));
        for other in ["team/journal/7", "team/journal/7/42", "team/journal/7/99999999999999999999"] {
            assert_eq!(log_of(&Path::from(other)), None, "{other}");
        }
    }
}
