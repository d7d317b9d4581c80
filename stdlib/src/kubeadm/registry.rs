//! What containerd reads of a registry from `/etc/containerd/certs.d/<host>`: who is asked for its images, and how. Pure.
//!
//! Credentials stand as a header in `hosts.toml` (<https://github.com/containerd/containerd/blob/main/docs/hosts.md#header-fields-in-the-toml-table-format>),
//! the one place that containerd 1.7 and 2 both read without being restarted: `registry.configs` of its own configuration is deprecated. So the
//! file is root's alone. A registry that hands out tokens for them (Docker Hub) gets the header too, from containerd 2.1 on.
use crate::{
    secret_text::{Form, SecretText},
    workspace::{Capability, Registry, RegistryEndpoint, Workspace},
};
use kthw_engine::SecretRef;
use std::collections::BTreeMap;
use url::Url;

/// Where containerd looks for registries.
pub const FOLDER: &str = "/etc/containerd/certs.d";

/// A file in a registry's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub content: SecretText,
    /// Permission bits, in octal.
    pub mode: &'static str,
}

/// The registries that a workspace says something about, by their hosts.
pub fn registries(workspace: &Workspace) -> BTreeMap<String, Registry> {
    let containerd = &workspace.containerd;
    let mirrors = containerd
        .mirrors
        .iter()
        .map(|(host, url)| (host.to_string(), Registry { endpoints: vec![RegistryEndpoint::plain(url)], ..Registry::default() }));
    mirrors.chain(containerd.registries.iter().map(|(host, registry)| (host.to_string(), registry.clone()))).collect()
}

/// The files of a registry, by their names.
///
/// Whoever is asked last stands at the top of the file too, where containerd wants it, with all that is said of it: containerd asks there once more.
/// That it stands below as well is for containerd 1.7.24, which reads nothing but the address at the top (1.7.35 reads the rest).
pub fn files(host: &str, registry: &Registry) -> BTreeMap<String, File> {
    let mut files = BTreeMap::new();
    let itself = Asked::itself(host, registry);
    let mut asked: Vec<Asked<'_>> = registry.endpoints.iter().map(Asked::endpoint).collect();
    let last = match (registry.upstream, registry.endpoints.last()) {
        (false, Some(last)) => Asked::endpoint(last),
        _ => itself,
    };
    if registry.upstream && last.says_more() && !asked.iter().any(|one| one.address == last.address) {
        asked.push(last.clone());
    }
    let mut text = SecretText::default();
    let mut sections = SecretText::default();
    for (position, one) in asked.iter().enumerate() {
        let settings = one.settings(host, position + 1, &mut files);
        if one.address == last.address && last.says_more() {
            text = text.text(settings.fields.join("\n")).text("\n");
            if let Some(header) = &settings.header {
                text = text.text("\n[header]\n  ").with(header);
            }
        }
        let table = format!("host.\"{}\"", one.address);
        let fields: String = settings.fields.iter().map(|field| format!("  {field}\n")).collect();
        sections = sections.text(format!("[{table}]\n{fields}"));
        if let Some(header) = &settings.header {
            sections = sections.text(format!("  [{table}.header]\n    ")).with(header);
        }
    }
    let server = if last.address.is_empty() { String::new() } else { format!("server = \"{}\"\n", last.address) };
    let between = if server.is_empty() || asked.is_empty() { "" } else { "\n" };
    let content = SecretText::new(server).with(&text).text(between).with(&sections);
    let mode = if content.plain().is_some() { "0644" } else { "0600" };
    files.insert("hosts.toml".into(), File { content, mode });
    files
}

/// Somebody who is asked.
#[derive(Clone)]
struct Asked<'a> {
    address: String,
    below_a_path: bool,
    capabilities: &'a [Capability],
    ca: Option<&'a str>,
    login: Option<(&'a str, &'a str)>,
    client: Option<(&'a str, &'a str)>,
}

struct Settings {
    fields: Vec<String>,
    header: Option<SecretText>,
}

