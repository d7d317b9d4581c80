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
    /// The file cannot be written.
    #[error("cannot write {file}: {reason}")]
    #[diagnostic(code(kthw::sops::write_file), help("the old file is untouched; check who may write in its folder, and the free space"))]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// Another process wrote the file since it was read.
    #[error("{file} was changed by somebody else meanwhile")]
    #[diagnostic(code(kthw::sops::changed), help("it is as they left it; look at their change, then do yours again"))]
    Changed {
        /// The file.
        file: String,
    },
    /// There is no file that a secret could be written into.
    #[error("no file {file} to write a secret into")]
    #[diagnostic(
        code(kthw::sops::no_file),
        help("make it with `kthw secrets edit {file}`: kthw cannot know to whom it should be encrypted")
    )]
    NoFile {
        /// The file.
        file: String,
    },
    /// It is not YAML, or not as sops writes it.
    #[error("{file} is not a SOPS file: {reason}")]
    #[diagnostic(
        code(kthw::sops::malformed),
        help("restore it from version control (`git log -p {file}` shows what became of it), or mend that place in an editor")
    )]
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
    /// A mistake in kthw, noticed in time.
    #[error("{file} would not be the same after encryption: {what}")]
    #[diagnostic(
        code(kthw::sops::not_kept),
        help(
            "nothing was written. This is a mistake in kthw: please report the file's layout, with other values; quotes around the value may help until then"
        )
    )]
    NotKept {
        /// The file.
        file: String,
        /// What would differ: a name, never a value.
        what: String,
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
    /// A name means more than one value.
    #[error("`{name}` means {count} values in {file}")]
    #[diagnostic(code(kthw::sops::ambiguous), help("{help}"))]
    Ambiguous {
        /// The file.
        file: String,
        /// What was asked for.
        name: String,
        /// How many there are.
        count: usize,
        /// All of them by names that mean one each.
        help: String,
    },
    /// All its recipients belong to services that kthw does not use.
    #[error("{file} is encrypted to {keys} only, and kthw does not use this kind of key")]
    #[diagnostic(
        code(kthw::sops::other_keys),
        help(
            "add a recipient of another kind, such as `age: age1…`: list it in `.sops.yaml`, then run `sops updatekeys {file}` of the real sops as someone who can decrypt it"
        )
    )]
    OtherKeys {
        /// The file.
        file: String,
        /// The keys that it is encrypted to.
        keys: String,
    },
    /// None of the keys at hand fits.
    #[error("no key at hand opens {file}")]
    #[diagnostic(code(kthw::sops::no_key), help("it is encrypted to {tried}. To go on, {advice}"))]
    NoKey {
        /// The file.
        file: String,
        /// Its recipients, each with the places where its key was looked for, or another reason why it does not open.
        tried: String,
        /// What to do for each kind of key.
        advice: String,
    },
    /// The file needs several groups of keys, and too few of them open.
    #[error("too few key groups of {file} open: {opened} of the {needed} that are needed")]
    #[diagnostic(code(kthw::sops::too_few_groups), help("{groups}. To go on, {advice}"))]
    TooFewGroups {
        /// The file.
        file: String,
        /// How many open.
        opened: usize,
        /// How many it takes.
        needed: usize,
        /// Each group, with its recipients and why they do not open.
        groups: String,
        /// What to do for each kind of key.
        advice: String,
    },
    /// One key of a file does not open.
    #[error("{recipient} does not open: {reason}")]
    #[diagnostic(code(kthw::sops::open_key), help("{help}"))]
    CannotOpen {
        /// Whose key it is.
        recipient: String,
        /// Why not: where was looked, what the service said.
        reason: String,
        /// What to do, as an imperative.
        help: String,
    },
    /// A recipient cannot be encrypted to.
    #[error("cannot encrypt to {recipient}: {reason}")]
    #[diagnostic(code(kthw::sops::seal_key), help("{help}"))]
    CannotSeal {
        /// The recipient.
        recipient: String,
        /// Why not.
        reason: String,
        /// What to do.
        help: String,
    },
    /// Nobody would be able to open the file.
    #[error("cannot encrypt {file}: {place} has no recipient")]
    #[diagnostic(code(kthw::sops::no_recipients), help("list one in `.sops.yaml`, such as `age: age1…`"))]
    NoRecipients {
        /// The file.
        file: String,
        /// The file itself, or one of its key groups.
        place: String,
    },
    /// A recipient on the command line is none.
    #[error("a recipient in `{option}` is not {what}")]
    #[diagnostic(code(kthw::sops::malformed_recipient), help("{help}"))]
    NoSuchRecipient {
        /// The option.
        option: &'static str,
        /// What it should be.
        what: &'static str,
        /// What to do.
        help: String,
    },
    /// A number of needed groups that cannot be.
    #[error("cannot encrypt {file}: a threshold of {threshold} does not fit {groups} key groups")]
    #[diagnostic(
        code(kthw::sops::threshold),
        help("set `shamir_threshold` in `.sops.yaml`, or `--shamir-secret-sharing-threshold`, to a number from 2 to {groups}")
    )]
    Threshold {
        /// The file.
        file: String,
        /// The number that was asked for.
        threshold: usize,
        /// How many groups there are.
        groups: usize,
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
        help(
            "nothing of it was used. Restore it from version control (`git log -p {file}` shows what became of it); a change that is wanted is made after that, with `kthw secrets edit`"
        )
    )]
    Tampered {
        /// The file.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// Nothing says who shall be able to open a new file.
    #[error("no creation rules say who can open {file}")]
    #[diagnostic(code(kthw::sops::no_creation_rules), help("{help}"))]
    NoCreationRules {
        /// The file.
        file: String,
        /// How to write one.
        help: String,
    },
    /// A creation rule is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Rule(#[from] kthw_yaml::Problem),
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
