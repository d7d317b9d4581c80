//! What a machine has to take connections on, and from whom: of the workspace's data alone.
//!
//! Ports of Kubernetes: <https://kubernetes.io/docs/reference/networking/ports-and-protocols/>; of Calico:
//! <https://docs.tigera.io/calico/latest/getting-started/kubernetes/requirements#network-requirements>; of MetalLB's speakers, which find each
//! other by memberlist: <https://metallb.io/#requirements>.
use crate::{
    calico::Encapsulation,
    workspace::{NodeSpec, Ports, Protocol, Role, Workspace},
};
use ipnet::Ipv4Net;
use std::{fmt, net::Ipv4Addr};

/// The names of what roles need. What a workspace says beside has others.
pub const OWN_NAMES: &[&str] = &[
    "ssh",
    "kube-apiserver",
    "etcd",
    "kubelet",
    "calico-typha",
    "calico-vxlan",
    "calico-bgp",
    "calico-ipip",
    "metallb-memberlist",
    "metallb-memberlist-udp",
    "load-balancer",
    "vrrp",
];

/// Packets in packets (RFC 2003).
pub const IP_IN_IP: u8 = 4;
/// Who has an address that several share (RFC 9568).
pub const VRRP: u8 = 112;

/// What passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Connections to ports.
    Ports(Protocol, Vec<Ports>),
    /// Packets of an IP protocol without ports, by its number.
    Protocol(u8),
}

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Everybody.
    Anywhere,
    /// Those with an address in one of these ranges.
    Ranges(Vec<Ipv4Net>),
}

/// One thing that a machine takes connections on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What it is for: lower-case letters, digits and dashes.
    pub name: String,
    /// What passes.
    pub what: What,
    /// From whom.
    pub from: From,
}

impl From {
    /// Everybody where nobody is named.
    fn named(ranges: &[Ipv4Net]) -> Self {
        if ranges.is_empty() { Self::Anywhere } else { Self::Ranges(ranges.to_vec()) }
    }

    /// These too, where not everybody may anyway.
    fn and(self, more: &[Ipv4Net]) -> Self {
        match self {
            Self::Anywhere => Self::Anywhere,
            Self::Ranges(ranges) => Self::Ranges([more, &ranges].concat()),
        }
    }
}

impl Opening {
    fn tcp(name: &str, port: u16, from: From) -> Self {
        Self { name: name.into(), what: What::Ports(Protocol::Tcp, vec![Ports::one(port)]), from }
    }

    fn udp(name: &str, port: u16, from: From) -> Self {
        Self { name: name.into(), what: What::Ports(Protocol::Udp, vec![Ports::one(port)]), from }
    }
}

/// As it stands in a plan: what passes, and from whom.
impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: Vec<String>| words.join(", ");
        match &self.what {
            What::Ports(protocol, ports) => write!(f, "{} {}", protocol.word(), list(ports.iter().map(ToString::to_string).collect()))?,
            What::Protocol(IP_IN_IP) => f.write_str("IP in IP")?,
            What::Protocol(VRRP) => f.write_str("VRRP")?,
            What::Protocol(number) => write!(f, "IP protocol {number}")?,
        }
        match &self.from {
            From::Anywhere => f.write_str(" from anywhere"),
            From::Ranges(ranges) => {
                let ranges = ranges.iter().map(|range| range.to_string().trim_end_matches("/32").to_owned());
                write!(f, " from {}", list(ranges.collect()))
            }
        }
    }
}

/// All that `node` takes connections on: what its role needs, and what the workspace says beside. `encapsulation` is how Calico carries packets of
/// pods between nodes.
pub fn openings(workspace: &Workspace, node: &NodeSpec, encapsulation: Encapsulation) -> Vec<Opening> {
    let said = workspace.firewall.as_ref();
    let ssh = node.port.unwrap_or(workspace.ssh.port);
    let mut openings = vec![Opening::tcp("ssh", ssh, From::named(said.map_or(&[], |said| &said.ssh_from)))];
    match node.role {
        Role::ControlPlane | Role::Worker => openings.extend(of_cluster(workspace, node, encapsulation)),
        Role::LoadBalancer => openings.extend(of_edge(workspace, node)),
        Role::Other => {}
    }
    let further = said.iter().flat_map(|said| &said.allow).filter(|allowed| allowed.on.is_empty() || allowed.on.contains(&node.role));
    openings.extend(further.map(|allowed| Opening {
        name: allowed.name.to_string(),
        what: What::Ports(allowed.protocol, allowed.ports.clone()),
        from: From::named(&allowed.from),
    }));
    openings
}

