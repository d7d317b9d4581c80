//! A cluster's kubeconfig as kubeadm writes it and in no other form: what a node hands out must not run or read anything here.
use crate::yaml::{self, Node};
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_engine::Secret;
use kube::{Config, config::AuthInfo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::{fmt, str::FromStr};
use url::Url;

/// An address, and the certificates and the key that are used there; all of it inline.
///
/// A kubeconfig can do more: run programs, read files, send everything through a proxy, trust any server. So upstream wants only those of
/// trusted sources to be used (<https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>). A node is none:
/// of what <https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/> lists, nothing but what kubeadm writes has a place here.
#[derive(Clone)]
pub struct AdminConf {
    server: Url,
    /// PEM in base64, as the two below.
    authority: String,
    certificate: String,
    key: Secret,
}

/// Why a kubeconfig is not used. It quotes names and no values: those may be keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct NotAdminConf {
    line: usize,
    reason: String,
}

impl AdminConf {
    /// The client's settings.
    pub(super) fn config(&self) -> Result<Config, String> {
        let address = self.server.as_str().parse().map_err(|error| format!("`server` is no address: {error}"))?;
        let mut config = Config::new(address);
        config.root_cert = Some(certificates(&self.authority)?);
        config.auth_info = AuthInfo {
            client_certificate_data: Some(self.certificate.clone()),
            client_key_data: Some(self.key.expose().to_owned().into()),
            ..AuthInfo::default()
        };
        Ok(config)
    }

    /// The authorities of the cluster, which vouch for its API servers.
    pub(crate) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        Ok(certificates(&self.authority)?.into_iter().map(CertificateDer::from).collect())
    }

    /// The same as a kubeconfig whose only entries are called `name`, and the user `<name>-admin`.
    pub(super) fn named(&self, name: &str) -> Value {
        self.of_user(
            name,
            &format!("{name}-admin"),
            &json!({ "client-certificate-data": self.certificate, "client-key-data": self.key.expose() }),
        )
    }

    /// A kubeconfig for the same cluster, called `name`, with the user `user` and what that one shows.
    pub(super) fn of_user(&self, name: &str, user: &str, credential: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": name, "cluster": {
                "certificate-authority-data": self.authority,
                "server": self.server.as_str().trim_end_matches('/'),
            } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
            "current-context": name,
            "users": [{ "name": user, "user": credential }],
        })
    }
}

impl fmt::Debug for AdminConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminConf({})", self.server)
    }
}

impl FromStr for AdminConf {
    type Err = NotAdminConf;

    fn from_str(text: &str) -> Result<Self, NotAdminConf> {
        let read = || {
            let root = yaml::parse(text).map_err(|error| Refused { offset: error.offset, reason: "it is not YAML".into() })?;
            Self::of(&root)
        };
        read().map_err(|Refused { offset, reason }| {
            let before = text.as_bytes().iter().take(offset);
            NotAdminConf { line: before.filter(|byte| **byte == b'\n').count() + 1, reason }
        })
    }
}

impl AdminConf {
    fn of(root: &Node) -> Result<Self, Refused> {
        let root = At { path: String::new(), node: root };
        let [version, kind, current, clusters, contexts, users] =
            root.fields(["apiVersion", "kind", "current-context", "clusters", "contexts", "users"])?;
        if (version.text()?, kind.text()?) != ("v1", "Config") {
            return Err(kind.refused("is not `Config` of `v1`"));
        }
        let [cluster, user] = contexts.named(current.text()?, "context")?.fields(["cluster", "user"])?;
        let [server, authority] = clusters.named(cluster.text()?, "cluster")?.fields(["server", "certificate-authority-data"])?;
        let [certificate, key] = users.named(user.text()?, "user")?.fields(["client-certificate-data", "client-key-data"])?;
        Ok(Self {
            server: server.address()?,
            authority: authority.pem(|base64| certificates(base64).map(drop))?,
            certificate: certificate.pem(|base64| certificates(base64).map(drop))?,
            key: Secret::new(key.pem(private_key)?),
        })
    }
}

/// Where the text is not what it has to be, and why.
struct Refused {
    offset: usize,
    reason: String,
}

