//! A real sshd for one test, the workspace whose one node it is, and what the tests ask of it.
use super::super::{KnownHosts, SshNodes};
use crate::workspace::{NodeSpec, Role, Ssh, Workspace};
use kthw_engine::{
    Peers, RunOptions, SystemClock,
    node::{Action, Nodes, Output, Probe},
};
use kthw_peers::{SSH_KEYGEN, SSHD, UNSHARE, ask, make_key, start_sshd, start_sshd_with_etc};
use std::{
    fs,
    net::{IpAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
};

/// A server and the key that it lets in; it is stopped when dropped.
pub(super) struct Sshd {
    program: PathBuf,
    pub ssh_keygen: PathBuf,
    /// For a server with users of its own.
    unshare: Option<PathBuf>,
    folder: tempfile::TempDir,
    pub address: IpAddr,
    pub port: u16,
    child: Option<Child>,
}

impl Sshd {
    /// Starts one; `None`, said aloud, where there is none.
    #[track_caller]
    pub fn start(address: &str) -> Option<Self> {
        let mut sshd = Self::prepare(address, None)?;
        sshd.start_again("");
        Some(sshd)
    }

    /// Starts one which knows a user `name` with this number and login shell; nobody else on the machine does.
    #[track_caller]
    pub fn start_with_user(address: &str, name: &str, number: u32, shell: &Path) -> Option<Self> {
        let [unshare] = ask([&UNSHARE])?;
        let mut sshd = Self::prepare(address, Some(unshare))?;
        for folder in ["etc", "home"] {
            fs::create_dir(sshd.at(folder)).unwrap();
        }
        // The server looks for keys as the user.
        fs::set_permissions(sshd.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let home = sshd.at("home").display().to_string();
        let with = |file: &str, line: String| {
            let others = fs::read_to_string(format!("/etc/{file}")).unwrap();
            let others = others.lines().filter(|line| line.split(':').next() != Some(name));
            let text: String = others.chain([line.as_str()]).map(|line| format!("{line}\n")).collect();
            fs::write(sshd.at("etc").join(file), text).unwrap();
        };
        with("passwd", format!("{name}:x:{number}:{number}::{home}:{}", shell.display()));
        with("shadow", format!("{name}:*:20000:0:99999:7:::"));
        std::os::unix::fs::chown(sshd.at("home"), Some(number), Some(number)).unwrap();
        sshd.start_again("");
        Some(sshd)
    }

    #[track_caller]
    fn prepare(address: &str, unshare: Option<PathBuf>) -> Option<Self> {
        let [program, ssh_keygen] = ask([&SSHD, &SSH_KEYGEN])?;
        let folder = tempfile::tempdir().unwrap();
        make_key(&ssh_keygen, &folder.path().join("host"), "ed25519", "");
        make_key(&ssh_keygen, &folder.path().join("user"), "ed25519", "");
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized_keys")).unwrap();
        let address: IpAddr = address.parse().unwrap();
        let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        Some(Self { program, ssh_keygen, unshare, folder, address, port, child: None })
    }

    /// Starts the server again, with more lines of configuration, which come first: of several the first counts (sshd_config(5)).
    pub fn start_again(&mut self, more: &str) {
        self.stop();
        let keys = self.at("authorized_keys");
        let more = format!("{more}\nAuthorizedKeysFile {}\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n", keys.display());
        let address = (self.address, self.port).into();
        self.child = Some(match &self.unshare {
            None => start_sshd(&self.program, self.folder.path(), address, &more),
            Some(unshare) => start_sshd_with_etc(unshare, &self.program, self.folder.path(), address, &more),
        });
    }

    pub fn make_key(&self, name: &str, kind: &str, passphrase: &str) {
        make_key(&self.ssh_keygen, &self.at(name), kind, passphrase);
    }

    /// Signs the public key `name.pub` with the key `authority`, by these further arguments of `ssh-keygen -s`.
    pub fn sign(&self, authority: &str, name: &str, arguments: &[&str]) {
        let mut command = Command::new(&self.ssh_keygen);
        command.arg("-q").arg("-s").arg(self.at(authority)).args(["-I", name]).args(arguments).arg(self.at(&format!("{name}.pub")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes this line the whole of sudoers. The server, which has users of its own, is started again.
    pub fn allow_sudo(&mut self, line: &str) {
        let file = self.at("etc").join("sudoers");
        fs::write(&file, format!("{line}\n")).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o440)).unwrap();
        self.start_again("");
    }

    /// Lets this key in, and no other.
    pub fn authorize(&self, name: &str) {
        fs::copy(self.at(&format!("{name}.pub")), self.at("authorized_keys")).unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn host_key(&self) -> String {
        fs::read_to_string(self.at("host.pub")).unwrap()
    }

    /// What the server has written down since it was started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap()
    }

    /// Gives the server another host key, as a machine that was made anew would have.
    pub fn swap_host_key(&mut self) {
        self.make_key("host", "ed25519", "");
        self.start_again("");
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its node is `cu1`, and root logs in with the key `user`.
    pub fn workspace(&self) -> Workspace {
        let mut workspace = workspace();
        workspace.ssh = Ssh { user: "root".into(), port: self.port, ..Ssh::default() };
        let IpAddr::V4(address) = self.address else { unreachable!("the tests use IPv4") };
        workspace.nodes = vec![NodeSpec { address, ..workspace.nodes[0].clone() }];
        self.with_key(workspace, "user")
    }

    /// The same workspace with another key.
    pub fn with_key(&self, mut workspace: Workspace, name: &str) -> Workspace {
        workspace.ssh.key_file = Some(self.at(name).to_str().unwrap().into());
        workspace
    }

    pub fn known_hosts(&self) -> KnownHosts {
        let known = KnownHosts::open(self.at("known_hosts")).unwrap();
        known.learn_vouched(self.address, self.port, &self.host_key()).unwrap();
        known
    }

    pub fn nodes(&self) -> SshNodes {
        self.nodes_of(self.workspace())
    }

    pub fn nodes_of(&self, workspace: Workspace) -> SshNodes {
        SshNodes::new(Arc::new(workspace), self.known_hosts())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A run's peers with these nodes.
pub(super) fn peers(nodes: SshNodes) -> Peers {
    Peers::new(Arc::new(nodes), Arc::new(SystemClock::default()))
}

/// Does one action on `cu1`, as `kthw exec` does.
pub(super) async fn act(peers: &Peers, action: &Action) -> kthw_engine::Result<Output> {
    kthw_engine::execute("cu1", action, peers, &RunOptions::default()).await
}

/// Logs in and looks at nothing in particular; what a person is told when that fails.
pub(super) async fn refusal(nodes: SshNodes) -> String {
    told(&nodes.read("cu1", &[Probe::path("/")]).await.unwrap_err())
}

/// An error with its causes, its code and its help.
pub(super) fn told(error: &kthw_engine::Error) -> String {
    let diagnostic = error.diagnostic();
    let code = diagnostic.code().map(|code| code.to_string()).unwrap_or_default();
    let help = diagnostic.help().map(|help| help.to_string()).unwrap_or_default();
    format!("{error} [{code}] {help}")
}

fn workspace() -> Workspace {
    let text = include_str!("../../../../../workspaces/ubuntu/workspace.yaml");
    let mut workspace: Workspace = serde_saphyr::from_str(text).unwrap();
    workspace.nodes.retain(|node| node.role == Role::ControlPlane);
    workspace
}
