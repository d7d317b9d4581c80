//! Tests of what is known of add-ons: files, digests, and versions that are not known.
use super::*;
use crate::artifact::{Pin, is_sha256};
use kthw_engine::{Change, Resource};
use sha2::{Digest, Sha256};

fn paths(facts: &Facts, version: &str) -> Option<Vec<String>> {
    Some(facts.files(&version.parse().expect("a version"))?.iter().map(Upstream::path).collect())
}

fn install(version: &str, pins: &Pins) -> Result<AddOn, UnknownVersion> {
    CALICO.install(Id::new("calico.operator", "u"), Place { cluster: "u".into(), node: "cu1".into() }, version, pins)
}

#[test]
fn which_files_there_are_depends_on_the_version() {
    assert_eq!(paths(&CALICO, "3.29.7").expect("known"), ["calico/v3.29.7/tigera-operator.yaml"]);
    assert_eq!(paths(&CALICO, "3.30.0").expect("known"), ["calico/v3.30.0/operator-crds.yaml", "calico/v3.30.0/tigera-operator.yaml"]);
    assert_eq!(paths(&CALICO, "3.99.0"), None);
    let file = METALLB.files(&Version::new(0, 14, 8)).expect("known").remove(0);
    assert_eq!(file.url, "https://raw.githubusercontent.com/metallb/metallb/v0.14.8/config/manifests/metallb-native.yaml");
}

#[test]
fn a_row_is_of_a_file_that_is_asked_for_and_says_where_it_comes_from() {
    for facts in ALL {
        for row in facts.rows {
            let files = facts.files(&row.version.parse().expect("a version")).expect(row.version);
            let of_row: Vec<_> = files.iter().filter(|file| file.file == row.file).filter_map(known).collect();
            assert_eq!(of_row, [(row.sha256, row.from)], "{facts:?} {}", row.version);
            assert!(is_sha256(row.sha256) && row.from.starts_with("from "), "{facts:?} {}", row.version);
        }
    }
    assert!(CALICO.files(&Version::new(3, 32, 1)).expect("known").iter().all(|file| known(file).is_none()));
}

/// The bytes themselves, where they are at hand.
#[test]
fn the_digests_are_those_of_the_files() {
    let Some([data, one_of_modules]) = kthw_peers::ask([&kthw_peers::TEST_DATA, &kthw_peers::MANIFESTS]) else { return };
    let (data, modules) = (data.join("manifests"), one_of_modules.ancestors().nth(3).expect("a folder"));
    for facts in ALL {
        for row in facts.rows {
            let root = if row.from == TEST_DATA { &data } else { modules };
            let file = root.join(facts.project).join(format!("v{}", row.version)).join(row.file);
            assert_eq!(hex::encode(Sha256::digest(std::fs::read(&file).expect(row.file))), row.sha256, "{}", file.display());
        }
    }
}

/// What a newer release no longer has is what the list in the cluster is for: MetalLB has renamed objects.
#[test]
fn releases_of_metallb_differ_in_what_they_consist_of() {
    let Some([data]) = kthw_peers::ask([&kthw_peers::TEST_DATA]) else { return };
    let titles = |version: &str| {
        let text = std::fs::read_to_string(data.join("manifests/metallb").join(version).join("metallb-native.yaml")).expect(version);
        crate::kubernetes::Document::parse(&text).expect("a manifest").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (old, new) = (titles("v0.14.3"), titles("v0.14.5"));
    let gone: Vec<_> = old.iter().filter(|title| !new.contains(title)).collect();
    assert_eq!(gone, ["Secret metallb-system/webhook-server-cert", "Service metallb-system/webhook-service"]);
}

#[test]
fn an_unknown_version_lists_the_known_ones() {
    let pins = Pins::default();
    let error = install("3.99.0", &pins).expect_err("refused");
    let known = "3.26, 3.27, 3.28, 3.29, 3.30, 3.31 and 3.32";
    assert_eq!(error.to_string(), format!("kthw does not know Calico 3.99.0; it knows the releases of {known}"));
    assert!(install("3.28", &pins).is_err() && install("latest", &pins).is_err() && install("v3.28.0", &pins).is_ok());
}

#[test]
fn a_version_without_digests_is_refused_until_it_is_pinned() {
    let mut pins = Pins::default();
    let change = |pins: &Pins| install("3.32.1", pins).expect("known").diff(None);
    let Change::Refused(refusal) = change(&pins) else { panic!("{:?}", change(&pins)) };
    let both = "calico/v3.32.1/operator-crds.yaml and calico/v3.32.1/tigera-operator.yaml have no digest";
    assert!(refusal.why.starts_with(both) && refusal.next.contains("kthw artifacts pin"), "{refusal:?}");
    for (file, digit) in CALICO.files(&Version::new(3, 32, 1)).expect("known").into_iter().zip(["1", "2"]) {
        assert!(matches!(change(&pins), Change::Refused(_)), "one is not enough");
        pins.add(Pin::of(file, digit.repeat(64), 7, "2026-11-29".into()), false).expect("new");
    }
    let fields: Vec<String> = change(&pins).fields().iter().map(ToString::to_string).collect();
    let expected =
        ["version: v3.32.1".into(), format!("definitions: sha256 {}", "1".repeat(64)), format!("manifest: sha256 {}", "2".repeat(64))];
    assert_eq!(fields, expected);
}

#[test]
fn a_release_that_an_error_names_is_one_that_is_known() {
    for facts in ALL {
        assert!(facts.files(&facts.newest.parse().expect("a version")).is_some(), "{facts:?}");
        assert!((facts.lines)().is_sorted(), "{facts:?}");
    }
}
