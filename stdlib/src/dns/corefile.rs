//! CoreDNS's Corefile (<https://coredns.io/manual/configuration/>), and the block in it that is kthw's. Pure.
//!
//! Everything around the block is somebody else's, and stays byte for byte.
use crate::workspace::DnsName;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// The line with which the block begins. A comment, as CoreDNS has them.
const BEGIN: &str = "# BEGIN kthw: changes between these lines are undone by the next run.";
/// What a line begins with that begins the block, whatever it says further.
const BEGINS: &str = "# BEGIN kthw";
/// The line with which it ends.
const END: &str = "# END kthw";
/// The port that names without one mean.
const PORT: &str = "53";

/// Zones, and who serves each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<DnsName, Vec<String>>")]
pub struct Zones(pub BTreeMap<DnsName, Vec<IpAddr>>);

impl TryFrom<BTreeMap<DnsName, Vec<String>>> for Zones {
    type Error = String;

    fn try_from(said: BTreeMap<DnsName, Vec<String>>) -> Result<Self, String> {
        let address = |zone: &DnsName, text: &String| {
            text.parse().map_err(|_| format!("`{text}`, which is to serve `{zone}`, is no address, such as `10.10.10.100`"))
        };
        let served = said.into_iter().map(|(zone, servers)| {
            let servers = servers.iter().map(|text| address(&zone, text)).collect::<Result<_, _>>()?;
            Ok((zone, servers))
        });
        served.collect::<Result<_, _>>().map(Self)
    }
}

impl Zones {
    /// The block, from its first line to its last.
    fn block(&self) -> String {
        let zone = |(zone, servers): (&DnsName, &Vec<IpAddr>)| {
            format!("{zone}:{PORT} {{\n    errors\n    cache 30\n    forward . {}\n}}\n", joined(servers))
        };
        format!("{BEGIN}\n{}{END}\n", self.0.iter().map(zone).collect::<String>())
    }
}

/// Addresses as CoreDNS has them, with blanks between.
pub fn joined(servers: &[IpAddr]) -> String {
    servers.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
}

/// A Corefile, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corefile {
    before: String,
    /// The block with both of its lines; empty where there is none.
    block: String,
    after: String,
}

/// Why it cannot be said which lines are kthw's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its lines `{BEGINS}…` and `{END}` are not one pair, so nobody knows which lines between are kthw's")
    }
}

impl Corefile {
    /// Takes a text apart.
    pub fn parse(text: &str) -> Result<Self, Damaged> {
        let (mut parts, mut seen) = ([String::new(), String::new(), String::new()], 0);
        for line in text.split_inclusive('\n') {
            let word = line.trim();
            match seen {
                0 if word.starts_with(BEGINS) => seen = 1,
                _ if word.starts_with(BEGINS) || (word == END && seen != 1) => return Err(Damaged),
                _ => {}
            }
            parts[seen].push_str(line);
            if word == END {
                seen = 2;
            }
        }
        let [before, block, after] = parts;
        if seen == 1 { Err(Damaged) } else { Ok(Self { before, block, after }) }
    }

    /// Whether kthw has a block in it.
    pub fn has_block(&self) -> bool {
        !self.block.is_empty()
    }

    /// The lines of the block.
    pub fn block(&self) -> &str {
        &self.block
    }

    /// The text with this block, at the place of an earlier one or at the end.
    pub fn with(&self, zones: &Zones) -> String {
        let gap = if self.before.is_empty() || self.before.ends_with('\n') { "" } else { "\n" };
        format!("{}{gap}{}{}", self.before, zones.block(), self.after)
    }

    /// The text without the block.
    pub fn without(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Those of the zones that a server block of somebody else's serves already.
    pub fn served_by_others<'z>(&self, zones: &'z Zones) -> Vec<&'z DnsName> {
        let theirs: Vec<String> = [&self.before, &self.after].into_iter().flat_map(|text| keys(text)).collect();
        zones.0.keys().filter(|zone| theirs.contains(&zone.as_str().to_ascii_lowercase())).collect()
    }
}

/// The zones of the server blocks of a text that listen on the usual port, in small letters: what stands before a `{` outside of all others.
fn keys(text: &str) -> Vec<String> {
    let (mut depth, mut pending, mut found) = (0_usize, Vec::new(), Vec::new());
    for line in text.lines() {
        for word in line.split_whitespace().take_while(|word| !word.starts_with('#')) {
            match word {
                "{" => {
                    if depth == 0 {
                        found.append(&mut pending);
                    }
                    depth += 1;
                }
                "}" => depth = depth.saturating_sub(1),
                word if depth == 0 => pending.extend(word.split(',').filter_map(zone_of)),
                _ => {}
            }
        }
    }
    found
}

