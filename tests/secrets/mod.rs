//! `kthw secrets` as people use it: the real binary in a folder with keys of its own.
mod changing;
mod circle;
pub mod desk;
mod edit;
mod guide;
mod import;
mod kill;
mod reading;
mod recipients;
mod rules;
mod sops;
