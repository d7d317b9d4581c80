//! The index of a bundle: what is in it, and for which workspace.
use super::registry::Descriptor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the index in the file.
pub const INDEX: &str = "kthw-bundle.json";

/// The version of the format that this kthw writes and reads.
pub const FORMAT: u32 = 2;

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
    /// Parts of package repositories, in the order of their names.
    pub repositories: Vec<RepositoryRow>,
    /// Packages that none of them has, perhaps with versions: nodes take these from their own sources.
    pub own_packages: Vec<String>,
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

/// A part of a package repository, at `packages/<name>/`: what its publisher signs, its keys in `keys/`, and some of its packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryRow {
    /// `kubernetes`, `containerd`, `distribution-1`: as it is called on nodes.
    pub name: String,
    /// Its suite, if it is not flat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The suite's components.
    pub components: Vec<String>,
    /// The SHA-256 of each key that the workspace pins for it.
    pub keys: Vec<String>,
    /// When its index ends, in the publisher's words; nodes take nothing from it after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Everything in it, in the order of the paths.
    pub files: Vec<PackageFile>,
}

/// A file of a package repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Its path in the repository.
    pub path: String,
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// The package that it is, with its version; none for an index or a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

impl PackageFile {
    /// A file that is no package.
    pub(super) fn plain(path: String, sha256: &str, size: u64) -> Self {
        Self { path, sha256: sha256.to_owned(), size, package: None }
    }
}

impl RepositoryRow {
    /// The packages in it, with their versions.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| file.package.as_deref())
    }
}

impl Index {
    /// Where each file is in the bundle that is no blob of an image, with its digest and size.
    pub(super) fn places(&self) -> Vec<(String, &str, u64)> {
        let files = self.files.iter().map(|row| (file_place(&row.path), row.sha256.as_str(), row.size));
        let of = |row: &'_ RepositoryRow, file: &PackageFile| package_place(&row.name, &file.path);
        let packages =
            self.repositories.iter().flat_map(|row| row.files.iter().map(move |file| (of(row, file), file.sha256.as_str(), file.size)));
        files.chain(packages).collect()
    }

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

/// Where a file of a package repository is in the bundle, and below which path it is served.
pub(super) fn package_place(repository: &str, path: &str) -> String {
    format!("packages/{repository}/{path}")
}

/// Where a blob is, as in every OCI image layout (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>).
pub(super) fn blob_place(digits: &str) -> String {
    format!("blobs/sha256/{digits}")
}
