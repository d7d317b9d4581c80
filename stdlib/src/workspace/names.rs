//! What nodes, certificates and registries are called, by the rules of those who read it.
use crate::checked::{Checked, Rule, is_bounded_word};
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr};

/// A node's short host name.
pub type NodeName = Checked<NodeNameRule>;
/// A name or address in the API server's certificate.
pub type CertSan = Checked<CertSanRule>;
/// A registry and a path in it, without an image's own name.
pub type ImageRepository = Checked<ImageRepositoryRule>;
/// The host of a registry, as containerd calls the folder of its settings.
pub type RegistryHost = Checked<RegistryHostRule>;

/// A name in the DNS, in lower case.
pub type DnsName = Checked<DnsNameRule>;
/// A server that tells the time.
pub type TimeServer = Checked<TimeServerRule>;
/// A network beside the nodes' own.
pub type NetworkName = Checked<NetworkNameRule>;

/// The path of a web address.
pub type UrlPath = Checked<UrlPathRule>;

/// What a Kubernetes object is called.
pub type ObjectName = Checked<ObjectNameRule>;
/// IPv4 addresses in a row.
pub type AddressRange = Checked<AddressRangeRule>;

/// Where an API server is reached.
pub type ApiEndpoint = Checked<ApiEndpointRule>;

/// Longest DNS name, RFC 1035 section 2.3.4.
pub(super) const MAX_NAME: usize = 253;

/// Names that mean something else where nodes are named: in `kthw exec`, or in the /etc/hosts of every node.
pub(super) const RESERVED: [&str; 7] = ["all", "control-planes", "workers", "load-balancers", "localhost", "ip6-localhost", "ip6-loopback"];

/// The rule of [`NodeName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNameRule;

impl Rule for NodeNameRule {
    const WHAT: &'static str = "a node's name";
    const FORM: &'static str = "the short host name, of lower-case letters, digits and dashes, at most 63 (`all`, `control-planes`, `workers`, `load-balancers` and `localhost` mean others)";
    const EXAMPLE: &'static str = "wu1";

    fn allows(text: &str) -> bool {
        is_label(text) && !RESERVED.contains(&text)
    }
}

/// The rule of [`CertSan`]: what kubeadm takes, <https://github.com/kubernetes/kubernetes/blob/v1.31.0/cmd/kubeadm/app/apis/kubeadm/validation/validation.go>
/// (`ValidateCertSANs`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertSanRule;

impl Rule for CertSanRule {
    const WHAT: &'static str = "a name for a certificate";
    const FORM: &'static str = "an IP address, or a DNS name in lower case, with `*.` before it if it stands for many";
    const EXAMPLE: &'static str = "api.bevz.net";

    fn allows(text: &str) -> bool {
        text.parse::<IpAddr>().is_ok() || is_dns_name(text.strip_prefix("*.").unwrap_or(text))
    }
}

/// The rule of [`ImageRepository`]: a name in the grammar of <https://github.com/distribution/reference/blob/main/reference.go>, without tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRepositoryRule;

impl Rule for ImageRepositoryRule {
    const WHAT: &'static str = "where images can be taken from";
    const FORM: &'static str = "host and path, without a scheme and without a `/` at the end";
    const EXAMPLE: &'static str = "mirror.bevz.net:5000/kubernetes";

    fn allows(text: &str) -> bool {
        let mut parts = text.split('/');
        let host = parts.next().is_some_and(is_host_and_port);
        host && text.len() <= 255 && parts.all(|part| is_bounded_word(part, 128, "._-") && part == part.to_ascii_lowercase())
    }
}

/// The rule of [`RegistryHost`]: a folder's name in <https://github.com/containerd/containerd/blob/main/docs/hosts.md>.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHostRule;

impl Rule for RegistryHostRule {
    const WHAT: &'static str = "the host of a registry";
    const FORM: &'static str = "a host with its port if it has one, without scheme and path, or `_default` for all others";
    const EXAMPLE: &'static str = "registry.k8s.io";

