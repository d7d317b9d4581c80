//! Finding private age and SSH keys, in the places where sops looks: <https://github.com/getsops/sops#encrypting-using-age>.
//!
//! All places are tried, as sops does. Keys that a passphrase protects are kept aside until nothing else opens the file.
use super::{Asking, Variables, plugin::PluginIdentity, program};
use crate::SopsError;
use age::{Decryptor, Identity, armor::ArmoredReader, secrecy::SecretString, ssh, x25519};
use std::{
    ffi::OsStr,
    fs,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use zeroize::Zeroizing;

/// `SOPS_AGE_KEY_CMD` is stopped after this time: it may ask a person.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// More than this is not a file of keys.
const MAX_FILE: u64 = 1 << 20;
/// The highest cost of a passphrase that is taken, as age does: 2^22 is about a quarter of a minute and 4 GiB.
const MAX_WORK_FACTOR: u8 = 22;

/// The private keys at hand.
#[derive(Default)]
pub(super) struct Keyring {
    open: Vec<Box<dyn Identity + Send>>,
    /// Keys that a plugin uses, each with the number of its place.
    plugins: Vec<(usize, PluginIdentity)>,
    protected: Vec<Protected>,
    places: Vec<KeyPlace>,
    /// What is wrong with places that a variable names.
    broken: Option<SopsError>,
    gathered: (bool, bool),
}

/// Where keys were looked for, and what was wrong there.
struct KeyPlace {
    name: String,
    /// The file, when the name is that of a variable.
    file: Option<PathBuf>,
    note: Option<String>,
}

/// Keys that a passphrase protects, found at a place.
struct Protected {
    place: usize,
    what: Locked,
    asked: bool,
}

enum Locked {
    /// An SSH key, with its public key.
    Ssh { key: Box<ssh::Identity>, public: String },
    /// A file of age keys, encrypted with a passphrase: `age -p`.
    File(Zeroizing<Vec<u8>>),
}

impl Keyring {
    /// Looks at all places that may have keys for `recipient`, once.
    pub(super) fn gather(&mut self, recipient: &str, variables: &Variables) {
        let home = variables("HOME").map(PathBuf::from);
        if !std::mem::replace(&mut self.gathered.0, true) {
            self.native_places(home.as_deref(), variables);
        }
        if recipient.starts_with("ssh-") && !std::mem::replace(&mut self.gathered.1, true) {
            if let Some(path) = variables("SOPS_AGE_SSH_PRIVATE_KEY_FILE") {
                self.named_file("SOPS_AGE_SSH_PRIVATE_KEY_FILE", Path::new(&path), Self::ssh);
            }
            for name in home.iter().flat_map(|home| ["id_ed25519", "id_rsa"].map(|name| home.join(".ssh").join(name))) {
                self.usual_file(&name, Self::ssh);
            }
        }
    }

    fn native_places(&mut self, home: Option<&Path>, variables: &Variables) {
        if let Some(keys) = variables("SOPS_AGE_KEY") {
            self.take("SOPS_AGE_KEY", Ok(Zeroizing::new(keys.into_encoded_bytes())), Self::native);
        }
        if let Some(path) = variables("SOPS_AGE_KEY_FILE") {
            self.named_file("SOPS_AGE_KEY_FILE", Path::new(&path), Self::native);
        }
        if let Some(command) = variables("SOPS_AGE_KEY_CMD") {
            self.take("SOPS_AGE_KEY_CMD", output(&command), Self::native);
        }
        let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
        let config = variables("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(config) = config.or_else(|| home.map(|home| home.join(usual))) {
            self.usual_file(&config.join("sops/age/keys.txt"), Self::native);
        }
    }

    /// A file that a variable names must be there.
    fn named_file(&mut self, place: &str, path: &Path, take: Take) {
        self.take(place, read(path).map_err(|error| error.to_string()), take);
        let known = self.places.iter_mut().rfind(|known| known.name == place);
        known.expect("it was taken").file = Some(path.to_owned());
    }

    /// A file at a usual place may be missing.
    fn usual_file(&mut self, path: &Path, take: Take) {
        let place = path.display().to_string();
        match read(path) {
            Ok(keys) => self.take(&place, Ok(keys), take),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.places.push(KeyPlace { name: place, file: None, note: Some("not there".into()) })
            }
            Err(error) => self.take(&place, Err(error.to_string()), take),
        }
    }

    fn take(&mut self, place: &str, keys: Result<Zeroizing<Vec<u8>>, String>, take: Take) {
        self.places.push(KeyPlace { name: place.into(), file: None, note: None });
        if let Err(reason) = keys.and_then(|keys| take(self, &keys)) {
            self.places.last_mut().expect("it was pushed").note = Some(reason.clone());
            self.broken.get_or_insert(SopsError::ReadKey { place: place.into(), reason });
        }
    }

    /// Takes a key file as `age-keygen` writes it, comments and all; or one that `age -p` encrypted.
    fn native(&mut self, keys: &[u8]) -> Result<(), String> {
        if keys.starts_with(b"age-encryption") || keys.starts_with(b"-----BEGIN AGE") {
            let what = Locked::File(Zeroizing::new(keys.to_vec()));
            self.protected.push(Protected { place: self.places.len() - 1, what, asked: false });
            return Ok(());
        }
        self.lines(self.places.len() - 1, keys)
    }

    /// Takes the keys of a place, one a line.
    fn lines(&mut self, place: usize, keys: &[u8]) -> Result<(), String> {
        // No message quotes a line: it may be a key.
        let other = || "it holds something else than age keys".to_owned();
        let mut plugins = Vec::new();
        let mut found: Vec<Box<dyn Identity + Send>> = Vec::new();
        for line in str::from_utf8(keys).map_err(|_| other())?.lines().map(str::trim) {
            match line {
                "" => {}
                line if line.starts_with('#') => {}
                line if line.starts_with("AGE-PLUGIN-") || line.starts_with("AGE-SECRET-KEY-PQ-") => {
                    // One that is mistyped is no obstacle for the others.
                    let note = &mut self.places[place].note;
                    match PluginIdentity::parse(line) {
                        Some(identity) => plugins.push((place, identity)),
                        None => *note = Some("a key of a plugin there is malformed".into()),
                    }
                }
                line => found.push(Box::new(line.parse::<x25519::Identity>().map_err(|_| other())?)),
            }
        }
        self.open.extend(found);
        self.plugins.extend(plugins);
        Ok(())
    }

    fn ssh(&mut self, key: &[u8]) -> Result<(), String> {
        let unusable = |note: &str| Some(note.to_owned());
        let note = match ssh::Identity::from_buffer(key, None) {
            Ok(identity @ ssh::Identity::Unencrypted(_)) => {
                self.open.push(Box::new(identity));
                None
            }
            Ok(identity @ ssh::Identity::Encrypted(_)) => match ssh::Recipient::try_from(identity.clone()) {
                Ok(public) => {
                    let what = Locked::Ssh { key: Box::new(identity), public: public.to_string() };
                    self.protected.push(Protected { place: self.places.len() - 1, what, asked: false });
                    None
                }
                Err(_) => unusable("not an ed25519 or RSA key"),
            },
            Ok(ssh::Identity::Unsupported(ssh::UnsupportedKey::EncryptedPem)) => {
                unusable("an old way of protecting keys: renew it with `ssh-keygen -o -p -f` and the file")
            }
            _ => unusable("not an ed25519 or RSA key"),
        };
        self.places.last_mut().expect("the place is there").note = note;
        Ok(())
    }

    /// The keys that need no passphrase, or whose passphrase was given.
    pub(super) fn open(&self) -> impl Iterator<Item = &dyn Identity> {
        self.open.iter().map(|identity| &**identity as &dyn Identity)
    }

    /// The keys that a plugin uses.
    pub(super) fn plugins(&self) -> impl Iterator<Item = (usize, &PluginIdentity)> {
        self.plugins.iter().map(|(place, identity)| (*place, identity))
    }

    /// Says of a place why a key there did not open a file.
    pub(super) fn note(&mut self, place: usize, note: String) {
        self.places[place].note = Some(note);
    }

    /// Unlocks the next keys that may fit `recipient`; says whether there are new ones to try. Nobody is asked twice.
    pub(super) fn unlock(&mut self, recipient: &str, asking: Asking<'_>) -> bool {
        let Asking::Person(person) = asking else { return false };
        let Some(protected) = self.protected.iter_mut().find(|protected| !protected.asked && protected.what.may_fit(recipient)) else {
            return false;
        };
        protected.asked = true;
        let place = protected.place;
        let KeyPlace { name, file, .. } = &self.places[place];
        let answer =
            (person.ask)(&format!("Passphrase of {}", file.as_ref().map_or_else(|| name.clone(), |file| file.display().to_string())));
        let unlocked = match answer {
            None => Err("no passphrase was given".into()),
            Some(answer) => {
                let passphrase = SecretString::from(answer.expose());
                match &protected.what {
                    Locked::Ssh { key, .. } => unlock_ssh(key, passphrase).map(|key| self.open.push(Box::new(key))),
                    Locked::File(keys) => unlock_file(keys, passphrase).and_then(|keys| self.lines(place, &keys)),
                }
            }
        };
        if let Err(note) = unlocked {
            self.places[place].note = Some(note);
        }
        true
    }

    /// Where keys for `recipient` were looked for.
    pub(super) fn looked(&self) -> String {
        if self.places.is_empty() {
            return "looked at no place, because HOME is not set".into();
        }
        let described = self.places.iter().enumerate().map(|(index, place)| {
            let locked = self.protected.iter().any(|protected| protected.place == index && !protected.asked);
            match &place.note {
                Some(note) => format!("{} ({note})", place.name),
                None if locked => format!("{} (protected by a passphrase, and nobody could be asked)", place.name),
                None => place.name.clone(),
            }
        });
        format!("looked at {}", described.collect::<Vec<_>>().join(", "))
    }

    /// The first place that does not work.
    pub(super) fn broken(&self) -> Option<&SopsError> {
        self.broken.as_ref()
    }
}

