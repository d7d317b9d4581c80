//! The rules of one machine, in the language of nftables (nft(8), <https://wiki.nftables.org>): a table of kthw's own, beside those of others.
//!
//! It has one chain, for packets to the machine itself. What is for pods, services of every type included, is routed and passes by it: that is
//! for network policies. Other tables stay as they are, and what they drop stays dropped.
use super::opening::{From, Opening, What};
use ipnet::Ipv4Net;
use std::fmt::{self, Write};

/// Comes after rules of the usual priority, so that those see the packet first, as if there were none of ours.
const PRIORITY: u8 = 10;

/// The file that makes the table what it says, in one transaction: `nft -f`.
pub fn ruleset(openings: &[Opening]) -> String {
    let mut text = String::from(
        "# Written by kthw: which connections this machine takes (`firewall` in workspace.yaml). Changes by hand are undone by the next run.\n\
         table inet kthw\n\
         delete table inet kthw\n\
         table inet kthw {\n\
         \tchain input {\n",
    );
    let _ = writeln!(text, "\t\ttype filter hook input priority {PRIORITY}; policy drop;");
    text.push_str(
        "\t\tct state established,related accept\n\
         \t\tct state invalid drop\n\
         \t\tiifname \"lo\" accept\n\
         \t\tmeta l4proto { icmp, ipv6-icmp } accept\n",
    );
    for opening in openings {
        let _ = writeln!(text, "\t\t{}accept comment \"{}\"", matching(opening), opening.name);
    }
    // Who knocks elsewhere is told so, and need not wait; of a flood most are not.
    text.push_str(
        "\t\tmeta l4proto tcp limit rate 200/second burst 200 packets reject with tcp reset\n\
         \t\tmeta l4proto udp limit rate 200/second burst 200 packets reject\n\
         \t}\n\
         }\n",
    );
    text
}

fn matching(opening: &Opening) -> String {
    let from = match &opening.from {
        From::Anywhere => String::new(),
        From::Ranges(ranges) => format!("ip saddr {} ", set(&merged(ranges))),
    };
    match &opening.what {
        What::Ports(protocol, ports) => format!("{from}{} dport {} ", protocol.word(), set(ports)),
        What::Protocol(number) => format!("{from}meta l4proto {number} "),
    }
}

/// One element by itself, several as a set.
fn set<T: ToString>(elements: &[T]) -> String {
    match elements {
        [one] => one.to_string(),
        several => format!("{{ {} }}", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Ranges in order, without those that are inside of others, which nftables refuses as a conflict.
fn merged(ranges: &[Ipv4Net]) -> Vec<Element> {
    let mut ranges: Vec<Ipv4Net> = ranges.iter().map(Ipv4Net::trunc).collect();
    // A wider one comes before those that begin with it.
    ranges.sort_unstable();
    let mut kept: Vec<Ipv4Net> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if !kept.last().is_some_and(|wider| wider.contains(&range)) {
            kept.push(range);
        }
    }
    kept.into_iter().map(Element).collect()
}

/// A range, or an address where it is one.
struct Element(Ipv4Net);

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() {
            32 => write!(f, "{}", self.0.addr()),
            _ => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Ports, Protocol};
    use expect_test::expect;

    fn opening(name: &str, what: What, from: &[&str]) -> Opening {
        let ranges: Vec<Ipv4Net> = from.iter().map(|range| range.parse().unwrap()).collect();
        Opening { name: name.into(), what, from: if ranges.is_empty() { From::Anywhere } else { From::Ranges(ranges) } }
    }

    #[test]
    fn the_whole_table_is_written() {
        let tcp = |ports: &[u16]| What::Ports(Protocol::Tcp, ports.iter().copied().map(Ports::one).collect());
        let range = What::Ports(Protocol::Udp, vec![serde_saphyr::from_str("8000-8100").unwrap()]);
        let openings = [
            opening("ssh", tcp(&[22]), &[]),
            opening("etcd", tcp(&[2379, 2380]), &["10.10.10.117/32"]),
            opening("kubelet", tcp(&[10250]), &["192.168.0.0/16", "10.10.10.116/32", "192.168.4.0/24", "10.10.10.120/32", "10.10.10.9/24"]),
            opening("calico-ipip", What::Protocol(4), &["10.10.10.0/24"]),
            opening("mine", range, &[]),
        ];
        expect![[r##"
            # Written by kthw: which connections this machine takes (`firewall` in workspace.yaml). Changes by hand are undone by the next run.
            table inet kthw
            delete table inet kthw
            table inet kthw {
            	chain input {
            		type filter hook input priority 10; policy drop;
            		ct state established,related accept
            		ct state invalid drop
            		iifname "lo" accept
            		meta l4proto { icmp, ipv6-icmp } accept
            		tcp dport 22 accept comment "ssh"
            		ip saddr 10.10.10.117 tcp dport { 2379, 2380 } accept comment "etcd"
            		ip saddr { 10.10.10.0/24, 192.168.0.0/16 } tcp dport 10250 accept comment "kubelet"
            		ip saddr 10.10.10.0/24 meta l4proto 4 accept comment "calico-ipip"
            		udp dport 8000-8100 accept comment "mine"
            		meta l4proto tcp limit rate 200/second burst 200 packets reject with tcp reset
            		meta l4proto udp limit rate 200/second burst 200 packets reject
            	}
            }
        "##]].assert_eq(&ruleset(&openings));
    }
}
