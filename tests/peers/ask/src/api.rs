//! An API server without nodes: the one that runs already, or one for this test alone (tests/peers/api).
use crate::{API_SERVER, OPENSSL, Turn, ask};
use std::{path::PathBuf, process::Command};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../api");

/// A running API server. One that was started for this ends with it.
#[derive(Debug)]
pub struct ApiServer {
    /// The administrator's kubeconfig; the server in it has a name that its certificate holds.
    pub kubeconfig: PathBuf,
    /// The `address:port` where it listens.
    pub address: String,
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    folder: TempDir,
    /// One is enough for the machine's memory.
    _turn: Turn,
}

impl ApiServer {
    /// The one that `KTHW_PEER_KUBECONFIG` and `KTHW_PEER_API` name, else one that is started now; `None`, said aloud, where it cannot be.
    #[track_caller]
    pub fn ask() -> Option<Self> {
        Self::ask_of(None)
    }

    /// One of this minor version, such as `1.36`, whatever those variables say.
    #[track_caller]
    pub fn of_minor(minor: &str) -> Option<Self> {
        Self::ask_of(Some(minor))
    }

    #[track_caller]
    fn ask_of(minor: Option<&str>) -> Option<Self> {
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (None, Some(kubeconfig), Some(address)) = (minor, named("KTHW_PEER_KUBECONFIG"), named("KTHW_PEER_API")) {
            return Some(Self { kubeconfig: kubeconfig.into(), address, started: None });
        }
        ask([&API_SERVER, &OPENSSL])?;
        Some(Self::start(minor))
    }

    fn start(minor: Option<&str>) -> Self {
        let started = Started { _turn: Turn::take("api-server"), folder: tempfile::tempdir().expect("a temporary folder") };
        let (kubeconfig, address) = (PathBuf::new(), String::new());
        // Ended with the value, also when it does not become ready.
        let mut server = Self { kubeconfig, address, started: Some(started) };
        let output = server
            .script("up")
            .envs(minor.map(|minor| ("KTHW_PEER_MINOR", minor)))
            .output()
            .unwrap_or_else(|error| panic!("{SCRIPT} does not start: {error}"));
        let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{SCRIPT} up: {why}");
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = |name: &str| value(name).unwrap_or_else(|| panic!("{SCRIPT} up printed no {name}:\n{said}")).to_owned();
        server.kubeconfig = value("KTHW_PEER_KUBECONFIG").into();
        server.address = value("KTHW_PEER_API");
        server
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(SCRIPT);
        command.arg(verb).args(self.started.as_ref().map(|started| started.folder.path())).env("KTHW_PEERS", crate::cache());
        command
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if self.started.is_some() {
            let _ = self.script("down").status();
        }
    }
}
