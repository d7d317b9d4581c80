//! The guest agent of a lab VM: answers once the machine is up, if it is installed there, starts with it, and has its channel.
use super::{
    answer::{Answer, Refusal, refuse},
    request::Request,
};
use crate::{
    node::{self, vm_key},
    state::State,
};
use serde_json::{Value, json};

/// Any request below `…/agent/`.
pub(crate) fn answer(state: &mut State, request: &Request, deed: &str) -> Answer {
    let vmid = reachable(state, request)?;
    let key = vm_key(vmid);
    let Some(machine) = state.machines.get(&key) else { return refuse(500, "QEMU guest agent is not running") };
    match deed {
        "ping" => Ok(json!({ "result": {} })),
        "get-osinfo" => {
            let os = node::personality(&machine.os);
            let (id, title, version) = (os.release.distribution.word(), os.release.title, os.release.version);
            Ok(json!({ "result": {
                "id": id, "name": title, "pretty-name": title, "version-id": version, "kernel-release": os.kernel,
            } }))
        }
        "get-host-name" => Ok(json!({ "result": { "host-name": machine.hostname } })),
        "network-get-interfaces" => Ok(json!({ "result": interfaces(machine) })),
        "file-read" => match machine.files.content(request.text("file")) {
            Some(content) => {
                let text = String::from_utf8_lossy(content).into_owned();
                Ok(json!({ "content": text, "bytes-read": content.len() }))
            }
            None => refuse(500, format!("Agent error: failed to open file '{}': No such file or directory", request.text("file"))),
        },
        "exec" => {
            let argv = request.list("command").to_vec();
            let stdin = request.text("input-data").as_bytes().to_vec();
            let output = node::run_by_agent(state, &key, &argv, &stdin);
            let pid = 3000 + state.next_number();
            if let Some(vm) = state.pve.vms.get_mut(&vmid) {
                vm.commands.insert(pid, (output.status, output.stdout, output.stderr));
            }
            Ok(json!({ "pid": pid }))
        }
        _ => {
            let pid = request.number("pid").map_or(0, u64::from);
            // Upstream too forgets a command once its end has been told.
            match state.pve.vms.get_mut(&vmid).and_then(|vm| vm.commands.remove(&pid)) {
                Some((status, out, err)) => Ok(json!({ "exited": 1, "exitcode": status, "out-data": out, "err-data": err })),
                None => refuse(500, format!("Agent error: PID {pid} does not exist")),
            }
        }
    }
}

fn reachable(state: &State, request: &Request) -> Result<u32, Refusal> {
    let (vmid, vm) = request.vm(state)?;
    if !vm.running {
        return refuse(500, format!("VM {vmid} is not running"));
    }
    let enabled = vm.config.get("agent").is_some_and(|text| text.split(',').any(|part| matches!(part, "1" | "enabled=1" | "enabled=on")));
    if !enabled {
        return refuse(500, "No QEMU guest agent configured");
    }
    let answers = |machine: &node::Machine| state.now_ms >= machine.agent_from_ms && machine.runs("qemu-guest-agent.service");
    let up = state.machines.get(&vm_key(vmid)).is_some_and(answers);
    if up { Ok(vmid) } else { refuse(500, "QEMU guest agent is not running") }
}

fn interfaces(machine: &node::Machine) -> Value {
    let (address, bits) = machine.address.split_once('/').unwrap_or((&machine.address, "24"));
    let lo = json!({ "name": "lo", "hardware-address": "00:00:00:00:00:00",
        "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8 }] });
    let mut addresses = vec![json!({ "ip-address": "fe80::be24:11ff:fe00:1", "ip-address-type": "ipv6", "prefix": 64 })];
    if !address.is_empty() && address != "dhcp" {
        addresses.insert(0, json!({ "ip-address": address, "ip-address-type": "ipv4", "prefix": bits.parse::<u8>().unwrap_or(24) }));
    }
    let mut found = vec![lo, json!({ "name": "eth0", "hardware-address": machine.mac, "ip-addresses": addresses })];
    for (number, (mac, address)) in (1..).zip(&machine.cards) {
        let (address, bits) = address.split_once('/').unwrap_or((address, "24"));
        let address = json!({ "ip-address": address, "ip-address-type": "ipv4", "prefix": bits.parse::<u8>().unwrap_or(24) });
        let addresses = if address["ip-address"] == "" { json!([]) } else { json!([address]) };
        found.push(json!({ "name": format!("eth{number}"), "hardware-address": mac, "ip-addresses": addresses }));
    }
    json!(found)
}
