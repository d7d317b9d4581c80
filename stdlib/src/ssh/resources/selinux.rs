//! `ssh.selinux`: the mode of SELinux, now and at every start.
use super::declare::{NeedsOnly, declare, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;

/// Where the running kernel says whether the policy is in force: `1` or `0`; there is no such file where SELinux is off (selinux(8)).
const ENFORCE: &str = "/sys/fs/selinux/enforce";
const CONFIG: &str = "/etc/selinux/config";

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps SELinux `permissive` (it tells of what it would forbid, and forbids nothing) or `enforcing`, now and at every start. A machine on
    /// which it is off altogether stays so.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::selinux(node, "permissive");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "selinux")]
    pub fn selinux(cx: NativeCallContext, node: Node, mode: &str) -> Rhai<Id> {
        declare(&cx, "ssh::selinux", Map::new(), |_: NeedsOnly| Selinux::new(&node, mode))
    }
}

/// The mode of SELinux on a node.
#[derive(Debug)]
pub struct Selinux {
    node: String,
    enforcing: bool,
}

/// The mode that it is in, and the file that decides at a start.
#[derive(Debug)]
pub struct Live {
    /// `None` where SELinux is off.
    enforcing: Option<bool>,
    config: String,
    mode: u32,
}

impl Selinux {
    fn new(node: &Node, mode: &str) -> std::result::Result<Self, BadOption> {
        match mode {
            "permissive" | "enforcing" => Ok(Self { node: node.name().to_owned(), enforcing: mode == "enforcing" }),
            _ => Err(BadOption::new("ssh::selinux", format!("`{mode}` is neither `permissive` nor `enforcing`"))),
        }
    }
}

fn word(enforcing: bool) -> &'static str {
    if enforcing { "enforcing" } else { "permissive" }
}

/// The mode that a configuration asks for at a start (selinux_config(5)).
fn at_start(config: &str) -> &str {
    config.lines().filter_map(|line| line.strip_prefix("SELINUX=")).next_back().map_or("not set", str::trim)
}

impl NodeResource for Selinux {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.selinux", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        // Compared with an empty file, so that the content comes along.
        let config = Probe::Path { path: CONFIG.into(), expect: Some(Content::default().sha256()) };
        vec![Probe::run(["cat", ENFORCE]), config]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let now = run_at(findings, 0)?;
        let file = path_at(findings, 1);
        let config = file.and_then(|file| file.content.as_deref()).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let enforcing = (now.status == 0).then(|| now.stdout.trim() == "1");
        Ok(Some(Live { enforcing, config, mode: file.map_or(0o644, |file| file.mode) }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let wanted = word(self.enforcing);
        match live {
            None => Change::create([Field::new("mode", wanted)]),
            Some(Live { enforcing: None, .. }) => Change::None,
            Some(Live { enforcing: Some(now), config, .. }) => {
                Change::between([field("mode", word(*now), wanted), field("at_start", at_start(config), wanted)])
            }
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let Some(live) = live else { return Work::Actions(Vec::new()) };
        let wanted = word(self.enforcing);
        let mut actions = Vec::new();
        if at_start(&live.config) != wanted {
            let kept = live.config.lines().filter(|line| !line.starts_with("SELINUX="));
            let text: String = kept.map(str::to_owned).chain([format!("SELINUX={wanted}")]).map(|line| line + "\n").collect();
            actions.push(Action::Write { path: CONFIG.into(), content: Content::plain(text), mode: live.mode, owner: None });
        }
        if live.enforcing.is_some_and(|now| now != self.enforcing) {
            actions.push(Action::run(["setenforce", if self.enforcing { "1" } else { "0" }]));
        }
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, failed, node, printed};
    use expect_test::expect;

    #[test]
    fn it_is_set_now_and_at_every_start_and_left_where_it_is_off() {
        let permissive = Selinux::new(&node(), "permissive").unwrap();
        let file = |text: &str| Finding::Path(Some(a_file(text, false)));
        check(
            &permissive,
            &[printed("1\n"), file("# SELINUX= takes one of\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")],
            false,
            &expect![[r##"
                ~ ssh.selinux/cu1
                    mode: enforcing -> permissive
                    at_start: enforcing -> permissive
                  > write /etc/selinux/config 0644 "# SELINUX= takes one of\nSELINUXTYPE=targeted\nSELINUX=permissive\n"
                  > run (300 s) setenforce 0
            "##]],
        );
        check(&permissive, &[printed("0\n"), file("SELINUX=permissive\n")], false, &expect!["= ssh.selinux/cu1\n"]);
        check(&permissive, &[failed(1), Finding::Path(None)], false, &expect!["= ssh.selinux/cu1\n"]);
        assert!(Selinux::new(&node(), "disabled").is_err());
    }
}
