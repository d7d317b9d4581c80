//! The container images of a workspace's cluster.
use crate::{
    kubeadm,
    kubernetes::Document,
    versions::{Minor, kubernetes::images_of},
    workspace::Workspace,
};
use semver::Version;
use serde_json::Value;
use std::{fmt, str::FromStr};

/// An image by the name that a pod asks for it: `registry.k8s.io/coredns/coredns:v1.14.2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName {
    /// The registry's host, with its port if it has one.
    pub registry: String,
    /// The path there.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

/// A full name with a tag. Short names, which mean another thing on every machine, are none.
impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(registry, rest)| Some((registry, rest.rsplit_once(':')?)));
        let Some((registry, (repository, tag))) = parts else { return Err(format!("`{text}` is not an image with registry and tag")) };
        let is_word = |word: &str, more: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        let is_host = registry == "localhost" || registry.contains(['.', ':']);
        match is_host && is_word(registry, ".-:") && is_word(repository, "._-/") && !repository.contains("..") && is_word(tag, "._-") {
            true => Ok(Self { registry: registry.into(), repository: repository.into(), tag: tag.into() }),
            false => Err(format!("`{text}` is not an image with registry and tag")),
        }
    }
}

/// What `kubeadm config images list` prints for a version and the workspace's registry.
pub fn of_kubeadm(workspace: &Workspace, version: &Version) -> Vec<String> {
    let registry = kubeadm::registry(workspace);
    let images = images_of(version);
    // kubeadm puts CoreDNS into a folder of upstream's registry and of no other (`GetDNSImage` in `cmd/kubeadm/app/images/images.go`).
    let coredns = if workspace.kubeadm.image_repository.is_none() { "coredns/coredns" } else { "coredns" };
    let own =
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"].map(|name| format!("{registry}/{name}:v{version}"));
    let others =
        [("pause", images.pause), ("etcd", images.etcd), (coredns, images.coredns)].map(|(name, tag)| format!("{registry}/{name}:{tag}"));
    own.into_iter().chain(others).collect()
}

/// What Calico's operator starts for the Installation and the API server that kthw declares; the rest of its list is for Windows, for FIPS, for
/// Calico's own certificates, or for what kthw does not ask it for.
///
/// Read in `pkg/components/calico.go` of <https://github.com/tigera/operator> v1.30.9, v1.32.3, v1.34.0, v1.36.16, v1.38.13, v1.40.15 and v1.42.3, which
/// are those of Calico 3.26 to 3.32.
const OF_CALICO: &[&str] = &["apiserver", "cni", "csi", "kube-controllers", "node", "node-driver-registrar", "pod2daemon-flexvol", "typha"];

/// The first minor of Calico whose operator takes the images from quay.io instead of Docker Hub (`pkg/components/images.go`, as above).
const ON_QUAY: Minor = Minor(3, 30);

/// Calico's images.
pub fn of_calico(version: &Version) -> Vec<String> {
    let registry = if Minor::of(version) >= ON_QUAY { "quay.io" } else { "docker.io" };
    OF_CALICO.iter().map(|name| format!("{registry}/calico/{name}:v{version}")).collect()
}

/// The images that the pods of a manifest name.
pub fn of_manifest(documents: &[Document]) -> Vec<String> {
    let pods = documents.iter().filter_map(|document| document.body.pointer("/spec/template/spec"));
    let containers =
        pods.flat_map(|pod| ["containers", "initContainers"].into_iter().filter_map(|list| pod.get(list)?.as_array()).flatten());
    let mut images: Vec<String> = containers.filter_map(|one| one.get("image").and_then(Value::as_str)).map(in_full).collect();
    images.sort();
    images.dedup();
    images
}

