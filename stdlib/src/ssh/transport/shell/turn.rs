//! One script of kthw at a time on a node: a lock file, with the number of the last run that wrote there.
//!
//! A script goes on when the connection breaks, or kthw is killed. The next one waits for it in place of doing the same at the same time,
//! and a run that was overtaken by a later one does nothing more.
use super::{Separator, answer::Sections, quote};

/// The longest that a script waits for another one, in seconds.
pub const WAIT_S: u64 = 300;

/// The turn of one run on one node.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Names the machine, so that several behind one file system do not wait for each other.
    pub machine: String,
    /// The number of the run.
    pub run: u64,
}

/// Why a script did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// Another script still runs.
    Held,
    /// A later run was here; this is its number.
    Overtaken(u64),
}

impl Turn {
    /// Takes the turn, or says why not and ends the script. Descriptor 9 holds the lock for as long as the script runs; what the script
    /// starts does not get it, so that a daemon holds nobody up.
    pub fn script(&self) -> String {
        let (file, run) = (quote(&format!("/run/kthw/{}", self.machine)), self.run);
        format!(
            r#"mkdir -p -m 700 /run/kthw && exec 9>>{file} || exit 73
if ! flock -n 9; then echo "${{N}}waits"; flock -w {WAIT_S} 9 || {{ echo "${{N}}held"; echo "${{N}}end"; exit 0; }}; fi
R=0; read -r R <{file} || R=${{R:-0}}
if [ "$R" -gt {run} ]; then echo "${{N}}overtaken $R"; echo "${{N}}end"; exit 0; fi
[ "$R" = {run} ] || echo {run} >{file}
"#
        )
    }

    /// Whether a script did nothing because it was not its turn.
    pub fn refused(sections: &Sections) -> Option<NoTurn> {
        if sections.get("held").is_some() {
            return Some(NoTurn::Held);
        }
        let overtaken = sections.iter().find_map(|(name, _)| name.strip_prefix("overtaken "));
        overtaken.map(|run| NoTurn::Overtaken(run.trim().parse().unwrap_or(u64::MAX)))
    }

    /// Whether this line of the answer tells that another script is waited for.
    pub fn waits(line: &[u8], mark: &Separator) -> bool {
        line.strip_prefix(mark.as_str().as_bytes()).is_some_and(|rest| rest.trim_ascii_end() == b"waits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, process::Command};

    /// A script of this run that does `work` when it is its turn, with its lock in a folder of the test's own.
    fn script(folder: &Path, run: u64, work: &str) -> Command {
        let turn = Turn { machine: "cu1".into(), run }.script();
        let mut sh = Command::new("/bin/sh");
        sh.arg("-c").arg(format!("N=mark-\n{}{work}", turn.replace("/run/kthw", folder.to_str().unwrap()))).current_dir(folder);
        sh
    }

    fn said(mut script: Command) -> String {
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_script_that_is_under_way_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let first = script(folder.path(), 1, "touch begun; sleep 1; touch ended\n").spawn();
        while !folder.path().join("begun").exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(said(script(folder.path(), 2, "test -e ended && echo after\n")), "mark-waits\nafter\n");
        assert!(first.unwrap().wait().unwrap().success());
    }

    #[test]
    fn a_run_that_a_later_one_overtook_does_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(said(script(folder.path(), 7, "echo did\n")), "did\n");
        assert_eq!(said(script(folder.path(), 8, "echo did\n")), "did\n");
        assert_eq!(said(script(folder.path(), 7, "echo did\n")), "mark-overtaken 8\nmark-end\n");
        assert_eq!(said(script(folder.path(), 8, "echo did\n")), "did\n");
    }
}
