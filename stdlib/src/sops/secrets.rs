//! The secrets of a workspace: read lazily, from a file that sops or kthw encrypted.
use super::{SopsError, file::File, format::Format, keys::KeyServices};
use kthw_engine::{Error, Result, Secret, SecretRef, nearest};
use std::{ffi::OsString, fmt, fs, io::ErrorKind, path::Path, sync::OnceLock};

/// A file with secrets is never near this size.
const MAX_BYTES: u64 = 16 << 20;

/// The secrets of a workspace. Nothing is decrypted before the first secret is asked for.
pub struct Secrets {
    file: String,
    document: Option<File>,
    services: KeyServices,
    values: OnceLock<std::result::Result<Vec<(String, Secret)>, SopsError>>,
}

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
        let file = path.as_ref().display().to_string();
        let read = |reason: String| Error::recipe(SopsError::Read { file: file.clone(), reason });
        let document = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Ok(found) if found.len() > MAX_BYTES => return Err(read(format!("it has more than {} MiB", MAX_BYTES >> 20))),
            _ => {
                let text = fs::read_to_string(&path).map_err(|error| read(error.to_string()))?;
                Some(File::parse(&file, Format::of(path.as_ref()), &text).map_err(Error::recipe)?)
            }
        };
        Ok(Self { file, document, services: KeyServices::new(variables), values: OnceLock::new() })
    }

    /// Secrets that are at hand already, known to people as `file`.
    pub fn from_values<N: Into<String>>(file: &str, values: impl IntoIterator<Item = (N, Secret)>) -> Self {
        let values = values.into_iter().map(|(name, secret)| (name.into(), secret)).collect();
        Self { file: file.into(), document: None, services: KeyServices::new(|_| None), values: OnceLock::from(Ok(values)) }
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
    /// When the file does not decrypt.
    pub fn get_opt(&self, name: &str) -> Result<Option<Secret>> {
        let values = self.values.get_or_init(|| self.decrypt()).as_ref().map_err(|error| Error::recipe(error.clone()))?;
        Ok(values.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone()))
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
        match (&self.document, self.values.get()) {
            (Some(document), _) => document.names(),
            (None, Some(Ok(values))) => values.iter().map(|(name, _)| name.clone()).collect(),
            (None, _) => Vec::new(),
        }
    }

    /// The file, as people know it.
    pub fn file(&self) -> &str {
        &self.file
    }

    fn decrypt(&self) -> std::result::Result<Vec<(String, Secret)>, SopsError> {
        let Some(document) = &self.document else { return Ok(Vec::new()) };
        let key = self.services.data_key(&self.file, document.metadata())?;
        Ok(document.open(&key)?.values().to_vec())
    }

    fn missing(&self, name: &str) -> SopsError {
        let names = self.names();
        let below: Vec<&str> = names.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{name}."))).collect();
        let help = if !below.is_empty() {
            format!("`{name}` is a group; name one of its secrets: {}", below.join(", "))
        } else if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            format!("did you mean `{near}`?")
        } else if names.is_empty() && self.document.is_none() {
            format!("there is no such file yet: `kthw secrets edit {}` makes it; put `{name}` into it", self.file)
        } else {
            format!("add it with `kthw secrets edit {}`", self.file)
        };
        SopsError::Missing { name: name.into(), file: self.file.clone(), help }
    }
}

/// Names only; never a value.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("file", &self.file).field("names", &self.names()).finish_non_exhaustive()
    }
}
