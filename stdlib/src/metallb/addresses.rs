//! The pools of addresses, and how they are told: by ARP, or to routers by BGP (<https://metallb.io/apis/>).
use crate::{
    kubernetes::{BadManifest, Document},
    workspace::{AddressPool, Advertise, Bgp, BgpPeer},
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
    /// The routers that learn of those pools that say so.
    #[serde(default)]
    pub bgp: Option<Bgp>,
}

impl AddressesSpec {
    /// What cannot be: a pool for routers where none is named.
    pub fn fault(&self) -> Option<String> {
        let by_bgp = |pool: &&AddressPool| pool.advertise.contains(&Advertise::Bgp);
        let pool = self.pools.iter().find(by_bgp).filter(|_| self.bgp.as_ref().is_none_or(|bgp| bgp.peers.is_empty()))?;
        Some(format!("the pool `{}` is told by BGP, and `bgp` names no peer", pool.name))
    }

    /// The objects to keep: a pool for each, one advertisement for all that are told in the same way, and each router.
    pub fn documents(&self) -> Result<Vec<Document>, BadManifest> {
        let object = |version: &str, kind: &str, name: &str, spec: Value| json!({ "apiVersion": format!("metallb.io/{version}"), "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
        let pools = self.pools.iter().map(|pool| {
            let addresses: Vec<String> = pool.addresses.iter().map(ToString::to_string).collect();
            object("v1beta1", "IPAddressPool", pool.name.as_str(), json!({ "addresses": addresses, "autoAssign": pool.auto_assign }))
        });
        let peers = self.bgp.iter().flat_map(|bgp| {
            let peer = |peer: &BgpPeer| json!({ "myASN": bgp.asn, "peerASN": peer.asn, "peerAddress": peer.address });
            bgp.peers.iter().map(move |one| object("v1beta2", "BGPPeer", one.name.as_str(), peer(one)))
        });
        // Without a list of pools it would also tell of those that somebody else made.
        let told = [(Advertise::L2, "L2Advertisement"), (Advertise::Bgp, "BGPAdvertisement")].into_iter().filter_map(|(way, kind)| {
            let names: Vec<&str> = self.pools.iter().filter(|pool| pool.advertise.contains(&way)).map(|pool| pool.name.as_str()).collect();
            (!names.is_empty()).then(|| object("v1beta1", kind, "kthw", json!({ "ipAddressPools": names })))
        });
        Document::from_values(pools.chain(peers).chain(told).collect())
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
    fn pools_for_routers_have_an_advertisement_of_their_own() {
        let pools = json!([{ "name": "lan", "addresses": ["10.10.10.200/32"] }, { "name": "far", "addresses": ["10.50.0.0/24"], "advertise": ["bgp"] },
            { "name": "both", "addresses": ["10.50.1.0/24"], "advertise": ["l2", "bgp"] }]);
        let spec =
            json!({ "pools": pools, "bgp": { "asn": 64512, "peers": [{ "name": "router", "address": "10.10.10.1", "asn": 64513 }] } });
        let spec: AddressesSpec = serde_json::from_value(spec).expect("a specification");
        assert_eq!(spec.fault(), None);
        let found = spec.documents().expect("objects");
        let told = |kind: &str| found.iter().find(|one| one.to_string().starts_with(kind)).expect(kind).body["spec"].clone();
        assert_eq!(told("L2Advertisement"), json!({ "ipAddressPools": ["lan", "both"] }));
        assert_eq!(told("BGPAdvertisement"), json!({ "ipAddressPools": ["far", "both"] }));
        assert_eq!(told("BGPPeer"), json!({ "myASN": 64512, "peerASN": 64513, "peerAddress": "10.10.10.1" }));
        assert_eq!(found.len(), 6);
        let without = AddressesSpec { bgp: None, ..spec };
        assert_eq!(without.fault().as_deref(), Some("the pool `far` is told by BGP, and `bgp` names no peer"));
    }

    #[test]
    fn without_pools_there_is_nothing() {
        assert!(documents(json!([])).is_empty());
    }
}
