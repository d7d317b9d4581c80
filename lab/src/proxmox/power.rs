//! Starting and stopping virtual machines, and what their status says.
use super::{
    answer::{Answer, refuse},
    model::{GIB, Vm, bytes_of},
    request::Request,
    task::{TaskWork, begin},
};
use crate::{
    node::{self, Seed},
    state::State,
};
use serde_json::{Value, json};

/// `POST …/status/{start,stop,shutdown,reboot,resume}`.
pub(crate) fn change(state: &mut State, request: &Request, deed: &str) -> Answer {
    let (vmid, vm) = request.vm(state)?;
    let hibernates = vm.lock.as_deref() == Some("suspended");
    if let Some(lock) = vm.lock.as_ref().filter(|_| !(hibernates && matches!(deed, "resume" | "stop"))) {
        return refuse(500, format!("VM is locked ({lock})"));
    }
    let (running, node) = (vm.running, vm.node.clone());
    match (deed, running) {
        ("start", true) => return refuse(500, format!("VM {vmid} already running")),
        ("resume", false) if hibernates => {}
        ("resume" | "shutdown" | "reboot", false) => return refuse(500, format!("VM {vmid} not running")),
        _ => {}
    }
    let (kind, seconds, work) = match deed {
        "start" => ("qmstart", 3, TaskWork::Start { vmid }),
        "resume" => ("qmresume", 1, TaskWork::Resume { vmid }),
        "stop" => ("qmstop", 1, TaskWork::Stop { vmid }),
        "reboot" => ("qmreboot", 10, TaskWork::Reboot { vmid }),
        _ => ("qmshutdown", 6, TaskWork::Stop { vmid }),
    };
    Ok(begin(state, &node, kind, &vmid.to_string(), seconds, work))
}

