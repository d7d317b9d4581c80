//! Lines in the form of a hosts file, of which only the declared names are touched.
use crate::workspace::DnsName;
use std::{collections::BTreeMap, net::IpAddr};

/// Names and the address that each has.
pub(super) type Wanted = BTreeMap<DnsName, IpAddr>;

/// The different addresses that `lines` give a name, of the same family as the wanted one: a name may have one of each.
pub(super) fn addresses(lines: &[String], name: &str, wanted: IpAddr) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (address, names) in lines.iter().filter_map(|line| parts(line)) {
        let has = names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if has && address.is_ipv4() == wanted.is_ipv4() && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// The lines with each name at its address and at no other; everything else as it was.
pub(super) fn with(lines: &[String], wanted: &Wanted) -> Vec<String> {
    let mut all: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            left(line, |name, address| of(wanted, name).is_some_and(|want| want.is_ipv4() == address.is_ipv4() && want != address))
        })
        .collect();
    for (name, address) in wanted {
        if addresses(&all, name, *address).is_empty() {
            all.push(format!("{address} {name}"));
        }
    }
    all
}

/// The lines without the names that have the address that is told of them.
pub(super) fn without(lines: &[String], wanted: &Wanted) -> Vec<String> {
    lines.iter().filter_map(|line| left(line, |name, address| of(wanted, name) == Some(address))).collect()
}

fn of(wanted: &Wanted, name: &str) -> Option<IpAddr> {
    wanted.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, address)| *address)
}

/// The address and the names of a line; none where it is neither.
fn parts(line: &str) -> Option<(IpAddr, Vec<&str>)> {
    let mut words = line.split('#').next()?.split_whitespace();
    Some((words.next()?.parse().ok()?, words.collect()))
}

/// What is left of a line when the names that `goes` names are out of it; the line itself if that is none of them.
fn left(line: &str, goes: impl Fn(&str, IpAddr) -> bool) -> Option<String> {
    let Some((address, names)) = parts(line) else { return Some(line.to_owned()) };
    let stay: Vec<&str> = names.iter().copied().filter(|name| !goes(name, address)).collect();
    if stay.len() == names.len() {
        return Some(line.to_owned());
    }
    let comment = line.split_once('#').map(|(_, comment)| format!(" #{comment}")).unwrap_or_default();
    (!stay.is_empty()).then(|| format!("{address} {}{comment}", stay.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Wanted {
        pairs.iter().map(|(name, address)| (name.parse().unwrap(), address.parse().unwrap())).collect()
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn only_declared_names_are_touched_and_the_rest_keeps_its_order() {
        let known = lines(&[
            "10.0.0.1  router gw # theirs",
            "fd00::1 cu1.lab",
            "10.0.0.9 CU1.lab printer.lab #both",
            "no line",
            "10.0.0.2 nas.lab",
        ]);
        let made = with(&known, &wanted(&[("cu1.lab", "10.0.0.5"), ("nas.lab", "10.0.0.2"), ("wu1.lab", "10.0.0.6")]));
        assert_eq!(
            made,
            [
                "10.0.0.1  router gw # theirs",
                "fd00::1 cu1.lab",
                "10.0.0.9 printer.lab #both",
                "no line",
                "10.0.0.2 nas.lab",
                "10.0.0.5 cu1.lab",
                "10.0.0.6 wu1.lab"
            ]
        );
        assert_eq!(with(&made, &wanted(&[("cu1.lab", "10.0.0.5"), ("wu1.lab", "10.0.0.6")])), made);
        // The record of the other family is somebody else's, and so is one with another address.
        assert_eq!(
            without(&made, &wanted(&[("cu1.lab", "10.0.0.5"), ("wu1.lab", "10.0.0.7"), ("printer.lab", "10.0.0.9")])),
            lines(&["10.0.0.1  router gw # theirs", "fd00::1 cu1.lab", "no line", "10.0.0.2 nas.lab", "10.0.0.6 wu1.lab"])
        );
    }

    #[test]
    fn addresses_are_counted_once_and_by_family() {
        let known = lines(&["10.0.0.1 a", "10.0.0.1 b A", "10.0.0.2 a # a c", "::1 a", "10.0.0.3 b # a"]);
        let one = |name: &str, like: &str| addresses(&known, name, like.parse().unwrap()).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(one("a", "10.9.9.9"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(one("a", "::2"), ["::1"]);
        assert_eq!(one("b", "10.9.9.9"), ["10.0.0.1", "10.0.0.3"]);
        assert!(one("c", "10.9.9.9").is_empty(), "it stands in a comment");
    }
}
