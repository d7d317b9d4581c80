//! The guest agent: whether the machine is up at its address, and its SSH host keys, over a way that Proxmox vouches for.
use super::{call::Call, client::Client, error::Failure, guest::Guest, texts::Class};
use kthw_engine::{Limit, Peers, Poll, Result, progress, wait};
use serde_json::Value;
use std::{fmt, net::Ipv4Addr, time::Duration};

/// How long a machine may take until its agent shows the wanted address, once the agent answers at all.
const ADDRESS: Duration = Duration::from_secs(300);
/// How long after that its SSH host keys may take. Cloud-init makes them before sshd starts.
const KEYS: Duration = Duration::from_secs(60);

/// What came of waiting for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It answers and the machine has its address, as far as the agent may say.
    Ready,
    /// It cannot be used.
    Silent(Silence),
}

/// Why an agent says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Proxmox says that none runs in the machine.
    Absent(String),
    /// It, or Proxmox, could not be asked, or refused. There may well be one.
    Unasked {
        /// In the words of whoever refused.
        reason: String,
        /// Whether asking again may help.
        passing: bool,
    },
}

/// What one look at the agent saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Ready,
    /// It answers, and is not allowed to say this.
    NotAllowed(String),
    Silent(Silence),
    NotRunning,
    NoAddress,
    OtherAddresses(Vec<Ipv4Addr>),
}

/// Waits until the agent of a machine that was just started shows `address`. An agent that stays silent for `silent_for` is no error.
///
/// # Errors
/// When the agent answers but the machine does not get its address, or when it stopped.
pub async fn wait_for(guest: &Guest, address: Ipv4Addr, silent_for: Duration, client: &Client, peers: &Peers) -> Result<Agent> {
    let begun = client.clock().now();
    let limit = Limit { at_most: ADDRESS.max(silent_for + Duration::from_secs(10)), pause: Duration::from_secs(2) };
    let what = format!("VM {} to come up at {address}", guest.vmid);
    let help = "look at the machine's console in Proxmox; `cloud-init status --long` in it says what became of its network settings";
    wait(peers, limit, &what, help, async || {
        let seen = look(guest, address, client).await?;
        let patient = client.clock().now().saturating_sub(begun) < silent_for;
        Ok(match seen {
            Seen::Ready => Poll::Ready(Agent::Ready),
            Seen::NotAllowed(reason) => {
                progress(format!("VM {} goes on without the guest agent's word about its address: {reason}", guest.vmid));
                Poll::Ready(Agent::Ready)
            }
            Seen::Silent(silence) if patient && silence.may_pass() => Poll::Pending(silence.to_string()),
            Seen::Silent(silence) => Poll::Ready(Agent::Silent(silence)),
            Seen::NotRunning => Poll::Pending("the machine does not run (did it stop by itself?)".into()),
            Seen::NoAddress => Poll::Pending("its agent answers, but it has no address yet".into()),
            Seen::OtherAddresses(seen) => {
                Poll::Pending(format!("it has {} instead", seen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))
            }
        })
    })
    .await
}

/// The addresses that the agent tells; none when it does not answer or may not say.
pub async fn addresses(guest: &Guest, client: &Client) -> Vec<Ipv4Addr> {
    let vmid = guest.vmid.to_string();
    let call = Call::get(["nodes", &guest.host, "qemu", &vmid, "agent", "network-get-interfaces"]);
    client.get(&call).await.ok().and_then(|told| usable(&told).ok()).unwrap_or_default()
}

async fn look(guest: &Guest, address: Ipv4Addr, client: &Client) -> Result<Seen> {
    let vmid = guest.vmid.to_string();
    let call = Call::get(["nodes", &guest.host, "qemu", &vmid, "agent", "network-get-interfaces"]);
    match client.get(&call).await {
        Ok(told) => Ok(judge(&told, address)),
        Err(failure) if failure.is(Class::NotRunning) => Ok(Seen::NotRunning),
        Err(failure) => silence(failure).map(Seen::Silent),
    }
}

