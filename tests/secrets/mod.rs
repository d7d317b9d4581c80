//! `kthw secrets` as people use it: the real binary in a folder with keys of its own.
mod desk;
mod edit;
mod kill;
mod rules;
mod sops;
mod transcripts;
