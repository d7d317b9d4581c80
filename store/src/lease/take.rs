//! Taking the lock: at once when it is free or its owner is gone, after a while of watching when nobody renews it, else not.
use super::{EXPIRES, Holder, Lease, Owner, SCHEMA, errors, read, write};
use crate::{
    journal::History,
    records::{Condition, Records, Version},
};
use kthw_engine::{Clock, Result};
use std::{sync::Arc, time::Duration};

/// How often a lock that nobody seems to renew is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a run that wants the lock waits for, told once.
pub type Waiting<'a> = &'a (dyn Fn(&Holder) + Sync);

/// Takes the lock of `workspace` for `me`, whose run is described by `what`.
///
/// Whether another machine's owner is alive is told by whether it renews the lock, never by its clock.
///
/// # Errors
/// [`Kind::Overtaken`](kthw_engine::Kind::Overtaken) when another run has it and is alive; when the store cannot be asked or written.
pub async fn take(
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    workspace: &str,
    what: &str,
    me: Owner,
    waiting: Waiting<'_>,
) -> Result<Lease> {
    let mut watched: Option<(Version, Duration)> = None;
    loop {
        let found = read(&*records, workspace).await?;
        let Some((holder, version)) = found else {
            let holder = claim(workspace, what, &me, None, &*clock);
            match write(&*records, &holder, Condition::Absent).await? {
                Some(version) => return Ok(Lease::new(records, clock, holder, version)),
                None => continue,
            }
        };
        if let Some(owner) = &holder.owner
            && !owner.is_gone()
        {
            match &watched {
                None => {
                    waiting(&holder);
                    watched = Some((version.clone(), clock.now()));
                }
                Some((seen, _)) if *seen != version => return Err(errors::locked(&holder, owner)),
                Some(_) => {}
            }
            if let Some((_, since)) = &watched
                && clock.now().saturating_sub(*since) < EXPIRES
            {
                clock.sleep(LOOK).await;
                continue;
            }
        }
        let mine = claim(workspace, what, &me, Some(&holder), &*clock);
        if holder.owner.is_some() {
            // Before the lock is taken: else somebody who dies in between leaves a run that may go on writing.
            History::new(records.clone(), workspace).end(holder.number, mine.number, &*clock).await?;
        }
        let Some(version) = write(&*records, &mine, Condition::Is(version)).await? else { continue };
        return Ok(Lease::new(records, clock, mine, version));
    }
}

/// The lock as `me` has it after `before`.
fn claim(workspace: &str, what: &str, me: &Owner, before: Option<&Holder>, clock: &dyn Clock) -> Holder {
    let now = clock.unix_ms();
    Holder {
        schema: SCHEMA,
        workspace: workspace.to_owned(),
        // By the date, so that it rises even when the store is lost: nodes remember the last number that they saw.
        number: now.max(before.map_or(0, |before| before.number + 1)),
        owner: Some(me.clone()),
        what: what.to_owned(),
        beat: 0,
        renewed_ms: now,
        // What a run that did not give the lock back left is not known yet.
        last: before.filter(|before| before.owner.is_none()).and_then(|before| before.last.clone()),
    }
}
