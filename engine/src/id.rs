//! The identity of a resource: what other resources, plans and reports call it.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one resource in a plan: its kind (`proxmox.vm`) and its own name (`cu1`).
///
/// Shown as `proxmox.vm/cu1`. A resource on a node puts the node first: `ssh.file/cu1/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    kind: String,
    name: String,
}

impl Id {
    /// An identity of `kind` (`module.function`) called `name`.
    pub fn new(kind: impl Into<String>, name: impl fmt::Display) -> Self {
        Self { kind: kind.into(), name: name.to_string().trim_start_matches('/').to_owned() }
    }

    /// The kind, such as `proxmox.vm`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name within its kind, such as `cu1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads `kind/name` back.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        (!kind.is_empty() && !name.is_empty()).then(|| Self::new(kind, name))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an identity such as `proxmox.vm/cu1`")))
    }
}