fn of_cluster(workspace: &Workspace, node: &NodeSpec, encapsulation: Encapsulation) -> Vec<Opening> {
    let is_member = |spec: &&NodeSpec| matches!(spec.role, Role::ControlPlane | Role::Worker);
    let nodes = alone(workspace.nodes.iter().filter(is_member));
    let pods: Vec<Ipv4Net> = workspace.network.pods.into_iter().collect();
    let inside = [&nodes[..], &pods].concat();
    let from_nodes = || From::Ranges(nodes.clone());
    let mut openings = Vec::new();
    if node.role == Role::ControlPlane {
        let said = workspace.firewall.as_ref().map_or(&[][..], |said| &said.api_from);
        openings.push(Opening::tcp("kube-apiserver", 6443, From::named(said).and(&inside)));
        let others: Vec<&NodeSpec> = workspace.with_role(Role::ControlPlane).filter(|other| other.name != node.name).collect();
        if !others.is_empty() {
            let ports = vec![Ports::one(2379), Ports::one(2380)];
            let from = From::Ranges(alone(others));
            openings.push(Opening { name: "etcd".into(), what: What::Ports(Protocol::Tcp, ports), from });
        }
    }
    // API servers ask kubelets, and so does who measures: metrics-server and Prometheus, as pods.
    openings.push(Opening::tcp("kubelet", 10250, From::Ranges(inside)));
    openings.push(Opening::tcp("calico-typha", 5473, from_nodes()));
    if encapsulation.is_vxlan() {
        openings.push(Opening::udp("calico-vxlan", 4789, from_nodes()));
    } else {
        openings.push(Opening::tcp("calico-bgp", 179, from_nodes()));
    }
    if encapsulation.is_ip_in_ip() {
        openings.push(Opening { name: "calico-ipip".into(), what: What::Protocol(IP_IN_IP), from: from_nodes() });
    }
    if workspace.metallb.is_some() {
        openings.push(Opening::tcp("metallb-memberlist", 7946, from_nodes()));
        openings.push(Opening::udp("metallb-memberlist-udp", 7946, from_nodes()));
    }
    openings
}

fn of_edge(workspace: &Workspace, node: &NodeSpec) -> Vec<Opening> {
    let Some(balancer) = &workspace.load_balancer else { return Vec::new() };
    let ports: Vec<Ports> = balancer.listeners.iter().map(|listener| Ports::one(listener.port)).collect();
    let mut openings = Vec::new();
    if !ports.is_empty() {
        openings.push(Opening { name: "load-balancer".into(), what: What::Ports(Protocol::Tcp, ports), from: From::Anywhere });
    }
    let others = alone(workspace.with_role(Role::LoadBalancer).filter(|other| other.name != node.name));
    if balancer.virtual_address.is_some() && !others.is_empty() {
        openings.push(Opening { name: "vrrp".into(), what: What::Protocol(VRRP), from: From::Ranges(others) });
    }
    openings
}

