//! What nodes, certificates and registries are called, by the rules of those who read it.
use crate::checked::{Checked, Rule, is_bounded_word};
use std::net::IpAddr;

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

/// Where an API server is reached.
pub type ApiEndpoint = Checked<ApiEndpointRule>;

/// Longest DNS name, RFC 1035 section 2.3.4.
pub(super) const MAX_NAME: usize = 253;

/// Names that mean something else where nodes are named: in `kthw exec`, or in the /etc/hosts of every node.
pub(super) const RESERVED: [&str; 6] = ["all", "control-planes", "workers", "localhost", "ip6-localhost", "ip6-loopback"];

/// The rule of [`NodeName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNameRule;

impl Rule for NodeNameRule {
    const WHAT: &'static str = "a node's name";
    const FORM: &'static str = "the short host name, of lower-case letters, digits and dashes, at most 63 (`all`, `control-planes`, `workers` and `localhost` mean others)";
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
        check_rule::<ApiEndpointRule>(&["10.0.0.1:6443"], &["a", "a:0", "-s:6443", "https://a:6443", "a:6443/x", "a:6443\nb"]);
        check_rule::<RegistryHostRule>(&["docker.io", "10.77.0.1:5000", "_default"], &["a/b", "https://a", ".", "a:", "_other\""]);
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
