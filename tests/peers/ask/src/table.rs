//! The peers: what each is called, where it is looked for, and which command brings it in.

/// Something real that tests run against.
#[derive(Debug)]
pub struct Peer {
    /// What people call it.
    pub name: &'static str,
    /// The environment variable that says where it is. It counts before all else.
    pub variable: Option<&'static str>,
    /// Paths in the cache, the first being the peer; all have to be there.
    pub cached: &'static [&'static str],
    /// Its name in the search path.
    pub program: Option<&'static str>,
    /// Arguments with which it ends well; a program that is there may still not work, or lack what it is to do.
    pub proof: &'static [&'static str],
    /// Whether only root can use it.
    pub needs_root: bool,
    /// What brings it in.
    pub get: Get,
}

/// How a person gets a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Get {
    /// `tests/peers/install SECTION`.
    Section(&'static str),
    /// What to do, in words.
    Words(&'static str),
}

const NOTHING: Peer =
    Peer { name: "", variable: None, cached: &[], program: None, proof: &[], needs_root: false, get: Get::Section("all") };

/// A program of the machine, found in the search path.
const fn program(name: &'static str, section: &'static str) -> Peer {
    Peer { name, program: Some(name), get: Get::Section(section), ..NOTHING }
}

/// OpenSSH's server. Anybody can start it, but only root's lets in somebody else, such as the root that the tests log in as.
pub const SSHD: Peer = Peer { needs_root: true, ..program("sshd", "ssh") };
/// Lists processes.
pub const PS: Peer = program("ps", "ssh");
/// Makes SSH keys.
pub const SSH_KEYGEN: Peer = program("ssh-keygen", "ssh");
/// Keeps SSH keys.
pub const SSH_AGENT: Peer = program("ssh-agent", "ssh");
/// Hands keys to the agent.
pub const SSH_ADD: Peer = program("ssh-add", "ssh");
/// A login shell that is none of POSIX's.
pub const FISH: Peer = program("fish", "ssh");
/// Another one, of the other family.
pub const TCSH: Peer = program("tcsh", "ssh");
/// Lets a user act as root.
pub const SUDO: Peer = Peer { needs_root: true, ..program("sudo", "ssh") };
/// The reference implementation of SOPS.
pub const SOPS: Peer = Peer { variable: Some("KTHW_SOPS"), cached: &["venv/bin/sops"], ..program("sops", "keys") };
/// sops' own library, as a program that reads documents (`tests/peers/go/sops-library`).
pub const SOPS_LIBRARY: Peer = Peer {
    name: "sops' library",
    variable: Some("KTHW_SOPS_LIBRARY"),
    cached: &["bin/sops-library"],
    get: Get::Section("keys"),
    ..NOTHING
};
/// GnuPG.
pub const GPG: Peer = Peer { variable: Some("KTHW_GPG"), ..program("gpg", "keys") };
/// age; `age-keygen` is beside it.
pub const AGE: Peer = Peer { variable: Some("KTHW_AGE"), ..program("age", "keys") };
/// A plugin of age: post-quantum recipients (`tests/peers/go/age-plugin-pq`).
pub const AGE_PLUGIN_PQ: Peer =
    Peer { variable: Some("KTHW_AGE_PLUGIN_PQ"), cached: &["bin/age-plugin-pq"], ..program("age-plugin-pq", "keys") };
/// Plays AWS KMS, STS, IAM and S3; [`crate::MotoServer`] starts it.
pub const MOTO: Peer = Peer { variable: Some("KTHW_MOTO"), cached: &["venv/bin/moto_server"], ..program("moto_server", "keys") };
/// Vault's core and its transit engine (`tests/peers/go/vault`), or the whole of it; [`crate::VaultServer`] starts it.
pub const VAULT: Peer = Peer { variable: Some("KTHW_VAULT"), cached: &["bin/vault"], ..program("vault", "vault") };
/// The editor whose traces are looked for.
pub const VIM: Peer = Peer { proof: &["--version"], ..program("vim", "keys") };
/// Makes a terminal for a program.
pub const SCRIPT: Peer = program("script", "keys");
/// Makes certificates.
pub const OPENSSL: Peer = program("openssl", "keys");
/// Gives a process mounts of its own, such as a small disk.
pub const UNSHARE: Peer = Peer { proof: &["--mount", "true"], needs_root: true, ..program("unshare", "hosts") };
/// Runs a few lines of a test's own.
pub const PYTHON: Peer = program("python3", "keys");
/// A Python that has fakepve, which plays Proxmox VE.
pub const FAKEPVE: Peer = Peer {
    name: "fakepve",
    variable: Some("KTHW_FAKEPVE"),
    cached: &["venv/bin/python"],
    proof: &["-c", "import importlib.util as u; assert u.find_spec('fakepve'), 'it has no fakepve'"],
    get: Get::Section("pve"),
    ..NOTHING
};
/// The official schema of Proxmox VE's API.
pub const PVE_SCHEMA: Peer = Peer {
    name: "schema of Proxmox VE",
    variable: Some("KTHW_PVE_SCHEMA"),
    cached: &["pve-schema.json"],
    get: Get::Section("pve"),
    ..NOTHING
};
/// Machines that boot: the stamps of their base images.
pub const HOSTS: Peer =
    Peer { name: "a test host", cached: &["base.stamp", "base-trixie.stamp"], needs_root: true, get: Get::Section("hosts"), ..NOTHING };
/// The signed repository of Kubernetes' packages, beside the images that kubeadm wants: the stamps of both.
pub const KUBERNETES: Peer = Peer {
    name: "repository of Kubernetes and its images",
    cached: &["kubernetes/apt/.stamp", "registry/.stamp"],
    get: Get::Section("kubernetes"),
    ..NOTHING
};
/// What an API server without nodes consists of; [`crate::ApiServer`] starts it.
pub const API_SERVER: Peer = Peer {
    name: "API server",
    cached: &["bin/kube-apiserver-1.37", "bin/etcd-3.7", "bin/kubectl-1.37", "bin/kube-apiserver-1.36", "bin/etcd-3.6", "bin/kubectl-1.36"],
    get: Get::Section("kubernetes"),
    ..NOTHING
};
/// A folder with upstream's files, such as `manifests/calico/v3.28.0/tigera-operator.yaml`.
pub const TEST_DATA: Peer = Peer {
    name: "upstream manifests",
    variable: Some("KTHW_TEST_DATA"),
    get: Get::Words("set KTHW_TEST_DATA to a folder with them (docs/TESTING.md)"),
    ..NOTHING
};
/// Upstream's files that Go modules carry, and those that are made of what they carry, in folders as those of the test data.
pub const MANIFESTS: Peer = Peer {
    name: "manifests out of Go modules",
    cached: &[
        "manifests/traefik/v3.6.12/kubernetes-crd-definition-v1.yml",
        "manifests/metallb/v0.15.2/metallb-native.yaml",
        "manifests/metallb/v0.16.2/metallb-native.yaml",
        "manifests/local-path-provisioner/v0.0.30/local-path-storage.yaml",
        "manifests/traefik/v3.7.11/kubernetes-crd-definition-v1.yml",
        "manifests/cert-manager/v1.21.1/cert-manager.yaml",
        "manifests/cert-manager/v1.21.2/cert-manager.yaml",
        "manifests/metrics-server/v0.8.0/components.yaml",
        "manifests/metrics-server/v0.9.0/components.yaml",
    ],
    get: Get::Section("kubernetes"),
    ..NOTHING
};
/// What kthw's speed is compared with; benches/run looks for it as well.
pub const PYINFRA: Peer = Peer { name: "pyinfra", cached: &["venv/bin/pyinfra"], get: Get::Section("bench"), ..NOTHING };

/// A program that is built for the tests, by its path in the cache: `built(&["bin/kubeadm-1.37"])`.
pub const fn built(path: &'static [&'static str]) -> Peer {
    Peer { name: path[0], cached: path, get: Get::Section("kubernetes"), ..NOTHING }
}

