//! kill -9 while a file is changed: it is the old one or the new one, and no plain text is on any disk.
//!
//! Calls are killed after delays that sweep over the whole duration of a call, and at each change that polling sees in the folders.
use super::desk::Desk;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

/// In every plain text, old and new; nowhere on a disk.
const CANARY: &str = "canary-0f6b1c";
/// Where kthw keeps a text that is being edited.
const MEMORY: &str = "/dev/shm";
/// At most this long for one call.
const LIMIT: Duration = Duration::from_secs(60);

/// One kind of call that is killed.
struct Case {
    desk: Desk,
    arguments: &'static [&'static str],
    /// Tells this case's file in memory from those of others.
    name: String,
    old: Option<Vec<u8>>,
    new_plain: &'static str,
}

/// What became of all calls.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    old: usize,
    new: usize,
    left_in_memory: usize,
}

/// Slow enough that kills fall into each part of it; it writes in two steps, as an editor may.
const EDITOR: &str = "f() { printf 'token: ' > \"$1\"; sleep 0.02; printf 'canary-0f6b1c-new\\n' >> \"$1\"; sleep 0.02; }; f";
const OLD: &str = "token: canary-0f6b1c-old\nother: 1\n";
const NEW: &str = "token: canary-0f6b1c-new\n";

impl Case {
    fn new(verb: &'static str, arguments: &'static [&'static str], is_there: bool, new_plain: &'static str) -> Self {
        let name = format!("bar-{}-{verb}.yaml", std::process::id());
        let desk = Desk::new();
        let mut case = Self { desk, arguments, name, old: None, new_plain };
        if is_there {
            // Encrypted elsewhere, so that no plain text was ever on this disk.
            let other = Desk::new();
            other.write(&case.name, OLD);
            std::fs::copy(case.desk.file(".sops.yaml"), other.file(".sops.yaml")).unwrap();
            other.kthw(&["encrypt", "-i", &case.name], "").ended_with(0);
            case.old = Some(std::fs::read(other.file(&case.name)).unwrap());
        }
        case.reset();
        case
    }

    /// Puts the old file back, and removes what is left beside it.
    fn reset(&self) {
        for entry in std::fs::read_dir(self.desk.path()).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_name().to_string_lossy().contains(&self.name) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        if let Some(old) = &self.old {
            std::fs::write(self.file(), old).unwrap();
        }
    }

    fn file(&self) -> PathBuf {
        self.desk.file(&self.name)
    }

    fn start(&self) -> Child {
        let mut command = self.desk.command(&[self.arguments, &[&self.name]].concat());
        command.env("EDITOR", EDITOR).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// How long a whole call takes, at best.
    fn duration(&self) -> Duration {
        let once = || {
            let started = Instant::now();
            assert!(self.start().wait().unwrap().success());
            let took = started.elapsed();
            assert_eq!(self.plain(), self.new_plain);
            self.reset();
            took
        };
        (0..4).map(|_| once()).min().unwrap()
    }

    fn plain(&self) -> String {
        self.desk.kthw(&["decrypt", &self.name], "").ended_with(0).stdout
    }

    fn kill_after(&self, delay: Duration, tally: &mut Tally) {
        let mut child = self.start();
        std::thread::sleep(delay);
        self.kill(&mut child, tally);
    }

    /// Kills at the `count`-th change; `false` when the call ended before.
    fn kill_at_change(&self, count: usize, tally: &mut Tally) -> bool {
        let mut seen = self.state();
        let mut changes = 0;
        let started = Instant::now();
        let mut child = self.start();
        while child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < LIMIT, "the call does not end");
            let now = self.state();
            if now != seen {
                seen = now;
                changes += 1;
                if changes == count {
                    self.kill(&mut child, tally);
                    return true;
                }
            }
        }
        self.check(tally);
        self.reset();
        false
    }

