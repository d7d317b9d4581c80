//! Serving certificates of kubelets: a kubelet that is told to asks for one, whoever may approves it, and the controller signs what is approved.
use super::cluster::{Cluster, has_condition, key};
use crate::node::Machine;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::Ipv4Addr};
use x509_cert::{
    AlgorithmIdentifier, SubjectPublicKeyInfo,
    attr::Attribute,
    der::{
        Encode, Result,
        asn1::{BitString, Ia5String, ObjectIdentifier, OctetString, SetOfVec},
        oid::AssociatedOid,
    },
    ext::{
        Extension,
        pkix::{SubjectAltName, name::GeneralName},
    },
    request::{CertReq, CertReqInfo, ExtensionReq, Version},
};

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";
/// Where the kubelet's configuration is, and the line that has it ask.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const ASKS: &str = "serverTLSBootstrap: true";
/// A certificate is good for a year, and the kubelet asks anew after four fifths of it.
const LIFE_S: u64 = 365 * 24 * 3600;
const RENEWED_S: u64 = LIFE_S / 5 * 4;
/// Before its end, in what stands for a certificate.
const ENDS: &str = "a certificate of the lab, until ";

/// Lets kubelets ask and the controller sign.
pub(super) fn run(cluster: &mut Cluster, machines: &BTreeMap<String, Machine>, number: usize, unix_s: u64) {
    sign(cluster, unix_s);
    let nodes: Vec<String> =
        cluster.beginning(super::controllers::NODES).map(|(key, _)| key[super::controllers::NODES.len()..].to_owned()).collect();
    for node in nodes {
        let asks = |machine: &&Machine| {
            machine.running
                && machine.cluster == Some(number)
                && machine.runs("kubelet.service")
                && machine.files.text(CONFIG).contains(ASKS)
        };
        let member = cluster.members.get(&node).cloned();
        let Some(machine) = member.as_ref().and_then(|member| machines.get(&member.machine)).filter(asks) else { continue };
        let begins = of_node(cluster, &node);
        let asked = cluster.beginning(&begins).count();
        let last = cluster.beginning(&begins).last().map(|(_, object)| &object.value);
        let asks_anew =
            last.is_none_or(|last| has_condition(last, "Denied") || ends(last).is_some_and(|ends| unix_s + LIFE_S >= ends + RENEWED_S));
        if asks_anew {
            ask(cluster, &node, machine, asked, unix_s);
        }
    }
}

/// How the keys of a node's requests begin. A machine that joins under its name later has others.
fn of_node(cluster: &Cluster, node: &str) -> String {
    let joined = cluster.members.get(node).map_or(0, |member| member.joined_ms);
    key(GROUP, PLURAL, "", &format!("csr-{node}-{joined}-"))
}

fn ask(cluster: &mut Cluster, node: &str, machine: &Machine, number: usize, unix_s: u64) {
    let user = format!("system:node:{node}");
    let address = machine.ip().parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let Ok(request) = request(&user, node, address) else { return };
    let prefix = of_node(cluster, node);
    let name = format!("{}{number:03}", prefix.rsplit('|').next().unwrap_or_default());
    let spec = json!({
        "signerName": kthw_stdlib::kubernetes::SIGNER, "username": user, "groups": ["system:nodes", "system:authenticated"],
        "usages": ["digital signature", "server auth"], "request": STANDARD.encode(request),
    });
    let object = json!({ "apiVersion": format!("{GROUP}/v1"), "kind": "CertificateSigningRequest", "metadata": { "name": name }, "spec": spec, "status": {} });
    cluster.insert(GROUP, PLURAL, object, unix_s);
}

/// A request as a kubelet makes it, as PEM. No key of the lab is one.
fn request(user: &str, name: &str, address: Ipv4Addr) -> Result<String> {
    let names = SubjectAltName(vec![
        GeneralName::DnsName(Ia5String::new(name)?),
        GeneralName::IpAddress(OctetString::new(address.octets().as_slice())?),
    ]);
    let extension = Extension { extn_id: SubjectAltName::OID, critical: false, extn_value: OctetString::new(names.to_der()?)? };
    let attribute: Attribute = ExtensionReq(vec![extension]).try_into()?;
    let of = |oid: &str| Ok::<_, x509_cert::der::Error>(AlgorithmIdentifier { oid: ObjectIdentifier::new(oid)?, parameters: None });
    let info = CertReqInfo {
        version: Version::V1,
        subject: format!("CN={user},O=system:nodes").parse()?,
        public_key: SubjectPublicKeyInfo { algorithm: of("1.2.840.10045.2.1")?, subject_public_key: BitString::from_bytes(&[4; 65])? },
        attributes: SetOfVec::try_from(vec![attribute])?,
    };
    let whole = CertReq { info, algorithm: of("1.2.840.10045.4.3.2")?, signature: BitString::from_bytes(&[0; 70])? };
    Ok(format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(whole.to_der()?)))
}

/// What the controller does: whatever is approved gets a certificate.
fn sign(cluster: &mut Cluster, unix_s: u64) {
    let is_due = |value: &Value| has_condition(value, "Approved") && value["status"]["certificate"].is_null();
    let due: Vec<String> =
        cluster.beginning(key(GROUP, PLURAL, "", "")).filter(|(_, object)| is_due(&object.value)).map(|(key, _)| key.clone()).collect();
    for key in due {
        let certificate = STANDARD.encode(format!("{ENDS}{}\n", unix_s + LIFE_S));
        super::controllers::set_status(cluster, &key, |value| value["status"]["certificate"] = json!(certificate));
    }
}

/// When an issued certificate ends.
fn ends(request: &Value) -> Option<u64> {
    let bytes = STANDARD.decode(request["status"]["certificate"].as_str()?).ok()?;
    String::from_utf8(bytes).ok()?.trim().strip_prefix(ENDS)?.parse().ok()
}

/// When the certificate ends that the kubelet of a node serves with; otherwise what is wrong with what it shows.
pub(crate) fn shown(cluster: &Cluster, node: &str, machine: &Machine, unix_s: u64) -> std::result::Result<u64, String> {
    if !machine.files.text(CONFIG).contains(ASKS) {
        return Err("invalid peer certificate: UnknownIssuer".into());
    }
    let issued = cluster.beginning(of_node(cluster, node)).filter_map(|(_, object)| ends(&object.value)).max();
    match issued {
        None => Err("received fatal alert: InternalError".into()),
        Some(ends) if ends <= unix_s => Err("invalid peer certificate: Expired".into()),
        Some(ends) => Ok(ends),
    }
}
