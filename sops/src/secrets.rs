//! The secrets of a workspace: read lazily, from a file that sops or kthw encrypted.
use super::{
    SopsError,
    encrypt::encrypt,
    file::File,
    format::Format,
    keys::KeyServices,
    name::resolve,
    replace::{Mode, replace},
    set::set,
};
use kthw_engine::{Effect, Error, Result, Secret, SecretRef, nearest};
use serde_json::Value;
use std::{
    ffi::OsString,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use zeroize::{Zeroize, Zeroizing};

/// A file with secrets is never near this size.
const MAX_BYTES: u64 = 16 << 20;

/// The secrets of a workspace. Nothing is decrypted before the first secret is asked for. Clones are the same secrets.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    file: String,
    services: KeyServices,
    keeper: Keeper,
    state: RwLock<State>,
}

/// Where changed secrets go.
enum Keeper {
    /// Into the file.
    File(PathBuf),
    /// To somebody else.
    Other(Box<Keep>),
    /// Nowhere: they cannot be changed.
    Nobody,
}

/// Keeps all secrets after some of them were changed, whole or not at all.
type Keep = dyn Fn(&[(String, Secret)]) -> Result<()> + Send + Sync;

#[derive(Default)]
struct State {
    document: Option<Arc<File>>,
    /// What was decrypted, or why it cannot be.
    values: Option<std::result::Result<Arc<Values>, SopsError>>,
}

type Values = Vec<(String, Secret)>;

