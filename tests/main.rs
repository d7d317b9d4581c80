//! The project's tests that use the real binary: one test program, one module per level (docs/TESTING.md).
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod artifacts;
mod bad_recipes;
mod bundle;
mod canary;
mod clusters;
mod guide;
mod import;
mod kills;
mod lab;
mod lab_worlds;
mod operating;
mod peers;
mod peers_support;
mod saved_plan;
mod secrets;
mod ssh;
mod store;
mod support;
mod tidy;
mod versions;
mod workspace_schema;