/// The addresses of machines, as ranges of one.
fn alone<'n>(nodes: impl IntoIterator<Item = &'n NodeSpec>) -> Vec<Ipv4Net> {
    let mut addresses: Vec<Ipv4Addr> = nodes.into_iter().map(|node| node.address).collect();
    addresses.sort_unstable();
    addresses.into_iter().map(Ipv4Net::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Firewall;
    use expect_test::{Expect, expect};

    fn shipped() -> Workspace {
        crate::ssh::testing::workspace()
    }

    fn check(workspace: &Workspace, node: &str, encapsulation: Encapsulation, expected: &Expect) {
        let spec = workspace.nodes.iter().find(|spec| spec.name == node).unwrap();
        let line = |opening: &Opening| format!("{}: {opening}\n", opening.name);
        expected.assert_eq(&openings(workspace, spec, encapsulation).iter().map(line).collect::<String>());
    }

    #[test]
    fn a_machine_takes_what_its_role_needs() {
        let workspace = shipped();
        check(
            &workspace,
            "cu1",
            Encapsulation::VXLAN,
            &expect![[r#"
            ssh: tcp 22 from anywhere
            kube-apiserver: tcp 6443 from anywhere
            kubelet: tcp 10250 from 10.10.10.116, 10.10.10.120, 10.10.10.121, 192.168.0.0/16
            calico-typha: tcp 5473 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            calico-vxlan: udp 4789 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metallb-memberlist: tcp 7946 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metallb-memberlist-udp: udp 7946 from 10.10.10.116, 10.10.10.120, 10.10.10.121
        "#]],
        );
        check(
            &workspace,
            "wu1",
            Encapsulation::IPIPCrossSubnet,
            &expect![[r#"
            ssh: tcp 22 from anywhere
            kubelet: tcp 10250 from 10.10.10.116, 10.10.10.120, 10.10.10.121, 192.168.0.0/16
            calico-typha: tcp 5473 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            calico-bgp: tcp 179 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            calico-ipip: IP in IP from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metallb-memberlist: tcp 7946 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metallb-memberlist-udp: udp 7946 from 10.10.10.116, 10.10.10.120, 10.10.10.121
        "#]],
        );
        let edge = include_str!("../../../workspaces/edge/workspace.yaml");
        check(
            &serde_saphyr::from_str(edge).unwrap(),
            "le1",
            Encapsulation::default(),
            &expect![[r#"
            ssh: tcp 22 from anywhere
            load-balancer: tcp 80, 443 from anywhere
        "#]],
        );
    }

    #[test]
    fn every_name_of_a_role_is_known() {
        let mut workspace = shipped();
        workspace.nodes[1].role = Role::ControlPlane;
        for encapsulation in [Encapsulation::VXLAN, Encapsulation::IPIP] {
            for opening in openings(&workspace, &workspace.nodes[0], encapsulation) {
                assert!(OWN_NAMES.contains(&opening.name.as_str()), "{}", opening.name);
            }
        }
    }

    #[test]
    fn what_the_workspace_says_comes_to_it() {
        let mut workspace = shipped();
        let said = "ssh_from: [10.10.10.0/24]\napi_from: [10.20.0.0/16]\nallow:\n- { name: metrics, ports: [9100, 8000-8100], from: [10.9.0.1/32] }\n\
                    - { name: dns, ports: [53], protocol: udp, on: [worker] }\n";
        workspace.firewall = Some(serde_saphyr::from_str::<Firewall>(said).unwrap());
        workspace.nodes[1].role = Role::ControlPlane;
        workspace.nodes[0].port = Some(2222);
        workspace.metallb = None;
        check(
            &workspace,
            "cu1",
            Encapsulation::VXLAN,
            &expect![[r#"
            ssh: tcp 2222 from 10.10.10.0/24
            kube-apiserver: tcp 6443 from 10.10.10.116, 10.10.10.120, 10.10.10.121, 192.168.0.0/16, 10.20.0.0/16
            etcd: tcp 2379, 2380 from 10.10.10.121
            kubelet: tcp 10250 from 10.10.10.116, 10.10.10.120, 10.10.10.121, 192.168.0.0/16
            calico-typha: tcp 5473 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            calico-vxlan: udp 4789 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metrics: tcp 9100, 8000-8100 from 10.9.0.1
        "#]],
        );
        check(
            &workspace,
            "wu2",
            Encapsulation::None,
            &expect![[r#"
            ssh: tcp 22 from 10.10.10.0/24
            kubelet: tcp 10250 from 10.10.10.116, 10.10.10.120, 10.10.10.121, 192.168.0.0/16
            calico-typha: tcp 5473 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            calico-bgp: tcp 179 from 10.10.10.116, 10.10.10.120, 10.10.10.121
            metrics: tcp 9100, 8000-8100 from 10.9.0.1
            dns: udp 53 from anywhere
        "#]],
        );
    }
}
