//! Traefik: the definitions of its own kinds, which upstream keeps beside its documentation. What runs is in `stdlib/src/traefik/`.
use super::{Facts, Named, Row, TEST_DATA};
use crate::versions::Minor;

/// The custom resource definitions.
const DEFINITIONS: &str = "kubernetes-crd-definition-v1.yml";

const fn row(version: &'static str, sha256: &'static str, from: &'static str) -> Row {
    Row { version, file: DEFINITIONS, sha256, from }
}

/// Traefik, for HTTP and HTTPS from outside.
pub const TRAEFIK: Facts = Facts {
    project: "traefik",
    title: "Traefik",
    // Each is the application of a chart (<https://github.com/traefik/traefik-helm-chart/blob/master/traefik/Changelog.md>), which asks for
    // Kubernetes 1.25 at most.
    lines: || (0..=7).map(|minor| Minor(3, minor)).collect(),
    newest: "3.7.11",
    named: Named::Own("traefik.version", |workspace| workspace.traefik.as_ref().map(|traefik| &traefik.version)),
    files: |_| &[DEFINITIONS],
    served: ("https://raw.githubusercontent.com/traefik/traefik", "docs/content/reference/dynamic-configuration"),
    rows: &[
        row("3.5.0", "77cb52154221904ceecaffd4af8f01ee2fa0f147b2ed5681a20a9bb718c16f9c", TEST_DATA),
        row(
            "3.6.12",
            "19df8d4caa268314977886df8415cd809ec3faed4c6da608debc2b1c10e38397",
            "from the Go module github.com/traefik/traefik/v3 v3.6.12",
        ),
        row(
            "3.7.11",
            "1d5e8558803804562238b0d4a57174aadd6d87c36e3c4c55199ebcc356a9406c",
            "from the Go module github.com/traefik/traefik/v3 v3.7.11",
        ),
    ],
};
