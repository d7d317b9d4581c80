//! `nginx.load_balancer`: what NGINX and the checker read on one node. A new configuration is tested beside the old one, and NGINX reloads.
use super::{
    PROGRAM,
    configuration::{CHECKER_JSON, FOLDER, NEW, NGINX_CONF, UNIT_FILE, Workers, checker, nginx_conf, unit},
    listener::Listener,
};
use crate::{
    artifact::{checker_file, digest_of},
    distribution::release,
    workspace::Node,
};
use kthw_checker::upstream::{Watched, without_down};
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Work, field,
    node::{Action, Content, Finding, PathState, Probe},
};
use serde::Deserialize;

/// The options of `nginx::load_balancer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    listeners: Vec<Listener>,
    #[serde(default = "an_hour")]
    worker_shutdown_timeout_s: u32,
    #[serde(default = "many")]
    worker_connections: u32,
}

fn an_hour() -> u32 {
    3600
}

fn many() -> u32 {
    16_384
}

/// The configuration of one node's load balancer.
#[derive(Debug)]
pub struct LoadBalancer {
    node: String,
    /// A name and a line for each listener.
    told: Vec<(String, String)>,
    /// The files that kthw writes, by their names in a plan.
    files: [Text; 3],
    /// The files that the checker writes, as they are while all servers take part.
    servers: Vec<Text>,
    /// What stands in [`APPLIED`] once all of it is in force.
    mark: String,
}

/// A file and what belongs into it.
#[derive(Debug)]
struct Text {
    name: String,
    path: String,
    content: String,
}

/// Is written last. A run that died between a new file and the reload finds it missing or old, and does the rest.
const APPLIED: &str = "/etc/nginx/kthw/applied";

impl LoadBalancer {
    /// The load balancer that a script describes.
    ///
    /// # Errors
    /// A value that NGINX or the checker would refuse.
    pub fn new(node: &Node, spec: Spec) -> std::result::Result<Self, BadOption> {
        let bad = |fault: String| BadOption::new("nginx::load_balancer", fault);
        let Spec { listeners, worker_shutdown_timeout_s, worker_connections } = spec;
        if listeners.is_empty() {
            return Err(bad("`listeners` is empty".into()));
        }
        if !(1..=604_800).contains(&worker_shutdown_timeout_s) || !(64..=1_000_000).contains(&worker_connections) {
            return Err(bad("`worker_shutdown_timeout_s` is 1 to 604800, and `worker_connections` 64 to 1000000".into()));
        }
        let faults = listeners.iter().enumerate().find_map(|(at, listener)| listener.fault(&listeners[..at]));
        let config = checker(&listeners);
        if let Some(fault) = faults.or_else(|| config.check().err().map(|error| error.to_string())) {
            return Err(bad(fault));
        }
        let workers = Workers { connections: worker_connections, shutdown_timeout_s: worker_shutdown_timeout_s };
        let json = serde_json::to_string_pretty(&config).map_err(|error| bad(error.to_string()))?;
        let text = |name: &str, path: &str, content: String| Text { name: name.into(), path: path.into(), content };
        let files = [
            text("nginx.conf", NGINX_CONF, nginx_conf(release(node.workspace()).nginx, workers, &listeners)),
            text("checker.json", CHECKER_JSON, format!("{json}\n")),
            text("kthw-checker.service", UNIT_FILE, unit()),
        ];
        let servers = config.upstreams.into_iter().map(|upstream| {
            let (name, path) = (format!("{}.servers", upstream.name), upstream.servers_file.display().to_string());
            Text { name, path, content: Watched::take_over(upstream, "", "").text() }
        });
        let program = digest_of(&checker_file(), &node.workspace().artifacts.pins).unwrap_or_default();
        let all: String = files.iter().map(|file| file.content.as_str()).chain([program.as_str()]).collect();
        Ok(Self {
            node: node.name().to_owned(),
            told: listeners.iter().map(|listener| (listener.name.clone(), listener.told())).collect(),
            servers: servers.collect(),
            mark: format!("{}\n", Content::plain(all).sha256()),
            files,
        })
    }

