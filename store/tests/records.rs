//! One suite over every kind of store, and what is particular to each.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "records/folder.rs"]
mod folder;
#[path = "records/suite.rs"]
mod suite;
