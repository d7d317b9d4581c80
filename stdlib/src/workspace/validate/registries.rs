//! Rules about registries: who is asked for images, and with which credentials.
use super::{Check, names::names_a_secret, sources::web};
use crate::workspace::{Registry, RegistryEndpoint};
use url::Url;

const CODE: &str = "kthw::workspace::registry";

pub(super) fn mirrors(check: &mut Check<'_>) {
    let containerd = &check.workspace.containerd;
    for (host, mirror) in &containerd.mirrors {
        address(check, &format!("containerd.mirrors.{host}"), mirror);
        if containerd.registries.contains_key(host) {
            check.add_pair(
                CODE,
                (&format!("containerd.mirrors.{host}"), "its mirror"),
                (&format!("containerd.registries.{host}"), "and what else is to be said of it"),
                format!("`{host}` is in `mirrors` and in `registries`"),
                "list the mirror among its `endpoints`",
            );
        }
    }
}

pub(super) fn registries(check: &mut Check<'_>) {
    for (host, registry) in &check.workspace.containerd.registries {
        let path = format!("containerd.registries.{host}");
        let Registry { endpoints, upstream, ca, username, password_secret, client_certificate, client_key_secret } = registry;
        let own = Access { ca, username, password_secret, client_certificate, client_key_secret };
        own.check(check, &path);
        if let Some(given) = own.given().filter(|_| host.as_str() == "_default") {
            check.add(
                CODE,
                &format!("{path}.{given}"),
                "for every registry there is",
                "`_default` stands for all other registries, so there is none that this could be for",
                "give it to one of the `endpoints`, or to a registry by its host",
            );
        }
        if !upstream && endpoints.is_empty() {
            check.add(
                CODE,
                &format!("{path}.upstream"),
                "nobody is left to ask",
                format!("`{host}` is not to be asked, and no endpoint is in its place"),
                "add `endpoints`, or leave `upstream` out",
            );
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            one(check, &format!("{path}.endpoints[{index}]"), endpoint);
        }
    }
}

fn one(check: &mut Check<'_>, path: &str, endpoint: &RegistryEndpoint) {
    let RegistryEndpoint { url, capabilities, ca, username, password_secret, client_certificate, client_key_secret } = endpoint;
    address(check, &format!("{path}.url"), url);
    let access = Access { ca, username, password_secret, client_certificate, client_key_secret };
    access.check(check, path);
    if capabilities.is_empty() {
        check.add(
            CODE,
            &format!("{path}.capabilities"),
            "nothing",
            "an endpoint that is asked for nothing",
            "leave `capabilities` out, or the endpoint",
        );
    }
    if let Some(given) = access.given().filter(|_| url.starts_with("http://")) {
        check.add_pair(
            CODE,
            (&format!("{path}.url"), "everybody on the way reads along"),
            (&format!("{path}.{given}"), "of no use there"),
            "credentials and authorities need an address that begins with https://",
            "let it serve TLS; its authority is given as `ca`",
        );
    }
}

/// An address without anything that is not one.
fn address(check: &mut Check<'_>, path: &str, address: &str) {
    web(check, path, address);
    let Ok(url) = Url::parse(address) else { return };
    let (message, help) = if !url.username().is_empty() || url.password().is_some() {
        (
            "credentials do not belong into an address in a workspace",
            "put the password into secrets.sops.yaml (`kthw secrets edit`), and its name under `password_secret` of `containerd.registries`",
        )
    } else if url.query().is_some() || url.fragment().is_some() {
        ("the address of a registry has neither `?` nor `#`", "leave out what follows")
    } else {
        return;
    };
    check.add(CODE, path, "this address", message, help);
}

/// How a server is to be asked.
struct Access<'a> {
    ca: &'a Option<String>,
    username: &'a Option<String>,
    password_secret: &'a Option<String>,
    client_certificate: &'a Option<String>,
    client_key_secret: &'a Option<String>,
}

impl Access<'_> {
    /// The first of its fields that is given.
    fn given(&self) -> Option<&'static str> {
        let fields = [
            ("password_secret", self.password_secret),
            ("username", self.username),
            ("ca", self.ca),
            ("client_certificate", self.client_certificate),
            ("client_key_secret", self.client_key_secret),
        ];
        fields.into_iter().find_map(|(name, value)| value.is_some().then_some(name))
    }

    fn check(&self, check: &mut Check<'_>, path: &str) {
        let field = |name: &str| format!("{path}.{name}");
        for ((first, one), (second, other)) in [
            (("username", self.username), ("password_secret", self.password_secret)),
            (("client_certificate", self.client_certificate), ("client_key_secret", self.client_key_secret)),
        ] {
            let (there, missing) = if one.is_some() { (first, second) } else { (second, first) };
            if one.is_some() != other.is_some() {
                check.add(
                    CODE,
                    &field(there),
                    "alone",
                    format!("`{there}` needs `{missing}`"),
                    format!("add `{missing}`, or leave `{there}` out"),
                );
            }
        }
        for (name, secret) in [("password_secret", self.password_secret), ("client_key_secret", self.client_key_secret)] {
            if secret.as_ref().is_some_and(|secret| !names_a_secret(secret)) {
                check.add(
                    CODE,
                    &field(name),
                    "not a name of a secret",
                    "this does not name a secret",
                    "write the keys on the way to it in secrets.sops.yaml with dots between them, such as `registry.password`",
                );
            }
        }
        for (name, pem) in [("ca", self.ca), ("client_certificate", self.client_certificate)] {
            if let Some(pem) = pem
                && (!pem.contains("-----BEGIN CERTIFICATE-----") || pem.contains("PRIVATE KEY"))
            {
                check.add(
                    CODE,
                    &field(name),
                    "no PEM certificate",
                    format!("`{name}` holds certificates in PEM, and nothing else"),
                    "copy it as text, from -----BEGIN CERTIFICATE----- on, behind `|`; a key belongs into secrets.sops.yaml",
                );
            }
        }
        // RFC 7617, section 2.
        if self.username.as_ref().is_some_and(|name| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control())) {
            check.add(
                CODE,
                &field("username"),
                "not a user of HTTP",
                "a user name has neither `:` nor control characters",
                "write the name alone; the password is named by `password_secret`",
            );
        }
    }
}
