//! `kthw secrets`: SOPS files from making one to rotating its key; what it writes, the real sops reads.
use crate::ui::Ui;
use clap::{Args, Subcommand};
use kthw_engine::Result;

mod change;
mod check;
mod decrypt;
mod edit;
mod editor;
mod encrypt;
mod get;
mod import;
mod rotate;
mod set;
mod shelter;
mod show;
mod target;
mod updatekeys;

/// Read and change files of secrets that sops or kthw encrypted
#[derive(Debug, Args)]
pub struct Secrets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the names of all secrets and who can open the file
    Show(show::Show),
    /// Print one secret
    Get(get::Get),
    /// Set one secret from standard input or a prompt
    Set(set::Set),
    /// Edit the plain text, or make a new file
    Edit(edit::Edit),
    /// Encrypt a plain file
    Encrypt(encrypt::Encrypt),
    /// Print the plain text
    Decrypt(decrypt::Decrypt),
    /// Encrypt everything with a new data key, for the same recipients
    Rotate(rotate::Rotate),
    /// Give the file the recipients of `.sops.yaml`
    Updatekeys(updatekeys::UpdateKeys),
    /// Check that a workspace's secrets file holds what recipes use
    Check(check::Check),
    /// Make a secrets file from that of the system before kthw
    Import(import::Import),
}

impl Secrets {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        match self.verb {
            Verb::Show(verb) => verb.run(ui),
            Verb::Get(verb) => verb.run(ui),
            Verb::Set(verb) => verb.run(ui),
            Verb::Edit(verb) => verb.run(ui),
            Verb::Encrypt(verb) => verb.run(ui),
            Verb::Decrypt(verb) => verb.run(ui),
            Verb::Rotate(verb) => verb.run(ui),
            Verb::Updatekeys(verb) => verb.run(ui),
            Verb::Check(verb) => verb.run(ui),
            Verb::Import(verb) => verb.run(ui),
        }
    }
}
