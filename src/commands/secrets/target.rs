//! Which file a verb works on, and the file read, opened and written again.
use crate::session;
use clap::Args;
use kthw_engine::{Error, Result, nearest};
use kthw_sops::{DataKey, File, Format, Given, KeyServices, Metadata, Mode, Opened, SopsError, creation_metadata};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The name of a workspace's secrets.
const NAME: &str = "secrets.sops.yaml";
/// A larger file is not read.
const MAX_BYTES: u64 = 256 << 20;

/// The workspace and the format, for all verbs.
#[derive(Debug, Clone, Default, Args)]
pub struct Location {
    /// Use the `secrets.sops.yaml` of this workspace: a name below `workspaces/`, or a folder, or a file
    #[arg(short, long, value_name = "NAME|PATH")]
    workspace: Option<String>,
    /// Format of the file: yaml, json, dotenv, ini or binary; its name decides when absent
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<Format>,
}

/// Where the creation rules come from.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Creation rules; the nearest `.sops.yaml` above the file when absent
    #[arg(long, env = "SOPS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The file that a verb works on; it may be missing still.
#[derive(Debug)]
pub struct TargetFile {
    pub path: PathBuf,
    /// As people know it.
    pub name: String,
    pub format: Format,
}

/// A file that is there and encrypted.
#[derive(Debug)]
pub struct Encrypted {
    pub file: File,
    /// Its bytes, to notice a change by somebody else.
    bytes: Vec<u8>,
}

/// An encrypted file with its data key and its plain text.
pub struct Unlocked {
    pub encrypted: Encrypted,
    pub key: DataKey,
    pub opened: Opened,
}

impl TargetFile {
    /// The file named on the command line, or the workspace's, or `secrets.sops.yaml` in the working folder.
    pub fn of(file: Option<PathBuf>, place: &Location) -> Result<Self> {
        let target = Self::named(file, place)?;
        if target.is_none() && !Path::new(NAME).is_file() {
            return Err(Error::usage(Which));
        }
        Ok(target.unwrap_or_else(|| Self::at(PathBuf::from(NAME), place)))
    }

    /// As [`Target::of`], for a file that is to be made.
    ///
    /// # Errors
    /// When there is one already.
    pub fn new_file(file: Option<PathBuf>, place: &Location) -> Result<Self> {
        let target = Self::named(file, place)?.unwrap_or_else(|| Self::at(PathBuf::from(NAME), place));
        if target.path.symlink_metadata().is_ok() {
            return Err(Error::usage(Exists { file: target.name }));
        }
        Ok(target)
    }

    fn named(file: Option<PathBuf>, place: &Location) -> Result<Option<Self>> {
        let path = match (file, &place.workspace) {
            (Some(_), Some(_)) => return Err(Error::usage(Both)),
            (Some(file), None) => file,
            (None, Some(asked)) => session::folder_of_workspace(asked)?.join(NAME),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self::at(path, place)))
    }

    fn at(path: PathBuf, place: &Location) -> Self {
        let format = place.input_type.unwrap_or_else(|| Format::of(&path));
        Self { name: path.display().to_string(), path, format }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.read_opt()?.ok_or_else(|| Error::usage(NoFile { file: self.name.clone() }))
    }

    fn read_opt(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let failed = |reason: String| Error::recipe(SopsError::Read { file: self.name.clone(), reason });
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.len() > MAX_BYTES => return Err(failed(format!("it has more than {} MiB", MAX_BYTES >> 20))),
            _ => {}
        }
        fs::read(&self.path).map(|bytes| Some(Zeroizing::new(bytes))).map_err(|error| failed(error.to_string()))
    }

    /// The encrypted file.
    ///
    /// # Errors
    /// When it is not there, or not a SOPS file.
    pub fn load(&self) -> Result<Encrypted> {
        self.load_opt()?.ok_or_else(|| Error::usage(NoFile { file: self.name.clone() }))
    }

    /// The encrypted file, if there is one.
    ///
    /// # Errors
    /// When it is there and not a SOPS file.
    pub fn load_opt(&self) -> Result<Option<Encrypted>> {
        let Some(mut bytes) = self.read_opt()? else { return Ok(None) };
        let bytes = std::mem::take(&mut *bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Error::recipe(SopsError::Malformed { file: self.name.clone(), reason: "it is not UTF-8, which all encrypted files are".into() })
        })?;
        let file = File::parse(&self.name, self.format, text).map_err(Error::recipe)?;
        Ok(Some(Encrypted { file, bytes }))
    }

    /// What the creation rules say about this file; its keys are not sealed yet.
    pub fn creation(&self, config: &Config) -> Result<Metadata> {
        self.creation_for(config, &Given::default())
    }

    /// The same with recipients from the command line.
    pub fn creation_for(&self, config: &Config, given: &Given) -> Result<Metadata> {
        creation_metadata(&self.path, config.config.as_deref(), given).map_err(Error::recipe)
    }

    /// Writes a file that was not there before.
    pub fn create(&self, text: &str) -> Result<()> {
        kthw_sops::replace(&self.path, &self.name, None, text.as_bytes(), Mode::Keep).map_err(Error::usage)
    }
}

impl Encrypted {
    /// Opens the file with the keys at hand.
    ///
    /// # Errors
    /// When no key at hand opens it, or it was tampered with.
    pub fn unlock(self, services: &KeyServices) -> Result<Unlocked> {
        let key = services.data_key(self.file.name(), self.file.metadata()).map_err(Error::recipe)?;
        let opened = self.file.open(&key).map_err(Error::recipe)?;
        Ok(Unlocked { encrypted: self, key, opened })
    }

    /// A digest of its bytes.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }

    /// Puts `text` in the place of what was read.
    ///
    /// # Errors
    /// When somebody else changed the file meanwhile, or it cannot be written: it is as it was then.
    pub fn replace(&self, target: &TargetFile, text: &[u8], mode: Mode) -> Result<()> {
        kthw_sops::replace(&target.path, &target.name, Some(&self.bytes), text, mode).map_err(Error::usage)
    }
}

/// The error about a name that is not in the file.
pub fn missing(name: &str, file: &File) -> Error {
    let names = file.names();
    let below: Vec<&str> = names.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{name}."))).collect();
    let help = if !below.is_empty() {
        format!("`{name}` is a group; name one of its secrets: {}", below.join(", "))
    } else if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
        format!("did you mean `{near}`?")
    } else {
        format!("`kthw secrets show {}` lists its names", file.name())
    };
    Error::recipe(SopsError::Missing { name: name.into(), file: file.name().into(), help })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("which file?")]
#[diagnostic(
    code(kthw::secrets::which),
    help("name a file, or a workspace such as `-w ubuntu`; there is no secrets.sops.yaml in this folder")
)]
struct Which;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("a file and a workspace are named, and only one of them can be meant")]
#[diagnostic(code(kthw::secrets::both), help("leave out the file or `--workspace`"))]
struct Both;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} is there already")]
#[diagnostic(code(kthw::secrets::exists), help("it is as it was; name another new file with `--file`, or move this one away"))]
struct Exists {
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no file {file}")]
#[diagnostic(code(kthw::secrets::no_file), help("make it with `kthw secrets edit {file}`"))]
struct NoFile {
    file: String,
}
