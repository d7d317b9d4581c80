//! A world for templates: a Proxmox of two nodes, whose image has no agent; what kthw does there, and what is wrong with the clones that it makes.
use super::NODES;
use crate::{
    peers_support::World,
    support::{Said, said},
};
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

/// A world whose Proxmox has two nodes, each with storages of its own, and an image without an agent.
pub struct Site {
    pub world: World,
    workspace: String,
    recipe: String,
}

impl Site {
    pub fn up(name: &str, needs: &str, options: &str) -> Self {
        let mut world = World::up(name);
        world.learn(&["pve", "--bare-image", "--nodes", "pve1,pve2"]);
        // Linked clones lie on their template where storages are folders.
        world.pve("pve.storages['local'].update(content='import,images')");
        let workspace = world.workspace("1.36.3", "containerd", &NODES, true);
        let recipe = world.sandbox.path().join("clones.rhai");
        let text = format!(
            r#"
            const VERSION = "1.0.0";
            const NEEDS = [{needs}];
            fn declare(cluster) {{
                for node in cluster.nodes {{
                    let machine = proxmox::vm(cluster, node, #{{
                        template: cluster.template.name, vmid: node.vmid, storage: cluster.proxmox.storage, bridge: cluster.proxmox.bridge,
                        cores: node.cores, memory_mib: node.memory_mib, disk_gib: node.disk_gib, cpu_type: cluster.machine.cpu_type, {options}
                    }});
                    ssh::node(node, #{{ needs: [machine] }});
                }}
            }}"#
        );
        std::fs::write(&recipe, text.replace("\n            ", "\n")).unwrap();
        Self { recipe: recipe.to_string_lossy().into_owned(), world, workspace }
    }

    /// `kthw VERB RECIPE MORE…`, which ends within ten minutes.
    pub fn kthw(&self, verb: &str, more: &[&str], settings: &[&str]) -> Said {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> =
            [verb, &self.recipe, "-w", &self.workspace].into_iter().chain(more.iter().copied()).chain(settings).collect();
        let inner = self.world.kthw_command(&arguments);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", "600"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(crate::support::root());
        said(command.output().unwrap())
    }

    pub fn inside(&self, number: u32, script: &str) -> String {
        self.world.inside(number, &["sh", "-c", script]).ended_with(0).stdout.trim().to_owned()
    }

    pub fn until(&self, what: &str, expression: &str) {
        let begun = Instant::now();
        while self.world.pve(expression) != true {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A task of Proxmox that kthw knows nothing of, to its end.
    pub fn does(&self, method: &str, path: &str) {
        let task = self.world.behind_the_back(method, path);
        self.until(&format!("{method} {path}"), &format!("pve.tasks[{task}]['status'] == 'stopped'"));
        assert_eq!(self.world.pve(&format!("pve.tasks[{task}]['exitstatus']")), "OK", "{method} {path}");
    }

    /// How many requests of this method VM `vmid` has had below its own path.
    pub fn requests(&self, method: &str, vmid: u32, path: &str) -> usize {
        let end = format!("/qemu/{vmid}/{path}");
        self.world.pve_requests().iter().filter(|(m, p)| m == method && p.split('?').next().is_some_and(|p| p.ends_with(&end))).count()
    }

    /// The pins that are kept of an address.
    pub fn pins(&self, address: &str) -> Vec<String> {
        let listed = Command::new("find").arg(self.world.sandbox.path().join("store")).args(["-name", "known_hosts"]).output().unwrap();
        let files = said(listed).ended_with(0).stdout;
        let texts = files.lines().map(|file| std::fs::read_to_string(file).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.starts_with(&format!("{address} ")))
            .collect()
    }

    /// What is wrong with the clones that a run has made: nothing, where their template has the agent and nothing that makes a machine itself.
    pub fn complaints(&self, run: &Said) -> Vec<String> {
        let mut wrong = Vec::new();
        if run.code != 0 {
            wrong.push(format!("the run ended with {}: {}", run.code, run.stderr));
        }
        for (what, file) in [
            ("machine-id", "/etc/machine-id"),
            ("SSH host key", "/etc/ssh/ssh_host_ed25519_key.pub"),
            ("MAC address", "/sys/class/net/eth0/address"),
        ] {
            let found = NODES.map(|(.., number)| self.inside(number, &format!("cut -d' ' -f1,2 {file}")));
            if found.iter().collect::<BTreeSet<_>>().len() < NODES.len() || found.iter().any(|text| text.len() < 17) {
                wrong.push(format!("the clones have no {what} each of their own: {found:?}"));
            }
        }
        for (name, _, number) in NODES {
            let (vmid, address) = (400 + number, format!("10.77.0.{}", 10 + number));
            if self.world.pve(&format!("pve.machines[{vmid}].agent_runs()")) != true {
                wrong.push(format!("the agent of {name} does not answer"));
            }
            if self.requests("POST", vmid, "status/start") != 1
                || self.inside(number, "journalctl --list-boots -q --no-pager | wc -l") != "1"
            {
                wrong.push(format!("{name} was started more than once, or has the journal of another machine"));
            }
            let key = self.inside(number, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub");
            if !self.pins(&address).iter().any(|line| line.contains(&key)) {
                wrong.push(format!("the host key of {name} is not pinned"));
            }
            if self.requests("GET", vmid, "agent/file-read") == 0 || run.stderr.contains(&format!("first connection to {name} ")) {
                wrong.push(format!("the agent did not vouch for the host key of {name}"));
            }
        }
        if run.stderr.contains("going on without the guest agent") {
            wrong.push("an agent was waited for in vain".into());
        }
        wrong
    }
}