impl<'a> Asked<'a> {
    fn endpoint(endpoint: &'a RegistryEndpoint) -> Self {
        let address = address(&endpoint.url);
        let path = address.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        Self {
            below_a_path: path.is_some(),
            address,
            capabilities: &endpoint.capabilities,
            ca: endpoint.ca.as_deref(),
            login: endpoint.username.as_deref().zip(endpoint.password_secret.as_deref()),
            client: endpoint.client_certificate.as_deref().zip(endpoint.client_key_secret.as_deref()),
        }
    }

    /// Docker Hub's is not where its name says; for all others together there is none. A mirror may also be the registry itself.
    fn itself(host: &str, registry: &'a Registry) -> Self {
        let is_itself = |endpoint: &&RegistryEndpoint| address(&endpoint.url).split_once("://").is_some_and(|(_, rest)| rest == host);
        if let Some(endpoint) = registry.endpoints.iter().find(is_itself).filter(|_| host != "_default") {
            return Self::endpoint(endpoint);
        }
        let address = match host {
            "_default" => String::new(),
            "docker.io" => "https://registry-1.docker.io".into(),
            _ => format!("https://{host}"),
        };
        Self {
            address,
            below_a_path: false,
            capabilities: &[Capability::Pull, Capability::Resolve],
            ca: registry.ca.as_deref(),
            login: registry.username.as_deref().zip(registry.password_secret.as_deref()),
            client: registry.client_certificate.as_deref().zip(registry.client_key_secret.as_deref()),
        }
    }

    /// Whether more is to be said of the registry itself than its address.
    fn says_more(&self) -> bool {
        self.ca.is_some() || self.login.is_some() || self.client.is_some() || self.below_a_path
    }

    /// Its settings, and the files that they need; it is asked as so many-th.
    fn settings(&self, host: &str, position: usize, files: &mut BTreeMap<String, File>) -> Settings {
        let mut put = |name: String, content: SecretText, mode| {
            let path = format!("{FOLDER}/{host}/{name}");
            files.insert(name, File { content, mode });
            path
        };
        let words: Vec<&str> = self.capabilities.iter().map(|capability| capability.word()).collect();
        let mut fields = vec![format!("capabilities = [\"{}\"]", words.join("\", \""))];
        if self.below_a_path {
            // A mirror below a path (a proxy project) is asked at that path and nowhere else.
            fields.push("override_path = true".into());
        }
        if let Some(ca) = self.ca {
            let path = put(format!("ca-{position}.crt"), SecretText::new(lines(ca)), "0644");
            fields.push(format!("ca = \"{path}\""));
        }
        if let Some((certificate, key)) = self.client {
            let certificate = put(format!("client-{position}.cert"), SecretText::new(lines(certificate)), "0644");
            let key = put(format!("client-{position}.key"), SecretText::from(SecretRef { name: key.to_owned() }), "0600");
            fields.push(format!("client = [[\"{certificate}\", \"{key}\"]]"));
        }
        let header = self.login.map(|(user, password)| {
            SecretText::new("Authorization = \"Basic ").secret(password, Form::Basic(user.to_owned())).text("\"\n")
        });
        Settings { fields, header }
    }
}

/// A URL in its plain form, which needs no quoting.
fn address(url: &str) -> String {
    let plain = Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    plain.trim_end_matches('/').to_owned()
}

fn lines(text: &str) -> String {
    format!("{}\n", text.trim())
}

#[cfg(test)]
mod tests {
    use super::{super::config_tests::workspace, *};
    use expect_test::{Expect, expect};

    fn check(yaml: &str, host: &str, want: &Expect) {
        let workspace = workspace("1.31.9", &format!("containerd:\n  registries:\n{yaml}"));
        let found = registries(&workspace);
        let files = files(host, &found[host]);
        let told = files.iter().map(|(name, File { content, mode })| format!("{name} {mode}\n{content}"));
        want.assert_eq(&told.collect::<String>());
    }