    fn allows(text: &str) -> bool {
        text == "_default" || is_host_and_port(text)
    }
}

/// The rule of [`ApiEndpoint`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiEndpointRule;

impl Rule for ApiEndpointRule {
    const WHAT: &'static str = "an address of an API server";
    const FORM: &'static str = "host and port without a scheme";
    const EXAMPLE: &'static str = "api.bevz.net:6443";

    fn allows(text: &str) -> bool {
        text.rsplit_once(':').is_some_and(|(host, port)| is_dns_name(host) && is_port(port))
    }
}

/// The rule of [`DnsName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsNameRule;

impl Rule for DnsNameRule {
    const WHAT: &'static str = "a DNS domain";
    const FORM: &'static str = "labels of lower-case letters, digits and dashes with dots between them";
    const EXAMPLE: &'static str = "bevz.net";

    fn allows(text: &str) -> bool {
        is_dns_name(text)
    }
}

/// The rule of [`TimeServer`]: it stands as one word in the files of chrony and systemd-timesyncd.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeServerRule;

impl Rule for TimeServerRule {
    const WHAT: &'static str = "a time server";
    const FORM: &'static str = "an IP address, or a DNS name in lower case";
    const EXAMPLE: &'static str = "ntp.bevz.net";

    fn allows(text: &str) -> bool {
        text.parse::<IpAddr>().is_ok() || is_dns_name(text)
    }
}

/// The rule of [`UrlPath`]: what RFC 3986 has in a path and a query without escapes, so that no file and no request needs to quote it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPathRule;

impl Rule for UrlPathRule {
    const WHAT: &'static str = "the path of a web address";
    const FORM: &'static str = "a `/` and then letters, digits and `/._~=?&-`, at most 200 characters";
    const EXAMPLE: &'static str = "/ping";

    fn allows(text: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~=?&-".contains(&byte);
        text.starts_with('/') && text.len() <= 200 && text.bytes().all(is_plain)
    }
}

/// The rule of [`NetworkName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkNameRule;

impl Rule for NetworkNameRule {
    const WHAT: &'static str = "a name of a network";
    const FORM: &'static str = "lower-case letters, digits and dashes, at most 63";
    const EXAMPLE: &'static str = "storage";

    fn allows(text: &str) -> bool {
        is_label(text)
    }
}

/// The rule of [`ObjectName`]: one label of a DNS name, RFC 1123 section 2.1, which every kind takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectNameRule;

impl Rule for ObjectNameRule {
    const WHAT: &'static str = "a name of a Kubernetes object";
    const FORM: &'static str = "lower-case letters, digits and dashes, at most 63";
    const EXAMPLE: &'static str = "lan";

    fn allows(text: &str) -> bool {
        is_label(text)
    }
}

/// The rule of [`AddressRange`]. That its first address is not behind its last is checked with the workspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRangeRule;

impl Rule for AddressRangeRule {
    const WHAT: &'static str = "a range of IPv4 addresses";
    const FORM: &'static str = "the first and the last address with `-` between them, or a range in CIDR notation";
    const EXAMPLE: &'static str = "10.10.10.200-10.10.10.220";

    fn allows(text: &str) -> bool {
        ends(text).is_some()
    }
}

impl AddressRange {
    /// Its first and its last address.
    pub fn ends(&self) -> (Ipv4Addr, Ipv4Addr) {
        ends(self).unwrap_or((Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED))
    }

    /// Whether it holds an address of another one.
    pub fn meets(&self, (first, last): (Ipv4Addr, Ipv4Addr)) -> bool {
        let own = self.ends();
        own.0 <= last && first <= own.1
    }
}

fn ends(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    match text.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => {
            let range: Ipv4Net = text.parse().ok()?;
            // Numbers with leading zeros are octal to others.
            (range.to_string() == text).then(|| (range.network(), range.broadcast()))
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, "443"), |(host, port)| (host, port));
    host.len() <= MAX_NAME && host.split('.').all(|label| is_bounded_word(label, 63, "-_")) && is_port(port)
}

