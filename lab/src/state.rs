//! Everything the lab knows, as one value that can be saved: time, Proxmox VE, machines, clusters, faults.
use crate::{agenda::Agenda, fault::Fault, kubernetes::Cluster, node::Machine, observer::Observers, pihole::PiHole, proxmox::Pve};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The whole simulated world. Two worlds that saw the same calls are equal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The shape of this file; another one is refused.
    pub format: u32,
    /// Virtual milliseconds since the world began.
    pub now_ms: u64,
    /// What everything random comes from, together with the numbers given out.
    #[serde(default)]
    pub seed: u64,
    /// The last number given out; every made-up name (MAC, pid, uid, UPID) comes from it.
    pub serial: u64,
    /// The Proxmox VE cluster.
    pub pve: Pve,
    /// Machines by key: `vm/401` for one behind a VM, `bare/10.0.0.5` for one that was always there.
    pub machines: BTreeMap<String, Machine>,
    /// Kubernetes clusters, in the order in which they were initialised.
    pub clusters: Vec<Cluster>,
    /// Secrets that were written in the lab, by name; all of them made up by it.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The Pi-hole.
    #[serde(default)]
    pub pihole: PiHole,
    /// Faults that are still to happen.
    pub faults: Vec<Fault>,
    /// Requests and commands that may have changed something, since the world began.
    pub writes: u64,
    /// Programs that were asked for and that the lab does not play, and other things it cannot answer.
    pub unknown: Vec<String>,
    /// Requests and commands since the world was opened.
    #[serde(skip)]
    pub journal: Journal,
    /// Who watches.
    #[serde(skip)]
    pub(crate) observers: Observers,
    /// How much faster than real time it passes; 0 and 1 are real time, which may be a paused one.
    #[serde(skip)]
    pub(crate) speed: u32,
    /// What is due when.
    #[serde(skip)]
    pub(crate) agenda: Agenda,
}

/// The last hundred thousand requests and commands, one line each: what a person looks back at, and not all of what ten thousand machines did.
#[derive(Clone, Debug, Default)]
pub struct Journal(VecDeque<String>);

impl Journal {
    const LENGTH: usize = 100_000;

    /// Adds a line.
    pub fn push(&mut self, line: String) {
        if self.0.len() == Self::LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

/// The shape of the saved state; it moves when an old file cannot be read any more.
pub const FORMAT: u32 = 1;

/// The moment in which a new world begins: 2026-08-15 08:00:00 UTC, in seconds since 1970.
pub const BEGIN_S: u64 = 1_786_780_800;

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            now_ms: 0,
            seed: 0,
            serial: 0,
            pve: Pve::default(),
            machines: BTreeMap::new(),
            clusters: Vec::new(),
            secrets: BTreeMap::new(),
            pihole: PiHole::default(),
            faults: Vec::new(),
            writes: 0,
            unknown: Vec::new(),
            journal: Journal::default(),
            observers: Observers::default(),
            speed: 1,
            agenda: Agenda::default(),
        }
    }
}

impl State {
    /// The same state once more, which nobody watches, with a journal of its own.
    pub(crate) fn fork(&self) -> Self {
        Self { journal: Journal::default(), observers: Observers::default(), ..self.clone() }
    }

    /// The next number; no two calls get the same one.
    pub fn next_number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Hexadecimal digits for something made up, such as a key: the seed's, and each time others.
    pub fn made_up(&mut self, what: &str) -> String {
        let number = self.next_number();
        self.identity(what, number)
    }

    /// A number for something made up.
    pub fn made_up_number(&mut self, what: &str) -> u64 {
        // Fewer digits than a u64 has, so that every JSON reader takes it.
        u64::from_str_radix(&self.made_up(what)[..12], 16).unwrap_or_default()
    }

    /// Hexadecimal digits that depend on the seed, on `what`, and on which one it is.
    pub fn identity(&self, what: &str, which: impl std::fmt::Display) -> String {
        fingerprint(format!("{what} {which} of {}", self.seed))
    }

    /// Seconds since 1970 on the lab's clock.
    pub fn unix_s(&self) -> u64 {
        BEGIN_S + self.now_ms / 1000
    }

    /// Lets everything happen that is due by now: tasks end, machines come up.
    pub fn settle(&mut self) {
        crate::proxmox::end_due_tasks(self);
        crate::node::finish_first_starts(self);
    }

    /// Notes that something was asked for that the lab does not play.
    pub fn cannot_play(&mut self, what: impl Into<String>) {
        self.unknown.push(what.into());
    }
}

/// Hexadecimal digits that depend on `what` alone; for digests that only have to look right.
pub fn fingerprint(what: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(what.as_ref()))
}

/// Seconds since 1970 as RFC 3339 in UTC, such as `2026-08-15T08:00:00Z`.
pub fn rfc3339(unix_s: u64) -> String {
    let (days, rest) = (unix_s / 86_400, unix_s % 86_400);
    // Civil date from a day number, Howard Hinnant's `civil_from_days`, for days after 1970.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_as_kubernetes_writes_it() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(BEGIN_S), "2026-08-15T08:00:00Z");
    }

    #[test]
    fn a_journal_keeps_its_end() {
        let mut journal = Journal::default();
        (0..Journal::LENGTH + 2).for_each(|line| journal.push(line.to_string()));
        assert_eq!((journal.lines().count(), journal.lines().next().map(String::as_str)), (Journal::LENGTH, Some("2")));
    }

    #[test]
    fn a_saved_state_reads_back_the_same() {
        let state = State { now_ms: 7, serial: 3, ..State::default() };
        let text = serde_json::to_string(&state).unwrap();
        let back: State = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
