//! A machine's network cards beside its first: one for each network of `network.more` that the node is on, with a static address and no gateway.
use super::diff::{Difference, Plugged, sorted};
use crate::{
    proxmox::{agent, client::Client, config::Config, device::Nic, guest::Found, names::Bridge},
    workspace::{MoreNetwork, NetworkName, NodeSpec, Workspace},
};
use kthw_engine::{Cost, Field, field};
use std::{borrow::Cow, net::Ipv4Addr, time::Duration};

/// A machine that was started this short a time ago may not have given its cards their addresses yet.
const STARTS: Duration = Duration::from_secs(120);

/// One card.
#[derive(Clone, Debug)]
pub(in crate::proxmox) struct Card {
    /// `net1` is 1. It is the network's place in the workspace, so that a network has the same number on every machine.
    number: usize,
    network: NetworkName,
    bridge: Bridge,
    vlan: Option<u16>,
    mtu: Option<u32>,
    address: Ipv4Addr,
    prefix: u8,
}

/// The cards of a node.
pub(in crate::proxmox) fn cards_of(workspace: &Workspace, node: &NodeSpec) -> Vec<Card> {
    let (networks, own) = (&workspace.network.more, &node.networks);
    let card = |(number, network): (usize, &MoreNetwork)| {
        let MoreNetwork { name, range, bridge, vlan, mtu } = network.clone();
        Some(Card { number, address: *own.get(&name)?, network: name, bridge, vlan, mtu, prefix: range.prefix_len() })
    };
    (1..).zip(networks).filter_map(card).collect()
}

/// The addresses that a machine gets when it is started anew: they are in its configuration, and its guest agent says that it does not have them.
/// Proxmox lists nothing that only cloud-init is told among what waits.
pub(in crate::proxmox) async fn waiting_addresses(cards: &[Card], found: &Found, client: &Client) -> Vec<String> {
    let told: Vec<&Card> = cards.iter().filter(|card| card.is_told(&found.config)).collect();
    if told.is_empty() || !found.running || found.up_for < STARTS {
        return Vec::new();
    }
    let there = agent::addresses(&found.guest, client).await;
    let lacks = told.into_iter().filter(|card| !there.is_empty() && !there.contains(&card.address));
    lacks.map(|card| format!("address {}", card.network)).collect()
}

impl Card {
    /// Whether the configuration gives it its address.
    fn is_told(&self, config: &Config) -> bool {
        let properties = config.properties(&format!("ipconfig{}", self.number), "");
        properties.get("ip").and_then(|ip| ip.split('/').next()?.parse().ok()) == Some(self.address)
    }

    /// What differs from the machine's configuration. `later` is what it costs to be told by cloud-init.
    pub(super) fn differences(&self, config: &Config, later: Cost) -> Vec<Difference> {
        let live = config.net(self.number);
        let nic = live.clone().unwrap_or_else(|| Nic::parse(""));
        let wanted = live.clone().map_or_else(|| self.new_nic(), |nic| nic.on(&self.bridge, self.vlan).with_mtu(self.mtu));
        // Where it is plugged in changes at once, as the first card's does.
        let moves_only = live.is_some() && nic.mtu() == self.mtu;
        let key = format!("ipconfig{}", self.number);
        let address = config.properties(&key, "").with("ip", format!("{}/{}", self.address, self.prefix)).to_string();
        let plugged = field(format!("network {}", self.network), Plugged(&nic), Plugged(&wanted));
        let addressed = field(format!("address {}", self.network), sorted(config.get(&key).unwrap_or_default()), sorted(&address));
        let difference =
            |key, value, cost, field: Option<Field>| field.map(|field| Difference { key: Cow::Owned(key), value, field: field.at(cost) });
        let cost = if moves_only { Cost::Nothing } else { later };
        [difference(format!("net{}", self.number), wanted.to_string(), cost, plugged), difference(key, address, later, addressed)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// How a plan shows it on a machine that is made.
    pub(super) fn create_fields(&self) -> [Field; 2] {
        [
            Field::new(format!("network {}", self.network), Plugged(&self.new_nic())),
            Field::new(format!("address {}", self.network), format!("ip={}/{}", self.address, self.prefix)),
        ]
    }

    fn new_nic(&self) -> Nic {
        Nic::new(&self.bridge, self.vlan).with_mtu(self.mtu)
    }
}
