//! The peers of a run in the lab, and the file in the workspace's store that keeps its world.
use super::Loaded;
use crate::{options::WorkspaceOptions, store::Store};
use kthw_engine::{Error, Peers, Result};
use kthw_lab::World;
use kthw_stdlib::ssh::KnownHosts;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The files of the store that belong to the lab: its world, its host keys, its kubeconfig.
pub const LAB_FILES: [&str; 3] = ["lab.json", "lab-known_hosts", "lab-kubeconfig"];

/// A lab and its peers.
pub struct LabTarget {
    world: World,
    peers: Peers,
    file: PathBuf,
    /// How much of what it does not play was told.
    told: AtomicUsize,
}

/// Opens the lab of a workspace, as the last call left it. Waits pass at once, or at `--speed` times the real time.
///
/// # Errors
/// When its file cannot be read, is another version's, or began with another seed.
pub fn open(workspace: &Loaded, store: &Store, options: &WorkspaceOptions) -> Result<LabTarget> {
    let file = store.file(LAB_FILES[0]);
    let world = World::open_seeded(&file, options.lab_seed)?;
    match options.speed {
        Some(speed) => world.at_speed(speed),
        None => kthw_lab::pass_waits_at_once(),
    }
    let known_hosts = KnownHosts::open(store.file(LAB_FILES[1])).map_err(Error::usage)?;
    // Names only: nothing is decrypted for the lab.
    let secrets = kthw_lab::stand_in_secrets(super::secrets_of(workspace)?.names());
    let peers = kthw_lab::peers(&world, &workspace.workspace, known_hosts, secrets)?;
    let told = AtomicUsize::new(world.unknown().len());
    Ok(LabTarget { world, peers, file, told })
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

    /// Where the world is kept, and its seed if one was given.
    pub fn place(&self) -> String {
        match self.world.seed() {
            0 => self.file.display().to_string(),
            seed => format!("{} (seed {seed})", self.file.display()),
        }
    }

    /// What was asked for since the last call and is not played.
    pub fn take_unplayed(&self) -> Vec<String> {
        let unknown = self.world.unknown();
        let told = self.told.swap(unknown.len(), Ordering::Relaxed).min(unknown.len());
        let mut new: Vec<String> = unknown[told..].iter().map(|what| kthw_engine::presentable(what).into_owned()).collect();
        new.sort();
        new.dedup();
        new
    }
}
