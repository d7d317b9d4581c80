//! What the changing verbs share: sealing a plain text again for the same recipients, or for those of the creation rules.
use super::target::{TargetFile, Unlocked};
use crate::ui::Ui;
use kthw_engine::{Error, Result};
use kthw_sops::{DataKey, KeyServices, Metadata, Mode, Opened, SopsError};

/// The key services over the environment; they ask for passphrases on the terminal.
pub fn services(ui: &Ui) -> KeyServices {
    let (asks, tells) = (ui.clone(), ui.clone());
    let services = KeyServices::of_environment().with_passphrase(move |question| asks.secret(&format!("{question}: ")));
    services.with_messages(move |text| tells.note(text))
}

/// Encrypts `plain` with the file's own key and puts it in the file's place. Values that did not change keep their encrypted text.
pub fn seal_again(unlocked: &Unlocked, target: &TargetFile, plain: &[u8]) -> Result<()> {
    let text = seal(target, plain, unlocked.encrypted.file.metadata(), &unlocked.key, Some(&unlocked.opened))?;
    unlocked.encrypted.replace(target, text.as_bytes(), Mode::Keep)
}

/// Encrypts the plain text of `target`. What did not change since `before` keeps its encrypted text.
///
/// # Errors
/// When the text is not of its format, or holds what cannot be encrypted.
pub fn seal(target: &TargetFile, plain: &[u8], metadata: &Metadata, key: &DataKey, before: Option<&Opened>) -> Result<String> {
    kthw_sops::encrypt(&target.name, target.format, plain, metadata, key, before).map_err(|error| match error {
        // It is a person's plain text that is wrong here, not a file of sops.
        SopsError::Malformed { reason, .. } => Error::usage(NotValid { file: target.name.clone(), reason }),
        error => Error::recipe(error),
    })
}

/// Makes a data key and seals it to everybody in `metadata`.
pub fn new_key(target: &TargetFile, metadata: &mut Metadata, services: &KeyServices) -> Result<DataKey> {
    let key = kthw_sops::new_data_key();
    services.seal_to(&target.name, &mut metadata.groups, metadata.shamir_threshold, &key).map_err(Error::recipe)?;
    Ok(key)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the text for {file} cannot be encrypted: {reason}")]
#[diagnostic(code(kthw::secrets::not_valid), help("mend the text there; `--input-type` names another format than the file's name"))]
struct NotValid {
    file: String,
    reason: String,
}
