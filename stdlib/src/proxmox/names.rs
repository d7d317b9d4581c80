//! What things are called on Proxmox VE, by its own rules.
//!
//! Most of these end up in a property string such as `local-lvm:0,import-from=local:import/noble.qcow2`, where a comma begins another
//! option, or in the path of a request. The rules are those of `pve-common` and its neighbours:
//!
//! - <https://git.proxmox.com/?p=pve-common.git;a=blob;f=src/PVE/JSONSchema.pm> (`pve-storage-id`, `pve-node`, `pve-bridge-id`, `pve-tag`)
//! - <https://git.proxmox.com/?p=pve-access-control.git;a=blob;f=src/PVE/AccessControl.pm> (`pve-poolid`)
//! - <https://git.proxmox.com/?p=qemu-server.git;a=blob;f=src/PVE/QemuServer/CPUConfig.pm> (`pve-vm-cpu-conf`)
//! - <https://git.proxmox.com/?p=pve-storage.git;a=blob;f=src/PVE/Storage.pm> (names of files for import)
use crate::checked::{Checked, Rule, is_bounded_word, is_word};

/// A storage (`pve-storage-id`).
pub type StorageId = Checked<StorageRule>;
/// A node of the Proxmox cluster (`pve-node`): a host name.
pub type PveNode = Checked<PveNodeRule>;
/// A bridge or virtual network that machines are plugged into (`pve-bridge-id`).
pub type Bridge = Checked<BridgeRule>;
/// A resource pool (`pve-poolid`).
pub type PoolId = Checked<PoolRule>;
/// The type of a machine's CPU: the first word of `pve-vm-cpu-conf`, without the options that may follow it there.
pub type CpuType = Checked<CpuRule>;
/// A disk image that a storage of content type `import` keeps.
pub type ImageFile = Checked<ImageFileRule>;
/// A file of content type `snippets`, with its storage.
pub type Snippet = Checked<SnippetRule>;
/// A tag of a machine (`pve-tag`).
pub type Tag = Checked<TagRule>;
/// A template: a host name (`dns-name`) that leaves room for the digest behind it.
pub type TemplateName = Checked<TemplateNameRule>;

/// The rule of [`StorageId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageRule;

impl Rule for StorageRule {
    const WHAT: &'static str = "a storage of Proxmox VE";
    const FORM: &'static str = "two or more letters, digits and `-_.`, with a letter first and no sign last";
    const EXAMPLE: &'static str = "local-lvm";

    fn allows(text: &str) -> bool {
        text.len() > 1 && is_bounded_word(text, 100, "-_.") && text.starts_with(|c: char| c.is_ascii_alphabetic())
    }
}

/// The rule of [`PveNode`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PveNodeRule;

impl Rule for PveNodeRule {
    const WHAT: &'static str = "a node of Proxmox VE";
    const FORM: &'static str = "its host name without the domain";
    const EXAMPLE: &'static str = "homelab";

    fn allows(text: &str) -> bool {
        is_bounded_word(text, 63, "-")
    }
}

/// The rule of [`Bridge`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeRule;

impl Rule for BridgeRule {
    const WHAT: &'static str = "a bridge";
    const FORM: &'static str = "at most 15 letters, digits and `-_.`";
    const EXAMPLE: &'static str = "vmbr0";

    // A network interface of Linux has no longer name: IFNAMSIZ in <https://man7.org/linux/man-pages/man7/netdevice.7.html>.
    fn allows(text: &str) -> bool {
        is_word(text, 15, "-_.") && !matches!(text, "." | "..")
    }
}

/// The rule of [`PoolId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolRule;

impl Rule for PoolRule {
    const WHAT: &'static str = "a pool of Proxmox VE";
    const FORM: &'static str = "letters, digits and `-_.` (a pool inside of another cannot be used)";
    const EXAMPLE: &'static str = "k8s";

    fn allows(text: &str) -> bool {
        is_word(text, 200, "-_.") && !matches!(text, "." | "..")
    }
}

/// The rule of [`CpuType`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuRule;

impl Rule for CpuRule {
    const WHAT: &'static str = "a CPU type of Proxmox VE";
    const FORM: &'static str = "the type alone, without flags behind a comma";
    const EXAMPLE: &'static str = "x86-64-v2-AES";

    fn allows(text: &str) -> bool {
        is_bounded_word(text, 60, "-_.")
    }
}

/// The rule of [`ImageFile`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageFileRule;

