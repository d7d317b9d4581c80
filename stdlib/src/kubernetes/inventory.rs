//! What an add-on consists of, written down in its cluster: a ConfigMap with one line for each object that was applied.
//!
//! So what a later version of it no longer has is found and goes, and an add-on that is named no longer goes without any manifest at hand. It is
//! written before the objects and never lists fewer than there are, so a run that dies leaves nothing that nobody knows of.
use super::document::{BadManifest, Document};
use kthw_engine::Id;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where inventories are.
const NAMESPACE: &str = "kube-system";

/// The inventory of one add-on.
#[derive(Clone, Debug)]
pub struct Inventory {
    name: String,
}

/// What it said.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The version that was applied, as upstream spells it; empty where there is none.
    pub version: String,
    /// The objects, by their identities alone.
    pub objects: Vec<Arc<Document>>,
}

impl Inventory {
    /// That of an add-on of this cluster: `kthw.metallb.controller`, or with a name of its own, `kthw.kubernetes.upstream.cert-manager`.
    pub fn new(of: &Id, cluster: &str) -> Self {
        let own = if of.name() == cluster { String::new() } else { format!(".{}", of.name()) };
        Self { name: format!("kthw.{}{own}", of.kind().replace('_', "-")) }
    }

    /// The object that lists these `objects`.
    ///
    /// # Errors
    /// Never, for names that Kubernetes allows.
    pub fn document<'a>(&self, version: &str, objects: impl IntoIterator<Item = &'a Arc<Document>>) -> Result<Document, BadManifest> {
        let lines: Vec<String> = objects.into_iter().map(|object| line(object)).collect();
        let metadata =
            json!({ "name": self.name, "namespace": NAMESPACE, "labels": { "app.kubernetes.io/managed-by": super::FIELD_MANAGER } });
        let data = json!({ "version": version, "objects": lines.join("\n") });
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
        Document::from_values(vec![body])?.pop().ok_or_else(|| BadManifest("an inventory without a document".into()))
    }

    /// Understands the ConfigMap as the server has it; lines that somebody else wrote into it are passed over.
    pub fn read(live: &Value) -> Recorded {
        let text = |key: &str| live["data"][key].as_str().unwrap_or_default();
        Recorded { version: text("version").into(), objects: text("objects").lines().filter_map(object).map(Arc::new).collect() }
    }
}

/// `apps/v1 Deployment metallb-system/controller`, `v1 Namespace metallb-system`.
fn line(object: &Document) -> String {
    format!("{} {object}", object.api_version)
}

fn object(line: &str) -> Option<Document> {
    let [api_version, kind, name] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let metadata = match name.split_once('/') {
        Some((namespace, name)) => json!({ "name": name, "namespace": namespace }),
        None => json!({ "name": name }),
    };
    Document::from_values(vec![json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata })]).ok()?.pop()
}

/// Whether both are the same object, in whatever version of the API.
pub fn is_same(one: &Document, other: &Document) -> bool {
    let group = |document: &Document| document.api_version.rsplit_once('/').map(|(group, _)| group.to_owned());
    one.kind == other.kind && one.name == other.name && one.namespace == other.namespace && group(one) == group(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Vec<Arc<Document>> {
        Document::parse(yaml).expect("parsed").into_iter().map(Arc::new).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let objects = parse(
            "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: a}, spec: {}}",
        );
        let written = Inventory::new(&Id::new("x.y_z", "u"), "u").document("v1.0.0", &objects).expect("an object");
        assert_eq!(written.to_string(), "ConfigMap kube-system/kthw.x.y-z");
        let other = Inventory::new(&Id::new("x.y", "other"), "u").document("", []).expect("an object");
        assert_eq!(other.to_string(), "ConfigMap kube-system/kthw.x.y.other");
        assert_eq!(written.body["data"]["objects"], "v1 Namespace a\napps/v1 Deployment a/b");
        let read = Inventory::read(&written.body);
        assert!(read.objects.len() == 2 && read.objects.iter().zip(&objects).all(|(read, object)| is_same(read, object)), "{read:?}");
        assert_eq!(read.version, "v1.0.0");
    }

    #[test]
    fn what_others_wrote_is_passed_over() {
        let live = json!({ "data": { "objects": "v1 Namespace\n\nx y z w\nv1 Namespace a" } });
        assert_eq!(Inventory::read(&live).objects.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Namespace a"]);
        assert!(Inventory::read(&json!({})).objects.is_empty());
    }

    #[test]
    fn a_newer_version_of_the_api_is_no_other_object() {
        let of = |api: &str, kind: &str| parse(&format!("{{apiVersion: {api}, kind: {kind}, metadata: {{name: a}}}}")).remove(0);
        assert!(is_same(&of("policy/v1beta1", "A"), &of("policy/v1", "A")) && is_same(&of("v1", "A"), &of("v1", "A")));
        assert!(!is_same(&of("v1", "A"), &of("apps/v1", "A")) && !is_same(&of("v1", "A"), &of("v1", "B")));
    }
}
