//! Whether a machine runs: what Proxmox VE's two words for it mean together, and its lock.
use serde::Deserialize;
use std::time::Duration;

/// `GET /nodes/{node}/qemu/{vmid}/status/current`, as far as we need it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    status: String,
    /// QEMU's own word: <https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html>, `RunState`.
    #[serde(default)]
    qmpstatus: Option<String>,
    #[serde(default)]
    lock: Option<String>,
    /// Seconds since its start; a restart from within does not count.
    #[serde(default)]
    uptime: u64,
}

/// Why a machine that is there does not go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Its memory lies on disk, and it is off.
    Hibernated,
    /// Somebody paused it, or it sleeps.
    Paused,
    /// A disk could not be written or read, and QEMU stopped it there.
    IoError,
    /// Its system or QEMU itself gave up.
    Crashed,
}

impl Status {
    /// Whether its process is there.
    pub fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused" | "suspended")
    }

    /// How long it has run.
    pub fn up_for(&self) -> Duration {
        Duration::from_secs(self.uptime)
    }

    /// What somebody works on it, such as `backup`.
    pub fn lock(&self) -> Option<&str> {
        self.lock.as_deref()
    }

    /// Why it does not go on. What a migration, a snapshot or a start passes through is none of these.
    pub fn halt(&self) -> Option<Halt> {
        if !self.is_running() {
            return (self.lock() == Some("suspended")).then_some(Halt::Hibernated);
        }
        match self.qmpstatus.as_deref().filter(|word| *word != "running").unwrap_or(&self.status) {
            "paused" | "suspended" => Some(Halt::Paused),
            "io-error" => Some(Halt::IoError),
            "guest-panicked" | "internal-error" | "shutdown" | "watchdog" => Some(Halt::Crashed),
            _ => None,
        }
    }
}

impl Halt {
    /// The word for it in a plan.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hibernated => "hibernated",
            Self::Paused => "paused",
            Self::IoError => "io-error",
            Self::Crashed => "crashed",
        }
    }

    /// What it means, for whoever reads the plan.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Hibernated => "its memory lies on disk; it is woken",
            Self::Paused => "somebody paused it; it is resumed",
            Self::IoError => "a disk failed, or its storage is full; it is resumed, which helps once there is room",
            Self::Crashed => "its system or QEMU gave up; only a person restarts it",
        }
    }

    /// What a person does when it stays so.
    pub fn next_step(self, vmid: u32, host: &str) -> String {
        match self {
            Self::Hibernated | Self::Paused => format!("`qm resume {vmid}` on {host}, and look at its console; then run again"),
            Self::IoError => {
                format!("make room on its storage (`pvesm status` on {host}), then `qm resume {vmid}` there, or run again")
            }
            Self::Crashed => format!("look at its console, then `qm stop {vmid}` and `qm start {vmid}` on {host}; then run again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_words_and_the_lock_tell_whether_it_goes_on() {
        let of = |text: &str| {
            let status: Status = serde_json::from_str(text).expect("a status");
            (status.is_running(), status.halt())
        };
        assert_eq!(of(r#"{"status": "running", "qmpstatus": "running", "uptime": 9, "lock": "backup"}"#), (true, None));
        assert_eq!(of(r#"{"status": "running"}"#), (true, None));
        assert_eq!(of(r#"{"status": "running", "qmpstatus": "io-error"}"#), (true, Some(Halt::IoError)));
        assert_eq!(of(r#"{"status": "running", "qmpstatus": "paused"}"#), (true, Some(Halt::Paused)));
        assert_eq!(of(r#"{"status": "paused"}"#), (true, Some(Halt::Paused)));
        assert_eq!(of(r#"{"status": "running", "qmpstatus": "internal-error"}"#), (true, Some(Halt::Crashed)));
        for passing in ["prelaunch", "inmigrate", "finish-migrate", "save-vm", "restore-vm"] {
            assert_eq!(of(&format!(r#"{{"status": "running", "qmpstatus": "{passing}"}}"#)), (true, None), "{passing}");
        }
        assert_eq!(of(r#"{"status": "stopped", "qmpstatus": "stopped", "lock": "suspended"}"#), (false, Some(Halt::Hibernated)));
        assert_eq!(of(r#"{"status": "stopped", "qmpstatus": "stopped"}"#), (false, None));
    }
}