/// A value and where it stands: `users[0].user`.
struct At<'a> {
    path: String,
    node: &'a Node,
}

impl<'a> At<'a> {
    fn refused(&self, problem: &str) -> Refused {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        Refused { offset: self.node.span.start, reason: format!("`{path}` {problem}") }
    }

    fn at(&self, key: &str, node: &'a Node) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        At { path: format!("{}{dot}{key}", self.path), node }
    }

    /// The values of `keys`, which all have to be there. Nothing else may be, but for what only programs' own settings stand in.
    fn fields<const N: usize>(&self, keys: [&str; N]) -> Result<[At<'a>; N], Refused> {
        let yaml::Value::Map(entries) = &self.node.value else { return Err(self.refused("is not a map")) };
        for (position, entry) in entries.iter().enumerate() {
            let key = entry.key.as_str();
            let refused = |problem: &str| Refused { offset: entry.key_span.start, ..self.at(key, &entry.node).refused(problem) };
            if !keys.contains(&key) && !IGNORED.contains(&key) {
                return Err(refused(why_refused(key)));
            }
            if entries[..position].iter().any(|before| before.key == key) {
                return Err(refused("is there twice"));
            }
        }
        for key in keys {
            if self.node.get(key).is_none() {
                return Err(self.refused(&format!("has no `{key}`")));
            }
        }
        Ok(keys.map(|key| self.at(key, self.node.get(key).unwrap_or(self.node))))
    }

    /// What is under `key` in the one item whose name is `name`.
    fn named(&self, name: &str, key: &str) -> Result<At<'a>, Refused> {
        let mut found = None;
        for (position, node) in self.node.items().iter().enumerate() {
            let [known, value] = At { path: format!("{}[{position}]", self.path), node }.fields(["name", key])?;
            if known.text()? == name && found.replace(value).is_some() {
                return Err(known.refused("is there twice"));
            }
        }
        found.ok_or_else(|| self.refused(&format!("has no entry for the current context's {key}")))
    }

    fn text(&self) -> Result<&'a str, Refused> {
        self.node.text().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| self.refused("is not a text"))
    }

    fn address(&self) -> Result<Url, Refused> {
        let address = Url::parse(self.text()?).ok().filter(|address| {
            let bare = address.username().is_empty() && address.password().is_none() && address.query().is_none();
            address.scheme() == "https" && address.has_host() && bare && address.path() == "/" && address.fragment().is_none()
        });
        address.ok_or_else(|| self.refused("is not `https://HOST:PORT`"))
    }

    fn pem(&self, check: impl Fn(&str) -> Result<(), String>) -> Result<String, Refused> {
        let base64 = self.text()?;
        check(base64).map_err(|problem| self.refused(&problem))?;
        Ok(base64.to_owned())
    }
}

/// What kubectl or an editor keeps for itself and no client acts on.
const IGNORED: [&str; 2] = ["preferences", "extensions"];

/// What a key would do that is no part of kubeadm's kubeconfig.
fn why_refused(key: &str) -> &'static str {
    match key {
        "exec" | "auth-provider" => "would run a program on this machine",
        "tokenFile" | "certificate-authority" | "client-certificate" | "client-key" => "would read a file of this machine",
        "insecure-skip-tls-verify" => "would trust any server",
        "proxy-url" => "would send everything through somebody else",
        "token" | "username" | "password" => "is another way to sign in than a certificate",
        key if key == "as" || key.starts_with("as-") => "would act as somebody else",
        _ => "is nothing that kubeadm writes",
    }
}

/// The certificates of a PEM text in base64.
fn certificates(base64: &str) -> Result<Vec<Vec<u8>>, String> {
    let problem = || "is not a certificate in PEM, in base64".to_owned();
    let pem = STANDARD.decode(base64).map_err(|_| problem())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).map(|one| one.map(|one| one.as_ref().to_vec())).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(problem)
}

fn private_key(base64: &str) -> Result<(), String> {
    let pem = STANDARD.decode(base64).ok().map(zeroize::Zeroizing::new);
    let key = pem.and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).ok());
    key.map(drop).ok_or_else(|| "is not a private key in PEM, in base64".to_owned())
}

#[cfg(test)]
#[path = "admin_conf_tests.rs"]
mod tests;
