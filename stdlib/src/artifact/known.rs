//! The upstream files that kthw knows, with their digests. A version is added by adding its line.
use super::Artifact;

/// Calico's operator manifest, by version: what GitHub serves under `projectcalico/calico/<version>/manifests`.
const CALICO_OPERATOR: &[(&str, &str)] = &[
    ("v3.26.4", "2dd020e7822ce55ed1ce111064f473efaacc421a5c1c884e7143256eaaa6b767"),
    ("v3.27.0", "e302e73474429a3dfd0f6d88edcb12b67ec48b54b4496f8d48682500aac1752f"),
    ("v3.28.0", "3171a5730e78aa90c5472d2df395056343cc9b05ae47ed5935cf3dd684b6ad17"),
];

/// The Calico operator's manifest of `version` (with or without a leading `v`), if kthw knows it.
pub fn calico_operator(version: &str) -> Option<Artifact> {
    let (version, sha256) = CALICO_OPERATOR.iter().find(|(known, _)| known.trim_start_matches('v') == version.trim_start_matches('v'))?;
    Some(Artifact {
        project: "calico".into(),
        version: (*version).into(),
        file: "tigera-operator.yaml".into(),
        sha256: (*sha256).into(),
        url: format!("https://raw.githubusercontent.com/projectcalico/calico/{version}/manifests/tigera-operator.yaml"),
    })
}

/// The Calico versions that kthw knows, oldest first, without `v`.
pub fn calico_versions() -> Vec<&'static str> {
    CALICO_OPERATOR.iter().map(|(version, _)| version.trim_start_matches('v')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_with_and_without_its_v() {
        assert_eq!(calico_operator("3.28.0"), calico_operator("v3.28.0"));
        assert_eq!(calico_operator("3.28.0").map(|one| one.path()).as_deref(), Some("calico/v3.28.0/tigera-operator.yaml"));
        assert_eq!(calico_operator("3.99.0"), None);
    }

    #[test]
    fn digests_are_sha256_in_lower_case() {
        for version in calico_versions() {
            let sha256 = calico_operator(version).expect("listed").sha256;
            assert!(sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)), "{version}");
        }
    }
}
