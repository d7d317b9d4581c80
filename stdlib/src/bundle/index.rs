//! The index of a bundle: what is in it, and for which workspace.
use super::registry::Descriptor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the index in the file.
pub const INDEX: &str = "kthw-bundle.json";

/// The version of the format that this kthw writes and reads.
pub const FORMAT: u32 = 1;

/// What a bundle holds. No date and no name of a machine is in it: the same inputs make the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// The workspace that it was made for.
    pub workspace: String,
    /// The Kubernetes version of that workspace.
    pub kubernetes: String,
    /// Its Calico version.
    pub calico: String,
    /// Upstream's files, in the order of their paths.
    pub files: Vec<FileRow>,
    /// Container images for `linux/amd64`, in the order of their names.
    pub images: Vec<ImageRow>,
}

/// One of upstream's files, at `artifacts/<path>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRow {
    /// `<project>/<version>/<file>`.
    pub path: String,
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// Where it came from.
    pub url: String,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRow {
    /// `registry.k8s.io/pause:3.10.2`.
    pub name: String,
    /// Its manifests: what that name meant when the bundle was made, and, where that is a list, the one for `linux/amd64`.
    pub manifests: Vec<Descriptor>,
    /// Its configuration and layers.
    pub blobs: Vec<Descriptor>,
}

impl Index {
    /// The digits and sizes of all blobs of all images, each once and in order.
    pub fn blobs(&self) -> BTreeMap<&str, u64> {
        let all = self.images.iter().flat_map(|image| image.manifests.iter().chain(&image.blobs));
        all.map(|blob| (blob.digits(), blob.size)).collect()
    }
}

/// Where a file of upstream's is in the bundle.
pub(super) fn file_place(path: &str) -> String {
    format!("artifacts/{path}")
}

/// Where a blob is, as in every OCI image layout (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>).
pub(super) fn blob_place(digits: &str) -> String {
    format!("blobs/sha256/{digits}")
}
