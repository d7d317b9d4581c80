//! A registry mirror, for recipes of one's own that name it themselves. Pure.
use super::registry;
use crate::workspace::{Registry, RegistryEndpoint};
use miette::Diagnostic;
use url::Url;

/// `/etc/containerd/certs.d/<host>/hosts.toml`: `url` serves the images of the registry `host`.
///
/// # Errors
/// A host or URL that is none.
pub fn registry_mirror(host: &str, url: &str) -> Result<String, BadMirror> {
    let bad = |reason: String| BadMirror { host: host.to_owned(), url: url.to_owned(), reason };
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:_".contains(c)) {
        return Err(bad("the registry is a host name, with a port if it has one".into()));
    }
    let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(bad("the mirror is an `http://` or `https://` address".into()));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("credentials do not belong into a workspace".into()));
    }
    let registry = Registry { endpoints: vec![RegistryEndpoint::plain(url)], ..Registry::default() };
    let hosts = registry::files(host, &registry).remove("hosts.toml");
    Ok(hosts.map(|file| file.content.to_string()).unwrap_or_default())
}

/// A mirror that cannot be one.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("`{url}` cannot be a mirror of `{host}`: {reason}")]
#[diagnostic(code(kthw::kubeadm::registry_mirror), help("see `containerd.mirrors` in the workspace"))]
pub struct BadMirror {
    host: String,
    url: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn mirrors() {
        expect![[r#"
            server = "https://registry-1.docker.io"

            [host."https://harbor.lab/v2/dockerhub-proxy"]
              capabilities = ["pull", "resolve"]
              override_path = true
        "#]]
        .assert_eq(&registry_mirror("docker.io", "https://harbor.lab/v2/dockerhub-proxy/").expect("a mirror"));
        expect![[r#"
            server = "https://registry.k8s.io"

            [host."http://10.77.0.1:5000"]
              capabilities = ["pull", "resolve"]
        "#]]
        .assert_eq(&registry_mirror("registry.k8s.io", "http://10.77.0.1:5000").expect("a mirror"));
        expect![[r#"
            server = "http://10.77.0.1:5000"

            [host."http://10.77.0.1:5000"]
              capabilities = ["pull", "resolve"]
        "#]]
        .assert_eq(&registry_mirror("10.77.0.1:5000", "http://10.77.0.1:5000").expect("a mirror"));
        for (host, url) in [("docker.io", "ftp://x"), ("docker.io", "x"), ("a/b", "http://x"), ("a", "https://u:p@x")] {
            assert!(registry_mirror(host, url).is_err(), "{host} {url}");
        }
    }
}
