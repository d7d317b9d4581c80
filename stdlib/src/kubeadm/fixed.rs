//! What a cluster is made with and keeps: version, registry, ranges, endpoint. Read from the files by which its control plane runs.
use super::{config::ClusterSpec, packages, static_pod};
use crate::workspace::{NodeSpec, Workspace};
use kthw_engine::{Cost, Field, Refusal, field};

/// How a control plane was made, as far as its files tell. What they do not tell is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The cluster's name.
    pub name: Option<String>,
    /// The version of the API server's image, without `v`.
    pub version: Option<String>,
    /// The registry of that image.
    pub registry: Option<String>,
    /// `host:port` that the administrator's credentials point at.
    pub endpoint: Option<String>,
    /// The address that the API server tells others.
    pub address: Option<String>,
    /// Pod addresses.
    pub pods: Option<String>,
    /// Service addresses.
    pub services: Option<String>,
}

impl Made {
    /// Understands the manifests of API server and controller manager, and the `server:` line of a kubeconfig.
    pub fn of(api_server: &str, controller_manager: &str, server: &str) -> Self {
        let image = static_pod::image(api_server, "kube-apiserver");
        let flag = |manifest: &str, name| static_pod::flag(manifest, name).map(str::to_owned);
        Self {
            name: flag(controller_manager, "cluster-name"),
            version: image.as_ref().map(|(_, version)| version.clone()),
            registry: image.map(|(registry, _)| registry.to_owned()),
            endpoint: endpoint_in(server).map(str::to_owned),
            address: flag(api_server, "advertise-address"),
            pods: flag(controller_manager, "cluster-cidr"),
            services: flag(api_server, "service-cluster-ip-range"),
        }
    }

    /// What the workspace says otherwise: an upgrade, and everything that a cluster keeps for its life.
    pub fn refusals(&self, workspace: &Workspace, node: &NodeSpec, spec: &ClusterSpec) -> Vec<Refusal> {
        let own = [self.refuse_upgrade(node, spec), self.refuse_registry(workspace, node), self.refuse_another(workspace, node, spec)];
        own.into_iter().flatten().collect()
    }

    /// Another version is running: that is never changed in passing.
    fn refuse_upgrade(&self, node: &NodeSpec, spec: &ClusterSpec) -> Option<Refusal> {
        let (live, want) = (self.version.as_deref()?, spec.version.to_string());
        let version = field("version", live, &want)?;
        Some(Refusal {
            why: format!("the control plane on {} runs {live}; changing it to {want} is an upgrade, which kthw does not do yet", node.name),
            next: format!("set `versions.kubernetes` to {live}, or run `kubeadm upgrade apply v{want}` on {} first", node.name),
            fields: vec![version],
        })
    }

    /// Its images come from another registry. Only kubeadm rewrites them, with an upgrade.
    fn refuse_registry(&self, workspace: &Workspace, node: &NodeSpec) -> Option<Refusal> {
        let live = self.registry.as_deref()?;
        let registry = field("image_repository", live, packages::registry(workspace))?;
        Some(Refusal {
            why: format!("the control plane on {} has its images from {live}, which kubeadm changes only with an upgrade", node.name),
            next: format!("set `kubeadm.image_repository` back to {live}"),
            fields: vec![registry],
        })
    }

    fn refuse_another(&self, workspace: &Workspace, node: &NodeSpec, spec: &ClusterSpec) -> Option<Refusal> {
        let address = format!("address of {}", node.name);
        let compared = [
            ("cluster", "name", &self.name, workspace.name.clone()),
            ("endpoint", "endpoint", &self.endpoint, spec.endpoint.clone()),
            ("address", address.as_str(), &self.address, node.address.to_string()),
            ("pod_subnet", "network.pods", &self.pods, spec.pod_subnet.to_string()),
            ("service_subnet", "network.services", &self.services, spec.service_subnet.to_string()),
        ];
        let (mut ways, mut fields): (Vec<String>, Vec<Field>) = (Vec::new(), Vec::new());
        for (name, key, live, want) in compared {
            let Some(live) = live else { continue };
            if let Some(differs) = field(name, live.clone(), want) {
                ways.push(format!("`{key}` to {live}"));
                fields.push(differs.at(Cost::Everything));
            }
        }
        let names = fields.iter().map(|field| field.name.to_string()).collect::<Vec<_>>().join(", ");
        (!fields.is_empty()).then(|| Refusal {
            why: format!("the control plane on {} was made with another {names}, which stays for the cluster's life", node.name),
            next: format!("set back {}; anything else needs a new cluster", ways.join(" and ")),
            fields,
        })
    }
}

/// `host:port` in the line `server: https://host:port` of a kubeconfig.
pub fn endpoint_in(server: &str) -> Option<&str> {
    let url = server.lines().find_map(|line| line.trim().strip_prefix("server:"))?.trim().trim_matches('"');
    Some(url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/')).filter(|endpoint| !endpoint.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_of_a_kubeconfig() {
        assert_eq!(endpoint_in("    server: https://cu1.bevz.net:6443\n"), Some("cu1.bevz.net:6443"));
        assert_eq!(endpoint_in("server: \"https://10.0.0.1:443/\"\n"), Some("10.0.0.1:443"));
        assert_eq!(endpoint_in(""), None);
    }
}