/// All of them, apart from what is built.
pub const ALL: &[&Peer] = &[
    &SSHD,
    &PS,
    &SSH_KEYGEN,
    &SSH_AGENT,
    &SSH_ADD,
    &FISH,
    &TCSH,
    &SUDO,
    &SOPS,
    &SOPS_LIBRARY,
    &GPG,
    &AGE,
    &AGE_PLUGIN_PQ,
    &MOTO,
    &VAULT,
    &VIM,
    &SCRIPT,
    &OPENSSL,
    &UNSHARE,
    &PYTHON,
    &FAKEPVE,
    &PVE_SCHEMA,
    &HOSTS,
    &KUBERNETES,
    &API_SERVER,
    &TEST_DATA,
    &MANIFESTS,
    &PYINFRA,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_section_is_one_of_the_installer() {
        let installer = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../install")).unwrap();
        for peer in ALL {
            if let Get::Section(section) = peer.get {
                // Its usage explains each on a line of its own.
                assert!(installer.lines().any(|line| line.starts_with(&format!("#   {section} "))), "tests/peers/install has no {section}");
            }
        }
    }

    #[test]
    fn every_peer_can_be_looked_for() {
        for peer in ALL {
            assert!(peer.variable.is_some() || peer.program.is_some() || !peer.cached.is_empty(), "{peer:?}");
        }
    }
}
