//! Proxmox VE's own texts that tell what a refusal or the end of a task means. Nothing is decided by other words.
//!
//! Each row names the file of upstream that says it, in the repositories at <https://git.proxmox.com>, read at Proxmox VE 9.1.

/// What a text of Proxmox VE means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A lock was not free in time, and nothing was done: trying again soon is right.
    Lock,
    /// A longer work holds the machine, such as a backup: it is waited for, with a limit.
    Held,
    /// The machine is in the making; its lock may be all that is left of whatever made it.
    Making,
    /// The machine hibernates: nothing of it can be changed until it is woken.
    Hibernated,
    /// The configuration was changed between our reading and our writing it.
    Changed,
    /// What was to be made is there already.
    Taken,
    /// The machine runs already.
    Running,
    /// The machine does not run.
    NotRunning,
    /// Nothing is there under this name.
    Missing,
    /// No guest agent answers in the machine.
    NoAgent,
    /// The guest agent is not allowed to do this, or cannot.
    AgentForbids,
    /// The guest agent cannot open that file.
    NoFile,
    /// A privilege is missing.
    Permission,
    /// A storage does not take this kind of content.
    Content,
    /// The storage belongs to another host of the cluster.
    LocalStorage,
    /// The cluster has no quorum.
    NoQuorum,
    /// This version of Proxmox VE does not know a parameter or a value.
    Unsupported,
}

/// One text.
struct Text {
    says: &'static str,
    class: Class,
    /// Repository and path.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is there for whoever reads or checks the table"))]
    source: &'static str,
}

const fn row(class: Class, says: &'static str, source: &'static str) -> Text {
    Text { says, class, source }
}

