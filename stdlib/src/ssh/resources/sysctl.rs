//! `ssh.sysctl`: a kernel setting, now and at every start.
use super::declare::{NeedsOnly, checked_name, declare, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;

#[export_module]
pub mod api {
    use rhai::{Dynamic, Map};

    /// Keeps a kernel setting at a value (a number or text), now and at every start.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::sysctl(node, "net.ipv4.ip_forward", 1);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "sysctl")]
    pub fn sysctl(cx: NativeCallContext, node: Node, key: &str, value: Dynamic) -> Rhai<Id> {
        sysctl_with(cx, node, key, value, Map::new())
    }

    /// Keeps a kernel setting at a value (a number or text), now and at every start. Options: `needs` only.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let loaded = ssh::kernel_module(node, "nf_conntrack");
    ///     ssh::sysctl(node, "net.netfilter.nf_conntrack_max", 131072, #{ needs: [loaded] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "sysctl")]
    pub fn sysctl_with(cx: NativeCallContext, node: Node, key: &str, value: Dynamic, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::sysctl", options, |_: NeedsOnly| {
            if !(value.is_int() || value.is_string()) {
                return Err(BadOption::new("ssh::sysctl", format!("a kernel setting is a number or text, not {}", value.type_name())));
            }
            Sysctl::new(&node, key, &value.to_string())
        })
    }
}

/// A kernel setting on a node.
#[derive(Debug)]
pub struct Sysctl {
    node: String,
    key: String,
    value: String,
}

/// Its value, and whether it is set at every start.
#[derive(Debug)]
pub struct Live {
    value: String,
    at_start: bool,
}

impl Sysctl {
    fn new(node: &Node, key: &str, value: &str) -> std::result::Result<Self, BadOption> {
        let key = checked_name("ssh::sysctl", "kernel setting", key, "._-/")?;
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(BadOption::new("ssh::sysctl", format!("{value:?} is not the value of a kernel setting")));
        }
        Ok(Self { node: node.name().to_owned(), key, value: plain(value) })
    }

    fn file(&self) -> String {
        format!("/etc/sysctl.d/90-kthw-{}.conf", self.key.replace('/', "_"))
    }

    fn content(&self) -> Content {
        Content::plain(format!("{} = {}\n", self.key, self.value))
    }
}

/// Values of several numbers are shown with tabs and may be written with spaces.
fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl NodeResource for Sysctl {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.sysctl", format!("{}/{}", self.node, self.key))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::run(["sysctl", "-n", &self.key]), Probe::Path { path: self.file(), expect: Some(self.content().sha256()) }]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let output = run_at(findings, 0)?;
        let at_start = path_at(findings, 1).is_some_and(|file| file.sha256 == Some(self.content().sha256()));
        // A setting whose module is not loaded is not there.
        Ok((output.status == 0).then(|| Live { value: plain(&output.stdout), at_start }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        match live {
            None => Change::create([Field::new("value", &self.value), Field::new("at_start", true)]),
            Some(live) => Change::between([field("value", live.value.clone(), self.value.clone()), field("at_start", live.at_start, true)]),
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        if live.is_none_or(|live| !live.at_start) {
            actions.push(Action::Write { path: self.file(), content: self.content(), mode: 0o644, owner: None });
        }
        if live.is_none_or(|live| live.value != self.value) {
            actions.push(Action::run(["sysctl", "-w", &format!("{}={}", self.key, self.value)]));
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
    fn value_and_file_are_kept() {
        let setting = Sysctl::new(&node(), "net.ipv4.tcp_rmem", "4096  8192 16384").unwrap();
        let kept = Finding::Path(Some(a_file("net.ipv4.tcp_rmem = 4096 8192 16384\n", true)));
        check(&setting, &[printed("4096\t8192\t16384\n"), kept.clone()], false, &expect!["= ssh.sysctl/cu1/net.ipv4.tcp_rmem\n"]);
        check(
            &setting,
            &[printed("1\t2\t3\n"), kept],
            false,
            &expect![
                "~ ssh.sysctl/cu1/net.ipv4.tcp_rmem\n    value: 1 2 3 -> 4096 8192 16384\n  > run (300 s) sysctl -w net.ipv4.tcp_rmem=4096 8192 16384\n"
            ],
        );
        check(
            &setting,
            &[failed(255), Finding::Path(None)],
            false,
            &expect![[r#"
                + ssh.sysctl/cu1/net.ipv4.tcp_rmem
                    value: 4096 8192 16384
                    at_start: true
                  > write /etc/sysctl.d/90-kthw-net.ipv4.tcp_rmem.conf 0644 "net.ipv4.tcp_rmem = 4096 8192 16384\n"
                  > run (300 s) sysctl -w net.ipv4.tcp_rmem=4096 8192 16384
            "#]],
        );
    }
}
