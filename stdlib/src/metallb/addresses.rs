//! The pools of addresses, and that they are told by ARP (<https://metallb.io/apis/>).
use crate::{
    kubernetes::{BadManifest, Document},
    workspace::AddressPool,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where MetalLB looks for its objects.
const NAMESPACE: &str = "metallb-system";

/// Addresses for services.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressesSpec {
    /// The pools; none when all of them are to go.
    #[serde(default)]
    pub pools: Vec<AddressPool>,
}

impl AddressesSpec {
    /// The objects to keep: a pool for each, and one advertisement for all.
    pub fn documents(&self) -> Result<Vec<Document>, BadManifest> {
        let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
        let pools = self.pools.iter().map(|pool| {
            let addresses: Vec<String> = pool.addresses.iter().map(ToString::to_string).collect();
            object("IPAddressPool", pool.name.as_str(), json!({ "addresses": addresses, "autoAssign": pool.auto_assign }))
        });
        let names: Vec<&str> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        // Without a list of pools it would also tell of those that somebody else made.
        let told = (!names.is_empty()).then(|| object("L2Advertisement", "kthw", json!({ "ipAddressPools": names })));
        Document::from_values(pools.chain(told).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(pools: Value) -> Vec<Document> {
        let spec: AddressesSpec = serde_json::from_value(json!({ "pools": pools })).expect("a specification");
        spec.documents().expect("objects")
    }

    #[test]
    fn each_pool_is_an_object_and_one_advertisement_names_all() {
        let found = documents(json!([
            { "name": "lan", "addresses": ["10.10.10.200-10.10.10.220", "10.10.10.240/29"] },
            { "name": "kept", "addresses": ["10.10.10.230/32"], "auto_assign": false },
        ]));
        let titles: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            titles,
            ["IPAddressPool metallb-system/lan", "IPAddressPool metallb-system/kept", "L2Advertisement metallb-system/kthw"]
        );
        assert_eq!(found[0].body["spec"], json!({ "addresses": ["10.10.10.200-10.10.10.220", "10.10.10.240/29"], "autoAssign": true }));
        assert_eq!(found[1].body["spec"]["autoAssign"], false);
        assert_eq!(found[2].body["spec"], json!({ "ipAddressPools": ["lan", "kept"] }));
    }

    #[test]
    fn without_pools_there_is_nothing() {
        assert!(documents(json!([])).is_empty());
    }
}
