//! OpenSSH's server for one test, on a loopback address, with keys of its own.
use std::{
    fs::{self, DirBuilder, File},
    net::{SocketAddr, TcpStream},
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Where Debian's sshd puts the half of itself that strangers talk to.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Makes an SSH key, in place of one that is there.
pub fn make_key(ssh_keygen: &Path, file: &Path, kind: &str, passphrase: &str) {
    let _ = fs::remove_file(file);
    let output = Command::new(ssh_keygen).args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", ssh_keygen.display()));
    assert!(output.status.success(), "{}: {}", ssh_keygen.display(), String::from_utf8_lossy(&output.stderr));
}

/// Starts a server with the host key `folder/host` and returns when it listens. It writes `folder/log`; `more` is for its configuration.
pub fn start_sshd(sshd: &Path, folder: &Path, address: SocketAddr, more: &str) -> Child {
    start(Command::new(sshd), folder, address, more)
}

/// As [`start_sshd`], for a server to which the files in `folder/etc` are those of `/etc` with the same names: it has users and login
/// shells of its own, and nobody else sees them.
pub fn start_sshd_with_etc(unshare: &Path, sshd: &Path, folder: &Path, address: SocketAddr, more: &str) -> Child {
    let mut command = Command::new(unshare);
    let script = r#"for file in "$1"/etc/*; do mount --bind "$file" "/etc/${file##*/}" || exit; done; shift; exec "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(folder).arg(sshd);
    start(command, folder, address, more)
}

/// `command` is the server's, without arguments of its own.
fn start(mut command: Command, folder: &Path, address: SocketAddr, more: &str) -> Child {
    privilege_separation();
    let (config, log) = (folder.join("config"), folder.join("log"));
    let common = format!("ListenAddress {address}\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n", folder.join("host").display());
    fs::write(&config, format!("{common}{more}\n")).expect("the folder is the test's");
    command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stderr(File::create(&log).expect("the folder is the test's"));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = child.try_wait().expect("it is our child");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        assert!(ended.is_none(), "sshd ended: {}", said());
        if begun.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("sshd does not listen on {address}: {}", said());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// sshd wants this folder, empty and root's alone. The init system makes it when the service starts: not where there is none, or where
/// the service was installed and never started.
fn privilege_separation() {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(PRIVILEGE_SEPARATION);
    made.unwrap_or_else(|error| panic!("cannot make {PRIVILEGE_SEPARATION}, which sshd wants: {error}"));
}
