//! The folder where kthw keeps what it remembers of a workspace: known hosts, cache, the lab's world. The one secret that may be
//! in it is the kubeconfig that `kthw kubeconfig` was asked to fetch; the folder is its owner's alone.
use etcetera::BaseStrategy;
use kthw_engine::{Error, Result};
use kthw_store::{FolderRecords, Records};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

mod safe;

/// One workspace's folder, `0700`.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    lab: bool,
}

impl Store {
    /// The store of `workspace` below `root`, or below the user's state folder (`~/.local/state/kthw`).
    ///
    /// # Errors
    /// When the folder cannot be made, or somebody else could have written what is in it.
    pub fn open(root: Option<&Path>, workspace: &str, lab: bool) -> Result<Self> {
        let root = match root {
            Some(root) => root.to_owned(),
            None => etcetera::choose_base_strategy()
                .map_err(|error| Error::usage(NoHome { why: error.to_string() }))
                .map(|dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_dir()).join("kthw"))?,
        };
        let folder = root.join(workspace);
        // A link in its place, dangling or not, is there: nothing is made behind it.
        if folder.symlink_metadata().is_err() {
            make_private(&folder).map_err(|source| Error::usage(MakeStore { folder: folder.clone(), source }))?;
        }
        safe::check(&root, &folder)?;
        Ok(Self { folder, lab })
    }

    /// The journal and the lock of the workspace. Those of the lab are not those of the real world.
    ///
    /// # Errors
    /// Never for a folder.
    pub fn records(&self) -> Result<Arc<dyn Records>> {
        Ok(if self.lab { Arc::new(FolderRecords::unsynced(self.folder.join("lab"))) } else { Arc::new(FolderRecords::new(&self.folder)) })
    }

    /// The path of a file in the store.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot tell where your home folder is: {why}")]
#[diagnostic(code(kthw::store::home), help("set HOME, or name a folder with `--store`"))]
struct NoHome {
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot make the folder {}", folder.display())]
#[diagnostic(code(kthw::store::make), help("name a folder that you may write with `--store` or KTHW_STORE"))]
struct MakeStore {
    folder: PathBuf,
    source: std::io::Error,
}