/// The zone of a key such as `dns://bevz.net.:53`; none for another port or protocol.
fn zone_of(key: &str) -> Option<String> {
    let key = match key.split_once("://") {
        Some(("dns", rest)) => rest,
        Some(_) => return None,
        None => key,
    };
    let (zone, port) = key.rsplit_once(':').unwrap_or((key, PORT));
    let zone = zone.trim_end_matches('.').to_ascii_lowercase();
    (port == PORT && !zone.is_empty()).then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// As kubeadm makes it.
    const OF_KUBEADM: &str = ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    kubernetes cluster.local in-addr.arpa \
                              ip6.arpa {\n       pods insecure\n    }\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    \
                              cache 30\n    loop\n    reload\n    loadbalance\n}\n";

    fn zones(list: &[(&str, &[&str])]) -> Zones {
        let zone =
            |(name, servers): &(&str, &[&str])| (name.parse().unwrap(), servers.iter().map(|address| address.parse().unwrap()).collect());
        Zones(list.iter().map(zone).collect())
    }

    fn parsed(text: &str) -> Corefile {
        Corefile::parse(text).unwrap()
    }

    #[test]
    fn a_block_comes_behind_what_kubeadm_made() {
        let text = parsed(OF_KUBEADM).with(&zones(&[("bevz.net", &["10.10.10.100", "10.10.10.101"]), ("lab.bevz.net", &["fd00::1"])]));
        assert!(text.starts_with(OF_KUBEADM));
        expect![[r#"
            # BEGIN kthw: changes between these lines are undone by the next run.
            bevz.net:53 {
                errors
                cache 30
                forward . 10.10.10.100 10.10.10.101
            }
            lab.bevz.net:53 {
                errors
                cache 30
                forward . fd00::1
            }
            # END kthw
        "#]]
        .assert_eq(&text[OF_KUBEADM.len()..]);
    }

    #[test]
    fn edits_around_it_stay_and_edits_in_it_are_undone() {
        let wanted = zones(&[("bevz.net", &["10.10.10.100"])]);
        let ours = parsed(OF_KUBEADM).with(&wanted);
        let around = format!("# mine\r\n{}example.org {{\n    whoami\n}}", ours.replace("cache 30\n    loop", "cache 5\n    loop"));
        let there = parsed(&around);
        assert!(there.has_block());
        assert_eq!(there.with(&wanted), around, "nothing of it is ours to change");
        let other = there.with(&zones(&[("other.net", &["10.0.0.1"])]));
        assert!(other.starts_with("# mine\r\n") && other.ends_with("example.org {\n    whoami\n}") && other.contains("cache 5\n    loop"));
        assert!(other.contains("other.net:53 {") && !other.contains("bevz.net"));
        let within = around.replace("forward . 10.10.10.100", "forward . 9.9.9.9");
        assert_eq!(parsed(&within).with(&wanted), around);
        assert_eq!(parsed(&ours).without(), OF_KUBEADM);
        assert_eq!(parsed(&around.replace(BEGIN, "  # BEGIN kthw, by an older one")).with(&wanted), around);
    }

    #[test]
    fn a_text_without_a_line_end_gets_one_before_the_block() {
        let text = parsed(". {\n}").with(&zones(&[("bevz.net", &["10.0.0.1"])]));
        assert!(text.starts_with(". {\n}\n# BEGIN kthw"), "{text}");
        assert!(parsed("").with(&zones(&[("bevz.net", &["10.0.0.1"])])).starts_with("# BEGIN kthw"));
    }

    #[test]
    fn who_is_no_address_is_named_with_the_zone() {
        let said = [("bevz.net".parse().unwrap(), vec!["10.10.10.100".to_owned(), "10.10.10.x".to_owned()])];
        let error = Zones::try_from(BTreeMap::from(said)).unwrap_err();
        assert_eq!(error, "`10.10.10.x`, which is to serve `bevz.net`, is no address, such as `10.10.10.100`");
    }

    #[test]
    fn lines_that_are_not_one_pair_are_told() {
        for text in ["# BEGIN kthw\n", "# END kthw\n", "# END kthw\n# BEGIN kthw\n", "# BEGIN kthw\n# BEGIN kthw\n# END kthw\n"] {
            assert_eq!(Corefile::parse(text), Err(Damaged), "{text}");
        }
        let twice = "# BEGIN kthw\n# END kthw\n".repeat(2);
        assert_eq!(Corefile::parse(&twice), Err(Damaged));
    }

    #[test]
    fn a_zone_that_somebody_serves_already_is_found() {
        for (rest, served) in [
            ("bevz.net {\n}\n", true),
            ("example.org, BEVZ.net.:53 {\n whoami\n}\n", true),
            ("dns://bevz.net:53 example.org\n{\n}\n", true),
            ("bevz.net:1053 {\n}\n", false),
            ("tls://bevz.net {\n}\n", false),
            ("# bevz.net {\n", false),
            (".:53 {\n  hosts {\n    10.0.0.1 bevz.net\n  }\n  forward bevz.net 10.0.0.1 {\n  }\n}\n", false),
            ("lab.bevz.net {\n}\n", false),
        ] {
            let wanted = zones(&[("bevz.net", &["10.0.0.1"])]);
            assert_eq!(!parsed(rest).served_by_others(&wanted).is_empty(), served, "{rest}");
            let with_ours = parsed(rest).with(&wanted);
            assert_eq!(!parsed(&with_ours).served_by_others(&wanted).is_empty(), served, "the own block is not somebody else's: {rest}");
        }
    }
}
