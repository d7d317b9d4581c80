//! Reads kubeadm's configuration files: several YAML documents, told apart by their kind.
use super::numbers;
use serde_json::Value;

/// The documents of one file.
#[derive(Debug, Default)]
pub(super) struct Documents(Vec<Value>);

impl Documents {
    /// Parses a file for kubeadm of version `kubeadm`.
    ///
    /// # Errors
    /// When it is no YAML, or an API version that this kubeadm does not read, in kubeadm's words.
    pub fn parse(text: &str, kubeadm: &str) -> Result<Self, String> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| format!("error unmarshaling configuration: {error}"))?;
        for document in &documents {
            let version = document["apiVersion"].as_str().unwrap_or_default();
            let Some(schema) = version.strip_prefix("kubeadm.k8s.io/") else { continue };
            let (_, minor, _) = numbers(kubeadm);
            // v1beta3 was last read by 1.36, v1beta4 came with 1.31.
            let reads = match schema {
                "v1beta3" => minor <= 36,
                "v1beta4" => minor >= 31,
                _ => false,
            };
            if !reads {
                return Err(format!(
                    "your configuration file uses an API spec that this kubeadm (v{kubeadm}) does not read: \"{version}\" (kind: \"{}\")",
                    document["kind"].as_str().unwrap_or_default()
                ));
            }
        }
        Ok(Self(documents))
    }

    /// A value in the document of this kind; `Null` when it is not there.
    pub fn get(&self, kind: &str, pointer: &str) -> &Value {
        let document = self.0.iter().find(|document| document["kind"] == kind);
        document.and_then(|document| document.pointer(pointer)).unwrap_or(&Value::Null)
    }

    /// A text in the document of this kind; empty when it is not there.
    pub fn text(&self, kind: &str, pointer: &str) -> String {
        self.get(kind, pointer).as_str().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration: {name: cu1}\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.9\n";

    #[test]
    fn documents_are_told_apart_by_kind() {
        let documents = Documents::parse(TEXT, "1.31.9").unwrap();
        assert_eq!(documents.text("InitConfiguration", "/nodeRegistration/name"), "cu1");
        assert_eq!(documents.text("ClusterConfiguration", "/kubernetesVersion"), "v1.31.9");
        assert_eq!(documents.text("KubeletConfiguration", "/cgroupDriver"), "");
    }

    #[test]
    fn an_api_version_that_kubeadm_does_not_read_is_refused() {
        for (schema, kubeadm, reads) in [
            ("v1beta4", "1.30.1", false),
            ("v1beta4", "1.37.2", true),
            ("v1beta3", "1.30.1", true),
            ("v1beta3", "1.36.3", true),
            ("v1beta3", "1.37.2", false),
            ("v1beta1", "1.30.1", false),
        ] {
            assert_eq!(Documents::parse(&TEXT.replace("v1beta4", schema), kubeadm).is_ok(), reads, "{schema} {kubeadm}");
        }
    }
}
