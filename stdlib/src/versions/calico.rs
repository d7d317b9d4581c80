//! Calico, with the Kubernetes versions that upstream tests each of its minors with, and the kernel that it needs.
use super::{Line, Minor, Needs};

/// The minors that kthw knows, oldest first.
///
/// The lists stand on the page "System requirements" of each version's documentation, which adds that other versions may work. Read in
/// `github.com/tigera/docs`: 3.26 at 04b54fc, 3.27 at 16d9d44 (its page first named 1.24 to 1.28 and was corrected), 3.28 at 1054f3f, 3.29 to
/// 3.32 as of 2026-08-21. The newest patches of 3.29 to 3.31 are those of that copy's `releases.json`.
///
/// Calico 3.33 is not here: the page is said to name 1.35 to 1.37, and it could not be read.
pub const LINES: &[Line] = &[
    Line {
        line: Minor(3, 26),
        newest: (3, 26, 4),
        needs: Needs::Tested(24, 28),
        ends: None,
        source: "https://docs.tigera.io/archive/v3.26/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 27),
        newest: (3, 27, 0),
        needs: Needs::Tested(27, 29),
        ends: None,
        source: "https://docs.tigera.io/archive/v3.27/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 28),
        newest: (3, 28, 0),
        needs: Needs::Tested(27, 30),
        ends: None,
        source: "https://docs.tigera.io/archive/v3.28/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 29),
        newest: (3, 29, 7),
        needs: Needs::Tested(29, 32),
        ends: None,
        source: "https://docs.tigera.io/calico/3.29/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 30),
        newest: (3, 30, 7),
        needs: Needs::Tested(31, 35),
        ends: None,
        source: "https://docs.tigera.io/calico/3.30/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 31),
        newest: (3, 31, 7),
        needs: Needs::Tested(32, 35),
        ends: None,
        source: "https://docs.tigera.io/calico/3.31/getting-started/kubernetes/requirements",
    },
    Line {
        line: Minor(3, 32),
        newest: (3, 32, 1),
        needs: Needs::Tested(34, 36),
        ends: None,
        source: "https://docs.tigera.io/calico/3.32/getting-started/kubernetes/requirements",
    },
];

/// The oldest kernel that a minor of Calico runs on: 3.29 and later need 5.10, by the page of each. Older ones name 3.10, which is older than
/// every kernel here.
pub fn kernel(line: Minor) -> (u64, u64) {
    if line >= Minor(3, 29) { (5, 10) } else { (3, 10) }
}

/// How Calico is upgraded. The page asks for no order of minors; kthw takes one after the other, so that each step is inside a tested range.
pub const UPGRADES: &str = "https://docs.tigera.io/calico/latest/operations/upgrading/kubernetes-upgrade";

#[cfg(test)]
mod tests {
    use super::*;

    /// One line for each row: the first and the last Kubernetes version inside, and those just outside.
    #[test]
    fn each_row_is_what_upstream_tests() {
        for (minor, from, to) in [(26, 24, 28), (27, 27, 29), (28, 27, 30), (29, 29, 32), (30, 31, 35), (31, 32, 35), (32, 34, 36)] {
            let line = LINES.iter().find(|line| line.line == Minor(3, minor)).expect("a row");
            let far = [from - 1, from, to, to + 1].map(|kubernetes| line.needs.outside(Minor(1, kubernetes)));
            assert_eq!(far, [1, 0, 0, 1], "3.{minor}");
            assert!(line.source.contains(&format!("3.{minor}/")), "{}", line.source);
        }
        assert_eq!(LINES.len(), 7);
    }

    /// So there is always a Calico to go on with: each Kubernetes version that is reached shares one with the version before it.
    #[test]
    fn two_kubernetes_versions_beside_each_other_share_a_calico() {
        for kubernetes in 26..36 {
            let both = |line: &&Line| line.needs.outside(Minor(1, kubernetes)) + line.needs.outside(Minor(1, kubernetes + 1)) == 0;
            assert!(LINES.iter().any(|line| both(&line)), "1.{kubernetes} and 1.{}", kubernetes + 1);
        }
    }

    #[test]
    fn the_kernel_is_asked_for_from_3_29_on() {
        assert_eq!([kernel(Minor(3, 28)), kernel(Minor(3, 29)), kernel(Minor(3, 32))], [(3, 10), (5, 10), (5, 10)]);
    }
}
