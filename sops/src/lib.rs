//! SOPS files: read and written as the real sops does (<https://github.com/getsops/sops>), in all its formats.
//!
//! [`Secrets`] is what a run needs: a workspace's secrets, decrypted when the first is asked for. [`File`], [`Opened`] and [`encrypt`] are
//! what `kthw secrets` works with. A file's data key is opened by [`KeyServices`].
//!
//! The crate knows no script, no cluster and no workspace. Of the engine it takes what secrets need everywhere: [`kthw_engine::Secret`], whose
//! value no error and no plan shows, and [`kthw_engine::Effect`], without which a run replaces no file.

mod cipher;
mod creation;
mod encrypt;
mod error;
mod file;
mod format;
mod import;
mod keys;
mod metadata;
mod name;
mod pattern;
mod plain;
mod replace;
#[cfg(test)]
mod rops_tests;
mod rules;
mod secrets;
mod set;
mod shape;
#[cfg(test)]
mod tests;
mod text;
mod walk;

pub use creation::{CreationRules, Given, creation_metadata};
pub use encrypt::encrypt;
pub use error::SopsError;
pub use file::{File, Opened};
pub use format::Format;
pub use import::{Import, KNOWN, Known, old_values};
pub use keys::{DataKey, Group, KeyService, KeyServices, MasterKey, OtherKind, Recipient, new_data_key};
pub use metadata::Metadata;
pub use name::resolve;
pub use pattern::Pattern;
pub use replace::{Mode, replace};
pub use rules::Rules;
pub use secrets::Secrets;
pub use set::set;
