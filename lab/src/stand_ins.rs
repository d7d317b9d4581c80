//! What stands in for upstream's manifests, in our own words: nothing is downloaded in the lab. An add-on is one file and one line.
use bytes::Bytes;
use kthw_engine::{BoxFuture, Error, Result};
use kthw_stdlib::artifact::{Artifact, ArtifactSource, Upstream};

/// What stands in for a file, by its project and its name.
const FILES: &[(&str, &str, &str)] = &[
    ("calico", "tigera-operator.yaml", include_str!("stand-ins/tigera-operator.yaml")),
    ("calico", "operator-crds.yaml", DEFINITIONS),
    ("metallb", "metallb-native.yaml", include_str!("stand-ins/metallb-native.yaml")),
    ("traefik", "kubernetes-crd-definition-v1.yml", include_str!("stand-ins/traefik-crds.yaml")),
];

/// The custom resource definitions of Calico's operator.
const DEFINITIONS: &str = include_str!("stand-ins/operator-crds.yaml");

/// What stands in for a file of upstream's.
pub(crate) fn stand_in(upstream: &Upstream) -> Option<String> {
    let (.., text) = FILES.iter().find(|(project, file, _)| (*project, *file) == (&upstream.project, &upstream.file))?;
    // Older versions have the definitions in the manifest.
    let of_release = kthw_stdlib::add_ons::CALICO.files(&upstream.version.trim_start_matches('v').parse().ok()?);
    let has_all = upstream.project == "calico" && of_release.is_some_and(|files| files.len() == 1);
    Some(if has_all { format!("{DEFINITIONS}---\n{text}") } else { (*text).to_owned() })
}

/// Serves the stand-ins.
pub(crate) struct StandIns;

impl ArtifactSource for StandIns {
    fn fetch<'a>(&'a self, artifact: &'a Artifact) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(
            async move { stand_in(&artifact.upstream).map(Bytes::from).ok_or_else(|| Error::peer(NoStandIn { what: artifact.path() })) },
        )
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab has no stand-in for {what}")]
#[diagnostic(code(kthw::lab::no_stand_in), help("add one in `lab/src/stand_ins.rs`, or run without `--lab`"))]
struct NoStandIn {
    what: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kthw_stdlib::kubernetes::Document;

    #[test]
    fn every_file_of_every_add_on_has_one_that_is_a_manifest() {
        for facts in kthw_stdlib::add_ons::ALL {
            for row in facts.rows {
                for file in facts.files(&row.version.parse().expect("a version")).expect(row.version) {
                    let text = stand_in(&file).unwrap_or_else(|| panic!("{}", file.path()));
                    assert!(!Document::parse(&text).expect("a manifest").is_empty(), "{}", file.path());
                }
            }
        }
    }
}