fn is_port(text: &str) -> bool {
    // Rust reads a sign before a number too.
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A label of a DNS name, RFC 1123 section 2.1, in lower case as Kubernetes wants node names.
pub(super) fn is_label(text: &str) -> bool {
    is_bounded_word(text, 63, "-") && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Labels with dots between them; an IPv4 address is one too.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked::check_rule;

    #[test]
    fn each_name_follows_its_rule() {
        check_rule::<NodeNameRule>(
            &["cu1", "a", "all-1"],
            &["all", "localhost", "workers", "control-planes", "ip6-loopback", "a.b", "A", "-a", "a-", "a/b"],
        );
        check_rule::<CertSanRule>(
            &["10.10.10.1", "fd00::1", "*.bevz.net"],
            &["a_b", "*", "*.", "a.*.b", "api.bevz.net:6443", "api.bevz.net\nb", "DNS:a", "https://a"],
        );
        check_rule::<ImageRepositoryRule>(
            &["10.77.0.1:5000", "registry.k8s.io", "r.lab:5000/k8s/a_b-c.d"],
            &["https://a", "a/", "/a", "a//b", "a/../b", "a/B", "a:b", "a:0", "a/b:1", "a\"\n[x]", "a/b\"c"],
        );
        check_rule::<DnsNameRule>(&["a", "a.b"], &["", "A.b", "a..b", "a b", "a.", "*.a"]);
        check_rule::<TimeServerRule>(
            &["10.10.10.1", "fd00::1", "0.pool.ntp.org"],
            &["", "a b", "ntp.a iburst", "a\nb", "NTP.a", "10.10.10.1:123"],
        );
        check_rule::<NetworkNameRule>(&["a", "storage-2"], &["", "a.b", "A", "-a", "a b"]);
        check_rule::<ObjectNameRule>(&["lan", "a-1"], &["", "a.b", "A", "-a"]);
        check_rule::<AddressRangeRule>(
            &["10.0.0.0/28", "10.0.0.1-10.0.0.1"],
            &["", "10.0.0.1", "10.0.0.1-", "10.0.0.1-20", "10.0.0.1 - 10.0.0.2", "10.0.0.0/33", "fd00::/64"],
        );
        check_rule::<ApiEndpointRule>(&["10.0.0.1:6443"], &["a", "a:0", "-s:6443", "https://a:6443", "a:6443/x", "a:6443\nb"]);
        check_rule::<RegistryHostRule>(&["docker.io", "10.77.0.1:5000", "_default"], &["a/b", "https://a", ".", "a:", "_other\""]);
    }

    #[test]
    fn ranges_meet_where_they_share_an_address() {
        let range = |text: &str| text.parse::<AddressRange>().unwrap();
        assert_eq!(range("10.0.0.16/28").ends(), ([10, 0, 0, 16].into(), [10, 0, 0, 31].into()));
        for (one, other, meet) in [
            ("10.0.0.1-10.0.0.9", "10.0.0.9-10.0.0.20", true),
            ("10.0.0.1-10.0.0.9", "10.0.0.10-10.0.0.20", false),
            ("10.0.0.0/24", "10.0.0.7-10.0.0.7", true),
            ("10.0.0.0/25", "10.0.0.128/25", false),
        ] {
            assert_eq!((range(one).meets(range(other).ends()), range(other).meets(range(one).ends())), (meet, meet), "{one} {other}");
        }
    }

    #[test]
    fn labels_and_names() {
        for (text, label, name) in [
            ("cu1", true, true),
            ("a.b", false, true),
            ("10.10.10.1", false, true),
            ("", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("a..b", false, false),
            (".a", false, false),
        ] {
            assert_eq!((is_label(text), is_dns_name(text)), (label, name), "{text}");
        }
    }
}
