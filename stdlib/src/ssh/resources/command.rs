//! `ssh.command`: a program that runs when what it makes is not there. The way out where no resource fits.
use super::declare::{checked_argv, checked_name, checked_path, declare, path_at, run_at};
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
    run: Vec<String>,
    unless: Option<Vec<String>>,
    #[serde(default)]
    reads: bool,
    creates: Option<String>,
    #[serde(default = "default_timeout")]
    timeout_s: u32,
}

fn default_timeout() -> u32 {
    300
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Runs a program as root when what it makes is not there yet. No shell is involved.
    ///
    /// Options: `run` (program and arguments), and either `creates` (a path that is there afterwards) or `unless` (a program that ends with
    /// status 0 when there is nothing to do); `timeout_s` (300 by default).
    ///
    /// kthw cannot know what `unless` does, so it is asked only at its turn, and a plan shows `run` with a note that says so. `reads: true`
    /// says that it changes nothing: then it is asked while a run is planned, and what is done already is not in the plan. A dry run never
    /// asks it.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::command(node, "crictl completion", #{
    ///         run:     ["sh", "-c", "crictl completion > /etc/bash_completion.d/crictl"],
    ///         creates: "/etc/bash_completion.d/crictl",
    ///     });
    ///     ssh::command(node, "data folder", #{
    ///         run:    ["mkdir", "-p", "/srv/data"],
    ///         unless: ["test", "-d", "/srv/data"],
    ///         reads:  true,
    ///     });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn command(cx: NativeCallContext, node: Node, name: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::command", options, |spec: Spec| Command::new(&node, name, spec))
    }
}

/// A guarded program on a node.
#[derive(Debug)]
pub struct Command {
    node: String,
    name: String,
    run: Vec<String>,
    guard: Guard,
    timeout_s: u32,
}

/// What tells that there is nothing to do.
#[derive(Debug)]
enum Guard {
    Creates(String),
    Unless { argv: Vec<String>, reads: bool },
}

impl Command {
    fn new(node: &Node, name: &str, spec: Spec) -> std::result::Result<Self, BadOption> {
        const FUNCTION: &str = "ssh::command";
        let name = checked_name(FUNCTION, "command", name, " ._-/")?;
        checked_argv(FUNCTION, "run", &spec.run)?;
        if spec.reads && spec.unless.is_none() {
            return Err(BadOption::new(FUNCTION, "`reads` says something about `unless`, which is not there".into()));
        }
        let guard = match (spec.creates, spec.unless) {
            (Some(path), None) => Guard::Creates(checked_path(FUNCTION, &path)?),
            (None, Some(argv)) => {
                checked_argv(FUNCTION, "unless", &argv)?;
                Guard::Unless { argv, reads: spec.reads }
            }
            _ => return Err(BadOption::new(FUNCTION, "give either `creates` or `unless`, so that a second run has nothing to do".into())),
        };
        Ok(Self { node: node.name().to_owned(), name, run: spec.run, guard, timeout_s: spec.timeout_s })
    }
}

impl NodeResource for Command {
    type Live = ();

    fn id(&self) -> Id {
        Id::new("ssh.command", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        match &self.guard {
            Guard::Creates(path) => vec![Probe::path(path)],
            Guard::Unless { argv, reads } => vec![Probe::Check { argv: argv.clone(), reads: *reads }],
        }
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<()>> {
        let there = match &self.guard {
            Guard::Creates(_) => path_at(findings, 0).is_some(),
            Guard::Unless { .. } => run_at(findings, 0)?.status == 0,
        };
        Ok(there.then_some(()))
    }

    fn diff(&self, live: Option<&()>) -> Change {
        if live.is_some() { Change::None } else { Change::create([Field::new("run", self.run.join(" "))]) }
    }

    fn work(&self, _: Option<&()>, _: bool) -> Work {
        Work::Actions(vec![Action::run_for(self.timeout_s, &self.run)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, failed, node, printed};
    use expect_test::expect;

    fn command(creates: Option<&str>, unless: Option<&[&str]>) -> std::result::Result<Command, BadOption> {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let spec = Spec {
            run: words(&["touch", "/a"]),
            unless: unless.map(words),
            creates: creates.map(str::to_owned),
            reads: false,
            timeout_s: 5,
        };
        Command::new(&node(), "touch a", spec)
    }

    #[test]
    fn the_guard_decides() {
        let todo = || expect!["+ ssh.command/cu1/touch a\n    run: touch /a\n  > run (5 s) touch /a\n"];
        let done = || expect!["= ssh.command/cu1/touch a\n"];
        let creates = command(Some("/a"), None).unwrap();
        check(&creates, &[Finding::Path(None)], false, &todo());
        check(&creates, &[Finding::Path(Some(a_file("", true)))], false, &done());
        let unless = command(None, Some(&["test", "-e", "/a"])).unwrap();
        check(&unless, &[failed(1)], false, &todo());
        check(&unless, &[printed("")], false, &done());
        assert_eq!(unless.query(), [Probe::Check { argv: ["test", "-e", "/a"].map(str::to_owned).into(), reads: false }]);
        assert!(command(None, None).is_err() && command(Some("/a"), Some(&["true"])).is_err() && command(None, Some(&[])).is_err());
    }
}
