//! One suite over every kind of store, and what is particular to each.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "records/folder.rs"]
mod folder;
#[path = "records/front.rs"]
mod front;
#[path = "records/s3.rs"]
mod s3;
#[path = "records/suite.rs"]
mod suite;