/// The first row whose words are in a message decides: the special ones stand above the general ones.
const TEXTS: &[Text] = &[
    row(Class::Permission, "Permission check failed", "pve-common src/PVE/Exception.pm"),
    row(Class::NoQuorum, "no quorum", "pve-cluster src/PVE/Cluster.pm"),
    row(Class::Hibernated, "is locked (suspended)", "pve-guest-common src/PVE/AbstractConfig.pm"),
    row(Class::Making, "is locked (clone)", "pve-guest-common src/PVE/AbstractConfig.pm"),
    row(Class::Making, "is locked (create)", "pve-guest-common src/PVE/AbstractConfig.pm"),
    row(Class::Held, "is locked (", "pve-guest-common src/PVE/AbstractConfig.pm"),
    row(Class::Lock, "can't lock file '", "pve-common src/PVE/Tools.pm"),
    row(Class::Lock, "got lock request timeout", "pve-cluster src/PVE/Cluster.pm"),
    row(Class::Lock, "-locked command timed out", "pve-cluster src/PVE/Cluster.pm"),
    row(Class::Lock, "got no worker upid", "pve-common src/PVE/RESTEnvironment.pm"),
    row(Class::Changed, "detected modified configuration", "pve-common src/PVE/Tools.pm"),
    row(Class::Changed, "checksum mismatch (file change by other user?)", "qemu-server src/PVE/API2/Qemu.pm"),
    row(Class::NoAgent, "QEMU guest agent is not running", "qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::NoAgent, "No QEMU guest agent configured", "qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::AgentForbids, "has been disabled", "qemu qapi/qmp-dispatch.c, through qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::AgentForbids, "has not been found", "qemu qapi/qmp-dispatch.c, through qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::NoFile, "failed to open file", "qemu qga/commands-posix.c, through qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::NoFile, "can't open file", "qemu-server src/PVE/API2/Qemu/Agent.pm"),
    row(
        Class::Taken,
        "already exists",
        "pve-cluster src/PVE/Cluster.pm, pve-manager PVE/API2/Cluster.pm, qemu-server src/PVE/API2/Qemu.pm",
    ),
    row(Class::Running, "already running", "qemu-server src/PVE/QemuServer.pm"),
    row(Class::NotRunning, "is not running", "qemu-server src/PVE/QemuServer/Agent.pm"),
    row(Class::NotRunning, "not running", "qemu-server src/PVE/API2/Qemu.pm"),
    row(Class::Missing, "Configuration file '", "pve-guest-common src/PVE/AbstractConfig.pm"),
    row(Class::Missing, "no such token", "pve-access-control src/PVE/AccessControl.pm"),
    row(Class::Missing, "no such user", "pve-access-control src/PVE/AccessControl.pm"),
    row(Class::Content, "is not configured for content-type", "pve-storage src/PVE/API2/Storage/Status.pm"),
    row(Class::Content, "does not support content-type", "qemu-server src/PVE/QemuServer.pm"),
    row(Class::Content, "does not support vm images", "qemu-server src/PVE/API2/Qemu.pm"),
    row(Class::LocalStorage, "can't clone to non-shared storage", "qemu-server src/PVE/API2/Qemu.pm"),
    row(Class::LocalStorage, "(VM uses local storage)", "qemu-server src/PVE/API2/Qemu.pm"),
    row(Class::Unsupported, "is not defined in schema", "pve-common src/PVE/JSONSchema.pm"),
    row(Class::Unsupported, "does not have a value in the enumeration", "pve-common src/PVE/JSONSchema.pm"),
];

/// What a message of a request or of a task means; `None` for what no row tells.
pub fn class_of(message: &str) -> Option<Class> {
    TEXTS.iter().find(|text| message.contains(text.says)).map(|text| text.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole messages, as the files that the table names write them.
    const MESSAGES: &[(&str, Class)] = &[
        ("Permission check failed (/vms/401, VM.Config.Disk)", Class::Permission),
        ("cluster not ready - no quorum?", Class::NoQuorum),
        ("cfs-lock 'file-user_cfg' error: no quorum!", Class::NoQuorum),
        ("VM is locked (suspended)", Class::Hibernated),
        ("VM is locked (clone)", Class::Making),
        ("VM is locked (create)", Class::Making),
        ("VM is locked (backup)", Class::Held),
        ("VM is locked (snapshot-delete)", Class::Held),
        ("VM is locked (rollback)", Class::Held),
        ("VM is locked (migrate)", Class::Held),
        ("VM is locked (disk)", Class::Held),
        ("can't lock file '/var/lock/qemu-server/lock-401.conf' - got timeout", Class::Lock),
        ("clone failed: cfs-lock 'storage-drbd' error: got lock request timeout", Class::Lock),
        ("clone failed: 'storage-drbd'-locked command timed out - aborting", Class::Lock),
        ("got no worker upid - start worker failed", Class::Lock),
        ("detected modified configuration - file changed by other user? Try again.", Class::Changed),
        ("checksum mismatch (file change by other user?)", Class::Changed),
        ("QEMU guest agent is not running", Class::NoAgent),
        ("No QEMU guest agent configured", Class::NoAgent),
        ("Agent error: Command guest-file-open has been disabled: the command is not allowed", Class::AgentForbids),
        ("Agent error: The command guest-network-get-interfaces has not been found", Class::AgentForbids),
        ("Agent error: failed to open file '/etc/ssh/x.pub' (mode: 'r'): No such file or directory", Class::NoFile),
        ("Agent error: can't open file", Class::NoFile),
        ("unable to create VM 401 - VM 401 already exists on node 'pve1'", Class::Taken),
        ("Parameter verification failed.; vmid: VM 401 already exists", Class::Taken),
        ("unable to create VM 401: config file already exists", Class::Taken),
        ("VM 401 already running", Class::Running),
        ("VM 401 is not running", Class::NotRunning),
        ("VM 401 not running", Class::NotRunning),
        ("Configuration file 'nodes/pve1/qemu-server/401.conf' does not exist", Class::Missing),
        ("no such token 'ci' for user 'kthw@pve'", Class::Missing),
        ("no such user ('kthw@pve')", Class::Missing),
        ("storage 'local' is not configured for content-type 'import'", Class::Content),
        ("storage 'local' does not support content-type 'images'", Class::Content),
        ("Parameter verification failed.; storage: storage 'local' does not support vm images", Class::Content),
        ("can't clone to non-shared storage 'local-lvm'", Class::LocalStorage),
        ("can't clone VM to node 'pve2' (VM uses local storage)", Class::LocalStorage),
        ("Parameter verification failed.; ciupgrade: property is not defined in schema", Class::Unsupported),
        (
            "Parameter verification failed.; content: value 'import' does not have a value in the enumeration 'iso, vztmpl'",
            Class::Unsupported,
        ),
    ];

    #[test]
    fn every_message_means_what_its_row_says() {
        for (message, class) in MESSAGES {
            assert_eq!(class_of(message), Some(*class), "{message}");
        }
    }

    #[test]
    fn every_row_is_what_decides_some_message() {
        for text in TEXTS {
            let decides =
                |(message, _): &&(&str, Class)| TEXTS.iter().find(|one| message.contains(one.says)).map(|one| one.says) == Some(text.says);
            assert!(MESSAGES.iter().any(|message| decides(&message)), "no message for `{}` of {}", text.says, text.source);
            let (repository, path) = text.source.split_once(' ').unwrap();
            assert!(!repository.is_empty() && path.contains('.'), "{}", text.source);
        }
    }

    #[test]
    fn what_is_no_text_of_theirs_means_nothing() {
        for message in [
            "VM 104 qmp command 'guest-ping' failed - got timeout",
            "trying to acquire lock...",
            "start failed: QEMU exited with code 1",
            "volume 'local-lvm:vm-401-disk-0' does not exist",
            "bridge 'vmbr9' does not exist",
            "shrinking disks is not supported",
        ] {
            assert_eq!(class_of(message), None, "{message}");
        }
    }
}
