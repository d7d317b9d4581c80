//! `ssh.service`: a systemd service, running and enabled, and restarted when its configuration changed.
use super::declare::{checked_name, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Options, Result, Rhai, Work, declare_on_node, field,
    node::{Action, Finding, Probe},
    throw,
};
use rhai::plugin::*;
use serde::Deserialize;

/// What `systemctl show` is asked for.
pub const PROPERTIES: &str = "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload,ExecMainStartTimestamp";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default = "yes")]
    running: Option<bool>,
    #[serde(default = "yes")]
    enabled: Option<bool>,
}

fn yes() -> Option<bool> {
    Some(true)
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a service running and enabled.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::service(node, "containerd");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "service")]
    pub fn service(cx: NativeCallContext, node: Node, name: &str) -> Rhai<Id> {
        service_with(cx, node, name, Map::new())
    }

    /// Keeps a systemd service as wanted, and restarts it when what it is configured by has changed.
    ///
    /// Options: `running` and `enabled` (`true` by default, `false`, or `()` for "leave it"), and `restarted_by`: identities whose
    /// change in this run restarts the service. It is also restarted when a file among them is newer than the service's start, so that
    /// a run that was killed in between is made good by the next one.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::directory(node, "/etc/ssh/sshd_config.d");
    ///     let configuration = ssh::file(node, "/etc/ssh/sshd_config.d/10-keys.conf", #{ content: "PasswordAuthentication no\n" });
    ///     ssh::service(node, "ssh", #{ running: true, enabled: true, restarted_by: [configuration] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "service")]
    pub fn service_with(cx: NativeCallContext, node: Node, name: &str, mut options: Map) -> Rhai<Id> {
        let restarted_by = options.remove("restarted_by").map_or_else(Vec::new, |given| given.into_array().unwrap_or_default());
        let ids: Vec<Id> = restarted_by.iter().filter_map(|id| id.clone().try_cast()).collect();
        if ids.len() != restarted_by.len() {
            return throw(
                &cx,
                BadOption::new("ssh::service", "`restarted_by` takes a list of identities that other functions returned".into()),
            );
        }
        let options = Options::<Spec>::parse(&cx, "ssh::service", options)?;
        match Service::new(&node, name, options.spec, ids) {
            Ok(service) => declare_on_node(&cx, service, options.common),
            Err(error) => throw(&cx, error),
        }
    }
}

/// A service on a node.
#[derive(Debug)]
pub struct Service {
    node: String,
    name: String,
    spec: Spec,
    restarted_by: Vec<Id>,
}

/// A service as systemd shows it.
#[derive(Debug)]
pub struct Live {
    active: String,
    enabled: String,
    reload: bool,
    /// A file of its configuration that was changed after it was started.
    newer: Option<String>,
}

impl Service {
    /// A service that runs and is enabled.
    pub(crate) fn kept(node: &Node, name: &str) -> std::result::Result<Self, BadOption> {
        Self::new(node, name, Spec { running: yes(), enabled: yes() }, Vec::new())
    }

    fn new(node: &Node, name: &str, spec: Spec, restarted_by: Vec<Id>) -> std::result::Result<Self, BadOption> {
        let name = checked_name("ssh::service", "service", name, "._-@:")?;
        Ok(Self { node: node.name().to_owned(), name, spec, restarted_by })
    }

    /// The paths of the files of this node among `restarted_by`.
    fn files(&self) -> Vec<String> {
        let mine = format!("{}/", self.node);
        let files = self.restarted_by.iter().filter(|id| id.kind() == "ssh.file");
        files.filter_map(|id| Some(format!("/{}", id.name().strip_prefix(&mine)?))).collect()
    }
}

impl Live {
    fn is_running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// `static`, `indirect` and the like have no switch of their own: they are on when something needs them.
    fn is_enabled(&self, wanted: bool) -> bool {
        match self.enabled.as_str() {
            "enabled" | "enabled-runtime" | "linked" | "alias" => true,
            "disabled" | "masked" | "masked-runtime" | "bad" => false,
            _ => wanted,
        }
    }
}

