//! Kubernetes objects as a recipe declares them: parsed from YAML or script maps, with identity, digest and place in the order.
use miette::Diagnostic;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// One declared object.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Deployment`, …
    pub kind: String,
    /// The namespace, if it names one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole object.
    pub body: Value,
}

/// When an object is applied: what others are made of comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Custom resource definitions.
    Definition,
    /// Namespaces.
    Namespace,
    /// Everything else.
    Other,
}

impl Document {
    /// Reads all objects of a YAML text. Empty documents are skipped, and `List`s are taken apart.
    ///
    /// # Errors
    /// Text that is not YAML, or a document that is not a named object.
    pub fn parse(yaml: &str) -> Result<Vec<Self>, BadManifest> {
        // Manifests are YAML 1.1 to Kubernetes, but `yes` as a boolean there is only ever an accident.
        let options = serde_saphyr::options! {
            strict_booleans: true,
            budget: serde_saphyr::budget! { max_depth: 256, max_nodes: 2_000_000, max_events: 4_000_000 },
        };
        let values: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
            .map_err(|error| BadManifest(format!("the manifest is not valid YAML: {error}")))?;
        Self::from_values(values)
    }

    /// Takes objects that are already values.
    ///
    /// # Errors
    /// A value that is not a named object.
    pub fn from_values(values: Vec<Value>) -> Result<Vec<Self>, BadManifest> {
        let mut documents = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match value {
                Value::Null => {}
                Value::Object(mut map) if is_list(&map) => {
                    if let Some(Value::Array(items)) = map.remove("items") {
                        documents.extend(Self::from_values(items)?);
                    }
                }
                Value::Object(map) => {
                    documents.push(Self::new(map).map_err(|what| BadManifest(format!("document {}: {what}", index + 1)))?)
                }
                _ => return Err(BadManifest(format!("document {} is not a map", index + 1))),
            }
        }
        Ok(documents)
    }

    fn new(mut body: Map<String, Value>) -> Result<Self, String> {
        // What the server keeps is not ours to declare, and `managedFields` would be refused.
        body.remove("status");
        if let Some(Value::Object(metadata)) = body.get_mut("metadata") {
            for kept_by_server in ["managedFields", "creationTimestamp", "resourceVersion", "uid", "generation", "selfLink"] {
                metadata.remove(kept_by_server);
            }
        }
        let text = |value: Option<&Value>, what: &str| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| format!("it has no `{what}`"))
        };
        let metadata = body.get("metadata").unwrap_or(&Value::Null);
        if body.contains_key("$secret") || body.values().any(has_secret_reference) {
            return Err("a secret reference inside a manifest is not resolved yet".into());
        }
        Ok(Self {
            api_version: text(body.get("apiVersion"), "apiVersion")?,
            kind: text(body.get("kind"), "kind")?,
            namespace: metadata.get("namespace").and_then(Value::as_str).map(str::to_owned),
            name: text(metadata.get("name"), "metadata.name")?,
            body: Value::Object(body),
        })
    }

    /// The same without the certificates of webhooks: upstream's manifests hold stand-ins, in whose place the add-on writes its own.
    #[must_use]
    pub fn without_injected_authorities(mut self) -> Self {
        let conversion = self.body.pointer_mut("/spec/conversion/webhook/clientConfig").into_iter();
        let mut configurations: Vec<&mut Value> = conversion.collect();
        if configurations.is_empty() {
            let webhooks = self.body.get_mut("webhooks").and_then(Value::as_array_mut);
            configurations = webhooks.into_iter().flatten().filter_map(|webhook| webhook.get_mut("clientConfig")).collect();
        }
        for configuration in configurations.into_iter().filter_map(Value::as_object_mut) {
            configuration.remove("caBundle");
        }
        self
    }

    /// When it is applied.
    pub fn tier(&self) -> Tier {
        match self.kind.as_str() {
            "CustomResourceDefinition" => Tier::Definition,
            "Namespace" if self.api_version == "v1" => Tier::Namespace,
            _ => Tier::Other,
        }
    }

    /// Whether its values must not be shown.
    pub fn is_secret(&self) -> bool {
        self.kind == "Secret" && self.api_version == "v1"
    }

    /// Lower-case hex SHA-256 of what is declared, whatever the order of its keys.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        canonical(&self.body, &mut hasher);
        hex::encode(hasher.finalize())
    }
}

/// `Deployment tigera-operator/tigera-operator`.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// A `List`, or a `ConfigMapList` as `kubectl get -o yaml` once wrote it.
fn is_list(map: &Map<String, Value>) -> bool {
    map.get("items").is_some_and(Value::is_array) && map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
}

fn has_secret_reference(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("$secret") || map.values().any(has_secret_reference),
        Value::Array(items) => items.iter().any(has_secret_reference),
        _ => false,
    }
}

fn canonical(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            hasher.update(b"{");
            for (key, value) in entries {
                hasher.update(Value::from(key.as_str()).to_string());
                canonical(value, hasher);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                canonical(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string()),
    }
}

/// A manifest that cannot be understood.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{0}")]
#[diagnostic(
    code(kthw::kubernetes::manifest),
    help("each document needs `apiVersion`, `kind` and `metadata.name`; see `kthw help kubernetes::manifest`")
)]
pub struct BadManifest(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_skipping_empty_ones() {
        let yaml = "---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: null}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b, namespace: a}\nspec: {paused: yes}\nstatus: {}\n";
        let documents = Document::parse(yaml).expect("parsed");
        assert_eq!(documents.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Namespace a", "Deployment a/b"]);
        assert_eq!(documents[0].body, serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}));
        assert_eq!(documents[1].body["spec"]["paused"], "yes");
        assert!(documents[0].tier() < documents[1].tier());
    }

    #[test]
    fn a_list_is_taken_apart() {
        let yaml = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";
        assert_eq!(Document::parse(yaml).expect("parsed")[0].to_string(), "ConfigMap a");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Document::parse("apiVersion: v1\nkind: ConfigMap\n").expect_err("refused");
        assert_eq!(error.to_string(), "document 1: it has no `metadata.name`");
        let error = Document::parse("apiVersion: v1\nkind: [").expect_err("refused");
        assert!(error.to_string().starts_with("the manifest is not valid YAML: "), "{error}");
    }

    #[test]
    fn an_authority_that_the_add_on_writes_itself_is_not_declared() {
        for yaml in [
            "{apiVersion: v1, kind: A, metadata: {name: x}, spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {caBundle: eA==, service: {name: s}}}}}}",
            "{apiVersion: v1, kind: A, metadata: {name: x}, webhooks: [{name: w, clientConfig: {service: {name: s}}}, {name: v, clientConfig: {caBundle: eA==, service: {name: s}}}]}",
        ] {
            let document = Document::parse(yaml).expect("parsed").remove(0).without_injected_authorities();
            let text = document.body.to_string();
            assert!(!text.contains("caBundle") && text.contains(r#"{"service":{"name":"s"}}"#), "{text}");
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_keys() {
        let one = Document::parse("{apiVersion: v1, kind: A, metadata: {name: x}, data: {a: 1, b: [2]}}").expect("parsed");
        let two = Document::parse("{kind: A, data: {b: [2], a: 1}, metadata: {name: x}, apiVersion: v1}").expect("parsed");
        let other = Document::parse("{kind: A, data: {b: [3], a: 1}, metadata: {name: x}, apiVersion: v1}").expect("parsed");
        assert_eq!(one[0].digest(), two[0].digest());
        assert_ne!(one[0].digest(), other[0].digest());
    }
}
