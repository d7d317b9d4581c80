//! A VM's configuration: reading it, changing it, and what waits for the next start.
use super::{
    answer::{Answer, Refusal, refuse},
    model::{GIB, Vm, bytes_of, size_text},
    patterns::{split_list, split_properties},
    power::is_disk,
    request::Request,
    task::{TaskWork, begin},
};
use crate::state::State;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Parameters of a request that are no configuration entries.
const NOT_CONFIG: &[&str] = &[
    "node",
    "vmid",
    "pool",
    "start",
    "storage",
    "unique",
    "import-working-storage",
    "digest",
    "delete",
    "revert",
    "force",
    "skiplock",
    "background_delay",
];

/// Entries that take effect at once on a running VM; network cards are hot-plugged too.
/// Upstream: the fast-plug options and all of cloud-init's, in `PVE/QemuServer.pm`.
const AT_ONCE: &[&str] = &[
    "name",
    "description",
    "tags",
    "onboot",
    "protection",
    "startup",
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "nameserver",
    "searchdomain",
    "sshkeys",
];

/// `GET …/config`.
pub(crate) fn read(state: &State, request: &Request) -> Answer {
    let (_, vm) = request.vm(state)?;
    let config = if request.flag("current") { vm.config.clone() } else { vm.with_pending() };
    let mut shown: serde_json::Map<String, Value> = config.iter().map(|(key, value)| (key.clone(), typed(key, value))).collect();
    if let Some(lock) = &vm.lock {
        shown.insert("lock".into(), json!(lock));
    }
    shown.insert("digest".into(), json!(vm.digest()));
    Ok(Value::Object(shown))
}

/// `GET …/pending`.
pub(crate) fn pending(state: &State, request: &Request) -> Answer {
    let (_, vm) = request.vm(state)?;
    let mut entries: BTreeMap<&String, Value> = BTreeMap::new();
    for (key, value) in &vm.config {
        entries.insert(key, json!({ "key": key, "value": typed(key, value) }));
    }
    for (key, value) in &vm.pending {
        let entry = entries.entry(key).or_insert_with(|| json!({ "key": key }));
        match value {
            Some(value) => entry["pending"] = typed(key, value),
            None => entry["delete"] = json!(1),
        }
    }
    entries.insert(&DIGEST, json!({ "key": "digest", "value": vm.digest() }));
    Ok(entries.into_values().collect())
}

static DIGEST: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "digest".into());

/// `PUT …/config` (at once) and `POST …/config` (as a task).
pub(crate) fn change(state: &mut State, request: &Request) -> Answer {
    let (vmid, vm) = request.vm(state)?;
    if let Some(lock) = &vm.lock {
        return refuse(500, format!("VM is locked ({lock})"));
    }
    if request.given("digest").is_some_and(|digest| digest != vm.digest()) {
        return refuse(500, "detected modified configuration - file changed by other user? Try again.");
    }
    let node = vm.node.clone();
    let given = entries(state, request, vmid)?;
    let vm = state.pve.vms.get_mut(&vmid).expect("it was just found");
    for key in split_list(request.text("revert")) {
        vm.pending.remove(key);
    }
    for key in split_list(request.text("delete")) {
        put(vm, key, None);
    }
    for (key, value) in given {
        put(vm, &key, Some(value));
    }
    match request.method.as_str() {
        "POST" => Ok(begin(state, &node, "qmconfig", &vmid.to_string(), 1, TaskWork::Nothing)),
        _ => Ok(Value::Null),
    }
}

/// A description as it is read back: upstream's `parse_vm_config` in PVE/QemuServer.pm takes white space away from its end.
pub(crate) fn kept(description: &str) -> String {
    description.trim_end().to_owned()
}

/// The configuration entries of a request, with volumes allocated and addresses chosen.
pub(crate) fn entries(state: &mut State, request: &Request, vmid: u32) -> Result<BTreeMap<String, String>, Refusal> {
    let mut entries = BTreeMap::new();
    for (key, values) in request.values.iter().filter(|(key, _)| !NOT_CONFIG.contains(&key.as_str())) {
        let value = values.first().cloned().unwrap_or_default();
        let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let value = match stem {
            "net" => with_mac(state, &value),
            "description" => kept(&value),
            "tags" => {
                let mut tags: Vec<String> = split_list(&value).map(str::to_lowercase).collect();
                tags.sort();
                tags.dedup();
                tags.join(";")
            }
            "scsi" | "virtio" | "ide" | "sata" if stem != key.as_str() => drive(state, request.text("node"), vmid, key, &value)?,
            _ => value,
        };
        entries.insert(key.clone(), value);
    }
    Ok(entries)
}

