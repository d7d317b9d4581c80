//! The Tigera operator, which runs Calico: which files of upstream's it is.
use crate::{
    artifact::{Pins, calico_files},
    kubernetes::{AddOn, Place},
    versions::{Component, Minor, known_lines},
};
use kthw_engine::Id;
use miette::Diagnostic;

/// The operator of one cluster in `version`. Digests that kthw does not know are taken from `pins`.
///
/// # Errors
/// A version of which kthw does not know what files it has.
pub fn operator(place: Place, version: &str, pins: &Pins) -> Result<AddOn, UnknownVersion> {
    let files = calico_files(version).ok_or_else(|| UnknownVersion::new(version))?;
    Ok(AddOn::new(Id::new("calico.operator", &place.cluster), place, files, pins))
}

/// A Calico version of a minor that kthw does not know.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("kthw does not know Calico {version}; it knows the releases of {known}")]
#[diagnostic(code(kthw::calico::unknown_version), help("{help}"))]
pub struct UnknownVersion {
    version: String,
    known: String,
    help: String,
}

impl UnknownVersion {
    fn new(version: &str) -> Self {
        let known = Minor::list(&known_lines(Component::Calico));
        Self {
            version: version.into(),
            known,
            help: "write a full version, such as `3.32.1`, or set `versions.calico` in the workspace".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Pin;
    use kthw_engine::{Change, Resource};

    fn in_version(version: &str, pins: &Pins) -> Result<AddOn, UnknownVersion> {
        operator(Place { cluster: "u".into(), node: "cu1".into() }, version, pins)
    }

    #[test]
    fn an_unknown_version_lists_the_known_ones() {
        let error = in_version("3.99.0", &Pins::default()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "kthw does not know Calico 3.99.0; it knows the releases of 3.26, 3.27, 3.28, 3.29, 3.30, 3.31 and 3.32"
        );
    }

    #[test]
    fn a_version_without_digests_is_refused_until_it_is_pinned() {
        let mut pins = Pins::default();
        let change = |pins: &Pins| in_version("3.32.1", pins).expect("known").diff(None);
        let Change::Refused(refusal) = change(&pins) else { panic!("{:?}", change(&pins)) };
        let both = "calico/v3.32.1/operator-crds.yaml and calico/v3.32.1/tigera-operator.yaml have no digest";
        assert!(refusal.why.starts_with(both) && refusal.next.contains("kthw artifacts pin"), "{refusal:?}");
        for (file, digit) in calico_files("3.32.1").expect("known").into_iter().zip(["1", "2"]) {
            assert!(matches!(change(&pins), Change::Refused(_)), "one is not enough");
            pins.add(Pin::of(file, digit.repeat(64), 7, "2026-11-29".into()), false).expect("new");
        }
        let fields: Vec<String> = change(&pins).fields().iter().map(ToString::to_string).collect();
        let expected =
            ["version: v3.32.1".into(), format!("definitions: sha256 {}", "1".repeat(64)), format!("manifest: sha256 {}", "2".repeat(64))];
        assert_eq!(fields, expected);
    }
}
