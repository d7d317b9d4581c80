//! Questions to the whole cluster: version, nodes, resources, next id, pools, permissions, sign-in.
use super::{
    answer::{Answer, refuse, wrong_parameters},
    patterns::split_list,
    power::{NODE_MEMORY, summary},
    request::Request,
};
use crate::state::{State, fingerprint};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// `GET /version`.
pub(crate) fn version(state: &State) -> Answer {
    let release: Vec<&str> = state.pve.version.split('.').take(2).collect();
    Ok(json!({ "version": state.pve.version, "release": release.join("."), "repoid": fingerprint(&state.pve.version)[..16] }))
}

/// `POST /access/ticket`: every password is right in the lab.
pub(crate) fn ticket(state: &mut State, request: &Request) -> Answer {
    let user = match request.given("realm") {
        Some(realm) => format!("{}@{realm}", request.text("username")),
        None => request.text("username").to_owned(),
    };
    let digits = state.made_up("ticket");
    Ok(json!({
        "username": user, "ticket": format!("PVE:{user}:{:08X}::{digits}", state.unix_s()),
        "CSRFPreventionToken": format!("{:08X}:{}", state.unix_s(), &digits[..27]), "cap": {},
    }))
}

/// `GET /cluster/nextid`: the next free VM id, or whether this one is free.
pub(crate) fn next_id(state: &State, request: &Request) -> Answer {
    match request.number("vmid") {
        Some(vmid) if state.pve.vms.contains_key(&vmid) => {
            Err(wrong_parameters(BTreeMap::from([("vmid".into(), format!("VM {vmid} already exists"))])))
        }
        Some(vmid) => Ok(json!(vmid.to_string())),
        None => Ok(json!((100..).find(|vmid| !state.pve.vms.contains_key(vmid)).unwrap_or(100).to_string())),
    }
}

/// `GET /cluster/resources`.
pub(crate) fn resources(state: &State, request: &Request) -> Answer {
    let wanted = |kind: &str| request.given("type").is_none_or(|wanted| wanted == kind);
    let mut found = Vec::new();
    if wanted("vm") {
        found.extend(state.pve.vms.iter().map(|(vmid, vm)| {
            let mut shown = summary(state, *vmid, vm);
            let cpus = shown["cpus"].take();
            let fields = shown.as_object_mut().expect("a summary is an object");
            fields.remove("cpus");
            fields.extend([
                ("id".into(), json!(format!("qemu/{vmid}"))),
                ("type".into(), json!("qemu")),
                ("node".into(), json!(vm.node)),
                ("maxcpu".into(), cpus),
                ("template".into(), json!(u8::from(vm.is_template()))),
            ]);
            if let Some(pool) = state.pve.pool_of(*vmid) {
                fields.insert("pool".into(), json!(pool));
            }
            shown
        }));
    }
    if wanted("node") {
        found.extend(state.pve.nodes.iter().map(|node| node_shown(state, node)));
    }
    if wanted("storage") {
        for node in &state.pve.nodes {
            found.extend(state.pve.storages.iter().map(|(name, storage)| {
                let content: Vec<&str> = storage.content.iter().map(String::as_str).collect();
                json!({
                    "id": format!("storage/{node}/{name}"), "type": "storage", "storage": name, "node": node, "status": "available",
                    "plugintype": storage.kind, "content": content.join(","), "shared": 0,
                })
            }));
        }
    }
    Ok(found.into())
}

/// `GET /nodes`.
pub(crate) fn nodes(state: &State) -> Answer {
    Ok(state.pve.nodes.iter().map(|node| node_shown(state, node)).collect())
}