impl Silence {
    /// Whether the agent may still come. Who may not ask it may not a minute later either.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Unasked { passing: false, .. })
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(said) => write!(f, "no guest agent answers (not installed, or the machine is still booting): {said}"),
            Self::Unasked { reason, .. } => write!(f, "its guest agent cannot be asked: {reason}"),
        }
    }
}

/// Why an agent says nothing, if that is all that is wrong. What it says that cannot be understood is nothing too: a machine can be used
/// without its agent.
fn silence(failure: Failure) -> Result<Silence> {
    let passing = failure.is_passing();
    let class = failure.class();
    match failure {
        Failure::Refused(refused) if refused.status == 401 => Err(Failure::Refused(refused).into()),
        Failure::Refused(refused) if class == Some(Class::NoAgent) => Ok(Silence::Absent(refused.message)),
        Failure::Refused(refused) => {
            let settled = matches!(refused.status, 403 | 501) || matches!(class, Some(Class::AgentForbids | Class::Permission));
            Ok(Silence::Unasked { reason: refused.message, passing: !settled })
        }
        Failure::BadAnswer(error) => Ok(Silence::Unasked { reason: error.to_string(), passing: false }),
        failure if passing => Ok(Silence::Unasked { reason: failure.to_string(), passing }),
        failure => Err(failure.into()),
    }
}

/// The addresses in the answer of `guest-network-get-interfaces`; its own words when it may not tell them. Proxmox hands on whatever the agent
/// says, so every part may be missing or odd: <https://qemu-project.gitlab.io/qemu/interop/qemu-ga-ref.html>.
fn usable(told: &Value) -> std::result::Result<Vec<Ipv4Addr>, String> {
    let result = &told["result"];
    if let Some(said) = result["error"]["desc"].as_str() {
        return Err(said.to_owned());
    }
    let Some(interfaces) = result.as_array() else {
        return Err("its answer is no list of interfaces".into());
    };
    let all = interfaces.iter().filter_map(|interface| interface["ip-addresses"].as_array()).flatten();
    let parsed = all.filter_map(|address| address["ip-address"].as_str()?.parse().ok());
    Ok(parsed.filter(|one: &Ipv4Addr| !one.is_loopback() && !one.is_link_local()).collect())
}

fn judge(told: &Value, wanted: Ipv4Addr) -> Seen {
    let addresses = match usable(told) {
        Ok(addresses) => addresses,
        Err(said) => return Seen::NotAllowed(said),
    };
    match addresses.as_slice() {
        [] => Seen::NoAddress,
        found if found.contains(&wanted) => Seen::Ready,
        _ => Seen::OtherAddresses(addresses),
    }
}

/// What the agent says of the SSH host keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeys {
    /// Those that it reads; fewer than all kinds, or none.
    pub keys: Vec<String>,
    /// Why there are not more.
    pub silence: Option<Silence>,
}

/// Reads the SSH host keys through the agent.
///
/// # Errors
/// When Proxmox's answer leaves nothing to go on with.
pub async fn host_keys(guest: &Guest, client: &Client) -> Result<HostKeys> {
    let vmid = guest.vmid.to_string();
    let mut keys = Vec::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let call = Call::get(["nodes", &guest.host, "qemu", &vmid, "agent", "file-read"])
            .with("file", format!("/etc/ssh/ssh_host_{kind}_key.pub"));
        match client.get(&call).await {
            Ok(told) => {
                let told: Value = told;
                let content = told["content"].as_str().unwrap_or_default();
                keys.extend(content.lines().map(str::trim).filter(|line| line.split(' ').count() >= 2).map(str::to_owned));
            }
            // A key of this kind need not exist.
            Err(failure) if failure.is(Class::NoFile) => {}
            // The agent does not answer, or we may not ask it: the next question would only take time.
            Err(failure) => return Ok(HostKeys { keys, silence: Some(silence(failure)?) }),
        }
    }
    Ok(HostKeys { keys, silence: None })
}

