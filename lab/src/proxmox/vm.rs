//! Making and removing virtual machines: create, clone, template, grow, destroy.
use super::{
    answer::{Answer, Refusal, refuse, wrong_parameters},
    config::{entries, kept, new_mac, size_of, with_mac, with_size},
    model::{Vm, bytes_of, size_text},
    patterns::split_properties,
    power::is_disk,
    request::Request,
    task::{TaskWork, begin},
};
use crate::state::State;
use std::collections::BTreeMap;

/// `POST /nodes/{node}/qemu`.
pub(crate) fn create(state: &mut State, request: &Request) -> Answer {
    let (vmid, node) = (request.number("vmid").unwrap_or(0), request.text("node").to_owned());
    if let Some(other) = state.pve.vms.get(&vmid) {
        return refuse(500, format!("unable to create VM {vmid} - VM {vmid} already exists on node '{}'", other.node));
    }
    check_pool(state, request)?;
    let mut config = entries(state, request, vmid)?;
    let uuid = uuid(state);
    config.insert("smbios1".into(), format!("uuid={uuid}"));
    config.entry("boot".into()).or_default();
    config.retain(|_, value| !value.is_empty());
    state.pve.vms.insert(vmid, Vm { node: node.clone(), config, lock: Some("create".into()), ..Vm::default() });
    join_pool(state, request, vmid);
    let start = request.flag("start");
    Ok(begin(state, &node, "qmcreate", &vmid.to_string(), 12, TaskWork::Finish { vmid, start }))
}

/// `POST …/clone`.
pub(crate) fn clone(state: &mut State, request: &Request) -> Answer {
    let newid = request.number("newid").unwrap_or(0);
    let (vmid, source) = request.vm(state)?;
    let source = source.clone();
    if let Some(lock) = &source.lock {
        return refuse(500, format!("VM is locked ({lock})"));
    }
    let full = request.given("full").map_or(!source.is_template(), |_| request.flag("full"));
    if !full && !source.is_template() {
        return refuse(500, "Full clone feature is not supported for this VM: linked clones need a template".to_owned());
    }
    if !full && request.given("storage").is_some() {
        let text = "parameter 'storage' not allowed for linked clones";
        return Err(wrong_parameters(BTreeMap::from([("storage".into(), text.into())])));
    }
    if let Some(other) = state.pve.vms.get(&newid) {
        return refuse(500, format!("unable to create VM {newid}: config file already exists on node '{}'", other.node));
    }
    check_pool(state, request)?;
    let node = request.given("target").unwrap_or(&source.node).to_owned();
    if !state.pve.nodes.contains(&node) {
        return refuse(500, format!("no such cluster node '{node}'"));
    }
    let local = |(key, value): (&String, &String)| is_disk(key, value) && !state.pve.is_shared(value);
    if node != source.node && source.config.iter().any(local) {
        return refuse(500, format!("can't clone VM to node '{node}' (VM uses local storage)"));
    }
    let mut config = BTreeMap::new();
    for (key, value) in source.config.iter().filter(|(key, _)| *key != "template") {
        let value = match key.as_str() {
            key if key.starts_with("net") && key[3..].parse::<u8>().is_ok() => {
                let mac = new_mac(state);
                replace_mac(&with_mac(state, value), &mac)
            }
            "smbios1" => format!("uuid={}", uuid(state)),
            key if is_disk(key, value) || value.contains("cloudinit") => copy_drive(state, value, newid, request.given("storage"), full)?,
            _ => value.clone(),
        };
        config.insert(key.clone(), value);
    }
    let name = request.given("name").map_or_else(|| format!("Copy-of-VM-{vmid}"), str::to_owned);
    config.insert("name".into(), name);
    if let Some(description) = request.given("description") {
        config.insert("description".into(), kept(description));
    }
    // Upstream's `clone_vm` begins with a file that holds nothing but the lock, beside the template, and moves the whole one at the end.
    let name = config.get("name").cloned().unwrap_or_default();
    let half =
        Vm { node: source.node.clone(), config: BTreeMap::from([("name".into(), name)]), lock: Some("clone".into()), ..Vm::default() };
    state.pve.vms.insert(newid, half);
    join_pool(state, request, newid);
    let seconds = if full { 15 } else { 2 };
    let work = TaskWork::Clone { vmid: newid, target: node, config, source: vmid };
    Ok(begin(state, &source.node, "qmclone", &vmid.to_string(), seconds, work))
}

