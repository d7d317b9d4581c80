//! Rules about which connections machines take.
use super::{Check, repeated};
use crate::{
    firewall::OWN_NAMES,
    workspace::{Firewall, Role},
};
use ipnet::Ipv4Net;

const CODE: &str = "kthw::workspace::firewall";

pub(super) fn allowed(check: &mut Check<'_>) {
    let Some(Firewall { allow, .. }) = &check.workspace.firewall else { return };
    let path = |index: usize, field: &str| format!("firewall.allow[{index}].{field}");
    let names: Vec<&str> = allow.iter().map(|allowed| allowed.name.as_str()).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&path(earlier, "name"), "the first"),
            (&path(later, "name"), "the second"),
            format!("two entries are called `{}`", names[later]),
            "give each a name of its own: rules are known by it",
        );
    }
    for (index, allowed) in allow.iter().enumerate() {
        if OWN_NAMES.contains(&allowed.name.as_str()) {
            check.add(
                CODE,
                &path(index, "name"),
                "kthw's own name",
                format!("`{}` is what kthw calls a rule of its own", allowed.name),
                "choose another name; who may log in is `ssh_from`, and who may ask the API server `api_from`",
            );
        }
        if allowed.ports.is_empty() {
            check.add(CODE, &path(index, "ports"), "empty", "without a port nothing is allowed", "name one, such as `ports: [9100]`");
        }
        for (at, role) in allowed.on.iter().enumerate() {
            if *role == Role::Other {
                check.add(
                    CODE,
                    &format!("firewall.allow[{index}].on[{at}]"),
                    "no rules there",
                    "machines of the role `other` get no rules",
                    "leave it out: they take what their own firewalls say",
                );
            } else if !check.workspace.nodes.iter().any(|node| node.role == *role) {
                check.add(
                    CODE,
                    &format!("firewall.allow[{index}].on[{at}]"),
                    "nobody's role",
                    "no machine of this workspace has this role",
                    "name the role of one that there is, or leave `on` out for all machines",
                );
            }
        }
    }
}

/// A range that names an address inside of it says either too much or too little.
pub(super) fn ranges(check: &mut Check<'_>) {
    let Some(firewall) = &check.workspace.firewall else { return };
    let of_list = |path: String, ranges: &[Ipv4Net]| -> Vec<(String, Ipv4Net)> {
        ranges.iter().enumerate().map(|(at, range)| (format!("{path}[{at}]"), *range)).collect()
    };
    let mut all = of_list("firewall.ssh_from".into(), &firewall.ssh_from);
    all.extend(of_list("firewall.api_from".into(), &firewall.api_from));
    for (index, allowed) in firewall.allow.iter().enumerate() {
        all.extend(of_list(format!("firewall.allow[{index}].from"), &allowed.from));
    }
    for (path, range) in all.into_iter().filter(|(_, range)| range.addr() != range.network()) {
        check.add(
            CODE,
            &path,
            "an address inside of its range",
            format!("`{range}` is an address and the size of its network"),
            format!("write `{}/32` for that address alone, or `{}` for the whole range", range.addr(), range.trunc()),
        );
    }
}
