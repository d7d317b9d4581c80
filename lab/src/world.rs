//! The lab's front door: opens, keeps and resets a world, and hands out its peers.
use crate::{
    agenda::Agenda,
    clock::LabClock,
    fault::Fault,
    kubernetes::LabKubernetes,
    node::LabNodes,
    observer::Observer,
    pihole::LabPiHole,
    proxmox::LabHttp,
    random::LabRandom,
    reach::LabReach,
    state::{FORMAT, State},
};
use kthw_engine::{Error, Result};
use kthw_stdlib::workspace::Workspace;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A simulated world. Clones are the same world.
#[derive(Clone, Debug, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
    /// The state's time, for those who ask while the state is being worked on.
    now_ms: Arc<AtomicU64>,
}

impl World {
    /// Loads the world kept in the file at `path`, or begins an empty one when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read or was written by another version of the lab; `kthw lab reset` starts over.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_seeded(path, None)
    }

    /// As [`open`](Self::open); an empty world begins with `seed`, if there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the world that is kept began with another seed.
    pub fn open_seeded(path: &Path, seed: Option<u64>) -> Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::of_seed(seed.unwrap_or_default())),
            Err(source) => return Err(Error::usage(KeepWorld { deed: "read", path: path.into(), source })),
        };
        let mut state: State = crate::node::sharing(|| serde_json::from_slice(&text))
            .map_err(|source| Error::usage(ReadWorld { path: path.into(), source }))?;
        if state.format != FORMAT {
            return Err(Error::usage(OtherFormat { path: path.into(), format: state.format }));
        }
        if let Some(asked) = seed.filter(|asked| *asked != state.seed) {
            return Err(Error::usage(OtherSeed { path: path.into(), seed: state.seed, asked }));
        }
        state.agenda = Agenda::of(&state);
        Ok(Self::of_state(state))
    }

    pub(crate) fn of_state(state: State) -> Self {
        let now_ms = Arc::new(AtomicU64::new(state.now_ms));
        Self { state: Arc::new(Mutex::new(state)), now_ms }
    }

    /// Keeps the world in the file at `path`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let keep = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let beside = path.with_extension("new");
            // A large world is written piece by piece: its text need not fit into memory.
            let mut file = std::io::BufWriter::new(std::fs::File::create(&beside)?);
            serde_json::to_writer(&mut file, &*self.lock())?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&beside, path)
        };
        keep().map_err(|source| Error::usage(KeepWorld { deed: "write", path: path.into(), source }))
    }

    /// Forgets the world kept in the file at `path`.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn reset(path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| Error::usage(KeepWorld { deed: "remove", path: path.into(), source })),
        }
    }

    /// An empty world in which everything made up comes from `seed`.
    pub fn of_seed(seed: u64) -> Self {
        let world = Self::default();
        world.lock().seed = seed;
        world
    }

    /// The seed that everything made up comes from.
    pub fn seed(&self) -> u64 {
        self.lock().seed
    }

    /// The Proxmox VE API at [`ENDPOINT`](crate::ENDPOINT), and nothing else. It has the nodes, storages, bridge and pool that
    /// `workspace` names.
    pub fn http(&self, workspace: &Workspace) -> LabHttp {
        self.lock().pve.provide(workspace);
        LabHttp { world: self.clone(), by: workspace.name.as_str().into() }
    }

    /// The Proxmox VE API as a fresh lab has it: node `homelab`, storages `local` and `local-lvm`, bridge `vmbr0`.
    pub fn http_anywhere(&self) -> LabHttp {
        LabHttp { world: self.clone(), by: "".into() }
    }

    /// The Pi-hole at this URL, and nothing else.
    pub fn pihole(&self, url: &str) -> LabPiHole {
        LabPiHole { world: self.clone(), url: url.into() }
    }

    /// The machines of `workspace`, by name. Where the workspace makes no machines, they have always been there.
    pub fn nodes(&self, workspace: &Workspace) -> LabNodes {
        LabNodes::new(self.clone(), workspace)
    }

    /// The Kubernetes API of the cluster that runs on the machines of `workspace`.
    pub fn kubernetes(&self, workspace: &Workspace) -> LabKubernetes {
        LabKubernetes::new(self.clone(), workspace)
    }

    /// The network as the machines of `workspace` see it.
    pub fn reach(&self, workspace: &Workspace) -> LabReach {
        LabReach::new(self.clone(), workspace)
    }

    /// The clock of this world.
    pub fn clock(&self) -> LabClock {
        LabClock(self.clone())
    }

    /// Lets waits take this part of the time that they take in the lab: 10 for a tenth.
    pub fn at_speed(&self, speed: u32) {
        self.lock().speed = speed;
    }

    /// Random numbers that come from the seed of this world.
    pub fn random(&self) -> LabRandom {
        LabRandom(self.clone())
    }

    /// Lets somebody watch.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.lock().observers.add(observer);
    }

    /// A world that is as this one is now, and goes its own way. Nobody watches it yet.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::of_state(self.lock().fork())
    }

    /// What is in the world, in lines for a person.
    pub fn show(&self) -> String {
        crate::show::show(&self.lock())
    }

    /// How many requests and commands that may change something have come since the world began.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Programs and requests that the lab was asked for and does not play.
    pub fn unknown(&self) -> Vec<String> {
        self.lock().unknown.clone()
    }

    /// Every request and command since the world was opened, one line each; no bodies, no secrets.
    pub fn journal(&self) -> Vec<String> {
        self.lock().journal.lines().cloned().collect()
    }

    /// Lets a fault happen.
    pub fn add_fault(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Puts a VM there that belongs to somebody else.
    pub fn add_foreign_vm(&self, vmid: u32, name: &str) {
        self.lock().pve.add_foreign_vm(vmid, name);
    }

    /// Destroys a VM and its machine behind everybody's back.
    pub fn destroy_vm(&self, vmid: u32) {
        let mut state = self.lock();
        state.pve.vms.remove(&vmid);
        state.machines.remove(&crate::node::vm_key(vmid));
    }

    /// Halts a VM as somebody at the console would (`paused`, `hibernated`), or a full storage (`io-error`).
    pub fn halt_vm(&self, vmid: u32, why: &str) {
        crate::proxmox::halt(&mut self.lock(), vmid, why);
    }

    /// Restarts a VM behind everybody's back: what waited for that takes effect.
    ///
    /// # Errors
    /// A VM that is not there or cannot start, in Proxmox VE's words.
    pub fn restart_vm(&self, vmid: u32) -> std::result::Result<(), String> {
        crate::proxmox::restart(&mut self.lock(), vmid)
    }

    /// Changes the state by hand, as somebody at the console would; for tests.
    pub fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    /// The state, with everything done that is due.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        self.now_ms.store(state.now_ms, Ordering::Relaxed);
        state
    }

    /// Virtual milliseconds since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock, never back, and lets happen what is due then.
    pub(crate) fn pass_to(&self, now_ms: u64) {
        let mut state = self.lock();
        state.now_ms = state.now_ms.max(now_ms);
        drop(state);
        // What is due now happens.
        drop(self.lock());
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot {deed} the lab's world at {path}")]
#[diagnostic(code(kthw::lab::keep_world), help("check the permissions and the free space of the workspace's store"))]
struct KeepWorld {
    deed: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab's world at {path} cannot be understood")]
#[diagnostic(code(kthw::lab::read_world), help("start over with `kthw lab reset`"))]
struct ReadWorld {
    path: PathBuf,
    source: serde_json::Error,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab's world at {path} has format {format}, this version of kthw reads {FORMAT}")]
#[diagnostic(code(kthw::lab::other_format), help("start over with `kthw lab reset`"))]
struct OtherFormat {
    path: PathBuf,
    format: u32,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab's world at {path} began with seed {seed}, not {asked}")]
#[diagnostic(code(kthw::lab::other_seed), help("leave `--lab-seed` out to go on with it, or start over with `kthw lab reset`"))]
struct OtherSeed {
    path: PathBuf,
    seed: u64,
    asked: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_kept_and_reset() {
        let folder = std::env::temp_dir().join(format!("kthw-lab-{}", std::process::id()));
        let path = folder.join("store/lab.json");
        let world = World::open(&path).unwrap();
        world.add_foreign_vm(100, "theirs");
        world.save(&path).unwrap();
        assert!(World::open(&path).unwrap().lock().pve.vms.contains_key(&100));
        World::reset(&path).unwrap();
        World::reset(&path).unwrap();
        assert!(World::open(&path).unwrap().lock().pve.vms.is_empty());
        std::fs::write(&path, r#"{"format":1}"#).unwrap();
        assert!(World::open(&path).unwrap_err().to_string().contains("cannot be understood"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