impl Rule for ImageFileRule {
    const WHAT: &'static str = "a file that Proxmox VE imports";
    const FORM: &'static str =
        "letters, digits and `-+=_.`, at most 180, with `.qcow2`, `.raw` or `.vmdk` at the end (an Ubuntu `.img` is a `.qcow2`)";
    const EXAMPLE: &'static str = "ubuntu-24.04-server-cloudimg-amd64.qcow2";

    // Proxmox takes 255; the digest that kthw adds needs room.
    fn allows(text: &str) -> bool {
        is_word(text, 180, "-+=_.")
            && IMPORTABLE.iter().any(|end| text.strip_suffix(end).is_some_and(|stem| !stem.trim_matches('.').is_empty()))
    }
}

/// What Proxmox VE can import a disk from, of what kthw knows.
const IMPORTABLE: [&str; 3] = [".qcow2", ".raw", ".vmdk"];

/// The rule of [`Snippet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnippetRule;

impl Rule for SnippetRule {
    const WHAT: &'static str = "a snippet on a storage";
    const FORM: &'static str = "the storage, `:snippets/` and the file's name, of letters, digits and `-+=_.`";
    const EXAMPLE: &'static str = "local:snippets/agent.yaml";

    fn allows(text: &str) -> bool {
        text.split_once(":snippets/").is_some_and(|(storage, file)| {
            StorageRule::allows(storage) && is_word(file, 200, "-+=_.") && !file.trim_matches('.').is_empty()
        })
    }
}

/// The rule of [`Tag`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagRule;

impl Rule for TagRule {
    const WHAT: &'static str = "a tag of Proxmox VE";
    const FORM: &'static str = "letters, digits and `_-+.`, the first a letter, a digit or `_`";
    const EXAMPLE: &'static str = "k8s";

    fn allows(text: &str) -> bool {
        is_word(text, 124, "_-+.") && !text.starts_with(['-', '+', '.'])
    }
}

/// The rule of [`TemplateName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateNameRule;

impl Rule for TemplateNameRule {
    const WHAT: &'static str = "a name of a template";
    const FORM: &'static str = "at most 50 letters, digits and dashes between them";
    const EXAMPLE: &'static str = "tpl-ubuntu-2404-k8s";

    fn allows(text: &str) -> bool {
        is_bounded_word(text, 50, "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked::check_rule;

    #[test]
    fn each_name_follows_its_rule() {
        check_rule::<StorageRule>(&["local", "ZFS_1.a", "a1"], &["a", "1a", "local:", "a/b", "a-", "-a", "local,size=1"]);
        check_rule::<PveNodeRule>(&["pve-1", "9", "PVE"], &["../access", "pve.1", "-a", "a-", "a/b", "a%2f"]);
        check_rule::<BridgeRule>(&["vmbr0", "vmbr0.100", "lab_net"], &["vmbr0,tag=7", "a/b", "vmbr0=x", "sixteen-letters0", "."]);
        check_rule::<PoolRule>(&["K8S", "a.b-c_d"], &["a/b", "a/../b", "/a", "."]);
        check_rule::<CpuRule>(
            &["host", "kvm64", "486", "Skylake-Client-noTSX-IBRS", "custom-my_cpu"],
            &["host,flags=+aes", "host,hidden=1", "cputype=host", "-a"],
        );
        check_rule::<ImageFileRule>(
            &["noble+1=a_b.raw", "a.vmdk"],
            &["noble.img", ".qcow2", "..qcow2", "a/b.qcow2", "../a.qcow2", "a.qcow2,discard=on", "a b.raw", "a.qcow2\n"],
        );
        check_rule::<SnippetRule>(
            &["nfs:snippets/a_b+c.yml"],
            &["agent.yaml", "local:iso/a", "local:snippets/", "local:snippets/..", "local:snippets/a,user=x"],
        );
        check_rule::<TagRule>(&["_a", "1", "v1.2+a-b"], &["-a", ".a", "+a", "a/b"]);
        check_rule::<TemplateNameRule>(&["tpl", "T1"], &["-a", "a-", "a.b", "a_b", &"a".repeat(51)]);
    }

    #[test]
    fn what_is_refused_is_said_with_a_reason_and_a_right_one() {
        assert_eq!(
            "host,flags=+aes\n".parse::<CpuType>().expect_err("refused").to_string(),
            "\"host,flags=+aes\\n\" is not a CPU type of Proxmox VE; use the type alone, without flags behind a comma, such as `x86-64-v2-AES`"
        );
    }
}
