//! The guest agent: whether the machine is up at its address, and its SSH host keys, over a way that Proxmox vouches for.
use super::{call::Call, client::Client, error::Failure, machine::Machine};
use kthw_engine::{Limit, Peers, Poll, Result, wait};
use serde::Deserialize;
use std::{net::Ipv4Addr, time::Duration};

/// How long a machine may take until its agent shows the wanted address, once the agent answers at all.
const ADDRESS: Duration = Duration::from_secs(300);
/// How long after that its SSH host keys may take. Cloud-init makes them before sshd starts.
const KEYS: Duration = Duration::from_secs(60);

/// What came of waiting for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It answers and the machine has its address.
    Ready,
    /// It does not answer, for this reason.
    Silent(String),
}

/// What one look at the agent saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Ready,
    Silent(String),
    NotRunning,
    NoAddress,
    OtherAddresses(Vec<Ipv4Addr>),
}

#[derive(Deserialize)]
struct Interfaces {
    #[serde(default)]
    result: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(rename = "ip-addresses", default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "ip-address")]
    address: String,
}

/// Waits until the agent of a machine that was just started shows `address`. An agent that stays silent for `silent_for` is no error.
///
/// # Errors
/// When the agent answers but the machine does not get its address, or when it stopped.
pub async fn wait_for(machine: &Machine, address: Ipv4Addr, silent_for: Duration, client: &Client, peers: &Peers) -> Result<Agent> {
    let begun = client.clock().now();
    let limit = Limit { at_most: ADDRESS.max(silent_for + Duration::from_secs(10)), pause: Duration::from_secs(2) };
    let what = format!("VM {} to come up at {address}", machine.vmid);
    let help = "look at the machine's console in Proxmox; `cloud-init status --long` in it says what became of its network settings";
    wait(peers, limit, &what, help, async || {
        let seen = look(machine, address, client).await?;
        let patient = client.clock().now().saturating_sub(begun) < silent_for;
        Ok(match seen {
            Seen::Ready => Poll::Ready(Agent::Ready),
            Seen::Silent(reason) if patient => Poll::Pending(reason),
            Seen::Silent(reason) => Poll::Ready(Agent::Silent(reason)),
            Seen::NotRunning => Poll::Pending("the machine does not run (did it stop by itself?)".into()),
            Seen::NoAddress => Poll::Pending("its agent answers, but it has no address yet".into()),
            Seen::OtherAddresses(seen) => {
                Poll::Pending(format!("it has {} instead", seen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))
            }
        })
    })
    .await
}

/// The addresses that the agent tells; none when it does not answer.
pub async fn addresses(machine: &Machine, client: &Client) -> Vec<Ipv4Addr> {
    let vmid = machine.vmid.to_string();
    let call = Call::get(["nodes", &machine.host, "qemu", &vmid, "agent", "network-get-interfaces"]);
    client.get::<Interfaces>(&call).await.map(|interfaces| usable(&interfaces)).unwrap_or_default()
}

async fn look(machine: &Machine, address: Ipv4Addr, client: &Client) -> Result<Seen> {
    let vmid = machine.vmid.to_string();
    let call = Call::get(["nodes", &machine.host, "qemu", &vmid, "agent", "network-get-interfaces"]);
    match client.get::<Interfaces>(&call).await {
        Ok(interfaces) => Ok(judge(&interfaces, address)),
        Err(failure) if failure.says("is not running") && !failure.says("agent is not running") => Ok(Seen::NotRunning),
        Err(failure) => silent(failure).map(Seen::Silent),
    }
}

/// Why an agent does not answer, if that is all that is wrong.
fn silent(failure: Failure) -> Result<String> {
    match failure {
        failure if failure.is_passing() => Ok(format!("Proxmox cannot be asked at the moment ({failure})")),
        Failure::Refused(refused) if refused.status == 401 => Err(Failure::Refused(refused).into()),
        Failure::Refused(refused) if refused.message.contains("agent is not running") => {
            Ok("no guest agent answers (not installed, or the machine is still booting)".into())
        }
        Failure::Refused(refused) => Ok(format!("no answer of its guest agent: {}", refused.message)),
        failure => Err(failure.into()),
    }
}

fn usable(interfaces: &Interfaces) -> Vec<Ipv4Addr> {
    let all = interfaces.result.iter().flat_map(|interface| &interface.addresses);
    let parsed = all.filter_map(|address| address.address.parse().ok());
    parsed.filter(|one: &Ipv4Addr| !one.is_loopback() && !one.is_link_local()).collect()
}

fn judge(interfaces: &Interfaces, wanted: Ipv4Addr) -> Seen {
    let addresses = usable(interfaces);
    match addresses.as_slice() {
        [] => Seen::NoAddress,
        found if found.contains(&wanted) => Seen::Ready,
        _ => Seen::OtherAddresses(addresses),
    }
}

/// Reads the SSH host keys through the agent; fewer than all kinds, or none, when they cannot be had.
pub async fn host_keys(machine: &Machine, client: &Client) -> Vec<String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        content: String,
    }
    let vmid = machine.vmid.to_string();
    let mut keys = Vec::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let call = Call::get(["nodes", &machine.host, "qemu", &vmid, "agent", "file-read"])
            .with("file", format!("/etc/ssh/ssh_host_{kind}_key.pub"));
        match client.get(&call).await {
            Ok(File { content }) => {
                keys.extend(content.lines().map(str::trim).filter(|line| line.split(' ').count() >= 2).map(str::to_owned));
            }
            // A key of this kind need not exist.
            Err(failure) if failure.says("open file") || failure.says("No such file") => {}
            // The agent does not answer, or we may not ask it: the next question would only take time.
            Err(_) => break,
        }
    }
    keys
}

/// Reads the SSH host keys of a machine that just came up; it may not have made them yet.
///
/// # Errors
/// Never for what the agent says; it then has no keys to give.
pub async fn wait_for_host_keys(machine: &Machine, client: &Client, peers: &Peers) -> Result<Vec<String>> {
    let begun = client.clock().now();
    let limit = Limit { at_most: KEYS + Duration::from_secs(30), pause: Duration::from_secs(2) };
    wait(peers, limit, &format!("the SSH host keys of VM {}", machine.vmid), "is an SSH server installed in it?", async || {
        let keys = host_keys(machine, client).await;
        let over = client.clock().now().saturating_sub(begun) >= KEYS;
        Ok(if keys.is_empty() && !over { Poll::Pending("the guest agent reads none yet".into()) } else { Poll::Ready(keys) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let seen = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|one| serde_json::json!({"ip-address": one})).collect();
            let interfaces = serde_json::json!({"result": [{"name": "lo"}, {"name": "eth0", "ip-addresses": addresses}]});
            judge(&serde_json::from_value(interfaces).expect("interfaces"), [10, 0, 0, 5].into())
        };
        assert_eq!(seen(&[]), Seen::NoAddress);
        assert_eq!(seen(&["127.0.0.1", "fe80::1", "169.254.3.4"]), Seen::NoAddress);
        assert_eq!(seen(&["172.17.0.1", "10.0.0.5"]), Seen::Ready);
        assert_eq!(seen(&["10.0.0.77"]), Seen::OtherAddresses(vec![[10, 0, 0, 77].into()]));
    }
}
