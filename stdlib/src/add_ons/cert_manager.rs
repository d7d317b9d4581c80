//! cert-manager, which gets certificates and renews them. Its Go module carries no finished manifest, so no release has a row.
use super::{Facts, Named};
use crate::versions::{Component, known_lines};

/// cert-manager.
pub const CERT_MANAGER: Facts = Facts {
    project: "cert-manager",
    title: "cert-manager",
    lines: || known_lines(Component::CertManager),
    newest: "1.21.2",
    named: Named::InAddOns,
    files: |_| &["cert-manager.yaml"],
    served: ("https://github.com/cert-manager/cert-manager/releases/download", ""),
    rows: &[],
};
