//! Where kthw keeps what it remembers of a workspace. A folder of this machine holds known hosts, the cache, the lab's world; the one secret
//! that may be in it is the kubeconfig that `kthw kubeconfig` was asked to fetch, and the folder is its owner's alone. Records, such as who
//! is at work, are in it too, or in S3, where a team shares them.
use etcetera::BaseStrategy;
use kthw_engine::{Error, Result};
use kthw_store::{FolderRecords, Limits, Records, S3Address, S3Records, make_folder};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

mod safe;

/// Where in the folder the lab's records are, apart from those of real machines.
const LAB: &str = "lab";

/// What is remembered of one workspace.
#[derive(Clone, Debug)]
pub struct Store {
    /// `0700`.
    folder: PathBuf,
    /// The records' place, when they are shared.
    shared: Option<S3Address>,
    lab: bool,
}

impl Store {
    /// The store of `workspace` below `root`: a folder, or `s3://bucket/prefix` for its records and the user's state folder
    /// (`~/.local/state/kthw`) for the rest; that folder also without a root. The `lab` shares nothing.
    ///
    /// # Errors
    /// When the address of S3 is none, the folder cannot be made, or somebody else could have written what is in it.
    pub fn open(root: Option<&Path>, workspace: &str, lab: bool) -> Result<Self> {
        let shared = root.and_then(Path::to_str).filter(|text| S3Address::is_meant_by(text));
        let shared = shared.map(|text| text.parse().map_err(Error::usage).and_then(|address: S3Address| address.below(workspace)));
        let shared = shared.transpose()?;
        let root = match root {
            Some(root) if shared.is_none() => root.to_owned(),
            _ => state_folder()?,
        };
        let folder = root.join(workspace);
        // A link in its place, dangling or not, is there: nothing is made behind it.
        if folder.symlink_metadata().is_err() {
            make_folder(&folder).map_err(|source| Error::usage(MakeStore { folder: folder.clone(), source }))?;
        }
        safe::check(&root, &folder)?;
        Ok(Self { folder, shared, lab })
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The records. Those in the folder are beside its other files, so ask for lists with a prefix.
    ///
    /// # Errors
    /// When the settings for S3 are missing or wrong; nobody is asked yet.
    pub fn records(&self) -> Result<Arc<dyn Records>> {
        Ok(match &self.shared {
            _ if self.lab => Arc::new(FolderRecords::unsynced(self.file(LAB))),
            Some(address) => Arc::new(S3Records::open(address.clone(), &|name| std::env::var(name).ok(), Limits::default())?),
            None => Arc::new(FolderRecords::new(&self.folder)),
        })
    }
}

fn state_folder() -> Result<PathBuf> {
    let dirs = etcetera::choose_base_strategy().map_err(|error| Error::usage(NoHome { why: error.to_string() }))?;
    Ok(dirs.state_dir().unwrap_or_else(|| dirs.data_dir()).join("kthw"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Path, lab: bool) -> String {
        Store::open(Some(root), "ubuntu", lab).and_then(|store| store.records()).expect("a store").place()
    }

    #[test]
    fn records_are_in_the_folder_and_those_of_the_lab_below() {
        let root = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(place(root.path(), false), root.path().join("ubuntu").display().to_string());
        assert_eq!(place(root.path(), true), root.path().join("ubuntu/lab").display().to_string());
    }
}
