//! The local path provisioner: volumes in folders of the nodes.
use super::{Facts, Named, Row};
use crate::versions::Minor;

/// local-path-provisioner.
pub const LOCAL_PATH: Facts = Facts {
    project: "local-path-provisioner",
    title: "local-path-provisioner",
    // It publishes patches of one minor version.
    lines: || vec![Minor(0, 0)],
    newest: "0.0.30",
    named: Named::InAddOns,
    files: |_| &["local-path-storage.yaml"],
    served: ("https://raw.githubusercontent.com/rancher/local-path-provisioner", "deploy"),
    rows: &[Row {
        version: "0.0.30",
        file: "local-path-storage.yaml",
        sha256: "fe682186b00400fe7e2b72bae16f63e47a56a6dcc677938c6642139ef670045e",
        from: "from the Go module github.com/rancher/local-path-provisioner v0.0.30",
    }],
};
