//! The seam to machines: what to look at and what to do, as data. The real side runs shell over SSH; the lab needs no shell.
use crate::{door::Effect, error::Result, peers::BoxFuture, secret::Secret};
use std::{fmt, sync::Arc};

/// One thing to look at on a node. Looking has no side effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// What stands at a path (without following a symlink), with the content's digest.
    Path {
        /// Absolute path.
        path: String,
        /// Lower-case hex SHA-256 of the content that is wanted. When the file differs and is small, its content comes along.
        expect: Option<String>,
    },
    /// Whether a file holds exactly this line.
    Line {
        /// Absolute path of the file.
        path: String,
        /// The line, without its end.
        line: String,
    },
    /// The output of a read-only command. It runs as root, with `LC_ALL=C` and no input.
    Run {
        /// Program and arguments; never a shell string.
        argv: Vec<String>,
    },
    /// The key by which the node proves who it is. The connection answers, not the node.
    HostKey,
    /// As [`Run`](Self::Run), for a command that a recipe's author gave. Nobody but the author knows whether it changes something, so a dry
    /// run never runs it, and a plan for a run only if it `reads`. At its turn, in the run itself, it is asked like any other.
    Check {
        /// Program and arguments.
        argv: Vec<String>,
        /// Whether the author says that it changes nothing.
        reads: bool,
    },
}

/// A piece of what an action prints. It may end in the middle of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// On standard output.
    Stdout(&'a [u8]),
    /// On standard error.
    Stderr(&'a [u8]),
}

/// What is heard of a batch while it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The block at this position begins.
    Began(usize),
    /// An action of the block at this position met something that hinders nobody and that a person should know of.
    Noticed(usize, &'a str),
}

/// The answer to one [`Probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// To [`Probe::Path`]; `None` when nothing is there.
    Path(Option<PathState>),
    /// To [`Probe::Line`].
    Line(bool),
    /// To [`Probe::Run`] and [`Probe::Check`].
    Run(Output),
    /// To [`Probe::HostKey`].
    HostKey(HostKey),
}

/// The key by which a node proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Such as `SHA256:…`.
    pub fingerprint: String,
    /// Why it is believed.
    pub trust: KeyTrust,
}

/// Why a host key is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTrust {
    /// It was kept by an earlier run, or by a person.
    Pinned,
    /// Somebody who knows the machine told it in this run.
    Vouched,
    /// Nobody told it: it was taken as it came, in this run.
    AsItCame,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathState {
    /// File, directory or symlink.
    pub kind: PathKind,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// Name of the owning user.
    pub owner: String,
    /// Name of the owning group.
    pub group: String,
    /// Last modification, in whole seconds since 1970.
    pub modified_s: i64,
    /// Lower-case hex SHA-256 of a regular file.
    pub sha256: Option<String>,
    /// The content, when the probe expected another one and the file is at most 64 KiB.
    pub content: Option<Vec<u8>>,
}

/// What kind of thing stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it points at, as written.
        target: String,
    },
    /// A device, socket or pipe.
    Other,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 127 when the program is not there.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error, its last few KiB.
    pub stderr: String,
}

/// One thing to do on a node.
#[derive(Clone, Debug)]
pub enum Action {
    /// Puts a file in place atomically: temporary name beside it, mode, owner, rename. The content travels over standard input.
    Write {
        /// Absolute path; its directory must exist.
        path: String,
        /// The bytes.
        content: Content,
        /// Permission bits.
        mode: u32,
        /// `user:group`; root's when absent.
        owner: Option<String>,
    },
    /// Makes a directory and its parents, and sets its mode.
    Directory {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// `user:group`; untouched when absent.
        owner: Option<String>,
    },
    /// Makes or repoints a symlink.
    Symlink {
        /// Absolute path of the link.
        path: String,
        /// What it points at.
        target: String,
    },
    /// Adds a line at the end of a file, which is made when missing.
    AppendLine {
        /// Absolute path.
        path: String,
        /// The line, without its end.
        line: String,
    },
    /// Removes a file or link.
    Remove {
        /// Absolute path.
        path: String,
    },
    /// Runs a program as root.
    Run {
        /// Program and arguments; never a secret, never a shell string.
        argv: Vec<String>,
        /// What it gets on standard input.
        stdin: Content,
        /// It is stopped after this many seconds.
        timeout_s: u32,
    },
}