impl NodeResource for Service {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.service", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn refreshed_by(&self) -> Vec<Id> {
        self.restarted_by.clone()
    }

    fn query(&self) -> Vec<Probe> {
        // systemctl prints times in the zone that it runs in.
        let show = Probe::run(["env", "TZ=UTC", "systemctl", "show", PROPERTIES, "--", &self.name]);
        std::iter::once(show).chain(self.files().iter().map(Probe::path)).collect()
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let shown = &run_at(findings, 0)?.stdout;
        let property =
            |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().to_owned();
        if !matches!(property("LoadState").as_str(), "loaded" | "masked") {
            // What is not there neither runs nor starts.
            let is_off = self.spec.running != Some(true) && self.spec.enabled != Some(true);
            return Ok(is_off.then(|| Live { active: "inactive".into(), enabled: "disabled".into(), reload: false, newer: None }));
        }
        let started_s = started_s(shown);
        let files = self.files();
        let newer = files.into_iter().enumerate().find(|(position, _)| {
            let changed_s = path_at(findings, position + 1).map(|file| file.modified_s);
            changed_s.zip(started_s).is_some_and(|(changed, started)| changed > started)
        });
        Ok(Some(Live {
            active: property("ActiveState"),
            enabled: property("UnitFileState"),
            reload: property("NeedDaemonReload") == "yes",
            newer: newer.map(|(_, path)| path),
        }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            let fields = [("running", self.spec.running), ("enabled", self.spec.enabled)];
            return Change::create(fields.into_iter().filter_map(|(name, want)| Some(Field::new(name, want?))));
        };
        let word = |on: bool| if on { "active" } else { "inactive" };
        let running = self.spec.running.filter(|want| *want != live.is_running());
        let enabled = self.spec.enabled.filter(|want| *want != live.is_enabled(*want));
        let stale = live.newer.as_ref().filter(|_| live.is_running());
        Change::between([
            running.and_then(|want| field("state", live.active.clone(), word(want).into())),
            enabled.and_then(|want| field("enabled", !want, want)),
            stale.and_then(|path| field("configuration", format!("{path} is newer than the service's start"), "restarted with it".into())),
        ])
    }

    fn work(&self, live: Option<&Live>, refresh: bool) -> Work {
        let systemctl = |verb: &str| Action::run(["systemctl", verb, "--", &self.name]);
        let mut actions = Vec::new();
        if refresh || live.is_none_or(|live| live.reload) {
            actions.push(Action::run(["systemctl", "daemon-reload"]));
        }
        match self.spec.enabled {
            Some(true) if live.is_none_or(|live| !live.is_enabled(true)) => {
                if live.is_some_and(|live| live.enabled.starts_with("masked")) {
                    actions.push(systemctl("unmask"));
                }
                actions.push(systemctl("enable"));
            }
            Some(false) if live.is_some_and(|live| live.is_enabled(false)) => actions.push(systemctl("disable")),
            _ => {}
        }
        let is_running = live.is_some_and(Live::is_running);
        let stale = refresh || live.is_some_and(|live| live.newer.is_some());
        match self.spec.running {
            Some(true) if !is_running => {
                if live.is_some_and(|live| live.active == "failed") {
                    // A service that failed too often would not be started again.
                    actions.push(systemctl("reset-failed"));
                }
                // A package that came just before may have started it with its own configuration.
                actions.push(systemctl(if stale || live.is_none() { "restart" } else { "start" }));
            }
            Some(true) if stale => actions.push(systemctl("restart")),
            Some(false) if is_running => actions.push(systemctl("stop")),
            None if stale => actions.push(systemctl("try-restart")),
            _ => {}
        }
        Work::Actions(actions)
    }
}

/// When a service was last started, in seconds since 1970, from what `systemctl show` prints in UTC.
pub fn started_s(shown: &str) -> Option<i64> {
    seconds(shown.lines().find_map(|line| line.strip_prefix("ExecMainStartTimestamp="))?)
}

