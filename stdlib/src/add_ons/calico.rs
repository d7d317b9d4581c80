//! Calico's operator: `projectcalico/calico/<version>/manifests`. No Go module of Calico's carries these files, so newer releases have no row.
use super::{Facts, Named, Row, TEST_DATA};
use crate::versions::{Component, Minor, known_lines};

/// The manifest of the operator.
const OPERATOR: &str = "tigera-operator.yaml";
/// The custom resource definitions of Calico and its operator.
const DEFINITIONS: &str = "operator-crds.yaml";

/// From this minor on the operator's manifest holds no custom resource definitions; they are a file beside it
/// (<https://github.com/projectcalico/calico/blob/v3.30.0/release-notes/v3.30.0-release-notes.md>).
const DEFINITIONS_APART: Minor = Minor(3, 30);

const fn row(version: &'static str, sha256: &'static str) -> Row {
    Row { version, file: OPERATOR, sha256, from: TEST_DATA }
}

/// Calico, the pod network.
pub const CALICO: Facts = Facts {
    project: "calico",
    title: "Calico",
    lines: || known_lines(Component::Calico),
    newest: "3.32.1",
    named: Named::Own("versions.calico", |workspace| workspace.versions.as_ref().map(|versions| &versions.calico)),
    files: |line| if line >= DEFINITIONS_APART { &[DEFINITIONS, OPERATOR] } else { &[OPERATOR] },
    served: ("https://raw.githubusercontent.com/projectcalico/calico", "manifests"),
    rows: &[
        row("3.26.4", "2dd020e7822ce55ed1ce111064f473efaacc421a5c1c884e7143256eaaa6b767"),
        row("3.27.0", "e302e73474429a3dfd0f6d88edcb12b67ec48b54b4496f8d48682500aac1752f"),
        row("3.28.0", "3171a5730e78aa90c5472d2df395056343cc9b05ae47ed5935cf3dd684b6ad17"),
    ],
};