    fn kill(&self, child: &mut Child, tally: &mut Tally) {
        if child.try_wait().unwrap().is_none() {
            tally.kills += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The editor outlives kthw; it writes to memory only, and ends by itself.
        self.check(tally);
        self.reset();
    }

    /// The file is the old one or the new one, and the canary is nowhere on the disk.
    fn check(&self, tally: &mut Tally) {
        let found = std::fs::read(self.file()).ok();
        if found == self.old {
            tally.old += 1;
        } else {
            assert_eq!(self.plain(), self.new_plain, "neither the old file nor the new one");
            tally.new += 1;
        }
        assert_eq!(holding(self.desk.path(), CANARY), Vec::<PathBuf>::new(), "plain text on the disk");
        if self.in_memory().is_some() {
            tally.left_in_memory += 1;
        }
    }

    /// The folder in memory that holds this case's file.
    fn in_memory(&self) -> Option<PathBuf> {
        std::fs::read_dir(MEMORY).into_iter().flatten().flatten().map(|entry| entry.path()).find(|folder| folder.join(&self.name).exists())
    }

    /// What the folders hold: names, sizes and times.
    fn state(&self) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
        let memory = std::fs::read_dir(MEMORY).into_iter().flatten().flatten().map(|entry| entry.path());
        let folders = memory.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kthw-edit-")));
        let mut state = Vec::new();
        for folder in folders.chain([self.desk.path().to_owned()]) {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let of_others = folder.starts_with(MEMORY) && entry.file_name() != self.name.as_str();
                if let (false, Ok(found)) = (of_others, entry.metadata()) {
                    state.push((entry.path(), found.len(), found.modified().ok()));
                }
            }
        }
        state.sort();
        state
    }
}

/// The files below `folder` that hold `text`.
pub fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())) {
            found.push(path);
        }
    }
    found
}

/// Kills a call at each change that is seen, and after delays over its whole duration, until it was killed often enough.
fn sweep(case: &Case, kills: usize) -> Tally {
    let mut tally = Tally::default();
    let took = case.duration();
    let changes = (1..40).take_while(|count| case.kill_at_change(*count, &mut tally)).count();
    // Calls take shorter and longer as the machine is busy, so some end before they are killed.
    for round in 0..10 {
        for at in 0..kills {
            if tally.kills < kills + changes {
                // The golden ratio spreads the delays evenly, however many there are.
                let part = (round * kills + at) as f64 * 0.618_033_988_75;
                case.kill_after(took.mul_f64(part.fract()), &mut tally);
            }
        }
    }
    eprintln!("{:?}: {tally:?}, {changes} of them at a change that was seen; a call takes {took:?}", case.arguments);
    assert!(tally.old > 0 && tally.kills >= kills, "{tally:?}");
    tally
}

#[test]
fn a_killed_rotate_leaves_the_old_file_or_the_new_one() {
    let case = Case::new("rotate", &["rotate"], true, OLD);
    let tally = sweep(&case, 60);
    assert_eq!(tally.left_in_memory, 0, "rotate puts no plain text anywhere");
}

#[test]
fn a_killed_edit_leaves_the_old_file_or_the_new_one() {
    let case = Case::new("edit", &["edit"], true, NEW);
    let edited = sweep(&case, 60);
    let making = Case::new("make", &["edit"], false, NEW);
    let made = sweep(&making, 30);
    assert!(edited.kills + made.kills >= 90);
    // The editor of the last kill ends; then the next edit of any file removes what is left in memory.
    std::thread::sleep(Duration::from_millis(300));
    let other = Desk::with("secrets.sops.yaml", "a: 1\n");
    other.edit("true", &[]).ended_with(0);
    for case in [&case, &making] {
        assert_eq!(case.in_memory(), None, "what a killed edit left in memory is still there");
    }
}

/// Nobody but the owner may look into what a killed edit would leave in memory.
#[test]
fn what_is_in_memory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new("private", &["edit"], true, NEW);
    let mut child = case.start();
    let started = Instant::now();
    let folder = loop {
        match case.in_memory() {
            Some(folder) => break folder,
            None => assert!(started.elapsed() < LIMIT && child.try_wait().unwrap().is_none(), "no file in memory is seen"),
        }
    };
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(&folder).output().unwrap();
    assert_eq!(String::from_utf8(kind.stdout).unwrap().trim(), "tmpfs");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    child.kill().unwrap();
    child.wait().unwrap();
}
