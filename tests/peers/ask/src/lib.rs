//! Asks for the real programs that tests run against: where each one is, or that the test is skipped, why, and how to get it.
//!
//! ```no_run
//! use kthw_peers::{AGE, SOPS, ask};
//!
//! fn a_file_that_both_open() {
//!     let Some([sops, age]) = ask([&SOPS, &AGE]) else { return };
//!     assert!(sops.exists() && age.exists());
//! }
//! ```
//!
//! What is missing is said in one line, `SKIPPED test: reason, how to get it`, on the error output, where no test runner hides it, and in
//! the file that `KTHW_SKIPPED` names. With `KTHW_REQUIRE_PEERS` set, the test fails instead. No test looks for a program by itself
//! (tests/tidy/asking.rs).
mod api;
mod mirror;
mod moto;
mod place;
mod skip;
mod sshd;
mod table;
mod turn;
mod vault;

pub use api::ApiServer;
pub use mirror::mirror;
pub use moto::MotoServer;
pub use sshd::{make_key, start_sshd, start_sshd_with_etc};
pub use table::*;
pub use turn::Turn;
pub use vault::VaultServer;

use std::{ffi::OsString, path::PathBuf};

/// Where the peers are, in the order in which they are asked for; `None` once it has been said that the test is skipped.
#[track_caller]
pub fn ask<const N: usize>(peers: [&Peer; N]) -> Option<[PathBuf; N]> {
    let found = peers.map(|peer| place::find(peer, environment));
    let missing: Vec<_> = found.iter().filter_map(|found| found.as_ref().err().cloned()).collect();
    if missing.is_empty() {
        return Some(found.map(|found| found.expect("nothing is missing")));
    }
    skip::skip(&missing);
    None
}

/// Where a peer is, if it is there: for what a test can do without. Nothing is said.
pub fn find(peer: &Peer) -> Option<PathBuf> {
    place::find(peer, environment).ok()
}

/// The folder in which `tests/peers/install` leaves what it makes.
pub fn cache() -> PathBuf {
    place::cache(environment)
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
