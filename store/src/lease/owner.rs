//! Who has a lock: a person, and one process of one machine.
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use std::{fmt, fs};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The person's name on that machine.
    pub user: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: i32,
    /// What tells it from others of this name and number: the machine's boot, the world of process numbers, the process's start. Empty where
    /// the system does not say.
    #[serde(default)]
    pub birth: String,
}

impl Owner {
    /// This process.
    pub fn me() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
        Self {
            user: user.unwrap_or_else(|| format!("user {}", rustix::process::geteuid().as_raw())),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            birth: birth_of(pid).unwrap_or_default(),
        }
    }

    /// Whether this process can tell that the owner is no more: it was a process of this very machine, and is not there.
    pub fn is_gone(&self) -> bool {
        let me = Self::me();
        let (Some((theirs, _)), Some((ours, _))) = (self.birth.rsplit_once(' '), me.birth.rsplit_once(' ')) else { return false };
        if self.host != me.host || theirs != ours {
            return false;
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return true };
        // A process that may not be signalled is there.
        matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)) || birth_of(self.pid).is_some_and(|birth| birth != self.birth)
    }
}

/// Such as `<boot id> pid:[4026531836] 8412345`; <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>, field 22.
fn birth_of(pid: i32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may hold anything.
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{} {} {start}", boot.trim(), numbers.display()))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}, process {}", self.user, self.host, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_machine_that_ended_is_gone_and_nobody_else() {
        let me = Owner::me();
        assert!(!me.is_gone());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let gone = Owner { pid, ..me.clone() };
        child.wait().unwrap();
        if !me.birth.is_empty() {
            assert!(gone.is_gone(), "it ended");
            let reused = Owner { birth: format!("{} 1", me.birth.rsplit_once(' ').unwrap().0), ..me.clone() };
            assert!(reused.is_gone(), "its number is another process's now");
        }
        assert!(!Owner { host: "elsewhere".into(), ..gone.clone() }.is_gone());
        assert!(!Owner { birth: "another boot 1".into(), ..gone.clone() }.is_gone());
        assert!(!Owner { birth: String::new(), ..gone }.is_gone());
    }
}
