//! Rules about the DNS that the nodes' names are kept in.
use super::{Check, names::names_a_secret, sources::web};
use crate::http::Fingerprint;
use url::{Host, Url};

const CODE: &str = "kthw::workspace::dns";

pub(super) fn pihole(check: &mut Check<'_>) {
    let Some(dns) = &check.workspace.dns else { return };
    let pihole = &dns.pihole;
    address(check, &pihole.url);
    if !names_a_secret(&pihole.password_secret) {
        check.add(
            CODE,
            "dns.pihole.password_secret",
            "not a name of a secret",
            "this does not name a secret",
            "write the keys on the way to it in secrets.sops.yaml with dots between them, such as `pihole.web_password`",
        );
    }
    let Some(fingerprint) = &pihole.fingerprint else { return };
    if fingerprint.parse::<Fingerprint>().is_err() {
        check.add(
            CODE,
            "dns.pihole.fingerprint",
            "not a fingerprint",
            "this is not a SHA-256 fingerprint: 32 pairs of hexadecimal digits",
            "on the Pi-hole, `openssl x509 -noout -fingerprint -sha256 -in /etc/pihole/tls.pem` shows it",
        );
    } else if pihole.url.starts_with("http:") {
        check.add_pair(
            CODE,
            ("dns.pihole.url", "without a certificate"),
            ("dns.pihole.fingerprint", "of what?"),
            "nobody shows a certificate at an address with `http`",
            "write `https`, or leave `fingerprint` out",
        );
    }
}

fn address(check: &mut Check<'_>, address: &str) {
    const PATH: &str = "dns.pihole.url";
    web(check, PATH, address);
    let Ok(url) = Url::parse(address) else { return };
    let (message, help) = if !url.username().is_empty() || url.password().is_some() {
        (
            "credentials do not belong into an address in a workspace",
            "put the password into secrets.sops.yaml (`kthw secrets edit`), and its name under `password_secret`",
        )
    } else if url.scheme() == "http" && !is_this_computer(&url) {
        (
            "Pi-hole's password would travel readable for everybody on the way",
            "write `https`; where it speaks only `http`, open a tunnel (`ssh -L 8080:localhost:80 PIHOLE`) and write `http://127.0.0.1:8080`",
        )
    } else if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
        ("a Pi-hole is a host and a port", "leave out what follows them, `/admin` too")
    } else {
        return;
    };
    check.add(CODE, PATH, "this address", message, help);
}

/// Whether nobody is on the way to it.
fn is_this_computer(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
