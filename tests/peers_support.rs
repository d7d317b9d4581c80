//! A world of real peers for one test (tests/peers/world), and `kthw` run inside of it.
use crate::support::{Said, Sandbox, root, said};
use std::{collections::BTreeMap, process::Command};

/// Why peer tests cannot run here, if they cannot. With `KTHW_REQUIRE_PEERS` set that is a failure instead.
pub fn missing() -> Option<String> {
    let why = match () {
        () if nix_uid() != 0 => "not root".to_owned(),
        () if !std::path::Path::new(&cache()).join("base.stamp").exists() => format!("no peers in {}: run tests/peers/install", cache()),
        () => return None,
    };
    assert!(std::env::var_os("KTHW_REQUIRE_PEERS").is_none(), "a peer test would be skipped: {why}");
    eprintln!("SKIPPED: {why}");
    Some(why)
}

fn cache() -> String {
    std::env::var("KTHW_PEERS").unwrap_or_else(|_| "/var/cache/kthw-peers".into())
}

fn nix_uid() -> u32 {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    String::from_utf8(id).unwrap().trim().parse().unwrap()
}

/// A running world; taken down when dropped.
pub struct World {
    name: String,
    values: BTreeMap<String, String>,
    pub sandbox: Sandbox,
}

impl World {
    /// Brings a world up. `name` keeps it apart from others that run at the same time.
    pub fn up(name: &str) -> Self {
        let mut world = Self { name: format!("kthw-{name}"), values: BTreeMap::new(), sandbox: Sandbox::new() };
        world.learn(&["up"]);
        world
    }

    /// `tests/peers/world ARGUMENTS…`
    pub fn command(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(root().join("tests/peers/world"));
        command.args(arguments).env("KTHW_WORLD_NAME", &self.name).env("KTHW_PEERS", cache());
        said(command.output().unwrap())
    }

    /// Does something and takes over the `KEY=VALUE` lines that it prints.
    pub fn learn(&mut self, arguments: &[&str]) {
        let said = self.command(arguments).ended_with(0);
        self.values.extend(said.stdout.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())));
    }

    /// A value that the world printed.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("the world printed no {name}"))
    }

    /// Boots host `number` as `name` and waits until it is ready.
    pub fn host(&self, number: u32, name: &str) {
        self.command(&["host", "start", &number.to_string(), name]).ended_with(0);
        self.command(&["host", "wait", &number.to_string()]).ended_with(0);
    }

    /// Runs a command inside host `number`.
    pub fn inside(&self, number: u32, command: &[&str]) -> Said {
        let number = number.to_string();
        self.command(&[&["host", "exec", &number, "--"], command].concat())
    }

    /// `kthw ARGUMENTS…` inside the world's network, from which nothing leads out.
    pub fn kthw(&self, arguments: &[&str]) -> Said {
        let inner = self.sandbox.command(arguments);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.value("NETNS")])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(root())
            .env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if self.values.contains_key("PVE_ENDPOINT") {
            command.env("PROXMOX_VE_ENDPOINT", self.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", self.value("PVE_TOKEN"));
            command.env("PROXMOX_VE_CA_FILE", self.value("PVE_CA_FILE"));
        }
        said(command.output().unwrap())
    }

    /// Evaluates a Python expression over fakepve's state (`pve`).
    pub fn pve(&self, expression: &str) -> serde_json::Value {
        let body = serde_json::json!({ "eval": expression }).to_string();
        let answer = self.curl(&["-d", &body, self.value("PVE_CONTROL")]);
        assert_eq!(answer["ok"], true, "{answer}");
        answer["result"].clone()
    }

    /// How many requests that may change something Proxmox has had.
    pub fn pve_writes(&self) -> u64 {
        self.curl(&[&format!("{}/requests/count", self.value("PVE_CONTROL"))])["writes"].as_u64().unwrap()
    }

    /// The method and path of every request that Proxmox has had.
    pub fn pve_requests(&self) -> Vec<(String, String)> {
        let listed = self.curl(&[&format!("{}/requests", self.value("PVE_CONTROL"))]);
        let text = |request: &serde_json::Value, key: &str| request[key].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(|request| (text(request, "method"), text(request, "path"))).collect()
    }

    /// One request to Proxmox that kthw knows nothing of.
    pub fn behind_the_back(&self, method: &str, path: &str) {
        let authorization = format!("Authorization: PVEAPIToken={}", self.value("PVE_TOKEN"));
        let url = format!("{}/api2/json{path}", self.value("PVE_ENDPOINT"));
        self.curl(&["--fail", "--cacert", self.value("PVE_CA_FILE"), "-H", &authorization, "-X", method, &url]);
    }

    fn curl(&self, arguments: &[&str]) -> serde_json::Value {
        let inside = self.value("PVE_ENDPOINT").contains("//10.");
        let prefix: Vec<&str> = if inside { vec!["ip", "netns", "exec", self.value("NETNS"), "curl"] } else { vec!["curl"] };
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(["-sS", "--max-time", "30"]).args(arguments);
        serde_json::from_str(&said(command.output().unwrap()).ended_with(0).stdout).unwrap()
    }

    /// Writes the air-gapped user's workspace for this world: everything comes from inside of it.
    pub fn workspace(&self, nodes: &[(&str, &str, u32)], proxmox: bool) -> String {
        let folder = self.sandbox.path().join("workspace");
        std::fs::create_dir_all(&folder).unwrap();
        let template = std::fs::read_to_string(root().join("tests/peers/workspace.yaml")).unwrap();
        let mut text = String::new();
        for line in template.lines().filter(|line| proxmox || !line.ends_with("# proxmox")) {
            text += line.trim_end_matches("# proxmox").trim_end();
            text.push('\n');
        }
        for (name, value) in &self.values {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        let key = std::fs::read_to_string(self.value("REPOSITORY_KEY_FILE")).unwrap();
        text = text.replace("${REPOSITORY_KEY}", key.trim_end().replace('\n', "\n      ").as_str());
        text = text.replace("${TEST_DATA}", &std::env::var("KTHW_TEST_DATA").unwrap_or_default());
        for (name, role, number) in nodes {
            let vmid = if proxmox { format!(", vmid: {}", 400 + number) } else { String::new() };
            text += &format!("  - {{ name: {name}, role: {role}, address: 10.77.0.{}{vmid} }}\n", 10 + number);
        }
        std::fs::write(folder.join("workspace.yaml"), text).unwrap();
        folder.to_string_lossy().into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("KTHW_KEEP").is_none() {
            let _ = self.command(&["down"]);
        }
    }
}
