//! Finding the private keys that open a file, in the places where sops looks.
//!
//! <https://github.com/getsops/sops#encrypting-using-age> lists them. All places are tried, as sops does.
use super::{DataKey, Group, MasterKey, Recipient, Variables};
use crate::sops::{Metadata, SopsError};
use age::{Decryptor, Identity, IdentityFile, armor::ArmoredReader, ssh};
use std::{
    ffi::OsString,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// `SOPS_AGE_KEY_CMD` is stopped after this time.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// An encrypted data key has 32 bytes; more than this is not one.
const MAX_KEY: u64 = 1024;

/// Looks up an environment variable.
pub(super) type Variables = dyn Fn(&str) -> Option<OsString> + Send + Sync;

struct Keyring {
    identities: Vec<Box<dyn Identity>>,
    looked: Vec<String>,
}

/// Decrypts the data key of `document` with the first identity that fits.
pub(super) fn data_key(file: &str, document: &Document, variables: &Variables) -> Result<DataKey, SopsError> {
    if document.age.is_empty() {
        let keys = if document.other_keys.is_empty() { "no key at all".into() } else { document.other_keys.join(", ") };
        return Err(SopsError::OtherKeys { file: file.into(), keys });
    }
    let mut keyring = Keyring { identities: Vec::new(), looked: Vec::new() };
    keyring.gather(document, variables)?;
    for key in &document.age {
        let Ok(decryptor) = Decryptor::new(ArmoredReader::new(key.armored.as_bytes())) else { continue };
        let Ok(reader) = decryptor.decrypt(keyring.identities.iter().map(|identity| &**identity)) else { continue };
        let mut data_key = Zeroizing::new(Vec::new());
        if reader.take(MAX_KEY).read_to_end(&mut data_key).is_ok() && data_key.len() == 32 {
            return Ok(data_key);
        }
    }
    let recipients = document.age.iter().map(|key| key.recipient.as_str()).chain(document.other_keys.iter().map(String::as_str));
    Err(SopsError::NoKey {
        file: file.into(),
        recipients: recipients.collect::<Vec<_>>().join(", "),
        looked: if keyring.looked.is_empty() { "no place, because HOME is not set".into() } else { keyring.looked.join(", ") },
    })
}

impl Keyring {
    fn gather(&mut self, document: &Document, variables: &Variables) -> Result<(), SopsError> {
        let home = variables("HOME").map(PathBuf::from);
        if let Some(keys) = variables("SOPS_AGE_KEY") {
            self.native("SOPS_AGE_KEY", &Zeroizing::new(keys.into_encoded_bytes()))?;
        }
        if let Some(path) = variables("SOPS_AGE_KEY_FILE") {
            self.named_file("SOPS_AGE_KEY_FILE", Path::new(&path), Self::native)?;
        }
        if let Some(command) = variables("SOPS_AGE_KEY_CMD") {
            self.native("SOPS_AGE_KEY_CMD", &output("SOPS_AGE_KEY_CMD", &command)?)?;
        }
        let config = variables("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".config")));
        if let Some(config) = config {
            self.usual_file(&config.join("sops/age/keys.txt"), Self::native)?;
        }
        if document.age.iter().any(|key| key.recipient.starts_with("ssh-")) {
            if let Some(path) = variables("SOPS_AGE_SSH_PRIVATE_KEY_FILE") {
                self.named_file("SOPS_AGE_SSH_PRIVATE_KEY_FILE", Path::new(&path), Self::ssh)?;
            } else if let Some(home) = home {
                self.usual_file(&home.join(".ssh/id_ed25519"), Self::ssh)?;
                self.usual_file(&home.join(".ssh/id_rsa"), Self::ssh)?;
            }
        }
        Ok(())
    }

    /// A file that the user named must be there.
    fn named_file(&mut self, place: &str, path: &Path, take: Take) -> Result<(), SopsError> {
        let keys = fs::read(path).map_err(|error| SopsError::ReadKey { place: place.into(), reason: error.to_string() })?;
        take(self, place, &Zeroizing::new(keys))
    }

    /// A file at a usual place may be missing.
    fn usual_file(&mut self, path: &Path, take: Take) -> Result<(), SopsError> {
        let place = path.display().to_string();
        match fs::read(path) {
            Ok(keys) => take(self, &place, &Zeroizing::new(keys)),
            Err(_) => {
                self.looked.push(format!("{place} (not there)"));
                Ok(())
            }
        }
    }

    /// Takes a key file as `age-keygen` writes it, comments and all.
    fn native(&mut self, place: &str, keys: &[u8]) -> Result<(), SopsError> {
        // The parser's own message may quote the line, and the line may be a key.
        let unreadable = || SopsError::ReadKey { place: place.into(), reason: "it holds something else than age keys".into() };
        let found = IdentityFile::from_buffer(keys).map_err(|_| unreadable())?.into_identities().map_err(|_| unreadable())?;
        self.looked.push(place.into());
        self.identities.extend(found);
        Ok(())
    }

    fn ssh(&mut self, place: &str, key: &[u8]) -> Result<(), SopsError> {
        match ssh::Identity::from_buffer(key, None) {
            Ok(identity @ ssh::Identity::Unencrypted(_)) => {
                self.looked.push(place.into());
                self.identities.push(Box::new(identity));
            }
            Ok(ssh::Identity::Encrypted(_)) => {
                self.looked.push(format!("{place} (protected by a passphrase, which kthw does not ask for)"))
            }
            _ => self.looked.push(format!("{place} (not an ed25519 or RSA key)")),
        }
        Ok(())
    }
}

type Take = fn(&mut Keyring, &str, &[u8]) -> Result<(), SopsError>;

/// What `command` prints. It runs in a shell, gets no input, and is stopped after half a minute.
fn output(place: &str, command: &std::ffi::OsStr) -> Result<Zeroizing<Vec<u8>>, SopsError> {
    let failed = |reason: String| SopsError::ReadKey { place: place.into(), reason };
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut stdout = child.stdout.take().expect("its output is piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if started.elapsed() > COMMAND_LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("the command did not end within {} s", COMMAND_LIMIT.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if !status.success() {
        return Err(failed(format!("the command ended with {status}")));
    }
    match reader.join() {
        Ok(Ok(bytes)) => Ok(bytes),
        _ => Err(failed("its output could not be read".into())),
    }
}
