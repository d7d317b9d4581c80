//! Rules about the audit log and what pods may be.
use super::{Check, repeated};

/// How many days an audit log may be kept.
const DAYS: std::ops::RangeInclusive<u32> = 1..=3650;
/// How much room it may take, in MiB. It is kept in ten files of at least one MiB.
const MIB: std::ops::RangeInclusive<u32> = 10..=1_000_000;

pub(super) fn audit(check: &mut Check<'_>) {
    let Some(audit) = &check.workspace.audit else { return };
    for (path, value, range) in [("audit.keep_days", audit.keep_days, DAYS), ("audit.max_mib", audit.max_mib, MIB)] {
        if !range.contains(&value) {
            check.add(
                "kthw::workspace::audit",
                path,
                "out of range",
                format!("{value} is not from {} to {}", range.start(), range.end()),
                "an audit log without a bound fills the disk of a control plane; without the block `audit` nothing is written down",
            );
        }
    }
}

pub(super) fn pod_security(check: &mut Check<'_>) {
    let Some(security) = &check.workspace.pod_security else { return };
    for (earlier, later) in repeated(&security.exempt) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&format!("pod_security.exempt[{earlier}]"), "the first"),
            (&format!("pod_security.exempt[{later}]"), "the second"),
            format!("the namespace `{}` is there twice", security.exempt[later]),
            "leave one of them; `kube-system` need not be named at all",
        );
    }
}
