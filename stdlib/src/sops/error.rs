//! What can be wrong with a secrets file. Messages name the file and never a value.

/// Why a secrets file, or one secret in it, cannot be read.
#[derive(Clone, Debug, thiserror::Error, miette::Diagnostic)]
pub enum SopsError {
    /// The file is there and cannot be read.
    #[error("cannot read {file}: {reason}")]
    #[diagnostic(code(kthw::sops::read_file), help("check the file's owner and mode"))]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// It is not YAML, or not as sops writes it.
    #[error("{file} is not a SOPS file: {reason}")]
    #[diagnostic(code(kthw::sops::malformed), help("open it with `kthw secrets edit {file}`, or restore it from version control"))]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no `sops` block.
    #[error("{file} is not encrypted")]
    #[diagnostic(
        code(kthw::sops::not_encrypted),
        help("encrypt it with `kthw secrets encrypt --in-place {file}`, and change its secrets if it was ever committed like this")
    )]
    NotEncrypted {
        /// The file.
        file: String,
    },
    /// It has a `sops` block already.
    #[error("{file} is encrypted already")]
    #[diagnostic(code(kthw::sops::already_encrypted), help("change it with `kthw secrets edit {file}`"))]
    AlreadyEncrypted {
        /// The file.
        file: String,
    },
    /// A value cannot be put where it should go.
    #[error("cannot set `{name}` in {file}: {reason}")]
    #[diagnostic(code(kthw::sops::cannot_set), help("`kthw secrets show {file}` shows its names"))]
    CannotSet {
        /// The file.
        file: String,
        /// The dotted path.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A feature of sops that kthw does not know yet.
    #[error("{file} uses {what}, which kthw cannot read yet")]
    #[diagnostic(
        code(kthw::sops::unsupported),
        help("encrypt it to age recipients without that feature: `kthw secrets updatekeys` can change it")
    )]
    Unsupported {
        /// The file.
        file: String,
        /// What it uses.
        what: String,
    },
    /// It has no age recipient.
    #[error("{file} is encrypted to {keys} only, and kthw reads age")]
    #[diagnostic(
        code(kthw::sops::other_keys),
        help("add an age recipient: list it in `.sops.yaml`, then run `kthw secrets updatekeys {file}` as someone who can decrypt it")
    )]
    OtherKeys {
        /// The file.
        file: String,
        /// The keys that it is encrypted to.
        keys: String,
    },
    /// None of the identities at hand fits.
    #[error("no age key at hand opens {file}")]
    #[diagnostic(
        code(kthw::sops::no_key),
        help(
            "it is encrypted to {recipients}. Looked at {looked}. Put the private key into SOPS_AGE_KEY, name its file in SOPS_AGE_KEY_FILE, or ask a holder to run `kthw secrets updatekeys {file}`"
        )
    )]
    NoKey {
        /// The file.
        file: String,
        /// Its age recipients.
        recipients: String,
        /// Where keys were looked for, and what was found there.
        looked: String,
    },
    /// A source of keys is named and does not work.
    #[error("cannot take age keys from {place}: {reason}")]
    #[diagnostic(code(kthw::sops::read_key), help("correct {place}, or unset it"))]
    ReadKey {
        /// The variable or file.
        place: String,
        /// What is wrong with it, without its content.
        reason: String,
    },
    /// A value does not decrypt, or the MAC is another one.
    #[error("{file} was changed after it was encrypted: {what}")]
    #[diagnostic(
        code(kthw::sops::tampered),
        help("nothing of it was used. Compare it with version control (`git log -p {file}`); edit it only with `kthw secrets edit {file}`")
    )]
    Tampered {
        /// The file.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// A secret that is asked for is not there.
    #[error("no secret `{name}` in {file}")]
    #[diagnostic(code(kthw::sops::missing_secret), help("{help}"))]
    Missing {
        /// The dotted path that was asked for.
        name: String,
        /// The file.
        file: String,
        /// What to do: a near name, or how to add it.
        help: String,
    },
}
