//! Whose machine it is: a line in its description that names the workspace, the node and a random number.
use super::config::Config;
use kthw_engine::Random;
use miette::Diagnostic;
use std::fmt;

/// The mark `kthw:<workspace>:<name>:<nonce>`. A template's name is `template/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The workspace that made it.
    pub workspace: String,
    /// The node, or `template/<name>`.
    pub name: String,
    /// Random, so that two makers at once are told apart.
    pub nonce: String,
}

impl Mark {
    /// A mark that nobody has yet.
    pub fn new(workspace: &str, name: &str, random: &dyn Random) -> Self {
        let mut nonce = [0; 8];
        random.fill(&mut nonce);
        Self { workspace: workspace.into(), name: name.into(), nonce: hex::encode(nonce) }
    }

    /// Finds the mark in a description, whatever else people wrote there.
    pub fn find(description: &str) -> Option<Self> {
        description.lines().find_map(|line| {
            let mut parts = line.trim().strip_prefix("kthw:")?.splitn(3, ':');
            let (workspace, name, nonce) = (parts.next()?, parts.next()?, parts.next()?);
            let complete = !workspace.is_empty() && !name.is_empty() && !nonce.is_empty() && nonce.chars().all(|c| c.is_ascii_hexdigit());
            complete.then(|| Self { workspace: workspace.into(), name: name.into(), nonce: nonce.into() })
        })
    }

    /// Whether `self` belongs to this node of this workspace.
    pub fn is_of(&self, workspace: &str, name: &str) -> bool {
        self.workspace == workspace && self.name == name
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kthw:{}:{}:{}", self.workspace, self.name, self.nonce)
    }
}

/// Another run made it at the same moment, and goes on with it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("VM {vmid} for {what} was made by another run at the same time")]
#[diagnostic(code(kthw::proxmox::made_meanwhile), help("let that run end, then run again: it goes on from what is there"))]
pub(super) struct MadeMeanwhile {
    pub what: String,
    pub vmid: u32,
}

/// What a machine's description notes under `name: `, below the mark: how it was made. What people write above it is theirs.
pub fn noted<'c>(config: &'c Config, name: &str) -> Option<&'c str> {
    let description = config.get("description")?;
    let (_, line) = note(description, name)?;
    line.trim().strip_prefix(name)?.strip_prefix(": ")
}

/// The same description with this note in place of an older one; a description without it stays as it is, for a former kthw made it.
pub fn with_note(description: &str, name: &str, value: &str) -> String {
    match note(description, name) {
        // Only the text of the line: Proxmox takes white space away from the end of a description.
        Some((at, line)) => format!("{}{name}: {value}{}", &description[..at], &description[at + line.trim_end().len()..]),
        None => description.to_owned(),
    }
}

/// Where the line of a note begins in a description, and that line.
fn note<'d>(description: &'d str, name: &str) -> Option<(usize, &'d str)> {
    let mut at = 0;
    let lines = description.split_inclusive('\n').map(|line| {
        at += line.len();
        (at - line.len(), line)
    });
    let mut below = lines.skip_while(|(_, line)| Mark::find(line).is_none());
    below.find(|(_, line)| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_by_name() {
        let config: Config = [("description", "kthw:u:cu1:00ff\ntemplate: tpl\nnode: homelab\n")].into_iter().collect();
        assert_eq!((noted(&config, "node"), noted(&config, "template"), noted(&config, "clone")), (Some("homelab"), Some("tpl"), None));
    }

    #[test]
    fn a_note_is_replaced_below_the_mark_and_nothing_else_is() {
        let theirs = "tags: mine\nkthw:u:cu1:00ff\ntags: a b\nnode: homelab";
        let config: Config = [("description", theirs)].into_iter().collect();
        assert_eq!(noted(&config, "tags"), Some("a b"));
        assert_eq!(with_note(theirs, "tags", "c"), "tags: mine\nkthw:u:cu1:00ff\ntags: c\nnode: homelab");
        // Proxmox keeps no white space at the end of a description.
        let last = "kthw:u:cu1:00ff\nnode: homelab\ntags: a b";
        assert_eq!(with_note(last, "tags", "a b"), last);
        assert_eq!(with_note(last, "clone", "full"), last);
    }

    #[test]
    fn a_mark_is_found_among_notes() {
        let mark = Mark::new("ubuntu", "cu1", &kthw_engine::SystemRandom);
        assert_eq!(mark.nonce.len(), 16);
        assert_eq!(Mark::find(&format!("notes of mine\n\n{mark}\nmore\n")), Some(mark.clone()));
        assert!(mark.is_of("ubuntu", "cu1") && !mark.is_of("ubuntu", "cu2"));
        let template = Mark::find("kthw:ubuntu:template/tpl:00ff").expect("a mark");
        assert_eq!(template.name, "template/tpl");
        for not_ours in ["", "kthw:", "kthw:ubuntu:cu1", "kthw:ubuntu:cu1:", "kthw:ubuntu:cu1:not hex", "about kthw:a:b:00"] {
            assert_eq!(Mark::find(not_ours), None, "{not_ours}");
        }
    }
}
