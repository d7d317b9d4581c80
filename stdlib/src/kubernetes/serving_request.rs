//! Requests of kubelets for serving certificates, and which of them are approved. Pure.
//!
//! Kubernetes approves none of them, because only who knows the machines knows which names and addresses are a node's
//! (<https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#client-and-serving-certificates>).
use crate::workspace::{NodeSpec, Role, Workspace};
use base64::Engine as _;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};
use x509_cert::{
    der::{Decode, asn1::OctetString, oid::AssociatedOid},
    ext::pkix::{SubjectAltName, name::GeneralName},
    request::{CertReq, ExtensionReq},
};

/// Who signs them.
pub const SIGNER: &str = "kubernetes.io/kubelet-serving";
/// How the user of a kubelet is called, before its node's name, and the group that it is in.
const USER: &str = "system:node:";
const GROUP: &str = "system:nodes";
/// All that such a certificate may be for.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// A node as its workspace knows it: what its certificate may hold.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Its address in the network of nodes.
    pub address: Ipv4Addr,
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Member {
    /// The nodes of a cluster.
    pub fn all(workspace: &Workspace) -> Vec<Self> {
        let of_cluster = workspace.nodes.iter().filter(|node| matches!(node.role, Role::ControlPlane | Role::Worker));
        of_cluster.map(|node| Self::of(workspace, node)).collect()
    }

    fn of(workspace: &Workspace, node: &NodeSpec) -> Self {
        Self {
            name: node.name.to_string(),
            address: node.address,
            names: BTreeSet::from([node.name.to_string(), workspace.fqdn(node)]),
            addresses: node.networks.values().chain([&node.address]).map(|address| IpAddr::V4(*address)).collect(),
        }
    }
}

/// A request that nobody has decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub name: String,
    /// Its revision: what is approved is what was looked at.
    pub version: String,
    /// The node that it is for, or what is against it.
    pub verdict: Result<String, String>,
}

/// The requests among `objects` that wait for a decision, each with what is to become of it.
pub fn pending(objects: &[Value], members: &[Member]) -> Vec<Request> {
    let waits = |object: &&Value| {
        let decided = object["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
        object["spec"]["signerName"] == SIGNER && !decided && object["status"]["certificate"].is_null()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    objects
        .iter()
        .filter(waits)
        .map(|object| Request {
            name: text(&object["metadata"]["name"]),
            version: text(&object["metadata"]["resourceVersion"]),
            verdict: judge(&object["spec"], members),
        })
        .collect()
}

/// The node whose own request this is; otherwise what is against it.
fn judge(spec: &Value, members: &[Member]) -> Result<String, String> {
    let who = spec["username"].as_str().unwrap_or_default();
    let node = who.strip_prefix(USER).ok_or_else(|| format!("`{who}` asks for it, and that is no kubelet"))?;
    let member = members.iter().find(|member| member.name == node);
    let member = member.ok_or_else(|| format!("`{who}` asks for it, and the workspace has no node `{node}`"))?;
    let words = |field: &str| spec[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    if !words("groups").contains(&GROUP) {
        return Err(format!("`{who}` is not in the group `{GROUP}`"));
    }
    let usages = words("usages");
    if let Some(more) = usages.iter().find(|usage| !USAGES.contains(usage)) {
        return Err(format!("it is for `{more}` too, and not for `server auth` alone"));
    }
    if !usages.contains(&"server auth") {
        return Err("it is not for `server auth`".into());
    }
    let request = parsed(spec["request"].as_str().unwrap_or_default()).ok_or("it holds no request for a certificate (PKCS #10)")?;
    is_named_so(&request, who)?;
    names_of(&request)?.into_iter().try_for_each(|name| belongs(name, member))?;
    Ok(member.name.clone())
}

/// The request out of the object's field: base64 of PEM.
fn parsed(field: &str) -> Option<CertReq> {
    let base64 = &base64::engine::general_purpose::STANDARD;
    let pem = String::from_utf8(base64.decode(field).ok()?).ok()?;
    let body = pem.split_once("-----BEGIN CERTIFICATE REQUEST-----")?.1.split_once("-----END CERTIFICATE REQUEST-----")?.0;
    CertReq::from_der(&base64.decode(body.split_whitespace().collect::<String>()).ok()?).ok()
}

/// Whether its subject is that of the kubelet, as the signer wants it too.
fn is_named_so(request: &CertReq, who: &str) -> Result<(), String> {
    let subject = request.info.subject.to_string();
    let parts: BTreeSet<&str> = subject.split(',').collect();
    let wanted = [format!("CN={who}"), format!("O={GROUP}")];
    // A colon needs no escape in what RFC 4514 makes of a name.
    if parts == wanted.iter().map(String::as_str).collect() { Ok(()) } else { Err(format!("its subject is `{subject}`")) }
}

/// The names and addresses that it asks for. It asks for at least one, and for nothing else.
fn names_of(request: &CertReq) -> Result<Vec<GeneralName>, String> {
    let unreadable = |_| "its extensions cannot be read".to_owned();
    let mut names = Vec::new();
    for attribute in request.info.attributes.iter() {
        if attribute.oid != ExtensionReq::OID {
            return Err(format!("it carries the attribute {}", attribute.oid));
        }
        for value in attribute.values.iter() {
            let ExtensionReq(extensions) = value.decode_as::<Vec<_>>().map(ExtensionReq).map_err(unreadable)?;
            for extension in extensions {
                if extension.extn_id != SubjectAltName::OID {
                    return Err(format!("it asks for the extension {}", extension.extn_id));
                }
                names.extend(SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(unreadable)?.0);
            }
        }
    }
    if names.is_empty() { Err("it asks for no name and no address".into()) } else { Ok(names) }
}

/// Whether a name is one of this node's.
fn belongs(name: GeneralName, member: &Member) -> Result<(), String> {
    let of_somebody = |what: &str| Err(format!("{what} is not of {}", member.name));
    match name {
        GeneralName::DnsName(name) if member.names.contains(name.as_str()) => Ok(()),
        GeneralName::DnsName(name) => of_somebody(&format!("the name `{}`", name.as_str())),
        GeneralName::IpAddress(address) => match address_in(&address) {
            Some(address) if member.addresses.contains(&address) => Ok(()),
            Some(address) => of_somebody(&format!("the address {address}")),
            None => Err("it asks for an address that is none".into()),
        },
        _ => Err("it asks for more than names and addresses".into()),
    }
}

fn address_in(octets: &OctetString) -> Option<IpAddr> {
    let bytes = octets.as_bytes();
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
#[path = "serving_request_tests.rs"]
mod tests;
