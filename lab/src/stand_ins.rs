//! What stands in for upstream's manifests, in our own words: nothing is downloaded in the lab.
use bytes::Bytes;
use kthw_engine::{BoxFuture, Error, Result};
use kthw_stdlib::{
    add_ons::ALL,
    artifact::{Artifact, ArtifactSource, Upstream, checker_file},
};

/// What stands in for a file, by its project and its name.
const FILES: &[(&str, &str, &str)] = &[
    ("calico", "tigera-operator.yaml", include_str!("stand-ins/tigera-operator.yaml")),
    ("calico", "operator-crds.yaml", DEFINITIONS),
    ("metallb", "metallb-native.yaml", include_str!("stand-ins/metallb-native.yaml")),
    ("traefik", "kubernetes-crd-definition-v1.yml", include_str!("stand-ins/traefik-crds.yaml")),
];

/// The custom resource definitions of Calico's operator.
const DEFINITIONS: &str = include_str!("stand-ins/operator-crds.yaml");

/// What stands in for a file of upstream's: one of [`FILES`], else something that runs, by the project's name.
pub(crate) fn stand_in(upstream: &Upstream) -> Option<String> {
    let Upstream { project, version, file, .. } = upstream;
    if *upstream == checker_file() {
        return Some("the lab plays this program itself\n".into());
    }
    let facts = ALL.iter().find(|facts| facts.project == project)?;
    let files = facts.files(&version.trim_start_matches('v').parse().ok()?)?;
    let text = FILES.iter().find(|(of, name, _)| of == project && name == file).map(|(.., text)| (*text).to_owned());
    Some(match text {
        // Older versions have the definitions in the manifest.
        Some(text) if project == "calico" && files.len() == 1 => format!("{DEFINITIONS}---\n{text}"),
        Some(text) => text,
        None => something_that_runs(project),
    })
}

fn something_that_runs(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, \
         namespace: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    \
         spec: {{ containers: [{{ name: {name}, image: docker.io/library/{name} }}] }}\n"
    )
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
        for facts in ALL {
            for version in facts.rows.iter().map(|row| row.version).chain([facts.newest]) {
                for file in facts.files(&version.parse().expect("a version")).expect(version) {
                    let text = stand_in(&file).unwrap_or_else(|| panic!("{}", file.path()));
                    assert!(!Document::parse(&text).expect("a manifest").is_empty(), "{}", file.path());
                }
            }
        }
    }
}
