//! Calico's own settings: the Installation that the operator acts on, with the cluster's pod network, and its API server.
use crate::kubernetes::Document;
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::json;

/// How pod traffic travels between nodes, as the operator spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum Encapsulation {
    #[default]
    VXLAN,
    VXLANCrossSubnet,
    IPIP,
    IPIPCrossSubnet,
    None,
}

impl Encapsulation {
    fn name(self) -> &'static str {
        match self {
            Self::VXLAN => "VXLAN",
            Self::VXLANCrossSubnet => "VXLANCrossSubnet",
            Self::IPIP => "IPIP",
            Self::IPIPCrossSubnet => "IPIPCrossSubnet",
            Self::None => "None",
        }
    }

    /// Whether packets of pods travel in UDP, and nobody tells routes by BGP.
    pub fn is_vxlan(self) -> bool {
        matches!(self, Self::VXLAN | Self::VXLANCrossSubnet)
    }

    /// Whether packets of pods travel in IP.
    pub fn is_ip_in_ip(self) -> bool {
        matches!(self, Self::IPIP | Self::IPIPCrossSubnet)
    }

    /// IP-in-IP routes are told between nodes by BGP; VXLAN needs none.
    fn bgp(self) -> &'static str {
        match self {
            Self::VXLAN | Self::VXLANCrossSubnet => "Disabled",
            Self::IPIP | Self::IPIPCrossSubnet | Self::None => "Enabled",
        }
    }
}

/// The pod network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationSpec {
    /// Pod addresses: the cluster's.
    pub pod_subnet: Ipv4Net,
    /// The nodes' network, in which Calico looks for the address of each; the first address that it finds is taken when absent.
    #[serde(default)]
    pub node_subnet: Option<Ipv4Net>,
    /// How pod traffic travels.
    #[serde(default)]
    pub encapsulation: Encapsulation,
    /// The size of the blocks that nodes get, as a prefix length: 20 to 32.
    #[serde(default = "default_block_size")]
    pub block_size: u8,
    /// The registry of Calico's images, with a trailing `/`; upstream's when absent.
    #[serde(default)]
    pub registry: Option<String>,
}

fn default_block_size() -> u8 {
    26
}

impl InstallationSpec {
    /// The objects to keep.
    pub fn documents(&self) -> Result<Vec<Document>, crate::kubernetes::BadManifest> {
        let mut spec = json!({
            "calicoNetwork": {
                "bgp": self.encapsulation.bgp(),
                "ipPools": [{
                    "blockSize": self.block_size,
                    "cidr": self.pod_subnet.to_string(),
                    "encapsulation": self.encapsulation.name(),
                    "natOutgoing": "Enabled",
                    "nodeSelector": "all()",
                }],
            },
        });
        if let Some(nodes) = &self.node_subnet {
            // The operator writes `firstFound: true` where nothing else is said, and refuses two ways at once
            // (`validateNodeAddressDetection` in https://github.com/tigera/operator).
            spec["calicoNetwork"]["nodeAddressAutodetectionV4"] = json!({ "cidrs": [nodes.to_string()], "firstFound": false });
        }
        if let Some(registry) = &self.registry {
            spec["registry"] = json!(registry);
        }
        Document::from_values(vec![
            json!({"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "metadata": {"name": "default"}, "spec": spec}),
            json!({"apiVersion": "operator.tigera.io/v1", "kind": "APIServer", "metadata": {"name": "default"}, "spec": {}}),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_installation_has_the_clusters_pod_network() {
        let spec = InstallationSpec {
            pod_subnet: "10.244.0.0/16".parse().expect("a network"),
            node_subnet: Some("10.10.10.0/24".parse().expect("a network")),
            encapsulation: Encapsulation::default(),
            block_size: 26,
            registry: Some("registry.lab:5000/".into()),
        };
        let documents = spec.documents().expect("objects");
        assert_eq!(documents[1].to_string(), "APIServer default");
        expect![[r#"
            {
              "calicoNetwork": {
                "bgp": "Disabled",
                "ipPools": [
                  {
                    "blockSize": 26,
                    "cidr": "10.244.0.0/16",
                    "encapsulation": "VXLAN",
                    "natOutgoing": "Enabled",
                    "nodeSelector": "all()"
                  }
                ],
                "nodeAddressAutodetectionV4": {
                  "cidrs": [
                    "10.10.10.0/24"
                  ],
                  "firstFound": false
                }
              },
              "registry": "registry.lab:5000/"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&documents[0].body["spec"]).expect("JSON"));
    }
}
