//! MetalLB: `metallb/metallb/<version>/config/manifests`, in the mode that needs no FRR.
use super::{Facts, Named, Row, TEST_DATA};
use crate::versions::{Component, known_lines};

/// The manifest: addresses are told by ARP, and by MetalLB's own BGP. From 0.16 on upstream's chart has FRR-K8s by default; the manifests of all
/// modes are still there side by side.
const NATIVE: &str = "metallb-native.yaml";

const fn row(version: &'static str, sha256: &'static str, from: &'static str) -> Row {
    Row { version, file: NATIVE, sha256, from }
}

/// MetalLB, which gives services their addresses.
pub const METALLB: Facts = Facts {
    project: "metallb",
    title: "MetalLB",
    lines: || known_lines(Component::MetalLb),
    newest: "0.15.2",
    named: Named::Own("metallb.version", |workspace| workspace.metallb.as_ref().map(|metallb| &metallb.version)),
    files: |_| &[NATIVE],
    served: ("https://raw.githubusercontent.com/metallb/metallb", "config/manifests"),
    rows: &[
        row("0.14.3", "df1ca995d3dc7f033cb5424a186ebdde69305e3beb688c5cb4d3271d71b1883c", TEST_DATA),
        row("0.14.5", "429e36c1306894feaec80aa4d78387192a1d9862c710e241e445019663d6a3a1", TEST_DATA),
        row("0.14.8", "11b5906021fde56040cf10d1bcbaf5c2b7a4206045ebb103915347dfcc533f0e", TEST_DATA),
        row(
            "0.15.2",
            "a1b04c376fb39c93265f551fe23716a3ae6e09b790edb3bf257d3fc784c35a18",
            "from the Go module go.universe.tf/metallb v0.15.2",
        ),
        row(
            "0.16.2",
            "e5f7c268f114c446dc60aaad71b7cabf861f637743e033e354d7d48592807c6d",
            "from the Go module go.universe.tf/metallb v0.16.2",
        ),
    ],
};