/// `POST …/template`.
pub(crate) fn template(state: &mut State, request: &Request) -> Answer {
    let (vmid, vm) = request.vm_mut(state)?;
    if vm.running {
        return refuse(500, "you can't convert a VM to template if VM is running");
    }
    let node = vm.node.clone();
    Ok(begin(state, &node, "qmtemplate", &vmid.to_string(), 2, TaskWork::Template { vmid }))
}

/// Turns a VM into a template: its disks become base images.
pub(crate) fn make_template(state: &mut State, vmid: u32) -> Result<(), String> {
    let Some(vm) = state.pve.vms.get_mut(&vmid) else { return Err(format!("VM {vmid} does not exist")) };
    vm.config.insert("template".into(), "1".into());
    for value in vm.config.iter_mut().filter(|(key, value)| is_disk(key, value)).map(|(_, value)| value) {
        let (id, rest) = value.split_once(',').map_or((value.clone(), String::new()), |(id, rest)| (id.to_owned(), format!(",{rest}")));
        let Some((storage, name)) = id.split_once(':') else { continue };
        let base = name.replace("vm-", "base-");
        if let Some(store) = state.pve.storages.get_mut(storage)
            && let Some(volume) = store.volumes.remove(name)
        {
            store.volumes.insert(base.clone(), volume);
        }
        *value = format!("{storage}:{base}{rest}");
    }
    crate::node::keep_layer(state, vmid);
    Ok(())
}

/// `PUT …/resize`.
pub(crate) fn resize(state: &mut State, request: &Request) -> Answer {
    let (vmid, vm) = request.vm_mut(state)?;
    let disk = request.text("disk").to_owned();
    let Some(now) = size_of(vm, &disk) else { return refuse(500, format!("disk '{disk}' does not exist")) };
    let wanted = request.text("size");
    let size = match wanted.strip_prefix('+') {
        Some(more) => bytes_of(more).map(|more| now + more),
        None => bytes_of(wanted),
    };
    let Some(size) = size.filter(|size| *size >= now) else { return refuse(500, "shrinking disks is not supported") };
    let node = vm.node.clone();
    Ok(begin(state, &node, "resize", &vmid.to_string(), 1, TaskWork::Resize { vmid, disk, size }))
}

/// Grows a disk to `size` bytes.
pub(crate) fn grow(state: &mut State, vmid: u32, disk: &str, size: u64) -> Result<(), String> {
    let Some(vm) = state.pve.vms.get_mut(&vmid) else { return Err(format!("VM {vmid} does not exist")) };
    let Some(value) = vm.config.get_mut(disk) else { return Err(format!("disk '{disk}' does not exist")) };
    let id = value.split(',').next().unwrap_or_default().to_owned();
    *value = with_size(value, size);
    if let Some(volume) = state.pve.volume_mut(&id) {
        volume.size = size;
    }
    Ok(())
}

/// `DELETE /nodes/{node}/qemu/{vmid}`.
pub(crate) fn destroy(state: &mut State, request: &Request) -> Answer {
    let (vmid, vm) = request.vm_mut(state)?;
    if vm.running {
        return refuse(500, format!("VM {vmid} is running - destroy failed"));
    }
    if vm.config.get("protection").is_some_and(|flag| flag == "1") {
        return refuse(500, format!("can't remove VM {vmid} - protection mode enabled"));
    }
    let node = vm.node.clone();
    if let Some(base) = base_in_use(state, vmid) {
        return refuse(500, format!("base volume '{base}' is still in use by linked cloned"));
    }
    Ok(begin(state, &node, "qmdestroy", &vmid.to_string(), 3, TaskWork::Destroy { vmid }))
}

