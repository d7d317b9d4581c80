//! Bundles: one file with what a cluster is made of, for sites without a way to the internet.
//!
//! The file is a plain tar. First comes [`INDEX`], which says what is in it; then an OCI image layout (`oci-layout`, `index.json`, `blobs/`), so that
//! tools for container images can read the same file; upstream's files are below `artifacts/`, and parts of package repositories below `packages/`, as
//! their publishers sign them. Nothing in it depends on when, where or by whom it was made: the same inputs make the same bytes.

mod apt;
mod cache;
mod gather;
mod images;
mod index;
mod pack;
mod packages;
mod read;
mod registry;
mod reply;
#[cfg(test)]
mod reply_tests;
mod serve;

pub use apt::Wanted;
pub use cache::Cache;
pub use gather::gather;
pub use images::ImageName;
pub use index::{FORMAT, FileRow, INDEX, ImageRow, Index, PackageFile, RepositoryRow};
pub use pack::{Packed, pack};
pub use packages::{has_packages, wanted_packages};
pub use read::Bundle;
pub use registry::{Descriptor, Platform, Registries};
pub use serve::serve;
