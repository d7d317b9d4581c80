//! Power: a VM that starts becomes a machine; cloud-init gives it its name, address and user.
use super::{host::Host, machine::Machine, personality};
use crate::state::{State, fingerprint};

/// What a machine is told by its cloud-init drive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seed {
    /// The release on its disk.
    pub os: String,
    /// The VM's name; the host name is its first label.
    pub name: String,
    /// The search domain.
    pub domain: String,
    pub user: String,
    /// Public keys, one a line.
    pub keys: String,
    /// Address with prefix length, or `dhcp`.
    pub address: String,
    pub gateway: String,
    /// Name servers, separated by blanks.
    pub dns: String,
    pub mac: String,
    /// Its further network cards: MAC address, and address with prefix length.
    pub cards: Vec<(String, String)>,
    pub cores: u32,
    pub memory_mib: u32,
    /// Whether packages are brought up to date on the first boot.
    pub upgrade: bool,
}

/// What cloud-init takes when it has run before.
const AGAIN_MS: u64 = 10_000;

/// The key of the machine behind a VM.
pub(crate) fn vm_key(vmid: u32) -> String {
    format!("vm/{vmid}")
}

/// Boots the machine behind a VM; a VM that never ran has a fresh one.
pub(crate) fn boot(state: &mut State, vmid: u32, serial: u64, seed: &Seed) {
    let (now_ms, now_s, identity) = (state.now_ms, state.unix_s(), state.identity("machine", serial));
    let machine = state.machines.entry(vm_key(vmid)).or_default();
    let first = machine.boots == 0;
    seed_machine(machine, &identity, seed, now_s);
    power_on(machine, now_ms, now_s);
    let busy_ms = match (first, seed.upgrade) {
        (true, true) => 60_000,
        (true, false) => 20_000,
        (false, _) => AGAIN_MS,
    };
    machine.cloud_init_until_ms = machine.ssh_from_ms + busy_ms;
    state.agenda.add_first_start(machine.cloud_init_until_ms, &vm_key(vmid));
    state.agenda.add_address(machine.ip(), &vm_key(vmid));
    if first && seed.upgrade {
        super::programs::update_lists(machine, None);
    }
}

/// Restarts a machine from within: its hardware stays as it was.
pub(crate) fn reboot(host: &mut Host) {
    let (now_ms, now_s) = (host.state.now_ms + host.took_ms, host.state.unix_s());
    power_on(&mut host.machine, now_ms, now_s);
    host.machine.cloud_init_until_ms = host.machine.ssh_from_ms + AGAIN_MS;
    host.state.agenda.add_first_start(host.machine.cloud_init_until_ms, &host.key);
}

/// Makes a machine that was always there, for workspaces that make no machines.
pub(crate) fn provide(state: &mut State, key: &str, seed: &Seed) {
    if state.machines.contains_key(key) {
        return;
    }
    let identity = state.made_up("machine");
    let now_s = state.unix_s();
    let mut machine = Machine { booted_ms: state.now_ms, running: true, boots: 1, ..Machine::default() };
    seed_machine(&mut machine, &identity, seed, now_s);
    state.agenda.add_first_start(machine.cloud_init_until_ms, key);
    state.agenda.add_address(machine.ip(), key);
    state.machines.insert(key.to_owned(), machine);
}

/// Takes the power away: what lived in memory is gone.
pub(crate) fn power_off(state: &mut State, vmid: u32) {
    if let Some(machine) = state.machines.get_mut(&vm_key(vmid)) {
        machine.running = false;
    }
}

/// Lets a VM's disk be a copy of another's: what was written there is on it, and it was never started.
pub(crate) fn overlay(state: &mut State, source: u32, vmid: u32) {
    if let Some(layer) = state.machines.get(&vm_key(source)).map(Machine::layer) {
        state.machines.insert(vm_key(vmid), layer);
    }
}

/// Keeps of a machine that becomes a template what is on its disk.
pub(crate) fn keep_layer(state: &mut State, vmid: u32) {
    overlay(state, vmid, vmid);
}

/// Lets cloud-init finish on every machine whose time has come.
pub(crate) fn finish_first_starts(state: &mut State) {
    let (now_ms, now_s) = (state.now_ms, state.unix_s());
    while let Some(key) = state.agenda.next_first_start(now_ms) {
        let Some(machine) = state.machines.get_mut(&key) else { continue };
        if machine.running && now_ms >= machine.cloud_init_until_ms && !machine.files.exists(FINISHED) {
            machine.files.put(FINISHED, FINISHED_WELL, 0o644, now_s);
        }
    }
}

