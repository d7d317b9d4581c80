//! Storages: what they hold, and downloads.
use super::{
    answer::{Answer, Refusal, refuse},
    model::{GIB, Storage, Volume},
    request::Request,
    task::{TaskWork, begin},
};
use crate::state::State;
use serde_json::{Value, json};

/// The size of every cloud image in the lab.
const IMAGE_SIZE: u64 = 3584 << 20;

fn find<'s>(state: &'s State, request: &Request) -> Result<&'s Storage, Refusal> {
    let name = request.text("storage");
    state.pve.storages.get(name).map_or_else(|| refuse(500, format!("storage '{name}' does not exist")), Ok)
}

/// `GET /nodes/{node}/storage`, `GET /storage`.
pub(crate) fn list(state: &State, request: &Request) -> Answer {
    let wanted = request.given("content");
    let fits = |storage: &Storage| wanted.is_none_or(|content| storage.content.contains(content));
    let named = |name: &str| request.given("storage").is_none_or(|wanted| wanted == name);
    let found = state.pve.storages.iter().filter(|(name, storage)| named(name) && fits(storage));
    Ok(found.map(|(name, storage)| shown(name, storage)).collect())
}

/// `GET /nodes/{node}/storage/{storage}/status`.
pub(crate) fn status(state: &State, request: &Request) -> Answer {
    Ok(shown(request.text("storage"), find(state, request)?))
}

fn shown(name: &str, storage: &Storage) -> Value {
    let used: u64 = storage.volumes.values().map(|volume| volume.size).sum();
    let content: Vec<&str> = storage.content.iter().map(String::as_str).collect();
    json!({
        "storage": name, "type": storage.kind, "content": content.join(","), "active": 1, "enabled": 1, "shared": u8::from(storage.shared),
        "total": 500 * GIB, "used": used, "avail": (500 * GIB).saturating_sub(used),
    })
}

/// `GET /nodes/{node}/storage/{storage}/content`.
pub(crate) fn content(state: &State, request: &Request) -> Answer {
    let storage = find(state, request)?;
    let wanted = |volume: &Volume| {
        volume.is_on(request.text("node"))
            && request.given("content").is_none_or(|content| content == volume.content)
            && request.number("vmid").is_none_or(|vmid| volume.vmid == Some(vmid))
    };
    let found = storage.volumes.iter().filter(|(_, volume)| wanted(volume));
    let on_bases = state.pve.on_bases(request.text("storage"));
    let shown = |(name, volume): (&String, &Volume)| {
        let mut shown = volume_shown(request.text("storage"), name, volume);
        // A volume that lies on a base bears its name in front.
        if let Some(base) = on_bases.get(name.as_str()) {
            shown["volid"] = json!(format!("{}:{base}/{name}", request.text("storage")));
            shown["parent"] = json!(base);
        }
        shown
    };
    Ok(found.map(shown).collect())
}

/// `GET …/content/{volume}`.
pub(crate) fn volume(state: &State, request: &Request) -> Answer {
    let storage = find(state, request)?;
    let name = volume_name(request);
    match storage.volumes.get(name).filter(|volume| volume.is_on(request.text("node"))) {
        Some(volume) => Ok(volume_shown(request.text("storage"), name, volume)),
        None => refuse(500, format!("volume '{}:{name}' does not exist", request.text("storage"))),
    }
}

/// `DELETE …/content/{volume}`. Its task is named after the owning VM and the storage, see `delete` in upstream's PVE/API2/Storage/Content.pm.
pub(crate) fn delete(state: &mut State, request: &Request) -> Answer {
    let (storage, name, node) = (request.text("storage"), volume_name(request), request.text("node"));
    find(state, request)?;
    match state.pve.storages.get_mut(storage).and_then(|store| take_from(store, name, node)) {
        Some(volume) => {
            let owner = volume.vmid.map(|vmid| vmid.to_string()).unwrap_or_default();
            Ok(begin(state, node, "imgdel", &format!("{owner}@{storage}"), 1, TaskWork::Nothing))
        }
        None => refuse(500, format!("volume '{storage}:{name}' does not exist")),
    }
}

/// `POST …/download-url`.
pub(crate) fn download(state: &mut State, request: &Request) -> Answer {
    let storage = find(state, request)?;
    let (content, file) = (request.text("content"), request.text("filename").to_owned());
    if !storage.content.contains(content) {
        return refuse(500, format!("can't upload to storage type '{}', content type '{content}' is not configured", storage.kind));
    }
    let known: &[&str] = match content {
        "import" => &[".qcow2", ".raw", ".vmdk", ".ova"],
        "iso" => &[".iso", ".img"],
        _ => &[".tar.gz", ".tar.xz", ".tar.zst"],
    };
    if !known.iter().any(|end| file.ends_with(end)) {
        let errors = [("filename".to_owned(), "wrong file extension".to_owned())].into();
        return Err(super::answer::wrong_parameters(errors));
    }
    let name = format!("{content}/{file}");
    if storage.volumes.get(&name).is_some_and(|volume| volume.is_on(request.text("node"))) {
        return refuse(500, format!("refusing to override existing file '{file}'"));
    }
    let (storage, node) = (request.text("storage").to_owned(), request.text("node").to_owned());
    let work = TaskWork::Download { storage, node, name, size: IMAGE_SIZE };
    Ok(begin(state, request.text("node"), "download", &file, 25, work))
}

/// Takes a volume away, as far as a node sees it.
fn take_from(store: &mut Storage, name: &str, node: &str) -> Option<Volume> {
    let volume = store.volumes.get_mut(name).filter(|volume| volume.is_on(node))?;
    volume.nodes.remove(node);
    if volume.nodes.is_empty() { store.volumes.remove(name) } else { Some(volume.clone()) }
}

/// Puts a downloaded file on a node's storage.
pub(crate) fn put_file(state: &mut State, storage: &str, node: &str, name: &str, size: u64) {
    let ctime = state.unix_s();
    let content = name.split('/').next().unwrap_or_default().to_owned();
    let format = name.rsplit('.').next().unwrap_or("raw").to_owned();
    if let Some(store) = state.pve.storages.get_mut(storage) {
        let mut nodes = store.volumes.get(name).map(|volume| volume.nodes.clone()).unwrap_or_default();
        nodes.extend((!store.shared).then(|| node.to_owned()));
        store.volumes.insert(name.to_owned(), Volume { content, format, size, vmid: None, ctime, nodes, image: String::new() });
    }
}

/// The volume in the path, with or without its storage in front.
fn volume_name(request: &Request) -> &str {
    let text = request.text("volume");
    text.split_once(':').map_or(text, |(_, name)| name)
}

fn volume_shown(storage: &str, name: &str, volume: &Volume) -> Value {
    let mut shown = json!({
        "volid": format!("{storage}:{name}"), "content": volume.content, "format": volume.format, "size": volume.size, "ctime": volume.ctime,
    });
    if let Some(vmid) = volume.vmid {
        shown["vmid"] = json!(vmid);
    }
    shown
}
