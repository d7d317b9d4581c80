//! Whatever the login shell is, a script reaches the POSIX shell as it was written.
use super::{
    SshNodes,
    server::{Sshd, act, told},
};
use kthw_engine::node::{Action, Content, Finding, Nodes, Probe};
use kthw_peers::{FISH, SUDO, TCSH, ask};
use std::{fs, path::Path, sync::Arc};

/// What shells read differently.
const HARD: [&str; 14] = [
    r"path=C:\\srv\share\",
    r"\n\t\0101\x41\c\\\'",
    "it's 'quoted' \"twice\"",
    "!! !$ wow!",
    "^old^new",
    "$HOME ${HOME} $(id) `id` $$ $?",
    "%s %d %%",
    "~ ~root * ? [a-z] {a,b}",
    "a;b & c | d > /e < f # g",
    "(x) <(y) >(z)",
    "ünïcödé ✓ 😀",
    " both ends ",
    "-e -n",
    "\ttab\u{7}bell\u{1b}[1m",
];

/// Those, and one line of all characters that have one byte or Latin-1's.
fn hard_lines() -> Vec<String> {
    let all = ('\u{1}'..='\u{ff}').filter(|character| *character != '\n').collect();
    HARD.into_iter().map(str::to_owned).chain([all]).collect()
}

/// Writes every byte, and every hard line as an argument and as a line of a file, and reads it all back.
async fn check(address: &str, shell: &Path) {
    let Some(sshd) = Sshd::start_with_user(address, "root", 0, shell) else { return };
    let shown = shell.display();
    let path = |name: &str| sshd.at(name).display().to_string();
    let nodes = sshd.nodes();
    let peers = super::server::peers(nodes);
    let done = async |action: Action| {
        let output = act(&peers, &action).await.unwrap_or_else(|error| panic!("{shown}: {}", told(&error)));
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{shown}");
        output.stdout
    };
    let bytes: Vec<u8> = (1..=255).chain(*br"\\ \' !x '$A'").chain(*b"\n\n").collect();
    done(Action::Write { path: path("bytes"), content: Content::plain(&bytes), mode: 0o600, owner: None }).await;
    assert_eq!(fs::read(sshd.at("bytes")).unwrap(), bytes, "{shown}");

    let lines = hard_lines();
    for line in &lines {
        assert_eq!(done(Action::run(["printf", "%s", line])).await, *line, "{shown}");
        done(Action::AppendLine { path: path("lines"), line: line.clone() }).await;
    }
    let two = "one\ntwo\\\n\nfour";
    assert_eq!(done(Action::run(["printf", "%s", two])).await, two, "{shown}");
    let written: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(fs::read_to_string(sshd.at("lines")).unwrap(), written, "{shown}");

    let many = (0..2000).map(|n| Probe::Path { path: format!("/nowhere/it's \\{n}!"), expect: Some("0".repeat(64)) });
    let there = lines.iter().map(|line| Probe::Line { path: path("lines"), line: line.clone() });
    let found = sshd.nodes().read("cu1", &many.chain(there).collect::<Vec<_>>()).await;
    let found = found.unwrap_or_else(|error| panic!("{shown}: {}", told(&error)));
    assert_eq!(found[..2000], vec![Finding::Path(None); 2000], "{shown}");
    assert_eq!(found[2000..], vec![Finding::Line(true); lines.len()], "{shown}");
}

#[tokio::test]
async fn what_fish_would_read_otherwise_arrives_as_written() {
    let Some([fish]) = ask([&FISH]) else { return };
    check("127.0.0.52", &fish).await;
}

#[tokio::test]
async fn what_tcsh_would_read_otherwise_arrives_as_written() {
    let Some([tcsh]) = ask([&TCSH]) else { return };
    check("127.0.0.53", &tcsh).await;
}

#[tokio::test]
async fn what_posix_shells_get_arrives_as_written() {
    for shell in ["/bin/sh", "/bin/bash"] {
        check("127.0.0.54", Path::new(shell)).await;
    }
}

#[tokio::test]
async fn sudo_gets_the_script_through_any_login_shell() {
    let Some([fish, tcsh, _]) = ask([&FISH, &TCSH, &SUDO]) else { return };
    for shell in [fish.as_path(), &tcsh, Path::new("/bin/sh")] {
        let Some(mut sshd) = Sshd::start_with_user("127.0.0.55", "kthw", 4242, shell) else { return };
        sshd.allow_sudo("kthw ALL=(ALL) NOPASSWD:ALL");
        let mut workspace = sshd.workspace();
        workspace.ssh.user = "kthw".into();
        let peers = super::server::peers(SshNodes::new(Arc::new(workspace), sshd.known_hosts()));
        let done = async |action: Action| act(&peers, &action).await.unwrap_or_else(|error| panic!("{}", told(&error))).stdout;
        let line = r"it's \ C:\\srv !! $HOME";
        assert_eq!(done(Action::Run { argv: vec!["cat".into()], stdin: Content::plain(line), timeout_s: 5 }).await, line);
        assert_eq!(done(Action::run(["printf", "%s", line])).await, line, "{}", shell.display());
        assert_eq!(done(Action::run(["id", "-un"])).await, "root\n", "{}", shell.display());
    }
}