    /// What is looked at, in the order of the answers.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.files.iter().chain(&self.servers).map(|text| (text.path.as_str(), text.content.as_str()));
        texts.chain([(APPLIED, self.mark.as_str())])
    }
}

/// What was found of each file: whether it is as wanted, and its text if not.
#[derive(Debug)]
pub struct Live {
    files: Vec<Option<String>>,
    servers: Vec<Option<String>>,
    applied: bool,
}

/// A file's text: the wanted one where the digest says so, nothing where there is no such file, words for what cannot be shown.
fn text_of(state: Option<&PathState>, wanted: &str) -> Option<String> {
    let state = state?;
    if state.sha256.as_ref() == Some(&Content::plain(wanted).sha256()) {
        return Some(wanted.to_owned());
    }
    let text = state.content.clone().and_then(|bytes| String::from_utf8(bytes).ok());
    Some(text.unwrap_or_else(|| "what is no text, or a long one".into()))
}

impl NodeResource for LoadBalancer {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("nginx.load_balancer", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        self.texts().map(|(path, content)| Probe::Path { path: path.into(), expect: Some(Content::plain(content).sha256()) }).collect()
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let states = findings.iter().map(|finding| if let Finding::Path(state) = finding { state.as_ref() } else { None });
        let mut found: Vec<Option<String>> = states.zip(self.texts()).map(|(state, (_, wanted))| text_of(state, wanted)).collect();
        let applied = found.pop().flatten();
        let servers = found.split_off(self.files.len().min(found.len()));
        // Without a configuration of the checker there is none of ours; `nginx.conf` comes with the package.
        let is_there = found.get(1).is_some_and(Option::is_some);
        let applied = applied.as_ref() == Some(&self.mark);
        Ok(is_there.then_some(Live { files: found, servers, applied }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            return Change::create(self.told.iter().map(|(name, told)| Field::new(name.clone(), told)));
        };
        let text = |live: &Option<String>, text: &Text| match live {
            None => Some(Field::new(text.name.clone(), &text.content)),
            Some(live) => field(text.name.clone(), live.clone(), text.content.clone()),
        };
        // Which servers are down is the checker's to say.
        let everybody = |servers: &Option<String>| servers.as_deref().map(without_down);
        let files = live.files.iter().zip(&self.files).map(|(live, wanted)| text(live, wanted));
        let servers = live.servers.iter().zip(&self.servers).map(|(live, wanted)| text(&everybody(live), wanted));
        let fields: Vec<Field> = files.chain(servers).flatten().collect();
        let unfinished = fields.is_empty() && !live.applied;
        let unfinished = unfinished.then(|| Field { live: Some("written".into()), ..Field::new("configuration", "in force") });
        Change::between(fields.into_iter().chain(unfinished).map(Some))
    }

    fn work(&self, _: Option<&Live>, _: bool) -> Work {
        let write = |path: String, content: &str| Action::Write { path, content: Content::plain(content), mode: 0o644, owner: None };
        let [nginx_conf, checker_json, unit] = &self.files;
        let (new_conf, new_json) = (format!("{NEW}/nginx.conf"), format!("{NEW}/checker.json"));
        let systemctl = |words: &[&str]| Action::run(["systemctl"].iter().chain(words).copied());
        Work::Actions(vec![
            Action::Directory { path: NEW.into(), mode: 0o755, owner: None },
            write(new_conf.clone(), &nginx_conf.content),
            write(new_json.clone(), &checker_json.content),
            // What NGINX refuses never takes the place of what it uses: neither these two files nor those with the servers.
            Action::run_for(60, [PROGRAM, "--prepare", &new_json, "nginx", "-t", "-q", "-c", &new_conf]),
            Action::run(["mv", "-f", "-t", FOLDER, &new_json]),
            Action::run(["mv", "-f", "-t", "/etc/nginx", &new_conf]),
            write(unit.path.clone(), &unit.content),
            systemctl(&["daemon-reload"]),
            systemctl(&["reload-or-restart", "--", "nginx"]),
            systemctl(&["restart", "--", "kthw-checker"]),
            write(APPLIED.into(), &self.mark),
        ])
    }
}

#[cfg(test)]
#[path = "load_balancer_tests.rs"]
mod tests;
