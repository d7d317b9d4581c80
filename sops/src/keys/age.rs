//! age and SSH recipients: sealing to them, and opening with the private keys at hand.
use super::{
    Asking, DataKey, KeyService, MasterKey, Recipient, Variables,
    identities::Keyring,
    plugin::{self, PluginRecipient},
};
use crate::SopsError;
use age::{
    Decryptor, Encryptor, Identity,
    armor::{ArmoredReader, ArmoredWriter, Format},
    ssh, x25519,
};
use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// A sealed data key has 32 bytes, a part of one 33; more than this is neither.
const MAX_KEY: u64 = 1024;
const DAMAGED: &str = "its sealed key is damaged";
const SEAL_HELP: &str = "an age recipient is `age1…`, as `age-keygen -y` prints it, or an SSH public key of type ssh-ed25519 or ssh-rsa";
const HELP: &str = "put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE";

pub(super) struct AgeService {
    variables: Arc<Variables>,
    keyring: Mutex<Keyring>,
}

impl AgeService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self { variables, keyring: Mutex::default() }
    }
}

impl KeyService for AgeService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::Age(_))
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        let failed = |reason: String| SopsError::CannotSeal { recipient: recipient.to_string(), reason, help: SEAL_HELP.into() };
        let Recipient::Age(text) = recipient else { return Err(failed("it is no age recipient".into())) };
        if plugin::is_recipient(text.trim()) {
            let failed =
                |reason: String| SopsError::CannotSeal { recipient: recipient.to_string(), reason, help: plugin::advice(text).into() };
            let to = PluginRecipient::parse(text.trim(), &self.variables).map_err(failed)?;
            return seal(&to, plain).map_err(failed);
        }
        let to = parse(text).map_err(failed)?;
        seal(&*to, plain).map_err(|reason| failed(format!("age says: {reason}")))
    }

    fn may_ask(&self) -> bool {
        true
    }

    fn decrypt(&self, key: &MasterKey, asking: Asking<'_>) -> Result<DataKey, SopsError> {
        let failed = |reason: String| SopsError::CannotOpen { recipient: key.recipient.to_string(), reason, help: HELP.into() };
        let Recipient::Age(recipient) = &key.recipient else { return Err(failed("it is no age recipient".into())) };
        let mut keyring = self.keyring.lock().unwrap_or_else(PoisonError::into_inner);
        keyring.gather(recipient, &*self.variables);
        let mut tried = 0;
        loop {
            match open(&key.encrypted, keyring.open()) {
                Ok(Some(data_key)) => return Ok(data_key),
                Err(Damaged) => return Err(failed(DAMAGED.into())),
                Ok(None) => {}
            }
            // Plugins have dialogues of their own, and devices that want to be touched.
            if !matches!(asking, Asking::NotYet)
                && let Some(data_key) =
                    self.open_by_plugins(&mut keyring, &mut tried, &key.encrypted, asking).map_err(|Damaged| failed(DAMAGED.into()))?
            {
                return Ok(data_key);
            }
            if !keyring.unlock(recipient, asking) {
                return Err(keyring.broken().cloned().unwrap_or_else(|| failed(keyring.looked())));
            }
        }
    }
}

impl AgeService {
    /// The data key, if an identity of a plugin fits; the first `tried` ones do not.
    fn open_by_plugins(
        &self,
        keyring: &mut Keyring,
        tried: &mut usize,
        encrypted: &str,
        asking: Asking<'_>,
    ) -> Result<Option<DataKey>, Damaged> {
        let mut notes = Vec::new();
        for (place, identity) in keyring.plugins().skip(*tried) {
            *tried += 1;
            let opening = identity.opening(&*self.variables, asking);
            if let Some(data_key) = open(encrypted, std::iter::once(&opening as &dyn Identity))? {
                return Ok(Some(data_key));
            }
            notes.extend(opening.failed().map(|reason| (place, reason)));
        }
        notes.into_iter().for_each(|(place, reason)| keyring.note(place, reason));
        Ok(None)
    }
}

fn parse(text: &str) -> Result<Box<dyn age::Recipient>, String> {
    match text.trim() {
        text if text.starts_with("ssh-") => match text.parse::<ssh::Recipient>() {
            Ok(recipient) => Ok(Box::new(recipient)),
            Err(ssh::ParseRecipientKeyError::RsaModulusTooSmall) => Err("an RSA key must have at least 2048 bits".into()),
            Err(_) => Err("it is not an SSH public key that age knows".into()),
        },
        text => match text.parse::<x25519::Recipient>() {
            Ok(recipient) => Ok(Box::new(recipient)),
            Err(_) => Err("it is malformed".into()),
        },
    }
}

fn seal(to: &dyn age::Recipient, plain: &[u8]) -> Result<String, String> {
    let encryptor = Encryptor::with_recipients(std::iter::once(to)).map_err(|error| error.to_string())?;
    let armored = || -> std::io::Result<Vec<u8>> {
        let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?)?;
        writer.write_all(plain)?;
        writer.finish()?.finish()
    };
    String::from_utf8(armored().map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// What should be an age file is none, or was changed.
struct Damaged;

/// The data key, if one of `identities` fits.
fn open<'a>(armored: &str, identities: impl Iterator<Item = &'a dyn Identity>) -> Result<Option<DataKey>, Damaged> {
    let decryptor = Decryptor::new(ArmoredReader::new(armored.as_bytes())).map_err(|_| Damaged)?;
    let reader = match decryptor.decrypt(identities) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(_) => return Err(Damaged),
    };
    let mut data_key = Zeroizing::new(Vec::with_capacity(MAX_KEY as usize));
    reader.take(MAX_KEY).read_to_end(&mut data_key).map_err(|_| Damaged)?;
    Ok(Some(data_key))
}