fn put(vm: &mut Vm, key: &str, value: Option<String>) {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let at_once = !vm.running || AT_ONCE.contains(&key) || matches!(stem, "net" | "ipconfig");
    if !at_once && vm.config.get(key) != value.as_ref() {
        vm.pending.insert(key.to_owned(), value);
        return;
    }
    vm.pending.remove(key);
    match value {
        Some(value) => vm.config.insert(key.to_owned(), value),
        None => vm.config.remove(key),
    };
}

/// `virtio,bridge=vmbr0` becomes `virtio=MAC,bridge=vmbr0`; a given address stays.
pub(crate) fn with_mac(state: &mut State, value: &str) -> String {
    let mut parts: Vec<(String, String)> =
        split_properties(value, "model").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let given = parts.iter().find(|(key, _)| key == "macaddr").map(|(_, value)| value.clone());
    parts.retain(|(key, _)| key != "macaddr");
    for (key, value) in &mut parts {
        if key == "model" {
            *key = std::mem::take(value);
        }
        if key == "virtio" && value.is_empty() {
            *value = given.clone().unwrap_or_else(|| new_mac(state));
        }
    }
    parts.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// A new address with Proxmox's own prefix.
pub(crate) fn new_mac(state: &mut State) -> String {
    let digits = state.made_up("mac").to_uppercase();
    format!("BC:24:11:{}:{}:{}", &digits[0..2], &digits[2..4], &digits[4..6])
}

/// Allocates what a drive asks for: a copy of an image, an empty disk, or a cloud-init drive.
fn drive(state: &mut State, node: &str, vmid: u32, key: &str, value: &str) -> Result<String, Refusal> {
    let mut settings: Vec<(String, String)> =
        split_properties(value, "file").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let take = |settings: &mut Vec<(String, String)>, name: &str| {
        let at = settings.iter().position(|(key, _)| key == name)?;
        Some(settings.remove(at).1)
    };
    let file = take(&mut settings, "file").or_else(|| take(&mut settings, "volume")).unwrap_or_default();
    let source = take(&mut settings, "import-from");
    let rest: String = settings.iter().filter(|(key, _)| key != "size").map(|(key, value)| format!(",{key}={value}")).collect();
    let Some((storage, what)) = file.split_once(':') else {
        return if matches!(file.as_str(), "none" | "cdrom") {
            Ok(value.to_owned())
        } else {
            refuse(500, format!("unable to parse volume ID '{file}'"))
        };
    };
    let ctime = state.unix_s();
    let (what, size) = match (what, &source) {
        ("cloudinit", _) => ("cloudinit", 4 << 20),
        (_, Some(source)) => match state.pve.volume(source).filter(|volume| volume.is_on(node)) {
            Some(volume) => ("disk", volume.size),
            None => return refuse(500, format!("{key}: cannot import from '{source}' - volume '{source}' does not exist")),
        },
        (digits, None) => match digits.parse::<u64>() {
            Ok(gib) => ("disk", gib * GIB),
            Err(_) if state.pve.volume(&file).is_some() => return Ok(value.to_owned()),
            Err(_) => return refuse(500, format!("volume '{file}' does not exist")),
        },
    };
    if !state.pve.storages.contains_key(storage) {
        return refuse(500, format!("storage '{storage}' does not exist"));
    }
    if !state.pve.storages[storage].content.contains("images") {
        return refuse(500, format!("storage '{storage}' does not support content-type 'images'"));
    }
    let volume = state.pve.allocate(storage, vmid, what, size, ctime).expect("the storage was just found");
    if let (Some(made), Some(source)) = (state.pve.volume_mut(&volume), source) {
        made.image = source;
    }
    let media = if what == "cloudinit" && !rest.contains("media=") { ",media=cdrom" } else { "" };
    Ok(format!("{volume}{rest}{media},size={}", size_text(size)))
}

/// Numbers and flags are numbers on the wire, everything else is text.
fn typed(key: &str, value: &str) -> Value {
    const NUMBERS: &[&str] =
        &["cores", "sockets", "onboot", "template", "numa", "acpi", "kvm", "tablet", "balloon", "protection", "ciupgrade"];
    match value.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => json!(number),
        _ if key == "cipassword" => json!("**********"),
        _ => json!(value),
    }
}

/// Sets the size written in a drive's entry.
pub(crate) fn with_size(value: &str, size: u64) -> String {
    let rest: Vec<&str> = value.split(',').filter(|part| !part.starts_with("size=")).collect();
    format!("{},size={}", rest.join(","), size_text(size))
}

/// The size of a drive in bytes.
pub(crate) fn size_of(vm: &Vm, key: &str) -> Option<u64> {
    let value = vm.config.get(key).filter(|value| is_disk(key, value) || value.contains("cloudinit"))?;
    value.split(',').find_map(|part| bytes_of(part.strip_prefix("size=")?))
}