/// Reads the SSH host keys of a machine that just came up; it may not have made them yet.
///
/// # Errors
/// As [`host_keys`].
pub async fn wait_for_host_keys(guest: &Guest, client: &Client, peers: &Peers) -> Result<HostKeys> {
    let begun = client.clock().now();
    let limit = Limit { at_most: KEYS + Duration::from_secs(30), pause: Duration::from_secs(2) };
    wait(peers, limit, &format!("the SSH host keys of VM {}", guest.vmid), "is an SSH server installed in it?", async || {
        let found = host_keys(guest, client).await?;
        let over = client.clock().now().saturating_sub(begun) >= KEYS;
        let may_come = found.silence.as_ref().is_none_or(Silence::may_pass);
        if !found.keys.is_empty() || over || !may_come {
            return Ok(Poll::Ready(found));
        }
        Ok(Poll::Pending(found.silence.map_or_else(|| "the guest agent finds none yet".into(), |silence| silence.to_string())))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxmox::error::{BadAnswer, Refused};

    #[test]
    fn addresses_are_judged() {
        let seen = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|one| serde_json::json!({"ip-address": one})).collect();
            let interfaces = serde_json::json!({"result": [{"name": "lo"}, {"name": "eth0", "ip-addresses": addresses}]});
            judge(&interfaces, [10, 0, 0, 5].into())
        };
        assert_eq!(seen(&[]), Seen::NoAddress);
        assert_eq!(seen(&["127.0.0.1", "fe80::1", "169.254.3.4"]), Seen::NoAddress);
        assert_eq!(seen(&["172.17.0.1", "10.0.0.5"]), Seen::Ready);
        assert_eq!(seen(&["10.0.0.77"]), Seen::OtherAddresses(vec![[10, 0, 0, 77].into()]));
    }
    #[test]
    fn an_agent_that_may_not_say_its_addresses_is_there() {
        let refused = serde_json::json!({"result": {"error": {"class": "CommandNotFound", "desc": "it has been disabled"}}});
        assert_eq!(judge(&refused, [10, 0, 0, 5].into()), Seen::NotAllowed("it has been disabled".into()));
        for odd in [serde_json::json!(null), serde_json::json!({"result": "?"}), serde_json::json!({"result": {}}), serde_json::json!([])] {
            assert!(matches!(judge(&odd, [10, 0, 0, 5].into()), Seen::NotAllowed(_)), "{odd}");
        }
        let holes = serde_json::json!({"result": [null, {"ip-addresses": null}, {"ip-addresses": [{}, {"ip-address": 5}, {"ip-address": "10.0.0.5"}]}]});
        assert_eq!(judge(&holes, [10, 0, 0, 5].into()), Seen::Ready);
    }

    #[test]
    fn only_a_machine_without_an_agent_has_nobody_to_vouch_for_it() {
        let of = |status: u16, message: &str| {
            let (call, endpoint, message) = ("GET /x".to_owned(), "pve1".to_owned(), message.to_owned());
            silence(Failure::Refused(Refused { call, endpoint, status, message }))
        };
        for absent in ["QEMU guest agent is not running", "No QEMU guest agent configured"] {
            assert!(matches!(of(500, absent), Ok(Silence::Absent(_))), "{absent}");
        }
        let unasked = [
            (403, "Permission check failed (/vms/401, VM.GuestAgent.FileRead)", false),
            (500, "Agent error: Command guest-file-open has been disabled", false),
            (501, "Method 'GET /nodes/x/qemu/1/agent/file-read' not implemented", false),
            (500, "VM 401 qmp command 'guest-file-open' failed - got timeout", true),
            (500, "VM 401 is not running", true),
            (595, "No route to host", true),
            (596, "Connection timed out", true),
        ];
        for (status, said, may_pass) in unasked {
            let found = of(status, said).expect("one could go on");
            assert!(matches!(&found, Silence::Unasked { reason, .. } if reason == said), "{found:?}");
            assert_eq!(found.may_pass(), may_pass, "{said}");
        }
        assert!(of(401, "no ticket").is_err());
        let odd = BadAnswer { call: "GET /x".into(), reason: "no JSON".into() };
        assert!(matches!(silence(odd.into()), Ok(Silence::Unasked { passing: false, .. })));
    }
}
