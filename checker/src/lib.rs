//! The active health check of a load balancer: what it is configured by, what it decides, and what it says of its state.
//!
//! `main.rs` is the service. kthw itself uses [`config`] to write its configuration and [`status`] to read its state
//! (docs/adr/0016-an-active-check-beside-nginx.md).

pub mod config;
pub mod health;
pub mod nginx;
pub mod status;
pub mod upstream;
pub mod url;

mod ask;
mod log;
mod replace;
mod service;
mod systemd;

pub use log::{Level, log};
pub use service::{Failed, NotUsed, prepare, run, verify};
