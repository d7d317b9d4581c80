//! The real binary against a real sshd: what a person sees of `kthw exec`, and of a configuration of SSH in the home folder.
use crate::support::{Sandbox, root};
use kthw_peers::{SSH_KEYGEN, SSHD, ask, make_key, start_sshd};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// A home folder, and a server that is its workspace's one node. Only the configuration of SSH says how it is reached.
struct Desk {
    sandbox: Sandbox,
    server: Child,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Desk {
    #[track_caller]
    fn new(address: &str) -> Option<Self> {
        let [sshd, ssh_keygen] = ask([&SSHD, &SSH_KEYGEN])?;
        let sandbox = Sandbox::new();
        let at = |name: &str| sandbox.path().join(name);
        make_key(&ssh_keygen, &at("host"), "ed25519", "");
        make_key(&ssh_keygen, &at("user"), "ed25519", "");
        let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let more = format!("AuthorizedKeysFile {}\nPermitRootLogin prohibit-password\n", at("user.pub").display());
        let server = start_sshd(&sshd, sandbox.path(), format!("{address}:{port}").parse().unwrap(), &more);

        fs::create_dir(at(".ssh")).unwrap();
        let config = format!("Host n1\n  User root\n  Port {port}\n  IdentityFile ~/user\n  ProxyUseFdpass no\n");
        fs::write(at(".ssh/config"), config).unwrap();
        let text = fs::read_to_string(root().join("tests/workspaces/bare/workspace.yaml")).unwrap();
        let text = text.replace("bevz.net", "cluster.example").replace("10.10.10.", "127.0.0.");
        let head = text.split("\nnodes:").next().unwrap();
        fs::create_dir(at("desk")).unwrap();
        let node = format!("{head}\nnodes:\n  - {{ name: n1, role: control_plane, address: {address} }}\n");
        fs::write(at("desk/workspace.yaml"), node).unwrap();
        Some(Self { sandbox, server })
    }

    fn workspace(&self) -> String {
        self.sandbox.path().join("desk").display().to_string()
    }
}

#[test]
fn exec_prints_each_line_as_it_comes_and_says_what_of_the_configuration_is_not_followed() {
    let Some(desk) = Desk::new("127.0.0.101") else { return };
    let workspace = desk.workspace();
    let script = "echo one; printf 'two\\033[31m\\n'; echo beside >&2; sleep 3; echo three; exit 4";
    let mut command = desk.sandbox.command(&["exec", "n1", "-w", &workspace, "--", "sh", "-c", script]);
    let mut kthw = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(kthw.stdout.take().unwrap()).lines();
    let mut next = || lines.next().map(|line| (line.unwrap(), Instant::now()));
    let (first, second, third) = (next(), next(), next());
    let output = kthw.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let ((first, begun), (second, _), (third, ended)) = match (first, second, third) {
        (Some(first), Some(second), Some(third)) => (first, second, third),
        other => panic!("{other:?} {stderr}"),
    };
    assert_eq!([first.as_str(), &second, &third], ["n1: one", "n1: two\\u{1b}[31m", "n1: three"]);
    assert!(ended - begun > Duration::from_secs(2), "it was printed at the end");
    assert!(stderr.contains("n1: beside\n") && stderr.contains("n1: ended with status 4"), "{stderr}");
    assert!(stderr.contains(".ssh/config:5: `ProxyUseFdpass` is not followed"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn cut_output_says_so_in_json_and_the_lab_has_no_configuration() {
    let Some(desk) = Desk::new("127.0.0.102") else { return };
    let workspace = desk.workspace();
    let script = "yes 0123456789abcdef | head -c 6000000";
    let said = desk.sandbox.kthw(&["exec", "n1", "--json", "-w", &workspace, "--", "sh", "-c", script]).ended_with(0);
    let output: serde_json::Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert!(output["stdout"].as_str().unwrap().starts_with("(the first 2 MiB are missing)\n0123456789abcdef\n"), "{}", said.stderr);

    let lab = desk.sandbox.kthw(&["exec", "n1", "--lab", "-w", &workspace, "--", "hostname"]);
    assert!(!lab.stderr.contains(".ssh/config"), "{}", lab.stderr);
}
