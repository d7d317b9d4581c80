//! `ssh.script`: a shell script that runs when another one says so. The last way out.
use super::declare::{checked_name, declare, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work,
    node::{Action, Finding, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    check: String,
    apply: String,
    #[serde(default)]
    reads: bool,
    #[serde(default = "default_timeout")]
    timeout_s: u32,
}

fn default_timeout() -> u32 {
    300
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Runs a shell script as root when another one does not end with status 0.
    ///
    /// Options: `check`, `apply` (both POSIX shell; `apply` ends at its first error), `reads` and `timeout_s` (300 by default).
    ///
    /// kthw cannot know what `check` does, so it is asked only at its turn, and a plan shows `apply` with a note that says so.
    /// `reads: true` says that it changes nothing: then it is asked while a run is planned, and what is done already is not in the plan. A
    /// dry run never asks it.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::script(node, "time zone", #{
    ///         check: "test \"$(cat /etc/timezone)\" = Etc/UTC",
    ///         apply: "timedatectl set-timezone Etc/UTC; echo Etc/UTC > /etc/timezone",
    ///         reads: true,
    ///     });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn script(cx: NativeCallContext, node: Node, name: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::script", options, |spec: Spec| Script::new(&node, name, spec))
    }
}

/// A guarded script on a node.
#[derive(Debug)]
pub struct Script {
    node: String,
    name: String,
    spec: Spec,
}

impl Script {
    fn new(node: &Node, name: &str, spec: Spec) -> std::result::Result<Self, BadOption> {
        let name = checked_name("ssh::script", "script", name, " ._-/")?;
        for (option, text) in [("check", &spec.check), ("apply", &spec.apply)] {
            if text.trim().is_empty() || text.contains('\0') {
                return Err(BadOption::new("ssh::script", format!("`{option}` is not a script")));
            }
        }
        Ok(Self { node: node.name().to_owned(), name, spec })
    }
}

impl NodeResource for Script {
    type Live = ();

    fn id(&self) -> Id {
        Id::new("ssh.script", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        let argv = ["sh", "-c", &self.spec.check].map(str::to_owned).into();
        vec![Probe::Check { argv, reads: self.spec.reads }]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<()>> {
        Ok((run_at(findings, 0)?.status == 0).then_some(()))
    }

    fn diff(&self, live: Option<&()>) -> Change {
        if live.is_some() { Change::None } else { Change::create([Field::new("apply", self.spec.apply.trim_end())]) }
    }

    fn work(&self, _: Option<&()>, _: bool) -> Work {
        Work::Actions(vec![Action::run_for(self.spec.timeout_s, ["sh", "-e", "-c", &self.spec.apply])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{check, failed, node, printed};
    use expect_test::expect;

    #[test]
    fn the_check_decides() {
        let spec = Spec { check: "test -e /a".into(), apply: "touch /a\n".into(), reads: false, timeout_s: 9 };
        let script = Script::new(&node(), "make a", spec).unwrap();
        check(&script, &[printed("")], false, &expect!["= ssh.script/cu1/make a\n"]);
        check(&script, &[failed(1)], false, &expect!["+ ssh.script/cu1/make a\n    apply: touch /a\n  > run (9 s) sh -e -c touch /a\n\n"]);
    }
}