/// Starts a VM: what was pending takes effect, and the machine behind it boots.
pub(crate) fn start(state: &mut State, vmid: u32) -> Result<(), String> {
    let now_ms = state.now_ms;
    let serial = state.next_number();
    let Some(vm) = state.pve.vms.get_mut(&vmid) else {
        return Err(format!("Configuration file 'nodes/?/qemu-server/{vmid}.conf' does not exist"));
    };
    if vm.is_template() {
        return Err("you can't start a vm if it's a template".into());
    }
    if vm.running {
        return Err(format!("VM {vmid} already running"));
    }
    vm.config = vm.with_pending();
    vm.pending.clear();
    let cards = (0..32).map(|number| format!("net{number}"));
    if let Some(bridge) = cards.filter_map(|card| vm.setting(&card, "bridge")).find(|bridge| !state.pve.bridges.contains(*bridge)) {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    vm.running = true;
    vm.started_ms = now_ms;
    let disk = vm.config.iter().find(|(key, value)| is_disk(key, value)).map(|(_, value)| value.clone()).unwrap_or_default();
    let seed = seed(vm);
    let seed = Seed { os: node::in_image(&state.pve.image_on(&disk)), ..seed };
    if !disk.is_empty() {
        node::boot(state, vmid, serial, &seed);
    }
    Ok(())
}

/// Stops a VM; stopping a stopped one is no error.
pub(crate) fn stop(state: &mut State, vmid: u32) -> Result<(), String> {
    if let Some(vm) = state.pve.vms.get_mut(&vmid) {
        vm.config = vm.with_pending();
        vm.pending.clear();
        vm.running = false;
        vm.halt = None;
        vm.lock = vm.lock.take().filter(|lock| lock != "suspended");
    }
    node::power_off(state, vmid);
    Ok(())
}

/// Halts a VM as somebody or something would: its machine answers nobody until it goes on.
pub(crate) fn halt(state: &mut State, vmid: u32, why: &str) {
    let Some(vm) = state.pve.vms.get_mut(&vmid) else { return };
    if why == "hibernated" {
        vm.running = false;
        vm.lock = Some("suspended".into());
    } else {
        vm.halt = Some(why.into());
    }
    if let Some(machine) = state.machines.get_mut(&node::vm_key(vmid)) {
        machine.running = false;
    }
}

/// Lets a halted VM go on where it was.
pub(crate) fn resume(state: &mut State, vmid: u32) -> Result<(), String> {
    if let Some(vm) = state.pve.vms.get_mut(&vmid) {
        vm.running = true;
        vm.halt = None;
        vm.lock = vm.lock.take().filter(|lock| lock != "suspended");
    }
    if let Some(machine) = state.machines.get_mut(&node::vm_key(vmid)) {
        machine.running = true;
    }
    Ok(())
}

/// Whether a configuration entry is a disk with a system on it.
pub(crate) fn is_disk(key: &str, value: &str) -> bool {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    matches!(stem, "scsi" | "virtio" | "ide" | "sata") && stem != key && !value.contains("media=cdrom") && !value.contains("cloudinit")
}

/// What cloud-init tells the machine.
fn seed(vm: &Vm) -> Seed {
    let of = |key: &str| vm.config.get(key).cloned().unwrap_or_default();
    let ip = |name: &str| vm.setting("ipconfig0", name).unwrap_or_default().to_owned();
    Seed {
        name: of("name"),
        domain: of("searchdomain"),
        user: vm.config.get("ciuser").cloned().unwrap_or_else(|| "ubuntu".into()),
        keys: percent_decoded(&of("sshkeys")),
        address: ip("ip"),
        gateway: ip("gw"),
        dns: of("nameserver"),
        mac: vm.setting("net0", "virtio").unwrap_or_default().to_lowercase(),
        cores: vm.config.get("cores").and_then(|text| text.parse().ok()).unwrap_or(1),
        memory_mib: memory_mib(vm),
        cards: (1..32)
            .filter_map(|number| {
                let card = format!("net{number}");
                let mac = vm.setting(&card, "virtio")?.to_lowercase();
                let address = vm.setting(&format!("ipconfig{number}"), "ip").unwrap_or_default().to_owned();
                Some((mac, address))
            })
            .collect(),
        upgrade: vm.config.get("ciupgrade").is_none_or(|flag| flag != "0"),
        ..Seed::default()
    }
}

/// `GET …/status/current`.
pub(crate) fn current(state: &State, request: &Request) -> Answer {
    let (vmid, vm) = request.vm(state)?;
    let mut shown = summary(state, vmid, vm);
    shown["qmpstatus"] = vm.halt.as_ref().map_or_else(|| shown["status"].clone(), |halt| json!(halt));
    shown["ha"] = json!({ "managed": 0 });
    if vm.config.get("agent").is_some_and(|agent| agent.starts_with('1') || agent.contains("enabled=1")) {
        shown["agent"] = json!(1);
    }
    if vm.running {
        shown["pid"] = json!(2000 + vmid);
    }
    Ok(shown)
}

/// What lists say about a VM.
pub(crate) fn summary(state: &State, vmid: u32, vm: &Vm) -> Value {
    let disk = vm.config.iter().find(|(key, value)| is_disk(key, value)).and_then(|(key, _)| bytes_of(vm.setting(key, "size")?));
    let mut shown = json!({
        "vmid": vmid,
        "name": vm.config.get("name").cloned().unwrap_or_else(|| format!("VM {vmid}")),
        "status": if vm.running { "running" } else { "stopped" },
        "cpus": vm.config.get("cores").and_then(|text| text.parse::<u64>().ok()).unwrap_or(1),
        "maxmem": u64::from(memory_mib(vm)) << 20,
        "maxdisk": disk.unwrap_or(0),
        "uptime": if vm.running { (state.now_ms - vm.started_ms) / 1000 } else { 0 },
    });
    let mut set = |key: &str, value: Value| shown[key] = value;
    if vm.is_template() {
        set("template", json!(1));
    }
    if let Some(tags) = vm.config.get("tags") {
        set("tags", json!(tags));
    }
    if let Some(lock) = &vm.lock {
        set("lock", json!(lock));
    }
    shown
}

fn memory_mib(vm: &Vm) -> u32 {
    let text = vm.config.get("memory").map_or("512", String::as_str);
    text.strip_prefix("current=").unwrap_or(text).parse().unwrap_or(512)
}

/// The text behind `%XX`.
pub(crate) fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={}", text.replace('+', "%2B")).as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Bytes of memory of a Proxmox VE node, for lists.
pub(crate) const NODE_MEMORY: u64 = 64 * GIB;
