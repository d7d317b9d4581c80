//! Rules about address ranges.
use super::Check;
use crate::workspace::Role;
use ipnet::Ipv4Net;

/// kubeadm refuses service ranges with more than 20 host bits or fewer than ten addresses:
/// `MaximumBitsForServiceSubnet` and `MinimumAddressesInServiceSubnet` in
/// <https://github.com/kubernetes/kubernetes/blob/v1.31.0/cmd/kubeadm/app/constants/constants.go>.
const SERVICE_PREFIX: std::ops::RangeInclusive<u8> = 12..=28;
/// Each node gets a /24 of the pod range, and kubeadm allows at most 16 bits to number the nodes (`PodSubnetNodeMaskMaxDiff`,
/// same file).
const POD_PREFIX: std::ops::RangeInclusive<u8> = 8..=24;
const NODE_PREFIX: u8 = 24;

pub(super) fn ranges(check: &mut Check<'_>) {
    for (name, range) in check.workspace.network.ranges() {
        if range.network() != range.addr() {
            check.add(
                "kthw::workspace::range",
                &format!("network.{name}"),
                "an address inside the range",
                format!("`{range}` is not the start of its range"),
                format!("write `{}`", range.trunc()),
            );
        }
    }
}

pub(super) fn services(check: &mut Check<'_>) {
    let Some(range) = check.workspace.network.services else { return };
    if !SERVICE_PREFIX.contains(&range.prefix_len()) {
        check.add(
            "kthw::workspace::service_range",
            "network.services",
            "this range",
            format!("kubeadm refuses a service range of /{}", range.prefix_len()),
            "use a length from /12 to /28, such as `10.96.0.0/12`",
        );
    }
}

pub(super) fn pods(check: &mut Check<'_>) {
    let Some(range) = check.workspace.network.pods else { return };
    let members = check.workspace.nodes.iter().filter(|node| node.role != Role::Other).count();
    if !POD_PREFIX.contains(&range.prefix_len()) {
        check.add(
            "kthw::workspace::pod_range",
            "network.pods",
            "this range",
            format!("kubeadm refuses a pod range of /{}", range.prefix_len()),
            "use a length from /8 to /24, such as `192.168.0.0/16`; every node takes a /24 of it",
        );
        return;
    }
    let room = 1usize << (NODE_PREFIX - range.prefix_len());
    if members > room {
        check.add(
            "kthw::workspace::pod_range",
            "network.pods",
            "this range",
            format!("the pod range has room for {room} nodes, and there are {members}"),
            "every node takes a /24 of it: use a shorter length, such as /16",
        );
    }
}

pub(super) fn overlaps(check: &mut Check<'_>) {
    let ranges: Vec<(&str, Ipv4Net)> = check.workspace.network.ranges().collect();
    for (index, (later, range)) in ranges.iter().enumerate() {
        for (earlier, other) in &ranges[..index] {
            if overlap(*range, *other) {
                check.add_pair(
                    "kthw::workspace::overlapping_ranges",
                    (&format!("network.{earlier}"), "this range"),
                    (&format!("network.{later}"), "and this one"),
                    format!("the {later} and {earlier} ranges share addresses"),
                    "give nodes, pods and services ranges that are apart: Kubernetes routes each in its own way",
                );
            }
        }
    }
}

/// Whether two ranges share an address.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}
