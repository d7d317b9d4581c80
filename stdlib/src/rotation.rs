//! Credentials that kthw made itself: the stamp by which they are recognised, and when they are due to be made anew.
use crate::workspace::Rotation;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use kthw_engine::Clock;
use std::fmt;

/// What kthw writes into the comment of a credential: `kthw:<workspace>:<name>:<generation>:<day>`.
///
/// A comment is all that Proxmox keeps about a token and sshd about a key, so whose it is and how old it is stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The workspace that made it.
    pub workspace: String,
    /// What it is for, such as `token/kthw-ubuntu` or `ssh-key/ssh.private_key`.
    pub name: String,
    /// From 1; a newer credential has a higher one.
    pub generation: u32,
    /// The day on which it was made, UTC.
    pub made: Date,
}

impl Stamp {
    /// Finds the stamp in a comment, whose first word it is.
    pub fn find(comment: &str) -> Option<Self> {
        let (workspace, rest) = comment.split_whitespace().next()?.strip_prefix("kthw:")?.split_once(':')?;
        let mut parts = rest.rsplitn(3, ':');
        let (made, generation, name) = (parts.next()?, parts.next()?, parts.next()?);
        let stamp = Self { workspace: workspace.into(), name: name.into(), generation: generation.parse().ok()?, made: made.parse().ok()? };
        (!workspace.is_empty() && !name.is_empty()).then_some(stamp)
    }

    /// Whether it is on a credential of this name of this workspace.
    pub fn is_of(&self, workspace: &str, name: &str) -> bool {
        self.workspace == workspace && self.name == name
    }

    /// Full days between the day on which it was made and `today`.
    pub fn age_days(&self, today: Date) -> i32 {
        (today - self.made).get_days()
    }

    /// As a plan shows it: `generation 3, made on 2026-08-01`. Not how old it is: a plan that was kept says the same the next day.
    pub fn shown(&self) -> String {
        format!("generation {}, made on {}", self.generation, self.made)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kthw:{}:{}:{}:{}", self.workspace, self.name, self.generation, self.made)
    }
}

/// The generation that a credential should have. `live` is the stamp of the one in use, if kthw made it.
pub fn wanted_generation(rotation: &Rotation, live: Option<&Stamp>, today: Date) -> u32 {
    let Some(live) = live else { return rotation.generation.max(1) };
    let too_old = rotation.max_age_days.is_some_and(|days| i64::from(live.age_days(today)) > i64::from(days));
    match live.generation >= rotation.generation {
        true if too_old => live.generation.saturating_add(1),
        true => live.generation,
        false => rotation.generation,
    }
}

/// The day on this clock, UTC.
pub fn today(clock: &dyn Clock) -> Date {
    Timestamp::from_second(clock.unix_s()).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_stamp_reads_back() {
        let stamp = Stamp { workspace: "ubuntu".into(), name: "token/kthw:a".into(), generation: 3, made: date(2026, 8, 1) };
        assert_eq!(stamp.to_string(), "kthw:ubuntu:token/kthw:a:3:2026-08-01");
        assert_eq!(Stamp::find(&format!("{stamp} replaces SHA256:x")), Some(stamp.clone()));
        assert_eq!((stamp.age_days(date(2026, 8, 31)), stamp.shown()), (30, "generation 3, made on 2026-08-01".into()));
        for not_ours in ["", "me@home", "kthw:", "kthw:a:b:c:d", "kthw::n:1:2026-08-01", "kthw:a::1:2026-08-01", "x kthw:a:b:1:2026-08-01"]
        {
            assert_eq!(Stamp::find(not_ours), None, "{not_ours}");
        }
    }

    #[test]
    fn generation_and_age_decide() {
        let live = |generation| Stamp { workspace: "w".into(), name: "n".into(), generation, made: date(2026, 8, 1) };
        for (asked, max_age_days, found, expected) in [
            (1, None, None, 1),
            (0, None, None, 1),
            (4, Some(30), None, 4),
            (1, None, Some(1), 1),
            (2, None, Some(1), 2),
            (2, None, Some(5), 5),
            (1, Some(30), Some(1), 1),
            (1, Some(29), Some(1), 2),
            (7, Some(29), Some(1), 7),
        ] {
            let rotation = Rotation { generation: asked, max_age_days };
            assert_eq!(
                wanted_generation(&rotation, found.map(live).as_ref(), date(2026, 8, 31)),
                expected,
                "{asked} {max_age_days:?} {found:?}"
            );
        }
    }
}