const FINISHED: &str = "/run/cloud-init/result.json";
const FINISHED_WELL: &str = "{\n \"v1\": {\n  \"datasource\": \"DataSourceNoCloud [seed=/dev/sr0]\",\n  \"errors\": []\n }\n}\n";

fn seed_machine(machine: &mut Machine, identity: &str, seed: &Seed, now_s: u64) {
    let short = seed.name.split('.').next().unwrap_or_default().to_owned();
    machine.hostname = short.clone();
    // Proxmox VE makes the instance id of what is on the drive; for another one cloud-init makes new host keys.
    let told = [&seed.name, &seed.domain, &seed.user, &seed.keys, &seed.address, &seed.gateway, &seed.dns];
    let cards: String = seed.cards.iter().map(|(mac, address)| format!("\n{mac} {address}")).collect();
    let instance = fingerprint(format!("{}{cards}", told.map(String::as_str).join("\n")));
    if machine.files.names("/").is_empty() {
        personality::of(&seed.os).install(machine);
    }
    personality::identify(machine, identity, machine.instance != instance, now_s);
    machine.instance = instance;
    let fqdn = match (seed.name.contains('.'), seed.domain.is_empty()) {
        (false, false) => format!("{short}.{}", seed.domain),
        _ => seed.name.clone(),
    };
    machine.address.clone_from(&seed.address);
    machine.mac.clone_from(&seed.mac);
    machine.cards.clone_from(&seed.cards);
    machine.user.clone_from(&seed.user);
    machine.has_keys = !seed.keys.trim().is_empty();
    machine.cores = seed.cores;
    machine.memory_mib = seed.memory_mib;
    let names = if fqdn == short { short.clone() } else { format!("{fqdn} {short}") };
    let home = if seed.user == "root" { "/root".to_owned() } else { format!("/home/{}", seed.user) };
    // Proxmox VE writes `manage_etc_hosts: true` into its user data, so cloud-init renders /etc/hosts anew on every boot.
    // Of a template that somebody wrote it takes what is behind the first line; the lab plays no variables in it.
    let template = personality::of(&machine.os).release.hosts_template;
    let hosts = match machine.files.text(template).split_once('\n') {
        Some((_, own)) => own.to_owned(),
        None => format!("127.0.1.1 {names}\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    };
    machine.files.put("/etc/hosts", &hosts, 0o644, now_s);
    machine.files.put("/etc/hostname", &format!("{short}\n"), 0o644, now_s);
    machine.files.put(&format!("{home}/.ssh/authorized_keys"), &seed.keys, 0o600, now_s);
    let servers: Vec<&str> = seed.dns.split_whitespace().collect();
    let netplan = format!(
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [{}]\n      gateway: {}\n      nameservers: {servers:?}\n",
        seed.address, seed.gateway
    );
    let others = (1..).zip(&seed.cards).filter(|(_, (_, address))| !address.is_empty());
    let others: String = others.map(|(number, (_, address))| format!("    eth{number}:\n      addresses: [{address}]\n")).collect();
    machine.files.put("/etc/netplan/50-cloud-init.yaml", &format!("{netplan}{others}"), 0o600, now_s);
}

fn power_on(machine: &mut Machine, now_ms: u64, now_s: u64) {
    machine.running = true;
    machine.boots += 1;
    machine.booted_ms = now_ms;
    // What ran is gone, and /run with it.
    machine.busy_until_ms = 0;
    machine.last_run = 0;
    machine.files.remove_tree("/run/cloud-init");
    machine.files.remove_tree("/run/reboot-required");
    machine.agent_from_ms = now_ms + 6_000;
    machine.ssh_from_ms = now_ms + 8_000;
    let up_ms = machine.ssh_from_ms;
    super::programs::load_at_boot(machine);
    // The directory is there from the beginning; the result in it only when cloud-init has finished.
    machine.files.make_directory("/run/cloud-init", 0o755, now_s);
    if machine.units.get(kthw_stdlib::firewall::UNIT).is_some_and(|unit| unit.enabled) {
        super::programs::load_firewall(&mut machine.files, now_s);
    } else {
        machine.files.remove_tree("/run/kthw-firewall");
    }
    let enabled: Vec<String> =
        machine.units.iter().filter(|(_, unit)| unit.enabled && !unit.masked).map(|(name, _)| name.clone()).collect();
    for unit in machine.units.values_mut() {
        unit.started = false;
    }
    for name in enabled {
        machine.start_unit(&name, up_ms);
    }
}
