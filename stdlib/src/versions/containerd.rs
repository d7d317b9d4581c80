//! containerd: which of its releases upstream names for a Kubernetes version, and how it may be upgraded.
use super::{Line, Minor, Needs};
use semver::Version;

/// containerd's page of releases: its lines, their ends, the Kubernetes versions, the format of the configuration, the way of upgrading.
///
/// Read in the Go modules `github.com/containerd/containerd/v2` v2.4.2 (Kubernetes 1.32 to 1.37), v2.1.8 (1.30 and 1.31) and v2.0.13 (1.29).
const PAGE: &str = "https://github.com/containerd/containerd/blob/main/RELEASES.md";

/// The lines, oldest first. The newest patches are those of the Go module proxy in November 2026.
pub const LINES: &[Line] = &[
    Line { line: Minor(1, 7), newest: (1, 7, 35), needs: Needs::Floors, ends: Some("2026-09-30"), source: PAGE },
    // Kept alive for one vendor's Kubernetes 1.33 until March 2027.
    Line { line: Minor(2, 0), newest: (2, 0, 14), needs: Needs::Floors, ends: Some("2027-03-31"), source: PAGE },
    Line { line: Minor(2, 1), newest: (2, 1, 9), needs: Needs::Floors, ends: Some("2026-07-03"), source: PAGE },
    Line { line: Minor(2, 2), newest: (2, 2, 9), needs: Needs::Floors, ends: Some("2026-11-06"), source: PAGE },
    Line { line: Minor(2, 3), newest: (2, 3, 7), needs: Needs::Floors, ends: Some("2028-04-30"), source: PAGE },
    Line { line: Minor(2, 4), newest: (2, 4, 2), needs: Needs::Floors, ends: Some("2027-05-16"), source: PAGE },
];

/// What upstream names for one Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The Kubernetes version.
    pub kubernetes: Minor,
    /// The oldest release of each line that is named, oldest first.
    pub from: &'static [(u64, u64, u64)],
    /// The page, at the release that it was read in.
    pub source: &'static str,
}

/// Upstream's matrix, as far as it names lines that kthw knows. `2.1.0+` is read as: that release and everything newer of the same major, so that
/// the newest line that is named also stands for those that came later. A major version that a row does not name is not meant.
pub const ROWS: &[Row] = &[
    Row { kubernetes: Minor(1, 29), from: &[(1, 7, 11)], source: "https://github.com/containerd/containerd/blob/v2.0.0/RELEASES.md" },
    Row {
        kubernetes: Minor(1, 30),
        from: &[(1, 7, 13), (2, 0, 0), (2, 1, 0)],
        source: "https://github.com/containerd/containerd/blob/v2.1.8/RELEASES.md",
    },
    Row {
        kubernetes: Minor(1, 31),
        from: &[(1, 7, 20), (2, 0, 0), (2, 1, 0)],
        source: "https://github.com/containerd/containerd/blob/v2.1.8/RELEASES.md",
    },
    Row { kubernetes: Minor(1, 32), from: &[(1, 7, 24), (2, 0, 1), (2, 1, 0)], source: PAGE },
    Row { kubernetes: Minor(1, 33), from: &[(1, 7, 24), (2, 0, 4), (2, 1, 0)], source: PAGE },
    Row { kubernetes: Minor(1, 34), from: &[(1, 7, 28), (2, 0, 6), (2, 1, 3)], source: PAGE },
    Row { kubernetes: Minor(1, 35), from: &[(1, 7, 28), (2, 1, 5), (2, 2, 0)], source: PAGE },
    Row { kubernetes: Minor(1, 36), from: &[(2, 2, 0), (2, 3, 0)], source: PAGE },
    Row { kubernetes: Minor(1, 37), from: &[(2, 3, 0), (2, 4, 0)], source: PAGE },
];

/// What upstream names for a Kubernetes version. The matrix begins with 1.29 here: of older ones nothing is refused.
pub fn row(kubernetes: Minor) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.kubernetes == kubernetes)
}

impl Row {
    /// The oldest release of this line that is named; also for a line that came after the newest named one of its major.
    fn floor(&self, line: Minor) -> Option<Version> {
        let of = |from: &(u64, u64, u64)| Version::new(from.0, from.1, from.2);
        let named = self.from.iter().find(|from| Minor(from.0, from.1) == line).map(of);
        let newest = self.from.iter().filter(|from| from.0 == line.0).max().filter(|from| Minor(from.0, from.1) < line);
        named.or_else(|| newest.map(|_| Version::new(line.0, line.1, 0)))
    }

