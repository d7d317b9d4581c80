//! The API server's certificate: what it says, and making it anew beside the one in use, which is replaced only by one that was checked.
use super::{ControlPlane, Failed, told};
use crate::kubeadm::{FOLDER, config};
use kthw_engine::{
    Error, Field, Peers, Permit, Result,
    node::{Action, Content, Finding, Output, PathState, Probe},
};
use miette::Diagnostic;
use std::collections::BTreeSet;

const PKI: &str = "/etc/kubernetes/pki";
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const KEY: &str = "/etc/kubernetes/pki/apiserver.key";
/// Where a new one is made.
const BESIDE: &str = "/etc/kubernetes/kthw/renewal";
const NEW_CERTIFICATE: &str = "/etc/kubernetes/kthw/renewal/apiserver.crt";
const NEW_KEY: &str = "/etc/kubernetes/kthw/renewal/apiserver.key";
/// The field of its names.
pub const NAMES: &str = "certificate names";
/// A certificate that ends within thirty days, by the node's own clock, is made anew.
const SOON_S: &str = "2592000";

/// What reading finds of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveCertificate {
    /// Names and addresses in it; `None` when it or its key is not there.
    names: Option<BTreeSet<String>>,
    /// When it ends, if that is soon.
    ends_soon: Option<String>,
    /// A renewal moved the new key into place, and not the certificate.
    half_moved: bool,
}

/// What [`LiveCertificate::read`] wants to see.
pub fn query() -> Vec<Probe> {
    let mut probes: Vec<Probe> = [CERTIFICATE, KEY, NEW_CERTIFICATE, NEW_KEY].map(Probe::path).into();
    probes.push(show(CERTIFICATE));
    probes
}

fn show(path: &str) -> Probe {
    Probe::run(["openssl", "x509", "-in", path, "-noout", "-ext", "subjectAltName", "-enddate", "-checkend", SOON_S])
}

impl LiveCertificate {
    /// Understands the answers to [`query`].
    ///
    /// # Errors
    /// When the certificate is there and openssl cannot say what is in it.
    pub fn read(node: &str, files: [&Option<PathState>; 4], shown: &Output) -> Result<Self> {
        let [certificate, key, new_certificate, new_key] = files.map(Option::is_some);
        // kubeadm writes the key before the certificate, and a renewal moves the key first: a new certificate alone was left by that.
        let half_moved = new_certificate && !new_key && key;
        if !certificate || !key {
            return Ok(Self { half_moved, ..Self::default() });
        }
        Ok(Self { half_moved, ..Self::of(node, CERTIFICATE, shown)? })
    }

    /// What openssl printed. It ends with 1 as well for a certificate that ends soon.
    fn of(node: &str, path: &str, shown: &Output) -> Result<Self> {
        if shown.status == 127 {
            return Err(Error::peer(NoOpenssl { node: node.into() }));
        }
        let ends = shown.stdout.lines().find_map(|line| line.trim().strip_prefix("notAfter="));
        let ends_soon = match (shown.status, ends) {
            (0, _) => None,
            (1, Some(ends)) => Some(ends.trim().to_owned()),
            _ => return Err(Error::peer(ReadCertificate { node: node.into(), path: path.into(), reason: told(shown) })),
        };
        Ok(Self { names: Some(names_in(&shown.stdout)), ends_soon, half_moved: false })
    }

    /// How it differs from one that holds all of `wanted`.
    pub fn fields(&self, wanted: &[String]) -> Vec<Field> {
        let field = |name: &'static str, live: String, want: &str| Field { live: Some(live), ..Field::new(name, want) };
        let mut fields = Vec::new();
        if self.half_moved {
            fields.push(field("certificate", "renewed by half".into(), "renewed"));
        }
        let Some(names) = &self.names else {
            fields.push(field("certificate", "absent".into(), "made"));
            return fields;
        };
        fields.extend(self.ends_soon.as_ref().map(|ends| field("certificate", format!("valid until {ends}"), "renewed")));
        let missing = wanted.iter().filter(|name| !names.contains(*name));
        fields.extend(missing.map(|name| field(NAMES, "absent".into(), name)));
        fields
    }

    /// The names in it that neither the workspace nor kubeadm itself asks for.
    pub fn more(&self, wanted: &[String], of_kubeadm: &[String]) -> Vec<Field> {
        let names = self.names.iter().flatten().filter(|name| !wanted.contains(name) && !of_kubeadm.contains(name));
        names.map(|name| Field { live: Some(name.clone()), ..Field::new(NAMES, "absent") }).collect()
    }
}

/// The names and addresses in what `openssl x509 -ext subjectAltName` prints.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split([',', '\n'])
        .filter_map(|part| part.trim().strip_prefix("DNS:").or_else(|| part.trim().strip_prefix("IP Address:")))
        .map(str::to_owned)
        .collect()
}

