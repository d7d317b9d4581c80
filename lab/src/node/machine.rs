//! One machine: what it has on disk, what runs on it, and when it can be reached.
use super::files::Files;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Whether it has power.
    pub running: bool,
    /// The release that it runs, as `kthw_stdlib::distribution` names it.
    #[serde(default)]
    pub os: String,
    /// Its host name as the kernel knows it.
    pub hostname: String,
    /// Address with prefix length, such as `10.10.10.116/24`.
    pub address: String,
    /// MAC address of its first network card.
    pub mac: String,
    /// Its further network cards: MAC address, and address with prefix length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<(String, String)>,
    /// The user that may log in.
    pub user: String,
    /// Whether that user has a key to log in with.
    pub has_keys: bool,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// When SSH answers, in virtual milliseconds.
    pub ssh_from_ms: u64,
    /// When the guest agent answers.
    pub agent_from_ms: u64,
    /// When cloud-init has finished.
    pub cloud_init_until_ms: u64,
    /// By which cloud-init tells whether its settings have changed.
    #[serde(default)]
    pub instance: String,
    /// When it was started last.
    pub booted_ms: u64,
    /// How often it was started.
    pub boots: u32,
    /// Its file system.
    pub files: Files,
    /// Installed packages.
    pub packages: BTreeMap<String, Package>,
    /// Packages that were unpacked and not configured: dpkg was interrupted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unconfigured: BTreeSet<String>,
    /// What the package manager knows to exist, since its lists were last brought up to date.
    pub catalog: BTreeMap<String, Vec<String>>,
    /// What the archive has got since: for a package its newest version, and whether that is for security. Lists know it once they are fetched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub updates: BTreeMap<String, (String, bool)>,
    /// systemd's units.
    pub units: BTreeMap<String, Unit>,
    /// Loaded kernel modules.
    pub modules: BTreeSet<String>,
    /// Kernel parameters, by dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Active swap devices.
    pub swaps: Vec<String>,
    /// How many shell texts that the lab does not understand were run on it.
    pub scripts: u32,
    /// When the script that changes it ends, in virtual milliseconds.
    #[serde(default)]
    pub busy_until_ms: u64,
    /// The number of the last run that changed it.
    #[serde(default)]
    pub last_run: u64,
    /// The number of the cluster that it belongs to.
    pub cluster: Option<usize>,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// Whether it is held at that version.
    pub held: bool,
}

/// A unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Whether it starts with the machine.
    pub enabled: bool,
    /// Whether it may not be started at all.
    pub masked: bool,
    /// Whether it was started; whether it really runs may depend on more.
    pub started: bool,
    /// When it was last started, in virtual milliseconds.
    pub started_ms: u64,
    /// Digest of its configuration when it was last started.
    pub configuration: String,
}

impl Machine {
    /// What is on its disk: a machine that has it and was never started.
    #[must_use]
    pub fn layer(&self) -> Self {
        let units =
            self.units.iter().map(|(name, unit)| (name.clone(), Unit { enabled: unit.enabled, masked: unit.masked, ..Unit::default() }));
        Self {
            os: self.os.clone(),
            instance: self.instance.clone(),
            files: self.files.clone(),
            packages: self.packages.clone(),
            unconfigured: self.unconfigured.clone(),
            catalog: self.catalog.clone(),
            units: units.collect(),
            modules: self.modules.clone(),
            sysctls: self.sysctls.clone(),
            ..Self::default()
        }
    }

    /// Its address without the prefix length.
    pub fn ip(&self) -> &str {
        self.address.split('/').next().unwrap_or_default()
    }

    /// The machine's full name, from `/etc/hosts` as `hostname -f` finds it.
    pub fn fqdn(&self) -> String {
        let hosts = self.files.text("/etc/hosts");
        let lines = hosts.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
        let canonical =
            lines.filter(|names| names.contains(&self.hostname.as_str())).find_map(|names| names.first().map(|name| (*name).to_owned()));
        canonical.unwrap_or_else(|| self.hostname.clone())
    }

    /// Whether a unit runs. The kubelet only does once kubeadm has configured it.
    pub fn runs(&self, unit: &str) -> bool {
        let started = self.units.get(unit).is_some_and(|unit| unit.started);
        started && (unit != "kubelet.service" || self.files.exists("/var/lib/kubelet/config.yaml"))
    }

    /// Starts a unit, or starts it again.
    pub fn start_unit(&mut self, name: &str, now_ms: u64) {
        let configuration = self.configuration_of(name);
        if let Some(unit) = self.units.get_mut(name) {
            *unit = Unit { started: true, started_ms: now_ms, configuration, ..unit.clone() };
        }
        if name == "kthw-checker.service" {
            super::programs::write_checker_status(&mut self.files, crate::state::BEGIN_S + now_ms / 1000);
        }
    }

    /// The digest of what a unit reads when it starts.
    pub fn configuration_of(&self, unit: &str) -> String {
        let path = match unit {
            "containerd.service" => "/etc/containerd/config.toml",
            "kubelet.service" => "/var/lib/kubelet/config.yaml",
            _ => return String::new(),
        };
        self.files.content(path).map(crate::state::fingerprint).unwrap_or_default()
    }
}