    /// `1.7.28 or later, 2.1.5 or later, 2.2.0 or later`.
    pub fn in_words(&self) -> String {
        let words: Vec<String> = self.from.iter().map(|(major, minor, patch)| format!("{major}.{minor}.{patch} or later")).collect();
        words.join(", ")
    }
}

/// How far `version` is from what upstream names for `kubernetes`: 0 when it is named; 1 for a patch that is too old, and more for each line
/// between it and the nearest one that is named.
pub fn outside(version: &Version, kubernetes: Minor) -> u64 {
    let Some(row) = row(kubernetes) else { return 0 };
    if row.floor(Minor::of(version)).is_some_and(|floor| *version >= floor) {
        return 0;
    }
    let at = |line: Minor| LINES.iter().position(|known| known.line == line);
    let Some(own) = at(Minor::of(version)) else { return 1 };
    let named = LINES.iter().filter(|line| row.floor(line.line).is_some()).filter_map(|line| at(line.line));
    1 + named.map(|position| position.abs_diff(own) as u64).min().unwrap_or(LINES.len() as u64)
}

/// Whether containerd may be upgraded from one line straight to another: to the next one, or from one long-term line to the next.
///
/// Upstream counts 2.3 as the long-term line after 1.7 and says that this jump is tested; 2.0 got its longer support later and for one vendor, so
/// it is not counted as one here.
pub fn may_move(from: Minor, to: Minor) -> bool {
    let at = |line: Minor| LINES.iter().position(|known| known.line == line);
    match (at(from), at(to)) {
        (Some(old), Some(new)) => new == old + 1 || (from, to) == (Minor(1, 7), Minor(2, 3)),
        _ => false,
    }
}

/// Where [`may_move`] stands.
pub const UPGRADES: &str = "https://github.com/containerd/containerd/blob/main/RELEASES.md#upgrade-path";

#[cfg(test)]
mod tests {
    use super::*;

    fn far(version: &str, kubernetes: u64) -> u64 {
        outside(&version.parse().expect("a version"), Minor(1, kubernetes))
    }

    /// For each row: what it names, and the release just before.
    #[test]
    fn each_row_begins_where_upstream_says() {
        for (kubernetes, inside, outside) in [
            (29, &["1.7.11", "1.7.35"][..], &["1.7.10", "2.0.0", "2.3.7"][..]),
            (30, &["1.7.13", "2.0.0", "2.1.0", "2.4.2"], &["1.7.12"]),
            (31, &["1.7.20", "2.0.0", "2.1.0", "2.2.0"], &["1.7.19"]),
            (32, &["1.7.24", "2.0.1", "2.1.0", "2.3.0"], &["1.7.23", "2.0.0"]),
            (33, &["1.7.24", "2.0.4", "2.1.0", "2.3.0"], &["1.7.23", "2.0.3"]),
            (34, &["1.7.28", "2.0.6", "2.1.3", "2.2.0"], &["1.7.27", "2.0.5", "2.1.2"]),
            (35, &["1.7.28", "2.1.5", "2.2.0", "2.4.0"], &["1.7.27", "2.0.14", "2.1.4"]),
            (36, &["2.2.0", "2.3.0", "2.4.2"], &["1.7.35", "2.0.14", "2.1.9"]),
            (37, &["2.3.0", "2.4.0"], &["1.7.35", "2.1.9", "2.2.9"]),
        ] {
            inside.iter().for_each(|version| assert_eq!(far(version, kubernetes), 0, "{version} with 1.{kubernetes}"));
            outside.iter().for_each(|version| assert!(far(version, kubernetes) > 0, "{version} with 1.{kubernetes}"));
        }
        assert_eq!(far("1.6.20", 28), 0, "of older ones nothing is known");
    }

    #[test]
    fn it_is_further_away_with_each_line_between() {
        assert_eq!([far("1.7.27", 35), far("2.0.14", 35), far("1.7.35", 36), far("2.1.9", 36), far("2.1.9", 37)], [1, 2, 4, 2, 3]);
    }

    #[test]
    fn lines_are_upgraded_in_order_or_from_one_long_term_line_to_the_next() {
        let (one_seven, two) = (Minor(1, 7), |minor| Minor(2, minor));
        assert!(may_move(one_seven, two(0)) && may_move(two(0), two(1)) && may_move(two(3), two(4)) && may_move(one_seven, two(3)));
        assert!(!may_move(one_seven, two(1)) && !may_move(two(0), two(2)) && !may_move(two(0), two(3)) && !may_move(two(1), two(0)));
    }

    #[test]
    fn every_row_names_lines_that_are_known() {
        for row in ROWS {
            assert!(row.from.iter().all(|from| LINES.iter().any(|line| line.line == Minor(from.0, from.1))), "{}", row.kubernetes);
            assert!(row.source.starts_with("https://"));
        }
    }
}
