//! What the tables know: components of a cluster that have versions of their own.
use super::Minor;
use semver::Version;
use std::fmt;

/// A part of a cluster whose version has to fit the versions of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The control plane and the kubelets. Everything else is measured by it.
    Kubernetes,
    /// The stacked etcd that kubeadm runs on the control planes.
    Etcd,
    /// The container runtime of the nodes.
    Containerd,
    /// The pod network.
    Calico,
    /// The load balancer of services.
    MetalLb,
    /// The Helm chart of Traefik, which has a version beside that of Traefik.
    TraefikChart,
    /// The issuer of certificates.
    CertManager,
    /// The source of `kubectl top` and of autoscaling.
    MetricsServer,
    /// The virtual address of the control planes.
    KubeVip,
}

impl Component {
    /// All of them, in the order in which they are listed and in which the solver takes what could be done at once.
    pub const ALL: [Self; 9] = [
        Self::Kubernetes,
        Self::Etcd,
        Self::Containerd,
        Self::Calico,
        Self::MetalLb,
        Self::TraefikChart,
        Self::CertManager,
        Self::MetricsServer,
        Self::KubeVip,
    ];

    /// The word for it in YAML, JSON and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::Calico => "calico",
            Self::MetalLb => "metallb",
            Self::TraefikChart => "traefik_chart",
            Self::CertManager => "cert_manager",
            Self::MetricsServer => "metrics_server",
            Self::KubeVip => "kube_vip",
        }
    }

    /// The component that [`Component::key`] names.
    pub fn by_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.key() == key)
    }

    /// The line of releases that `version` belongs to: its minor version. A chart has one line for each major version, because only those say
    /// that something breaks.
    pub fn line(self, version: &Version) -> Minor {
        match self {
            Self::TraefikChart => Minor(version.major, 0),
            _ => Minor::of(version),
        }
    }

    /// A line as its releases are spoken of: `1.31`, of a chart `39`.
    pub fn spell(self, line: Minor) -> String {
        match self {
            Self::TraefikChart => line.0.to_string(),
            _ => line.to_string(),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "Kubernetes",
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::Calico => "Calico",
            Self::MetalLb => "MetalLB",
            Self::TraefikChart => "Traefik chart",
            Self::CertManager => "cert-manager",
            Self::MetricsServer => "metrics-server",
            Self::KubeVip => "kube-vip",
        })
    }
}