impl Action {
    /// Runs a program without input, for at most five minutes.
    pub fn run<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::run_for(300, argv)
    }

    /// Runs a program without input, for at most `timeout_s` seconds.
    pub fn run_for<S: Into<String>>(timeout_s: u32, argv: impl IntoIterator<Item = S>) -> Self {
        Self::Run { argv: argv.into_iter().map(Into::into).collect(), stdin: Content::default(), timeout_s }
    }
}

/// What it is, for a message: never its content.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, .. } => write!(f, "writing {path}"),
            Self::Directory { path, .. } => write!(f, "making directory {path}"),
            Self::Symlink { path, .. } => write!(f, "linking {path}"),
            Self::AppendLine { path, .. } => write!(f, "adding a line to {path}"),
            Self::Remove { path } => write!(f, "removing {path}"),
            // Of a whole script, its beginning tells which one it is.
            Self::Run { argv, .. } => {
                let words = argv.iter().map(|word| word.split_once('\n').map_or(word.clone(), |(first, _)| format!("{first} …")));
                write!(f, "`{}`", words.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl Probe {
    /// The output of a read-only command.
    pub fn run<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::Run { argv: argv.into_iter().map(Into::into).collect() }
    }

    /// What stands at a path.
    pub fn path(path: impl Into<String>) -> Self {
        Self::Path { path: path.into(), expect: None }
    }
}

/// Bytes for a file or a program's input.
#[derive(Clone)]
pub enum Content {
    /// Bytes that may be shown.
    Plain(Arc<[u8]>),
    /// Bytes that may not.
    Secret(Secret),
}

impl Default for Content {
    fn default() -> Self {
        Self::Plain(Arc::from([]))
    }
}

impl Content {
    /// Bytes that may be shown.
    pub fn plain(bytes: impl AsRef<[u8]>) -> Self {
        Self::Plain(Arc::from(bytes.as_ref()))
    }

    /// The bytes themselves, for the transport.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Secret(secret) => secret.expose().as_bytes(),
        }
    }

    /// Lower-case hex SHA-256 of the bytes.
    pub fn sha256(&self) -> String {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(self.bytes()))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Secret(_) => f.write_str("<secret>"),
        }
    }
}

/// The changes of one resource inside a batch.
#[derive(Clone, Debug)]
pub struct Block {
    /// Positions in the batch of the blocks that must have succeeded before this one.
    pub after: Vec<usize>,
    /// What the change was computed from. Paths and lines among it are compared again before anything is changed.
    pub guard: Vec<(Probe, Finding)>,
    /// What to do, in order; the first that fails ends the block.
    pub actions: Vec<Action>,
    /// What to look at afterwards.
    pub reread: Vec<Probe>,
}

/// How one block of a batch ended.
#[derive(Clone, Debug)]
pub enum BlockOutcome {
    /// All actions succeeded; the findings answer `reread`.
    Done(Vec<Finding>),
    /// An action failed.
    Failed {
        /// Which action of the block.
        action: usize,
        /// Its exit status and output.
        output: Output,
    },
    /// A block named in `after` did not succeed.
    Skipped,
    /// The node is no longer as the guard says; nothing of the whole batch was done. The findings answer `reread`.
    Moved(Vec<Finding>),
}

/// The machines of a run, by name.
///
/// One connection per node serves the whole run. Errors are [`Kind::Peer`](crate::Kind::Peer) and name the node.
pub trait Nodes: Send + Sync {
    /// Looks at everything in `probes` in one round, and answers in the same order.
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>>;

    /// Checks the guards, changes, and reads again, in one round. `told` hears of each block as it begins, and what it notices.
    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        effect: &'a Effect,
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>>;

    /// Keeps the host key that is believed in this run for later ones.
    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>>;

    /// Does one action and returns how it ended, whatever the exit status.
    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>>;

    /// As [`act`](Self::act), for somebody who listens: `heard` gets what the action prints, as it comes where the transport can do
    /// that, and what is returned holds the exit status alone.
    fn act_heard<'a>(
        &'a self,
        node: &'a str,
        action: &'a Action,
        effect: &'a Effect,
        heard: &'a (dyn Fn(Heard<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            let output = self.act(node, action, effect).await?;
            heard(Heard::Stdout(output.stdout.as_bytes()));
            heard(Heard::Stderr(output.stderr.as_bytes()));
            Ok(Output { status: output.status, ..Output::default() })
        })
    }
}
