//! A folder with an age key, a `.sops.yaml` and nothing else; and calls of `kthw` in it as transcripts.
use crate::support::{Said, Sandbox, said};
use age::secrecy::ExposeSecret;
use expect_test::Expect;
use kthw_peers::{SCRIPT, ask};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// What most tests encrypt.
pub const PLAIN: &str =
    "proxmox:\n  token: abc\n  port: 8006\n# Of the load balancer.\nnginx:\n  keys: [\"one\", \"two\\nlines\"]\nnote_unencrypted: seen\n";

/// Compares a transcript.
#[track_caller]
pub fn check(desk: &Desk, calls: &[(&[&str], &str)], expected: Expect) {
    expected.assert_eq(&desk.transcript(calls));
}

/// The folder and what was said in it.
pub struct Desk {
    sandbox: Sandbox,
    pub alice: Identity,
    pub bob: Identity,
}

/// An age key.
pub struct Identity {
    pub public: String,
    pub private: String,
}

impl Identity {
    pub fn new() -> Self {
        let identity = age::x25519::Identity::generate();
        Self { public: identity.to_public().to_string(), private: identity.to_string().expose_secret().to_owned() }
    }
}

impl Desk {
    /// Alice's desk: her key opens what the rules in the folder make.
    pub fn new() -> Self {
        let desk = Self { sandbox: Sandbox::new(), alice: Identity::new(), bob: Identity::new() };
        desk.write("tmp/.keep", "");
        desk.write(".sops.yaml", &format!("creation_rules:\n  - age: {}\n", desk.alice.public));
        desk
    }

    /// A desk with a file that Alice can open.
    pub fn with(name: &str, plain: &str) -> Self {
        let desk = Self::new();
        desk.write(name, plain);
        desk.kthw(&["encrypt", "--in-place", name], "").ended_with(0);
        desk
    }

    pub fn path(&self) -> &Path {
        self.sandbox.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// `kthw secrets ARGUMENTS…` as Alice.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(&[&["secrets"], arguments].concat());
        command.current_dir(self.path()).env("SOPS_AGE_KEY", &self.alice.private).env("TMPDIR", self.file("tmp"));
        command
    }

    /// Runs `kthw secrets ARGUMENTS…` as Alice.
    pub fn kthw(&self, arguments: &[&str], stdin: &str) -> Said {
        fed(self.command(arguments), stdin)
    }

    /// Edits with a shell command as the editor; the file is its `$1`.
    pub fn edit(&self, editor: &str, arguments: &[&str]) -> Said {
        let mut command = self.command(&[&["edit"], arguments].concat());
        command.env("EDITOR", format!("f() {{ {editor}; }}; f"));
        fed(command, "")
    }

    /// Runs `kthw secrets ARGUMENTS…` on a terminal and types `typed`, one after the other; returns what is on the terminal in the end.
    /// `None`, said aloud, where there is no `script` to make a terminal.
    #[track_caller]
    pub fn on_terminal(&self, arguments: &[&str], variables: &[(&str, &str)], typed: &[&str]) -> Option<String> {
        let kthw = self.command(&[]).get_program().to_string_lossy().into_owned();
        let [script] = ask([&SCRIPT])?;
        let mut command = Command::new(script);
        command.args(["-qec", &format!("{kthw} secrets {}", arguments.join(" ")), "/dev/null"]).current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.path()).env("TMPDIR", self.file("tmp"));
        command.env("SOPS_AGE_KEY", &self.alice.private).env("TERM", "xterm").envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for text in typed {
            // A prompt without echo drops what was typed before it, so each answer waits for its question.
            std::thread::sleep(Duration::from_secs(2));
            stdin.write_all(text.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_secs(2));
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Some(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
    }

    /// The calls, what they printed and how they ended, with what differs from run to run left out.
    pub fn transcript(&self, calls: &[(&[&str], &str)]) -> String {
        let mut told = String::new();
        for (arguments, stdin) in calls {
            let fed = if stdin.is_empty() { String::new() } else { format!("printf {stdin:?} | ") };
            told += &format!("$ {fed}kthw secrets {}\n{}", arguments.join(" "), self.tell(&self.kthw(arguments, stdin)));
        }
        told
    }

    /// What a call printed and how it ended.
    pub fn tell(&self, said: &Said) -> String {
        let code = if said.code == 0 { String::new() } else { format!("(ended with {})\n", said.code) };
        let lines = |text: &str| text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
        self.stable(&format!("{}{}{code}", lines(&said.stdout), lines(&said.stderr)))
    }

    fn stable(&self, text: &str) -> String {
        let text = text.replace(&self.alice.public, "age1alice").replace(&self.bob.public, "age1bob");
        let text = text.replace(&self.path().display().to_string(), "/desk");
        // Dates, and the names of folders in memory.
        let mut stable = String::new();
        for piece in text.split_inclusive([' ', '\n', ',']) {
            let word = piece.trim_end();
            let is_date = word.len() >= 20 && word.as_bytes()[4] == b'-' && word.contains('T') && word.trim_end_matches(',').ends_with('Z');
            match word.find("kthw-kept-") {
                _ if is_date => stable += &piece.replace(word.trim_end_matches(','), "DATE"),
                Some(at) => stable += &piece.replace(&word[at + 10..(at + 16).min(word.len())], "XXXXXX"),
                None => stable += piece,
            }
        }
        stable
    }
}

/// Runs a command with `stdin`.
pub fn fed(mut command: Command, stdin: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A call that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    said(child.wait_with_output().unwrap())
}
