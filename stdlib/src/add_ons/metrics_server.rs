//! metrics-server, from which the autoscalers know how busy pods are. Its Go module carries no finished manifest, so no release has a row.
use super::{Facts, Named};
use crate::versions::{Component, known_lines};

/// metrics-server.
pub const METRICS_SERVER: Facts = Facts {
    project: "metrics-server",
    title: "metrics-server",
    lines: || known_lines(Component::MetricsServer),
    newest: "0.9.0",
    named: Named::InAddOns,
    files: |_| &["components.yaml"],
    served: ("https://github.com/kubernetes-sigs/metrics-server/releases/download", ""),
    rows: &[],
};