impl Secrets {
    /// The secrets in the file at `path`; none when there is no such file.
    ///
    /// # Errors
    /// When the file is there and is not an encrypted SOPS file, or uses what kthw does not know.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, |name| std::env::var_os(name))
    }

    /// As [`Secrets::open`], with `variables` in place of the environment, where the age keys are looked up.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub fn open_with(path: impl AsRef<Path>, variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Result<Self> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let state = State { document: read(path, &file).map_err(Error::recipe)?, values: None };
        Ok(Self::new(file, KeyServices::new(variables), Keeper::File(path.to_owned()), state))
    }

    /// Secrets that are at hand already, known to people as `file`. They cannot be changed.
    pub fn from_values<N: Into<String>>(file: &str, values: impl IntoIterator<Item = (N, Secret)>) -> Self {
        Self::with_keeper(file, values, Keeper::Nobody)
    }

    /// Secrets that are at hand already; `keep` gets all of them when some have changed.
    pub fn kept_by<N: Into<String>>(
        file: &str,
        values: impl IntoIterator<Item = (N, Secret)>,
        keep: impl Fn(&[(String, Secret)]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::with_keeper(file, values, Keeper::Other(Box::new(keep)))
    }

    fn with_keeper<N: Into<String>>(file: &str, values: impl IntoIterator<Item = (N, Secret)>, keeper: Keeper) -> Self {
        let values = Arc::new(values.into_iter().map(|(name, secret)| (name.into(), secret)).collect());
        let state = State { document: None, values: Some(Ok(values)) };
        Self::new(file.into(), KeyServices::new(|_| None), keeper, state)
    }

    fn new(file: String, services: KeyServices, keeper: Keeper, state: State) -> Self {
        Self(Arc::new(Inner { file, services, keeper, state: RwLock::new(state) }))
    }

    /// The secret at a dotted path, such as `proxmox.token`; a list item by its position from 0, such as `ssh_keys.0`.
    ///
    /// # Errors
    /// When it is not there, or the file does not decrypt.
    pub fn get(&self, name: &str) -> Result<Secret> {
        self.get_opt(name)?.ok_or_else(|| Error::recipe(self.missing(name)))
    }

    /// The secret at a dotted path, if it is there.
    ///
    /// # Errors
    /// When the file does not decrypt, or the name means several secrets.
    pub fn get_opt(&self, name: &str) -> Result<Option<Secret>> {
        let values = self.values().map_err(Error::recipe)?;
        let found = resolve(&self.0.file, values.iter().map(|(name, _)| name.as_str()), name).map_err(Error::recipe)?;
        Ok(found.map(|at| values[at].1.clone()))
    }

    /// The secret that a recipe referred to.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub fn resolve(&self, reference: &SecretRef) -> Result<Secret> {
        self.get(&reference.name)
    }

    /// The dotted paths of all secrets, in the order of the file. Nothing is decrypted for it.
    pub fn names(&self) -> Vec<String> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        match (&state.document, &state.values) {
            (Some(document), _) => document.names(),
            (None, Some(Ok(values))) => values.iter().map(|(name, _)| name.clone()).collect(),
            (None, _) => Vec::new(),
        }
    }

    /// The file, as people know it.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Changes secrets, or adds them, by their dotted names: all of them or none. The file is read anew just before, so what somebody else
    /// changed in it meanwhile stays; it is encrypted to the same recipients and replaced in one step.
    ///
    /// # Errors
    /// When there is no file yet, it does not decrypt, or it cannot be written.
    pub fn set(&self, changes: &[(&str, Secret)], _effect: &Effect) -> Result<()> {
        self.change(changes)
    }

    pub(super) fn change(&self, changes: &[(&str, Secret)]) -> Result<()> {
        let changes: Values = changes.iter().map(|(name, secret)| ((*name).to_owned(), secret.clone())).collect();
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let file = &self.0.file;
        match &self.0.keeper {
            Keeper::Nobody => return Err(Error::usage(SopsError::NoFile { file: file.clone() })),
            Keeper::Other(keep) => {
                let mut values = state.values.clone().and_then(std::result::Result::ok).map(|values| (*values).clone()).unwrap_or_default();
                values.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
                values.extend(changes);
                keep(&values)?;
                state.values = Some(Ok(Arc::new(values)));
            }
            Keeper::File(path) => {
                let document = read(path, file).map_err(Error::recipe)?;
                let document = document.ok_or_else(|| Error::usage(SopsError::NoFile { file: file.clone() }))?;
                let text = with_values(&document, &self.0.services, &changes).map_err(Error::recipe)?;
                let written = File::parse(file, document.format(), &text).map_err(Error::recipe)?;
                replace(path, file, Some(document.source().as_bytes()), text.as_bytes(), Mode::Keep).map_err(Error::usage)?;
                *state = State { document: Some(Arc::new(written)), values: None };
            }
        }
        Ok(())
    }

    fn values(&self) -> std::result::Result<Arc<Values>, SopsError> {
        if let Some(values) = &self.0.state.read().unwrap_or_else(PoisonError::into_inner).values {
            return values.clone();
        }
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let decrypt = |document: &File| {
            let key = self.0.services.data_key(&self.0.file, document.metadata())?;
            Ok(Arc::new(document.open(&key)?.values().to_vec()))
        };
        let values = state.document.as_deref().map_or_else(|| Ok(Arc::default()), decrypt);
        state.values.get_or_insert(values).clone()
    }

    fn missing(&self, name: &str) -> SopsError {
        let names = self.names();
        let below: Vec<&str> = names.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{name}."))).collect();
        let help = if !below.is_empty() {
            format!("`{name}` is a group; name one of its secrets: {}", below.join(", "))
        } else if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            format!("did you mean `{near}`?")
        } else if names.is_empty() {
            format!("there is no such file yet: `kthw secrets edit {}` makes it; put `{name}` into it", self.file())
        } else {
            format!("add it with `kthw secrets edit {}`", self.file())
        };
        SopsError::Missing { name: name.into(), file: self.file().to_owned(), help }
    }
}

/// `document` with `values` set by their dotted names, encrypted to the same recipients by the same rules. What does not change keeps its
/// encrypted text.
fn with_values(document: &File, services: &KeyServices, values: &Values) -> std::result::Result<String, SopsError> {
    let name = document.name();
    let key = services.data_key(name, document.metadata())?;
    let opened = document.open(&key)?;
    let mut plain = Zeroizing::new(opened.plain().to_vec());
    for (path, secret) in values {
        let mut value = Value::String(secret.expose().to_owned());
        let changed = set(name, document.format(), &plain, path, &value);
        if let Value::String(text) = &mut value {
            text.zeroize();
        }
        plain = changed?;
    }
    encrypt(name, document.format(), &plain, document.metadata(), &key, Some(&opened))
}

/// The file at `path`, known to people as `file`, if there is one.
fn read(path: &Path, file: &str) -> std::result::Result<Option<Arc<File>>, SopsError> {
    let unreadable = |reason: String| SopsError::Read { file: file.to_owned(), reason };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > MAX_BYTES => return Err(unreadable(format!("it has more than {} MiB", MAX_BYTES >> 20))),
        _ => {}
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    File::parse(file, Format::of(path), &text).map(|file| Some(Arc::new(file)))
}

/// Names only; never a value.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("file", &self.file()).field("names", &self.names()).finish_non_exhaustive()
    }
}