/// The name as containerd understands it: without a registry it is one of Docker Hub's
/// (`ParseDockerRef` in <https://github.com/distribution/reference>).
fn in_full(image: &str) -> String {
    match image.split_once('/') {
        None => format!("docker.io/library/{image}"),
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kthw_peers::{Peer, ask, built};
    use std::process::Command;

    #[test]
    fn the_images_are_those_that_kubeadm_prints() {
        let mut workspace = crate::ssh::testing::workspace();
        let version = "1.36.3".parse().expect("a version");
        let own = of_kubeadm(&workspace, &version);
        assert_eq!(own[..2], ["registry.k8s.io/kube-apiserver:v1.36.3", "registry.k8s.io/kube-controller-manager:v1.36.3"]);
        assert_eq!(own[4..], ["registry.k8s.io/pause:3.10.2", "registry.k8s.io/etcd:3.6.8-0", "registry.k8s.io/coredns/coredns:v1.14.2"]);
        workspace.kubeadm.image_repository = Some("r.lab:5000/k8s".parse().expect("a repository"));
        assert_eq!(of_kubeadm(&workspace, &version)[6], "r.lab:5000/k8s/coredns:v1.14.2");
    }

    #[test]
    fn the_list_is_that_of_the_real_kubeadm() {
        const KUBEADM: [(Peer, &str); 2] = [(built(&["bin/kubeadm-1.36"]), "1.36.3"), (built(&["bin/kubeadm-1.37"]), "1.37.2")];
        for (kubeadm, version) in KUBEADM {
            let Some([kubeadm]) = ask([&kubeadm]) else { continue };
            for repository in [None, Some("r.lab:5000/k8s")] {
                let mut workspace = crate::ssh::testing::workspace();
                workspace.kubeadm.image_repository = repository.map(|repository| repository.parse().expect("a repository"));
                let mut command = Command::new(&kubeadm);
                command.args(["config", "images", "list", "--kubernetes-version", version]);
                command.args(repository.into_iter().flat_map(|repository| ["--image-repository", repository]));
                let said = command.output().expect("kubeadm starts");
                let mut listed: Vec<String> = String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect();
                let mut ours = of_kubeadm(&workspace, &version.parse().expect("a version"));
                listed.sort();
                ours.sort();
                assert_eq!(ours, listed, "{}", String::from_utf8_lossy(&said.stderr));
            }
        }
    }

    #[test]
    fn calicos_images_moved_to_another_registry() {
        let node = |version: &str| of_calico(&version.parse().expect("a version"))[4].clone();
        assert_eq!(node("3.28.0"), "docker.io/calico/node:v3.28.0");
        assert_eq!(node("3.32.1"), "quay.io/calico/node:v3.32.1");
    }

    #[test]
    fn a_manifest_names_the_operators_own() {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\nspec: { template: { spec: { containers: [{ image: 'quay.io/tigera/operator:v1.42.3' }] } } }\n";
        let documents = Document::parse(text).expect("a manifest");
        assert_eq!(of_manifest(&documents), ["quay.io/tigera/operator:v1.42.3"]);
    }

    #[test]
    fn a_name_says_everything_or_is_none() {
        let name: ImageName = "r.lab:5000/k8s/coredns:v1.14.2".parse().expect("a name");
        assert_eq!((name.registry.as_str(), name.repository.as_str(), name.tag.as_str()), ("r.lab:5000", "k8s/coredns", "v1.14.2"));
        assert_eq!(name.to_string(), "r.lab:5000/k8s/coredns:v1.14.2");
        for wrong in ["nginx", "nginx:1", "library/nginx:1", "quay.io/a", "quay.io/../a:1", "quay.io/a:b c", "quay.io/:1"] {
            assert!(wrong.parse::<ImageName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_without_a_registry_is_one_of_docker_hubs() {
        for (short, full) in [
            ("busybox:1.35", "docker.io/library/busybox:1.35"),
            ("rancher/a:v1", "docker.io/rancher/a:v1"),
            ("quay.io/a/b:v1", "quay.io/a/b:v1"),
            ("localhost:5000/b:v1", "localhost:5000/b:v1"),
        ] {
            assert_eq!(in_full(short), full);
        }
    }
}