    #[test]
    fn a_registry_of_ones_own_has_an_authority_and_credentials() {
        check(
            "    registry.lab:5000: {ca: 'PEM', username: puller, password_secret: registry.password}\n",
            "registry.lab:5000",
            &expect![[r#"
                ca-1.crt 0644
                PEM
                hosts.toml 0600
                server = "https://registry.lab:5000"
                capabilities = ["pull", "resolve"]
                ca = "/etc/containerd/certs.d/registry.lab:5000/ca-1.crt"

                [header]
                  Authorization = "Basic <secret registry.password>"

                [host."https://registry.lab:5000"]
                  capabilities = ["pull", "resolve"]
                  ca = "/etc/containerd/certs.d/registry.lab:5000/ca-1.crt"
                  [host."https://registry.lab:5000".header]
                    Authorization = "Basic <secret registry.password>"
            "#]],
        );
    }

    #[test]
    fn endpoints_are_asked_in_order_each_in_its_way() {
        let endpoints = "    docker.io:\n      endpoints:\n      - {url: 'https://harbor.lab/v2/hub', username: 'robot$k8s', password_secret: harbor, ca: PEM}\n      \
                         - {url: 'http://10.0.0.5:5000/', capabilities: [pull]}\n      \
                         - {url: 'https://tls.lab', client_certificate: CERT, client_key_secret: tls.key}\n";
        check(
            endpoints,
            "docker.io",
            &expect![[r#"
            ca-1.crt 0644
            PEM
            client-3.cert 0644
            CERT
            client-3.key 0600
            <secret tls.key>hosts.toml 0600
            server = "https://registry-1.docker.io"

            [host."https://harbor.lab/v2/hub"]
              capabilities = ["pull", "resolve"]
              override_path = true
              ca = "/etc/containerd/certs.d/docker.io/ca-1.crt"
              [host."https://harbor.lab/v2/hub".header]
                Authorization = "Basic <secret harbor>"
            [host."http://10.0.0.5:5000"]
              capabilities = ["pull"]
            [host."https://tls.lab"]
              capabilities = ["pull", "resolve"]
              client = [["/etc/containerd/certs.d/docker.io/client-3.cert", "/etc/containerd/certs.d/docker.io/client-3.key"]]
        "#]],
        );
        check(
            &format!("{endpoints}      upstream: false\n"),
            "docker.io",
            &expect![[r#"
                ca-1.crt 0644
                PEM
                client-3.cert 0644
                CERT
                client-3.key 0600
                <secret tls.key>hosts.toml 0600
                server = "https://tls.lab"
                capabilities = ["pull", "resolve"]
                client = [["/etc/containerd/certs.d/docker.io/client-3.cert", "/etc/containerd/certs.d/docker.io/client-3.key"]]

                [host."https://harbor.lab/v2/hub"]
                  capabilities = ["pull", "resolve"]
                  override_path = true
                  ca = "/etc/containerd/certs.d/docker.io/ca-1.crt"
                  [host."https://harbor.lab/v2/hub".header]
                    Authorization = "Basic <secret harbor>"
                [host."http://10.0.0.5:5000"]
                  capabilities = ["pull"]
                [host."https://tls.lab"]
                  capabilities = ["pull", "resolve"]
                  client = [["/etc/containerd/certs.d/docker.io/client-3.cert", "/etc/containerd/certs.d/docker.io/client-3.key"]]
            "#]],
        );
    }

    #[test]
    fn for_all_others_there_is_no_registry_itself() {
        check(
            "    _default: {endpoints: [{url: 'https://mirror.lab', ca: PEM}]}\n",
            "_default",
            &expect![[r#"
            ca-1.crt 0644
            PEM
            hosts.toml 0644
            [host."https://mirror.lab"]
              capabilities = ["pull", "resolve"]
              ca = "/etc/containerd/certs.d/_default/ca-1.crt"
        "#]],
        );
    }

    #[test]
    fn a_registry_may_be_its_own_endpoint() {
        check(
            "    'a.lab:5000': {endpoints: [{url: 'https://a.lab:5000', ca: PEM}]}\n",
            "a.lab:5000",
            &expect![[r#"
                ca-1.crt 0644
                PEM
                hosts.toml 0644
                server = "https://a.lab:5000"
                capabilities = ["pull", "resolve"]
                ca = "/etc/containerd/certs.d/a.lab:5000/ca-1.crt"

                [host."https://a.lab:5000"]
                  capabilities = ["pull", "resolve"]
                  ca = "/etc/containerd/certs.d/a.lab:5000/ca-1.crt"
            "#]],
        );
    }
}
