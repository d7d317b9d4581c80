//! What tests of load balancers share: the checker's program, clients that note what they saw, and the table of it.
use super::root;
use crate::peers_support::World;
use std::process::Command;

/// The clients; their head says how they are called.
pub const LOAD: &str = include_str!("../peers/load-balancer/load.py");

/// Builds the checker as docs/guides/load-balancer.md says.
fn checker() -> std::path::PathBuf {
    let folder = root().join("target/static");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--profile", "dist", "-p", "kthw-checker", "--target", "x86_64-unknown-linux-gnu", "--target-dir"]);
    let built = cargo.arg(&folder).env("RUSTFLAGS", "-Ctarget-feature=+crt-static").current_dir(root()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join("x86_64-unknown-linux-gnu/dist/kthw-checker")
}

/// Builds the checker, puts it into the world's mirror, and pins it in a workspace that names this mirror.
pub fn checker_is_pinned(world: &World, workspace: &str) {
    let place = world.sandbox.path().join("mirror").join(kthw_stdlib::artifact::checker_file().path());
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(checker(), &place).unwrap();
    let pinned = world.kthw(&["artifacts", "pin", "kthw-checker-x86_64-linux", "-w", workspace, "--yes"]).ended_with(0);
    assert!(pinned.stdout.contains("a program for x86-64 that needs no library"), "{}", pinned.stdout);
}

/// One connection: when it began, which server answered (none where it was lost), and how many milliseconds it took, or why it was lost.
pub type Connection = (f64, Option<String>, String);

/// What the clients wrote down. Times are seconds since 1970.
pub struct Heard {
    connections: Vec<Connection>,
    /// When a stream was opened, and to which server.
    opened: Vec<(f64, String)>,
    /// When a stream ended by itself, and of which server it was.
    ended: Vec<(f64, String)>,
}

impl Heard {
    pub fn of(text: &str) -> Self {
        let mut heard = Self { connections: Vec::new(), opened: Vec::new(), ended: Vec::new() };
        // The last line may be half written.
        for line in text.lines().take(text.matches('\n').count()) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let [kind, when, server, rest] = words[..] else { panic!("{line}") };
            let (when, server) = (when.parse().unwrap(), server.to_owned());
            match kind {
                "C" => heard.connections.push((when, Some(server).filter(|server| server != "-"), rest.into())),
                "T" => heard.opened.push((when, server)),
                _ => heard.ended.push((when, server)),
            }
        }
        heard
    }

    pub fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |(when, ..)| (from..to).contains(when))
    }

    /// The connections that `server` answered.
    fn answered(&self, server: &str, from: f64, to: f64) -> impl Iterator<Item = f64> {
        self.between(from, to).filter(move |(_, by, _)| by.as_deref() == Some(server)).map(|(when, ..)| *when)
    }

    pub fn lost(&self, from: f64, to: f64) -> usize {
        self.between(from, to).filter(|(_, server, _)| server.is_none()).count()
    }

    pub fn count(&self, server: &str, from: f64, to: f64) -> usize {
        self.answered(server, from, to).count()
    }

    /// How long after `moment` a server got its first new connection, in seconds.
    pub fn first(&self, server: &str, moment: f64, to: f64) -> Option<f64> {
        self.answered(server, moment, to).map(|when| when - moment).min_by(f64::total_cmp)
    }

    /// How long after `fault` a server got its last new connection, in seconds.
    pub fn last(&self, server: &str, fault: f64, to: f64) -> f64 {
        self.answered(server, fault, to).map(|when| when - fault).fold(0.0, f64::max)
    }

    /// The longest that an answer took, in seconds.
    pub fn slowest(&self, from: f64, to: f64) -> f64 {
        self.between(from, to).filter_map(|(_, server, took)| server.as_ref().and(took.parse::<f64>().ok())).fold(0.0, f64::max) / 1000.0
    }

    /// The servers whose streams ended, one for each stream.
    pub fn streams_ended(&self, from: f64, to: f64) -> Vec<&str> {
        self.ended.iter().filter(|(when, _)| (from..to).contains(when)).map(|(_, server)| server.as_str()).collect()
    }

    /// How many streams a server has at a moment.
    pub fn streams_of(&self, server: &str, moment: f64) -> usize {
        let count = |list: &[(f64, String)]| list.iter().filter(|(when, of)| *when < moment && of == server).count();
        count(&self.opened) - count(&self.ended)
    }
}

/// What happened between two moments, a row for each.
#[derive(Default)]
pub struct Table(Vec<String>);

impl Table {
    pub fn note(&mut self, heard: &Heard, what: &str, from: f64, to: f64, more: &str) {
        let (all, lost, ended) = (heard.between(from, to).count(), heard.lost(from, to), heard.streams_ended(from, to).len());
        self.0.push(format!("| {what} | {all} | {lost} | {ended} | {more} |"));
    }

    /// Notes it, and that nothing was lost.
    #[track_caller]
    pub fn nothing_lost(&mut self, heard: &Heard, what: &str, from: f64, to: f64, more: &str) {
        self.note(heard, what, from, to, more);
        let why: Vec<_> = heard.between(from, to).filter(|(_, server, _)| server.is_none()).take(3).collect();
        assert!(why.is_empty(), "{what}: {} were lost: {why:?}\n{self}", heard.lost(from, to));
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "| what | connections | lost | streams ended | |\n|---|---|---|---|---|\n{}", self.0.join("\n"))
    }
}