/// Seconds since 1970 of a time such as `Sat 2026-11-21 10:14:42 UTC`; `None` for a service that never started.
fn seconds(text: &str) -> Option<i64> {
    let mut words = text.split(' ').skip(1);
    let numbers = |word: &str, sign: char| -> Option<Vec<i64>> { word.split(sign).map(|number| number.parse().ok()).collect() };
    let (date, time) = (numbers(words.next()?, '-')?, numbers(words.next()?, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date[..].try_into().ok()?, time[..].try_into().ok()?);
    let (year, month, day): (i64, i64, i64) = (year, month, day);
    let (hour, minute, second): (i64, i64, i64) = (hour, minute, second);
    // Days since 1970, with years that begin in March so that the leap day comes last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + (153 * shifted_month + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, node, printed};
    use expect_test::expect;
    use kthw_engine::node::PathState;

    fn service(running: Option<bool>) -> Service {
        let file = Id::new("ssh.file", "cu1/etc/app.conf");
        Service::new(&node(), "app", Spec { running, enabled: Some(true) }, vec![file]).unwrap()
    }

    fn shown(active: &str, enabled: &str, started: &str) -> Finding {
        printed(&format!(
            "LoadState=loaded\nActiveState={active}\nUnitFileState={enabled}\nNeedDaemonReload=no\nExecMainStartTimestamp={started}\n"
        ))
    }

    fn file(modified_s: i64) -> Finding {
        Finding::Path(Some(PathState { modified_s, ..a_file("", true) }))
    }

    const START: &str = "Thu 1970-01-01 00:16:40 UTC";

    #[test]
    fn state_and_switch_are_kept() {
        check(&service(Some(true)), &[shown("active", "enabled", START), file(1000)], false, &expect!["= ssh.service/cu1/app\n"]);
        check(&service(Some(true)), &[shown("active", "static", START), file(1000)], false, &expect!["= ssh.service/cu1/app\n"]);
        check(&service(None), &[shown("activating", "enabled", START), file(1000)], false, &expect!["= ssh.service/cu1/app\n"]);
        check(
            &service(Some(true)),
            &[shown("failed", "disabled", ""), file(1000)],
            false,
            &expect![[r#"
                ~ ssh.service/cu1/app
                    state: failed -> active
                    enabled: false -> true
                  > run (300 s) systemctl enable -- app
                  > run (300 s) systemctl reset-failed -- app
                  > run (300 s) systemctl start -- app
            "#]],
        );
        check(
            &service(Some(true)),
            &[printed("LoadState=not-found\nActiveState=inactive\n"), Finding::Path(None)],
            false,
            &expect![[r#"
                + ssh.service/cu1/app
                    running: true
                    enabled: true
                  > run (300 s) systemctl daemon-reload
                  > run (300 s) systemctl enable -- app
                  > run (300 s) systemctl restart -- app
            "#]],
        );
        check(
            &service(Some(false)),
            &[shown("active", "enabled", START), file(1000)],
            false,
            &expect!["~ ssh.service/cu1/app\n    state: active -> inactive\n  > run (300 s) systemctl stop -- app\n"],
        );
    }

    #[test]
    fn what_is_not_there_is_off_and_what_was_not_looked_at_is_not() {
        let off = Service::new(&node(), "app", Spec { running: Some(false), enabled: Some(false) }, vec![]).unwrap();
        check(&off, &[printed("LoadState=not-found\nActiveState=inactive\n")], false, &expect!["= ssh.service/cu1/app\n"]);
        assert_eq!(off.diff(None).word(), "create");
    }

    #[test]
    fn a_changed_configuration_restarts_it() {
        let settled = [shown("active", "enabled", START), file(1000)];
        check(
            &service(Some(true)),
            &settled,
            true,
            &expect![[r#"
            = ssh.service/cu1/app
              > run (300 s) systemctl daemon-reload
              > run (300 s) systemctl restart -- app
        "#]],
        );
        check(
            &service(Some(true)),
            &[shown("active", "enabled", START), file(1001)],
            false,
            &expect![[r#"
                ~ ssh.service/cu1/app
                    configuration: /etc/app.conf is newer than the service's start -> restarted with it
                  > run (300 s) systemctl restart -- app
            "#]],
        );
        check(
            &service(None),
            &settled,
            true,
            &expect![[r#"
            = ssh.service/cu1/app
              > run (300 s) systemctl daemon-reload
              > run (300 s) systemctl try-restart -- app
        "#]],
        );
    }

    #[test]
    fn times_are_understood() {
        for (text, expected) in [
            (START, Some(1000)),
            ("Sat 2026-11-21 10:14:42 UTC", Some(1_795_256_082)),
            ("Thu 2024-02-29 23:59:59 UTC", Some(1_709_251_199)),
            ("", None),
            ("n/a", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
