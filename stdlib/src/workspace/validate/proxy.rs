//! Rules about the nodes' proxy.
use super::{Check, names::names_a_secret, sources::web};
use url::Url;

const CODE: &str = "kthw::workspace::proxy";

pub(super) fn proxy(check: &mut Check<'_>) {
    let Some(proxy) = &check.workspace.proxy else { return };
    for (path, url) in [("proxy.http", &proxy.http), ("proxy.https", &proxy.https)] {
        if let Some(url) = url {
            address(check, path, url);
        }
    }
    let is_none = proxy.http.is_none() && proxy.https.is_none();
    for (field, missing, is_alone) in [
        ("username", "password_secret", proxy.username.is_some() && proxy.password_secret.is_none()),
        ("password_secret", "username", proxy.password_secret.is_some() && proxy.username.is_none()),
        ("username", "http", proxy.username.is_some() && is_none),
    ] {
        if is_alone {
            check.add(
                CODE,
                &format!("proxy.{field}"),
                "alone",
                format!("`{field}` needs `{missing}`"),
                format!("add `{missing}`, or leave `{field}` out"),
            );
        }
    }
    if proxy
        .username
        .as_ref()
        .is_some_and(|name| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control() || c.is_whitespace()))
    {
        check.add(
            CODE,
            "proxy.username",
            "not a user of HTTP",
            "a user name has neither `:` nor white space",
            "write the name alone; the password is named by `password_secret`",
        );
    }
    if proxy.password_secret.as_ref().is_some_and(|name| !names_a_secret(name)) {
        check.add(
            CODE,
            "proxy.password_secret",
            "not a name of a secret",
            "this does not name a secret",
            "write the keys on the way to it in secrets.sops.yaml with dots between them, such as `proxy.password`",
        );
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || ".:/-_".contains(c);
    for (index, one) in proxy.no_proxy.iter().enumerate() {
        if one.is_empty() || !one.chars().all(fine) || one.contains("://") {
            check.add(
                CODE,
                &format!("proxy.no_proxy[{index}]"),
                "neither",
                format!("`{one}` is no name, `.domain`, address or range"),
                "write one such as `bevz.net`, `.bevz.net`, `10.0.0.1` or `10.0.0.0/8`, each by itself",
            );
        }
    }
}

fn address(check: &mut Check<'_>, path: &str, address: &str) {
    web(check, path, address);
    let Ok(url) = Url::parse(address) else { return };
    let (message, help) = if !url.username().is_empty() || url.password().is_some() {
        (
            "credentials do not belong into an address in a workspace",
            "write the user under `proxy.username`, put the password into secrets.sops.yaml (`kthw secrets edit`), and its name under \
             `proxy.password_secret`",
        )
    } else if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
        ("a proxy is a host and a port", "leave out what follows them")
    } else {
        return;
    };
    check.add(CODE, path, "this address", message, help);
}