impl ControlPlane {
    /// Makes the certificate anew. The API server takes up a new file by itself within a minute.
    pub(super) async fn renew_certificate(&self, live: &LiveCertificate, peers: &Peers, permit: &Permit) -> Result<()> {
        if live.half_moved {
            let new = self.check_pair(KEY, peers).await?;
            self.run(&["mv", "-f", "-t", PKI, NEW_CERTIFICATE], "put the new certificate in place", peers, permit).await?;
            // The workspace may have got another name since it was made.
            if new.fields(&self.names()).is_empty() {
                return Ok(());
            }
        }
        self.make_new_certificate(peers, permit).await?;
        let new = self.check_pair(NEW_KEY, peers).await?;
        if let Some(field) = new.fields(&self.names()).first() {
            return Err(self.cannot_use(format!("kubeadm made it otherwise: {field}")));
        }
        // One program and the key first, so that a machine that stops between the two is found out, above.
        self.run(&["mv", "-f", "-t", PKI, NEW_KEY, NEW_CERTIFICATE], "put the new certificate in place", peers, permit).await
    }

    async fn make_new_certificate(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let configuration = format!("{FOLDER}/renewal.yaml");
        let content = Content::plain(config::certificates(&self.workspace, &self.node, &self.spec, BESIDE));
        let mut actions = vec![
            Action::Directory { path: BESIDE.into(), mode: 0o700, owner: None },
            Action::Write { path: configuration.clone(), content, mode: 0o600, owner: None },
        ];
        // The authority stays where it is: kubeadm looks for it beside what it makes.
        actions
            .extend(["ca.crt", "ca.key"].map(|name| Action::Symlink { path: format!("{BESIDE}/{name}"), target: format!("{PKI}/{name}") }));
        // kubeadm keeps what is there, and an earlier try may have left something.
        actions.extend([NEW_CERTIFICATE, NEW_KEY].map(|path| Action::Remove { path: path.into() }));
        actions.push(Action::run(["kubeadm", "init", "phase", "certs", "apiserver", "--config", &configuration]));
        for action in actions {
            self.act(&action, "make a certificate for the API server", peers, permit).await?;
        }
        Ok(())
    }

    fn cannot_use(&self, reason: String) -> Error {
        Error::peer(Failed { node: self.node.name.to_string(), what: "use the new certificate of the API server".into(), reason })
    }

    /// That the new certificate is of the cluster's authority and for the key at `key`; what it says.
    async fn check_pair(&self, key: &str, peers: &Peers) -> Result<LiveCertificate> {
        let (node, ca) = (&self.node.name, format!("{PKI}/ca.crt"));
        let probes = [
            show(NEW_CERTIFICATE),
            Probe::run(["openssl", "verify", "-CAfile", &ca, NEW_CERTIFICATE]),
            Probe::run(["openssl", "x509", "-in", NEW_CERTIFICATE, "-noout", "-pubkey"]),
            Probe::run(["openssl", "pkey", "-in", key, "-pubout"]),
        ];
        let findings = peers.nodes().read(node, &probes).await?;
        let [Finding::Run(shown), Finding::Run(verified), Finding::Run(certified), Finding::Run(public)] = findings.as_slice() else {
            return Err(Error::peer(crate::kubeadm::NoAnswer { node: node.to_string() }));
        };
        if verified.status != 0 {
            return Err(self.cannot_use(format!("the cluster's authority did not sign it: {}", told(verified))));
        }
        if certified.status != 0 || public.status != 0 || certified.stdout.trim() != public.stdout.trim() {
            return Err(self.cannot_use("it does not belong to its key".into()));
        }
        LiveCertificate::of(node, NEW_CERTIFICATE, shown)
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot look into the API server's certificate on {node}: there is no `openssl`")]
#[diagnostic(code(kthw::kubeadm::openssl), help("install it: `ssh::package(node, \"openssl\")`"))]
struct NoOpenssl {
    node: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read the certificate {path} on {node}: {reason}")]
#[diagnostic(
    code(kthw::kubeadm::read_certificate),
    help(
        "on {node}: `openssl x509 -in {path} -noout -text`; nothing was changed, and a file that is no certificate has to be put right by hand"
    )
)]
struct ReadCertificate {
    node: String,
    path: String,
    reason: String,
}

/// The command that shows a certificate, for a test with the real openssl.
#[cfg(test)]
pub(in super::super) fn probe(path: &str) -> Vec<String> {
    match show(path) {
        Probe::Run { argv } => argv,
        other => panic!("{other:?} is no command"),
    }
}

/// What is understood of its output.
#[cfg(test)]
pub(in super::super) fn shown(stdout: &str, status: i32) -> LiveCertificate {
    LiveCertificate::of("cu1", CERTIFICATE, &Output { status, stdout: stdout.into(), ..Output::default() }).expect("understood")
}