/// A disk of a template on which another VM's lies. On LVM-thin none does: a clone there is a volume of its own.
fn base_in_use(state: &State, vmid: u32) -> Option<String> {
    let disks = state.pve.vms.get(&vmid).into_iter().flat_map(|vm| vm.config.iter().filter(|(key, value)| is_disk(key, value)));
    let mut bases = disks.filter_map(|(_, value)| value.split(',').next()).filter(|id| id.contains("base-"));
    let others = || state.pve.vms.iter().filter(|(other, _)| **other != vmid).flat_map(|(_, vm)| vm.config.values());
    bases.find(|base| others().any(|value| value.starts_with(&format!("{base}/")))).map(str::to_owned)
}

/// Ends a create or clone: the VM may be used.
pub(crate) fn finish(state: &mut State, vmid: u32) {
    if let Some(vm) = state.pve.vms.get_mut(&vmid) {
        vm.lock = None;
    }
}

/// Removes a VM, its volumes and its machine.
pub(crate) fn remove(state: &mut State, vmid: u32) {
    state.pve.vms.remove(&vmid);
    for storage in state.pve.storages.values_mut() {
        storage.volumes.retain(|_, volume| volume.vmid != Some(vmid));
    }
    for members in state.pve.pools.values_mut() {
        members.remove(&vmid);
    }
    state.machines.remove(&crate::node::vm_key(vmid));
}

fn copy_drive(state: &mut State, value: &str, newid: u32, storage: Option<&str>, full: bool) -> Result<String, Refusal> {
    let (id, rest) = value.split_once(',').unwrap_or((value, ""));
    let Some((from, base)) = id.split_once(':') else { return Ok(value.to_owned()) };
    let what = if id.contains("cloudinit") { "cloudinit" } else { "disk" };
    let size = rest.split(',').find_map(|part| bytes_of(part.strip_prefix("size=")?)).unwrap_or(4 << 20);
    let to = storage.unwrap_or(from);
    let ctime = state.unix_s();
    match state.pve.storages.get(to) {
        None => return refuse(500, format!("storage '{to}' does not exist")),
        Some(store) if !store.content.contains("images") => {
            return refuse(500, format!("storage '{to}' does not support content-type 'images'"));
        }
        Some(_) => {}
    }
    let image = state.pve.image_on(id);
    let volume = state.pve.allocate(to, newid, what, size, ctime).expect("the storage was just found");
    if let Some(made) = state.pve.volume_mut(&volume) {
        made.image = image;
    }
    // LVM-thin names a linked clone like any other volume; on folders the base image stands in front.
    let linked = !full && what == "disk" && state.pve.storages[to].kind == "dir";
    let volume = if linked { volume.replacen(':', &format!(":{base}/"), 1) } else { volume };
    let rest: Vec<&str> = rest.split(',').filter(|part| !part.is_empty() && !part.starts_with("size=")).collect();
    let rest: String = rest.iter().map(|part| format!(",{part}")).collect();
    Ok(format!("{volume}{rest},size={}", size_text(size)))
}

fn replace_mac(value: &str, mac: &str) -> String {
    let parts = split_properties(value, "model").map(|(key, value)| match key {
        "virtio" | "e1000" | "vmxnet3" | "rtl8139" => format!("{key}={mac}"),
        _ => format!("{key}={value}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

fn uuid(state: &mut State) -> String {
    let digits = state.made_up("uuid");
    format!("{}-{}-4{}-8{}-{}", &digits[0..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32])
}

fn check_pool(state: &State, request: &Request) -> Result<(), Refusal> {
    match request.given("pool").filter(|pool| !state.pve.pools.contains_key(*pool)) {
        Some(pool) => refuse(500, format!("no such pool '{pool}'")),
        None => Ok(()),
    }
}

fn join_pool(state: &mut State, request: &Request, vmid: u32) {
    if let Some(members) = request.given("pool").and_then(|pool| state.pve.pools.get_mut(pool)) {
        members.insert(vmid);
    }
}
