//! The published JSON Schema of `workspace.yaml`: it is the one of this version, and editors say with it what kthw says.
use crate::support::{Sandbox, golden, root};
use boon::{Compiler, SchemaIndex, Schemas};
use expect_test::expect;
use serde_json::Value;
use std::{fs, path::Path};

const PUBLISHED: &str = "workspaces/workspace.schema.json";

#[test]
fn the_published_schema_is_that_of_this_version() {
    golden(root().join(PUBLISHED), &Sandbox::new().kthw(&["schema"]).ended_with(0).stdout);
}

/// The published schema, ready to judge.
struct Judge(Schemas, SchemaIndex);

impl Judge {
    fn new() -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        let index = compiler.compile(root().join(PUBLISHED).to_str().unwrap(), &mut schemas).unwrap();
        Self(schemas, index)
    }

    /// What is wrong with the workspace in `file`; a text that is no YAML of one reading is `None`.
    fn complaint(&self, file: &Path) -> Option<Result<(), String>> {
        let workspace: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).ok()?;
        Some(self.0.validate(&workspace, self.1).map_err(|error| error.to_string()))
    }
}

#[test]
fn shipped_workspaces_fit_it_and_name_it() {
    let judge = Judge::new();
    let mut shipped = 0;
    for folder in fs::read_dir(root().join("workspaces")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let file = folder.join("workspace.yaml");
        assert_eq!(judge.complaint(&file), Some(Ok(())), "{}", file.display());
        let text = fs::read_to_string(&file).unwrap();
        let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        assert_eq!(folder.join(named.unwrap()).canonicalize().unwrap(), root().join(PUBLISHED).canonicalize().unwrap());
        shipped += 1;
    }
    assert!(shipped > 0);
    assert_eq!(judge.complaint(&root().join("stdlib/src/workspace/example.yaml")), Some(Ok(())));
}

/// What is wrong with the shape of a workspace an editor knows; what values have to do with each other kthw alone.
#[test]
fn wrong_workspaces_are_wrong_in_an_editor_too() {
    let judge = Judge::new();
    let (mut seen, mut unseen) = (String::new(), String::new());
    let mut cases: Vec<_> = fs::read_dir(root().join("tests/bad-workspaces")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|end| end == "yaml") && !path.to_string_lossy().contains(".beside."));
    cases.sort();
    for case in cases {
        let list = match judge.complaint(&case) {
            Some(Ok(())) => &mut unseen,
            Some(Err(_)) | None => &mut seen,
        };
        list.push_str(&format!("{}\n", case.file_stem().unwrap().to_str().unwrap()));
    }
    expect![[r#"
        01-unknown-field
        02-unknown-top-field
        03-missing-field
        04-wrong-type
        05-unknown-distribution
        06-duplicate-key
        07-not-yaml
        08-short-version
        09-not-a-version
        13-not-an-address
        14-not-a-range
        28-vmid-out-of-range
        31-bad-node-name
        38-not-a-digest
        39-image-file-name
        40-endpoint-with-scheme
        41-vlan-out-of-range
        48-wrong-value-in-flow
        49-list-instead-of-value
        50-empty
        51-image-repository-with-scheme
        53-unknown-value-nested
        56-unknown-rotation
        60-cpu-type-with-flags
        61-storage-with-an-option
        62-bridge-with-an-option
        63-pool-with-a-slash
        64-image-file-with-an-option
        65-host-of-a-node-is-a-path
        66-image-repository-with-a-quote
        67-certificate-name-of-two-lines
        68-node-called-all
        69-node-called-localhost
        70-registry-that-is-a-path
        71-template-with-an-option
        80-cluster-without-ranges
        80-edge-with-kubernetes
        82-edge-of-clusters-that-are-not-there
        83-load-balancer-with-an-unknown-field
        83-load-balancer-with-wrong-numbers
        84-check-of-a-path-with-a-blank
        84-cluster-that-is-a-list
        84-unknown-field-of-a-check
        90-dual-stack
        90-time-server-with-an-option
        92-network-that-overlaps
        98-traefik-outside-of-the-pools
        99-audit-without-bounds
        99-firewall-unknown
        99-firewall
        99-no-pool
        99-pihole-of-another-version
        99-unknown-add-on
        99-virtual-address
    "#]]
    .assert_eq(&seen);
    expect![[r#"
        10-unknown-kubernetes
        11-unknown-calico
        12-versions-do-not-fit
        15-range-with-host-bits
        16-overlapping-ranges
        17-nodes-in-pods
        18-service-range-too-large
        19-pod-range-too-small
        20-gateway-outside
        21-address-outside
        22-address-of-the-gateway
        23-broadcast-address
        24-duplicate-address
        25-duplicate-name
        26-duplicate-vmid
        27-vmid-of-the-template
        29-no-vmid
        30-no-template
        32-even-control-planes
        33-no-control-plane
        34-too-few-cores
        35-too-little-memory
        36-disk-too-small
        37-cpu-too-old
        42-no-ssh-user
        43-key-without-digest
        44-relative-mirror
        45-many-at-once
        46-beside-another
        47-pods-over-foreign-nodes
        52-bad-jump-host
        54-two-ssh-keys
        55-no-name-of-a-secret
        72-numbers-that-mean-several-things
        73-release-that-nobody-knows
        74-cpu-below-the-release
        75-no-containerd
        76-kubelet-flags-that-are-gone
        77-address-of-the-build
        78-replica-that-nobody-needs
        81-cluster-with-a-load-balancer
        81-edge-with-a-worker
        82-edge-in-front-of-itself
        82-edge-without-clusters
        85-edge-among-addresses-for-services
        90-signing-keys-in-two-forms
        91-search-domain-twice
        91-signing-keys-that-say-nothing
        92-registries
        93-addresses-in-networks
        93-proxy
        94-network-cards-without-proxmox
        95-storage-beside-another
        96-no-updates-by-themselves
        97-distribution-without-a-key
        98-address-pools
        98-traefik-without-metallb
        99-a-pool-that-another-cluster-has
        99-bgp-of-nothing
        99-bgp-on-1-36
        99-bgp
        99-firewall-ports
        99-pihole-with-its-web-page
        99-pihole
        99-proxy-protocol-of-the-cluster-alone
        99-proxy-protocol-of-the-edge-alone
        99-virtual-address-elsewhere
    "#]]
    .assert_eq(&unseen);
}
