//! What a script says of one listener, checked as far as NGINX and the checker would refuse it.
use kthw_checker::config::{Server, Upstream};
use serde::Deserialize;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// One address on which NGINX listens, and the servers that its connections go to. Options are NGINX's, in its spelling.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The upstream's name.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// The servers, with their checks.
    pub servers: Vec<Server>,
    /// After how many failed connections NGINX itself leaves a server out.
    #[serde(default = "three")]
    pub max_fails: u32,
    /// For how long it does, and within which time the failures have to fall.
    #[serde(default = "ten")]
    pub fail_timeout_s: u32,
    /// How long a connection to a server may take to be made.
    #[serde(default = "five")]
    pub proxy_connect_timeout_s: u32,
    /// How long a connection may be silent.
    #[serde(default = "thirty")]
    pub proxy_timeout_s: u32,
    /// Whether the kernel asks on silent connections whether the other side is still there.
    #[serde(default)]
    pub so_keepalive: bool,
    /// Whether servers are told the client's address in a line in front (the PROXY protocol). They have to expect it.
    #[serde(default)]
    pub proxy_protocol: bool,
}

fn three() -> u32 {
    3
}

fn five() -> u32 {
    5
}

fn ten() -> u32 {
    10
}

fn thirty() -> u32 {
    30
}

/// A port of every address of the machine, or an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`listen` is a port, such as 443, or an address with a port, such as \"10.10.10.5:443\"")]
pub enum Listen {
    /// A port.
    Port(u16),
    /// An address with a port.
    Address(SocketAddr),
}

impl Listen {
    fn port(self) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Address(address) => address.port(),
        }
    }

    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Port(_) => None,
            Self::Address(address) => Some(address.ip()).filter(|ip| !ip.is_unspecified()),
        }
    }

    /// Whether NGINX could not listen on both. One port of one address beside the same port of all of them is refused too: who gets a connection
    /// would depend on more than a reader sees.
    fn collides(self, other: Self) -> bool {
        let same_address = self.address().zip(other.address()).is_none_or(|(one, other)| one == other);
        self.port() == other.port() && same_address
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => port.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The longest time-out, in seconds: a day.
const LONGEST_S: u32 = 86_400;

impl Listener {
    /// What the checker has to know of it.
    pub fn upstream(&self, folder: &str) -> Upstream {
        Upstream {
            name: self.name.clone(),
            servers_file: format!("{folder}/{}.servers", self.name).into(),
            max_fails: self.max_fails,
            fail_timeout_s: self.fail_timeout_s,
            servers: self.servers.clone(),
        }
    }

    /// What of it could not be, beside what the checker says of its part.
    pub fn fault(&self, others: &[Self]) -> Option<String> {
        let name = &self.name;
        let fault = |text: String| Some(format!("listener `{name}` {text}"));
        if self.listen.port() == 0 {
            return fault("has port 0".into());
        }
        if let Some(other) = others.iter().find(|other| self.listen.collides(other.listen)) {
            return fault(format!("listens on {} as `{}` does on {}", self.listen, other.name, other.listen));
        }
        let times = [("proxy_connect_timeout_s", self.proxy_connect_timeout_s), ("proxy_timeout_s", self.proxy_timeout_s)];
        let (option, value) = times.into_iter().find(|(_, value)| !(1..=LONGEST_S).contains(value))?;
        fault(format!("has `{option}` {value}; it is 1 to {LONGEST_S}"))
    }

    /// In one line, for a plan: where from and where to.
    pub fn told(&self) -> String {
        let servers = self.servers.iter().map(|server| format!("{} ({})", server.name, server.address));
        format!("{} to {}", self.listen, servers.collect::<Vec<_>>().join(", "))
    }
}
