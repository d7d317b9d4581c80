//! A draft as the text of a workspace.yaml, with the name of the old variable beside each field that came from one.
use super::draft::Draft;
use kthw_stdlib::{distribution::Release, workspace::Role};
use std::fmt::Write;

/// Docker's repository of containerd.io, where the old system had containerd from: its URL, suite, the key's URL and its digest.
struct Docker {
    url: &'static str,
    suite: Option<&'static str>,
    key: &'static str,
    digest: &'static str,
}

/// The key 9DC8 5822 9FC7 DD38 854A E2D8 8D81 803C 0EBF CD88, the same for Debian and Ubuntu.
const DEB_KEY: &str = "1500c1f56fa9e26b9b8f42452a553675796ade0807cdce11975eb98170b3a570";

fn docker(system: &Release) -> Option<Docker> {
    let deb = |url, suite, key| Some(Docker { url, suite: Some(suite), key, digest: DEB_KEY });
    let debian = ("https://download.docker.com/linux/debian", "https://download.docker.com/linux/debian/gpg");
    match system.id().as_str() {
        "ubuntu-24.04" => deb("https://download.docker.com/linux/ubuntu", "noble", "https://download.docker.com/linux/ubuntu/gpg"),
        "debian-12" => deb(debian.0, "bookworm", debian.1),
        "debian-13" => deb(debian.0, "trixie", debian.1),
        "rocky-9" => Some(Docker {
            url: "https://download.docker.com/linux/centos/9/x86_64/stable/",
            suite: None,
            key: "https://download.docker.com/linux/centos/gpg",
            digest: "e6c650e0700b1bf4868b693b30761b926844befc8a0acb7ac0dd9b1faf1b7423",
        }),
        _ => None,
    }
}

/// The text.
pub fn text(draft: &Draft<'_>, from: &str) -> String {
    let mut text = format!(
        "# Made by `kthw import cpc` from {from}. Behind a field stands the variable that it comes from; the others are what was in force there.\n"
    );
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!("name: {}", scalar(&draft.name)));
    line(format!("domain: {}", scalar(&draft.domain)));
    line(format!("release_letter: {} # RELEASE_LETTER", scalar(&draft.letter.to_string())));
    line(format!("distribution: {} # IMAGE_NAME", draft.system.distribution.word()));
    line(format!("release: \"{}\"\n", draft.system.version));
    line(format!("versions:\n  kubernetes: {} # KUBERNETES_LONG_VERSION\n  calico: {}", draft.kubernetes, draft.calico));
    if let Some(rule) = &draft.unsupported {
        line(format!("  unsupported: true # {rule}"));
    }
    let dns: Vec<String> = draft.dns.iter().map(ToString::to_string).collect();
    line(format!("\nnetwork:\n  nodes: {}\n  gateway: {}", draft.network, draft.gateway));
    line(format!("  dns: [{}] # PRIMARY_DNS_SERVER, SECONDARY_DNS_SERVER", dns.join(", ")));
    line("  pods: 192.168.0.0/16\n  services: 10.96.0.0/12\n".into());
    line(format!("proxmox:\n  node: {} # PROXMOX_NODE", scalar(&draft.pve_node)));
    line(format!("  storage: {} # PROXMOX_DISK_DATASTORE\n  bridge: {}\n", scalar(&draft.storage), scalar(&draft.bridge)));
    line(format!("template:\n  vmid: {} # TEMPLATE_VM_ID\n  name: {} # TEMPLATE_VM_NAME", draft.template, scalar(&draft.template_name)));
    line(format!("  image:\n    url: {} # IMAGE_LINK\n    file: {} # IMAGE_NAME\n", scalar(&draft.image), scalar(&draft.image_file)));
    let [cores, memory, disk] = draft.size;
    line(format!("machine:\n  cores: {cores}\n  memory_mib: {memory}\n  disk_gib: {disk}\n"));
    if draft.user.is_some() || draft.key.is_some() {
        line("ssh:".into());
        draft.user.iter().for_each(|user| line(format!("  user: {} # VM_USERNAME or ANSIBLE_REMOTE_USER", scalar(user))));
        draft.key.iter().for_each(|key| line(format!("  authorized_keys: [{}] # VM_SSH_KEY", quoted(key))));
        line(String::new());
    }
    if let Some(docker) = docker(draft.system) {
        line("# The old system installed containerd from Docker's repository.\ncontainerd:\n  package: containerd.io\npackages:\n  containerd_repository:".into());
        line(format!("    url: {}", docker.url));
        docker.suite.iter().for_each(|suite| line(format!("    suite: {suite}\n    components: [stable]")));
        line(format!("    key_url: {}\n    key_sha256: {}\n", docker.key, docker.digest));
    }
    line("nodes:".into());
    for node in &draft.nodes {
        let role = if node.role == Role::ControlPlane { "control_plane" } else { "worker" };
        line(format!("  - {{ name: {}, role: {role}, vmid: {}, address: {} }}", scalar(&node.name), node.vmid, node.address));
    }
    text
}

/// A text as YAML takes it for nothing else: without quotes where every reader agrees on it.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with(':')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-:+=%?&~".contains(&byte));
    // `n`, `off`, `null` and their like are other things to some readers; the only words of one letter that a workspace has are letters.
    let other = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if plain && !other { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes; JSON's escapes are among YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn a_value_begins_nothing_else() {
        for (text, expected) in [
            ("homelab", "homelab"),
            ("https://a.b/c?d=e", "https://a.b/c?d=e"),
            ("n", "\"n\""),
            ("No", "\"No\""),
            ("9", "\"9\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("a:", "\"a:\""),
            ("- x", "\"- x\""),
            ("a\"\n  b: c", "\"a\\\"\\n  b: c\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
