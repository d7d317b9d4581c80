//! A world of real peers for one test (tests/peers/world), and `kthw` run inside of it.
use crate::support::{Said, Sandbox, root, said};
use kthw_peers::{Turn, cache};
use std::{
    collections::BTreeMap,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// A process that ends with its owner.
pub struct Ends(pub Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running world; taken down when dropped.
pub struct World {
    name: String,
    values: BTreeMap<String, String>,
    /// What else is in kthw's environment.
    pub more: BTreeMap<String, String>,
    pub sandbox: Sandbox,
    /// Worlds share the machine's cores and memory: the next one comes up when this one is down.
    _turn: Turn,
}

impl World {
    /// Brings a world up, once no other test has one. What is left of an earlier one of that `name` goes away.
    pub fn up(name: &str) -> Self {
        let mut world = Self {
            name: format!("kthw-{name}"),
            values: BTreeMap::new(),
            more: BTreeMap::new(),
            sandbox: Sandbox::new(),
            _turn: Turn::take("worlds"),
        };
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

    /// The same with Debian 13 instead of 12.
    pub fn host_of_debian_13(&self, number: u32, name: &str) {
        self.command(&["host", "start", &number.to_string(), name, "--base", "base-trixie"]).ended_with(0);
        self.command(&["host", "wait", &number.to_string()]).ended_with(0);
    }

    /// Has host `number` restart as its administrator would, and waits until it is ready again.
    pub fn restart(&self, number: u32) {
        self.inside(number, &["sh", "-c", ": >/run/before && systemctl reboot"]).ended_with(0);
        let begun = Instant::now();
        while self.inside(number, &["test", "!", "-e", "/run/before"]).code != 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "host {number} did not restart");
            std::thread::sleep(Duration::from_millis(500));
        }
        self.command(&["host", "wait", &number.to_string()]).ended_with(0);
    }

    /// Runs a command inside host `number`.
    pub fn inside(&self, number: u32, command: &[&str]) -> Said {
        let number = number.to_string();
        self.command(&[&["host", "exec", &number, "--"], command].concat())
    }

    /// Runs a command in the world's network, on no host.
    pub fn outside(&self, command: &[&str]) -> Said {
        said(Command::new("ip").args(["netns", "exec", self.value("NETNS")]).args(command).output().unwrap())
    }

    /// Starts a program in the world's network, on no host.
    pub fn beside(&self, command: &[&str]) -> Ends {
        let started = Command::new("ip").args(["netns", "exec", self.value("NETNS")]).args(command).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        Ends(started)
    }

    /// Runs `kthw ARGUMENTS…` inside the world's network, from which nothing leads out.
    pub fn kthw(&self, arguments: &[&str]) -> Said {
        said(self.kthw_command(arguments).output().unwrap())
    }

    /// `kthw ARGUMENTS…` inside the world's network; its process is kthw's own.
    pub fn kthw_command(&self, arguments: &[&str]) -> Command {
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
        command.envs(&self.more);
        command
    }

    /// Waits until something is so, at most so many seconds.
    pub fn until(&self, what: &str, seconds: u64, so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !so() {
            assert!(Instant::now() < deadline, "waited {seconds} s for {what}");
            std::thread::sleep(Duration::from_millis(500));
        }
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

    /// One request to Proxmox that kthw knows nothing of. Returns its answer.
    pub fn behind_the_back(&self, method: &str, path: &str) -> serde_json::Value {
        let authorization = format!("Authorization: PVEAPIToken={}", self.value("PVE_TOKEN"));
        let url = format!("{}/api2/json{path}", self.value("PVE_ENDPOINT"));
        self.curl(&["--fail", "--cacert", self.value("PVE_CA_FILE"), "-H", &authorization, "-X", method, &url])["data"].clone()
    }

    fn curl(&self, arguments: &[&str]) -> serde_json::Value {
        let inside = self.value("PVE_ENDPOINT").contains("//10.");
        let prefix: Vec<&str> = if inside { vec!["ip", "netns", "exec", self.value("NETNS"), "curl"] } else { vec!["curl"] };
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(["-sS", "--max-time", "30"]).args(arguments);
        serde_json::from_str(&said(command.output().unwrap()).ended_with(0).stdout).unwrap()
    }

    /// Writes the air-gapped user's workspace for this world: everything comes from inside of it. `containerd` is the package's name.
    pub fn workspace(&self, kubernetes: &str, containerd: &str, nodes: &[(&str, &str, u32)], proxmox: bool) -> String {
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
        text = text.replace("${KUBERNETES}", kubernetes).replace("${CONTAINERD}", containerd);
        // A recipe that installs no package needs no repository, and its workspace still names one.
        let key = std::fs::read_to_string(self.value("REPOSITORY_KEY_FILE")).unwrap_or_else(|_| "no key".into());
        text = text.replace("${REPOSITORY_KEY}", key.trim_end().replace('\n', "\n      ").as_str());
        text = text.replace("${MIRROR}", kthw_peers::mirror(&self.sandbox.path().join("mirror")).to_str().unwrap());
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