/// `GET /cluster/status`.
pub(crate) fn status(state: &State) -> Answer {
    let nodes = state.pve.nodes.iter().enumerate();
    let mut found: Vec<Value> = nodes
        .map(|(at, node)| json!({ "id": format!("node/{node}"), "type": "node", "name": node, "nodeid": at + 1, "online": 1, "local": u8::from(at == 0) }))
        .collect();
    if state.pve.nodes.len() > 1 {
        found
            .push(json!({ "id": "cluster", "type": "cluster", "name": "lab", "nodes": state.pve.nodes.len(), "quorate": 1, "version": 1 }));
    }
    Ok(found.into())
}

fn node_shown(state: &State, node: &str) -> Value {
    json!({
        "id": format!("node/{node}"), "type": "node", "node": node, "status": "online", "maxcpu": 16, "maxmem": NODE_MEMORY,
        "mem": NODE_MEMORY / 8, "cpu": 0.02, "uptime": 86_400 + state.now_ms / 1000,
    })
}

/// `GET /nodes/{node}/status`.
pub(crate) fn node_status(state: &State) -> Answer {
    Ok(json!({
        "pveversion": format!("pve-manager/{}/lab", state.pve.version), "uptime": 86_400 + state.now_ms / 1000,
        "memory": { "total": NODE_MEMORY, "used": NODE_MEMORY / 8, "free": NODE_MEMORY / 8 * 7 }, "cpuinfo": { "cpus": 16, "model": "lab" },
    }))
}

/// `GET /nodes/{node}/network`.
pub(crate) fn network(state: &State) -> Answer {
    Ok(state.pve.bridges.iter().map(|bridge| json!({ "iface": bridge, "type": "bridge", "active": 1, "autostart": 1 })).collect())
}

/// `GET /pools`.
pub(crate) fn pools(state: &State, request: &Request) -> Answer {
    let named = |name: &str| request.given("poolid").is_none_or(|wanted| wanted == name);
    let found = state.pve.pools.iter().filter(|(name, _)| named(name));
    Ok(found
        .map(|(name, members)| json!({ "poolid": name, "members": members.iter().map(|vmid| json!({ "vmid": vmid })).collect::<Vec<_>>() }))
        .collect())
}

/// `POST /pools`.
pub(crate) fn make_pool(state: &mut State, request: &Request) -> Answer {
    let name = request.text("poolid").to_owned();
    if state.pve.pools.contains_key(&name) {
        return refuse(500, format!("create pool failed: pool '{name}' already exists"));
    }
    state.pve.pools.insert(name, BTreeSet::new());
    Ok(Value::Null)
}

/// `PUT /pools/{poolid}`: its machines. Storages of pools mean nothing in the lab.
pub(crate) fn change_pool(state: &mut State, request: &Request) -> Answer {
    let name = request.text("poolid").to_owned();
    if !state.pve.pools.contains_key(&name) {
        return refuse(500, format!("update pool failed: pool '{name}' does not exist"));
    }
    let vmids: Vec<u32> = split_list(request.text("vms")).filter_map(|vmid| vmid.parse().ok()).collect();
    for vmid in vmids {
        let now = state.pve.pool_of(vmid).map(str::to_owned);
        match (request.flag("delete"), now.as_deref()) {
            (true, Some(pool)) if pool == name => {}
            (true, _) => return refuse(500, format!("update pool failed: VM {vmid} is not a pool member")),
            (false, Some(pool)) if pool == name => return refuse(500, format!("update pool failed: VM {vmid} is already a pool member")),
            (false, Some(pool)) if !request.flag("allow-move") => {
                return refuse(500, format!("update pool failed: VM {vmid} belongs already to pool '{pool}' and 'allow-move' is not set"));
            }
            (false, _) if !state.pve.vms.contains_key(&vmid) => {
                return refuse(500, format!("update pool failed: VM {vmid} does not exist"));
            }
            (false, _) => {}
        }
        for members in state.pve.pools.values_mut() {
            members.remove(&vmid);
        }
        if !request.flag("delete") {
            state.pve.pools.entry(name.clone()).or_default().insert(vmid);
        }
    }
    Ok(Value::Null)
}
