//! The peers of a run in the lab, and the file in the workspace's store that keeps its world.
use super::Loaded;
use crate::store::Store;
use kthw_engine::{Error, Peers, Result};
use kthw_lab::World;
use kthw_stdlib::ssh::KnownHosts;
use std::path::PathBuf;

/// The files of the store that belong to the lab: its world, its host keys, its kubeconfig.
pub const LAB_FILES: [&str; 3] = ["lab.json", "lab-known_hosts", "lab-kubeconfig"];

/// A lab and its peers.
pub struct LabTarget {
    world: World,
    peers: Peers,
    file: PathBuf,
}

/// Opens the lab of a workspace, as the last call left it. Waits pass at once, or at `speed` times the real time.
///
/// # Errors
/// When its file cannot be read or is another version's.
pub fn open(workspace: &Loaded, store: &Store, speed: Option<u32>) -> Result<LabTarget> {
    let file = store.file(LAB_FILES[0]);
    let world = World::open(&file)?;
    match speed {
        Some(speed) => world.at_speed(speed),
        None => kthw_lab::pass_waits_at_once(),
    }
    let known_hosts = KnownHosts::open(store.file(LAB_FILES[1])).map_err(Error::usage)?;
    // Names only: nothing is decrypted for the lab.
    let secrets = kthw_lab::stand_in_secrets(super::secrets_of(workspace)?.names());
    let peers = kthw_lab::peers(&world, &workspace.workspace, known_hosts, secrets)?;
    Ok(LabTarget { world, peers, file })
}

impl LabTarget {
    /// The simulated peers.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Keeps the world for the next call.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn save(&self) -> Result<()> {
        self.world.save(&self.file)
    }

    /// Where the world is kept.
    pub fn place(&self) -> String {
        self.file.display().to_string()
    }
}
