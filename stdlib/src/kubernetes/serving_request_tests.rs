//! What is approved and what is not: requests that openssl makes, as kubelets and others would ask.
use super::*;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::process::Command;

const OWN: &str = "subjectAltName=DNS:wu1,IP:10.10.10.121";

fn workspace() -> Workspace {
    serde_saphyr::from_str(include_str!("../../../workspaces/ubuntu/workspace.yaml")).expect("a workspace")
}

/// A request for a certificate as openssl makes it, for this subject and with this extension, as the API has it.
fn made(openssl: &std::path::Path, subject: &str, extension: &str) -> String {
    let new =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/null", "-subj", subject];
    let extension: &[&str] = if extension.is_empty() { &[] } else { &["-addext", extension] };
    let output = Command::new(openssl).args(new).args(extension).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    STANDARD.encode(output.stdout)
}

fn asked_by(user: &str, request: &str) -> Value {
    json!({ "metadata": { "name": "csr-1", "resourceVersion": "7" }, "status": {}, "spec": { "signerName": SIGNER, "username": user,
        "groups": ["system:nodes", "system:authenticated"], "usages": ["digital signature", "server auth"], "request": request } })
}

fn judged(object: &Value) -> String {
    match &pending(std::slice::from_ref(object), &Member::all(&workspace()))[..] {
        [] => "not pending".into(),
        [Request { verdict: Ok(node), version, .. }] if version == "7" => format!("approved for {node}"),
        [Request { verdict: Err(why), .. }] => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_node_s_own_names_are_approved() {
    let Some([openssl]) = kthw_peers::ask([&kthw_peers::OPENSSL]) else { return };
    let user = "system:node:wu1";
    let subject = "/O=system:nodes/CN=system:node:wu1";
    for (subject, extension, expected) in [
        (subject, OWN, "approved for wu1"),
        (subject, "subjectAltName=DNS:wu1.bevz.net,IP:10.10.10.121", "approved for wu1"),
        (subject, "subjectAltName=IP:10.10.10.121", "approved for wu1"),
        (subject, "subjectAltName=DNS:wu1,IP:10.10.10.116", "the address 10.10.10.116 is not of wu1"),
        (subject, "subjectAltName=DNS:wu1,IP:127.0.0.1", "the address 127.0.0.1 is not of wu1"),
        (subject, "subjectAltName=DNS:wu1,IP:fe80::1", "the address fe80::1 is not of wu1"),
        (subject, "subjectAltName=DNS:cu1,IP:10.10.10.121", "the name `cu1` is not of wu1"),
        (subject, "subjectAltName=DNS:kubernetes.default.svc", "the name `kubernetes.default.svc` is not of wu1"),
        (subject, "subjectAltName=DNS:wu1,email:a@b.example", "it asks for more than names and addresses"),
        (subject, "subjectAltName=DNS:wu1,URI:spiffe://x/y", "it asks for more than names and addresses"),
        (subject, "", "it asks for no name and no address"),
        (subject, "basicConstraints=CA:TRUE", "it asks for the extension 2.5.29.19"),
        ("/O=system:nodes/CN=system:node:cu1", OWN, "its subject is `CN=system:node:cu1,O=system:nodes`"),
        ("/O=system:masters/CN=system:node:wu1", OWN, "its subject is `CN=system:node:wu1,O=system:masters`"),
        ("/O=system:nodes/O=system:masters/CN=system:node:wu1", OWN, "its subject is `CN=system:node:wu1,O=system:masters,O=system:nodes`"),
    ] {
        assert_eq!(judged(&asked_by(user, &made(&openssl, subject, extension))), expected, "{subject} {extension}");
    }
}

#[test]
fn who_asks_and_what_for_count() {
    let Some([openssl]) = kthw_peers::ask([&kthw_peers::OPENSSL]) else { return };
    let own = asked_by("system:node:wu1", &made(&openssl, "/O=system:nodes/CN=system:node:wu1", OWN));
    let with = |path: &str, value: Value| {
        let mut object = own.clone();
        *object.pointer_mut(path).expect("a field") = value;
        judged(&object)
    };
    for (path, value, expected) in [
        ("/spec/username", json!("system:node:wu9"), "`system:node:wu9` asks for it, and the workspace has no node `wu9`"),
        ("/spec/username", json!("system:node:cu1"), "its subject is `CN=system:node:wu1,O=system:nodes`"),
        ("/spec/username", json!("kubernetes-admin"), "`kubernetes-admin` asks for it, and that is no kubelet"),
        ("/spec/groups", json!(["system:authenticated"]), "`system:node:wu1` is not in the group `system:nodes`"),
        ("/spec/usages", json!(["digital signature", "client auth"]), "it is for `client auth` too, and not for `server auth` alone"),
        ("/spec/usages", json!(["digital signature"]), "it is not for `server auth`"),
        ("/spec/usages", json!(["digital signature", "key encipherment", "server auth"]), "approved for wu1"),
        ("/spec/request", json!(STANDARD.encode("-----BEGIN CERTIFICATE-----\n")), "it holds no request for a certificate (PKCS #10)"),
        ("/spec/request", json!("?"), "it holds no request for a certificate (PKCS #10)"),
        ("/spec/signerName", json!("kubernetes.io/kube-apiserver-client-kubelet"), "not pending"),
        ("/status", json!({ "conditions": [{ "type": "Denied", "status": "True" }] }), "not pending"),
        ("/status", json!({ "conditions": [{ "type": "Approved", "status": "True" }] }), "not pending"),
        ("/status", json!({ "certificate": "x" }), "not pending"),
    ] {
        assert_eq!(with(path, value), expected, "{path}");
    }
}
