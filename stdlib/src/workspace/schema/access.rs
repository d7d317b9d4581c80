//! Who did what in the cluster, and what pods may be.
use super::super::names::ObjectName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the API server writes down of requests, in `/var/log/kubernetes/audit/audit.log` on every control plane.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// What of a change is written down: `metadata` (the default: who, when, what, and whether it was allowed) or `request` (also what was sent).
    /// The contents of secrets, config maps and tokens are never written down.
    pub level: AuditLevel,
    /// After how many days a file goes; 30 by default.
    #[schemars(range(min = 1, max = 3650))]
    pub keep_days: u32,
    /// How much room all of the files may take, in MiB; 1000 by default. The oldest goes first.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_mib: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self { level: AuditLevel::Metadata, keep_days: 30, max_mib: 1000 }
    }
}

/// What of a change is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AuditLevel {
    Metadata,
    Request,
}

/// What pods may be in namespaces that do not say it themselves with labels, by the Pod Security Standards of upstream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PodSecurity {
    /// A pod that is more is refused: `privileged` (everything is taken), `baseline` (the default) or `restricted`.
    pub enforce: PodSecurityLevel,
    /// Who makes a pod that is more is warned; `restricted` by default.
    pub warn: PodSecurityLevel,
    /// A pod that is more is marked in the audit log; `restricted` by default.
    pub audit: PodSecurityLevel,
    /// Namespaces in which none of it counts. `kube-system`, and those of add-ons that need it, are always among them.
    pub exempt: Vec<ObjectName>,
}

impl Default for PodSecurity {
    fn default() -> Self {
        Self {
            enforce: PodSecurityLevel::Baseline,
            warn: PodSecurityLevel::Restricted,
            audit: PodSecurityLevel::Restricted,
            exempt: Vec::new(),
        }
    }
}

/// A level of the Pod Security Standards, <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum PodSecurityLevel {
    Privileged,
    Baseline,
    Restricted,
}

impl PodSecurityLevel {
    /// As Kubernetes spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}
