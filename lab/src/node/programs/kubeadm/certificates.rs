//! The API server's certificate as the lab writes it: JSON in a PEM block, with the names, the end, the key and the authority.
use super::config::Documents;
use crate::{node::host::Host, state::fingerprint};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// kubeadm's folder for certificates.
pub(super) const PKI: &str = "/etc/kubernetes/pki";
/// kubeadm's certificates last a year.
const LASTS_S: u64 = 365 * 86_400;

/// A certificate of the lab.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Certificate {
    subject: String,
    /// The number of its key.
    serial: u64,
    /// Names and addresses that it is for.
    names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub ends_s: u64,
    /// Digest of the authority's certificate.
    pub authority: String,
}

impl Certificate {
    /// Reads one; `None` when the text is another thing.
    pub fn parse(text: &str) -> Option<Self> {
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        serde_json::from_slice(&STANDARD.decode(body).ok()?).ok()
    }

    /// Whether it is for this name or address.
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Its names: host names first, as openssl prints them.
    pub fn names(&self) -> Vec<String> {
        let is_address = |name: &&String| name.parse::<std::net::IpAddr>().is_ok();
        let (addresses, hosts): (Vec<&String>, Vec<&String>) = self.names.iter().partition(is_address);
        hosts.iter().map(|name| format!("DNS:{name}")).chain(addresses.iter().map(|name| format!("IP Address:{name}"))).collect()
    }

    /// The public half of its key.
    pub fn public_key(&self) -> String {
        public_key(&private_key(self.serial))
    }
}

/// The public half of a private key of the lab.
pub(in super::super) fn public_key(private: &str) -> String {
    pem("PUBLIC KEY", &fingerprint(private))
}

fn private_key(number: u64) -> String {
    pem("RSA PRIVATE KEY", &format!("the lab keeps no private keys; this is number {number}"))
}

/// Writes `apiserver.crt` and `apiserver.key` into a folder that holds the authority.
pub(super) fn write_apiserver(host: &mut Host, documents: &Documents, folder: &str, name: &str, endpoint: &str) {
    let (now_s, serial) = (host.now_s(), host.state.made_up_number("certificate"));
    let mut names: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"].map(str::to_owned).into();
    let services = documents.text("ClusterConfiguration", "/networking/serviceSubnet");
    let first =
        services.split('/').next().unwrap_or_default().rsplit_once('.').map_or("10.96.0.1".to_owned(), |(head, _)| format!("{head}.1"));
    names.extend([name.to_owned(), first, host.machine.ip().to_owned(), endpoint.split(':').next().unwrap_or_default().to_owned()]);
    let given = documents.get("ClusterConfiguration", "/apiServer/certSANs");
    names.extend(given.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)));
    names.sort();
    names.dedup();
    let files = &mut host.machine.files;
    let authority = fingerprint(files.text(&format!("{folder}/ca.crt")));
    let certificate = Certificate { subject: "kube-apiserver".into(), serial, names, ends_s: now_s + LASTS_S, authority };
    let text = serde_json::json!(certificate).to_string();
    files.put(&format!("{folder}/apiserver.key"), &private_key(serial), 0o600, now_s);
    files.put(&format!("{folder}/apiserver.crt"), &pem("CERTIFICATE", &text), 0o644, now_s);
}

/// A text as a PEM block.
pub(super) fn pem(kind: &str, text: &str) -> String {
    let encoded = STANDARD.encode(text);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}
