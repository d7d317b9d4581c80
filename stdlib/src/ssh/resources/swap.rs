//! `ssh.swap`: no swap, now and at every start.
use super::declare::{declare, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    enabled: bool,
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps swap off, now and at every start. Swap lines in /etc/fstab are turned into comments.
    ///
    /// Options: `enabled`, which has to be `false`; making swap is not kthw's business.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::swap(node, #{ enabled: false });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn swap(cx: NativeCallContext, node: Node, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::swap", options, |spec: Spec| Swap::new(&node, &spec))
    }
}

/// No swap on a node.
#[derive(Debug)]
pub struct Swap {
    node: String,
}

/// What is swapped to now, and the table of file systems.
#[derive(Debug)]
pub struct Live {
    active: Vec<String>,
    fstab: String,
    mode: u32,
}

const FSTAB: &str = "/etc/fstab";

impl Swap {
    fn new(node: &Node, spec: &Spec) -> std::result::Result<Self, BadOption> {
        if spec.enabled {
            return Err(BadOption::new("ssh::swap", "`enabled: true` is not supported; kthw only keeps swap off".into()));
        }
        Ok(Self { node: node.name().to_owned() })
    }
}

impl Live {
    /// The lines of the table that would turn swap on.
    fn entries(&self) -> Vec<&str> {
        self.fstab.lines().filter(|line| is_swap(line)).collect()
    }

    fn fstab_without(&self) -> String {
        self.fstab.split_inclusive('\n').map(|line| if is_swap(line) { format!("# {line}") } else { line.to_owned() }).collect()
    }
}

fn is_swap(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with('#') && line.split_whitespace().nth(2) == Some("swap")
}

impl NodeResource for Swap {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.swap", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        // Compared with an empty file, so that the content comes along.
        let fstab = Probe::Path { path: FSTAB.into(), expect: Some(Content::default().sha256()) };
        vec![Probe::run(["cat", "/proc/swaps"]), fstab]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let swaps = &run_at(findings, 0)?.stdout;
        let active = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        let fstab = path_at(findings, 1);
        let text = fstab.and_then(|file| file.content.as_deref()).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        Ok(Some(Live { active, fstab: text, mode: fstab.map_or(0o644, |file| file.mode) }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let shown = |all: &[&str]| if all.is_empty() { "off".to_owned() } else { all.join(", ") };
        let (active, entries) = match live {
            None => (String::from("unknown"), String::from("unknown")),
            Some(live) => (shown(&live.active.iter().map(String::as_str).collect::<Vec<_>>()), shown(&live.entries())),
        };
        Change::between([field("swap", active, "off".into()), field("fstab", entries, "off".into())])
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        if live.is_some_and(|live| !live.active.is_empty()) {
            actions.push(Action::run(["swapoff", "-a"]));
        }
        if let Some(live) = live.filter(|live| !live.entries().is_empty()) {
            let content = Content::plain(live.fstab_without());
            actions.push(Action::Write { path: FSTAB.into(), content, mode: live.mode, owner: None });
        }
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, node, printed};
    use expect_test::expect;

    #[test]
    fn swap_goes_off_now_and_later() {
        let swap = Swap { node: node().name().into() };
        let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let table = "UUID=1 / ext4 defaults 0 1\n/swap.img\tnone\tswap\tsw\t0\t0\n# /old none swap sw 0 0\n";
        let fstab = |text: &str| Finding::Path(Some(a_file(text, false)));
        check(&swap, &[printed(header), fstab("UUID=1 / ext4 defaults 0 1\n")], false, &expect!["= ssh.swap/cu1\n"]);
        check(&swap, &[printed(header), Finding::Path(None)], false, &expect!["= ssh.swap/cu1\n"]);
        check(
            &swap,
            &[printed(&format!("{header}/swap.img  file  2097148 0 -2\n")), fstab(table)],
            false,
            &expect![[r##"
                ~ ssh.swap/cu1
                    swap: /swap.img -> off
                    fstab: /swap.img	none	swap	sw	0	0 -> off
                  > run (300 s) swapoff -a
                  > write /etc/fstab 0644 "UUID=1 / ext4 defaults 0 1\n# /swap.img\tnone\tswap\tsw\t0\t0\n# /old none swap sw 0 0\n"
            "##]],
        );
        assert!(Swap::new(&node(), &Spec { enabled: true }).is_err());
    }
}