type Take = fn(&mut Keyring, &[u8]) -> Result<(), String>;

impl Locked {
    /// Nobody is asked for a passphrase in vain where that can be known.
    fn may_fit(&self, recipient: &str) -> bool {
        match self {
            Self::Ssh { public, .. } => recipient.parse::<ssh::Recipient>().is_ok_and(|wanted| wanted.to_string() == *public),
            Self::File(_) => recipient.starts_with("age1"),
        }
    }
}

fn unlock_ssh(key: &ssh::Identity, passphrase: SecretString) -> Result<ssh::Identity, String> {
    let ssh::Identity::Encrypted(key) = key else { return Err("not protected".into()) };
    key.decrypt(passphrase).map(ssh::Identity::from).map_err(|_| "the passphrase does not fit".into())
}

fn unlock_file(keys: &[u8], passphrase: SecretString) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = || "it is not a file that `age -p` encrypted".to_owned();
    let decryptor = Decryptor::new(ArmoredReader::new(keys)).map_err(|_| unreadable())?;
    if !decryptor.is_scrypt() {
        return Err(unreadable());
    }
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn Identity)).map_err(|error| match error {
        age::DecryptError::ExcessiveWork { .. } => "its passphrase costs more work than kthw takes on".to_owned(),
        _ => "the passphrase does not fit".to_owned(),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(keys.len()));
    reader.take(MAX_FILE).read_to_end(&mut plain).map_err(|_| unreadable())?;
    Ok(plain)
}

/// A file that holds keys, in wiped memory.
pub(super) fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let file = fs::File::open(path)?;
    // Room for everything at once: a vector that grows leaves copies behind.
    let size = file.metadata()?.len().min(MAX_FILE) as usize;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What `command` prints. It is split into words as a shell does, and run without one, as sops does.
fn output(command: &OsStr) -> Result<Zeroizing<Vec<u8>>, String> {
    let words = command.to_str().and_then(shlex::split).ok_or("its quotes are not closed")?;
    let [program, arguments @ ..] = &words[..] else { return Err("it is empty".into()) };
    let ended = program::run(Command::new(program).args(arguments), b"", COMMAND_LIMIT)?;
    if ended.status.success() { Ok(ended.output) } else { Err(format!("the command ended with {}", ended.status)) }
}
