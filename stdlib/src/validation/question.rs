//! What a machine can be asked about the network, as it sees it, and what comes back.
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::{fmt, net::Ipv4Addr};

/// Where something is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A name or an address; names are resolved by the machine that asks.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Destination {
    /// This port of this host.
    pub fn new(host: impl fmt::Display, port: u16) -> Self {
        Self { host: host.to_string(), port }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A question that changes nothing.
#[derive(Clone, Debug)]
pub enum Question {
    /// Whether somebody takes a connection.
    Connect,
    /// Which IPv4 addresses a name server has for a name, by DNS over TCP (RFC 7766): other ports are not carried by SSH.
    Name(String),
    /// The status of a `GET` of this path by plain HTTP.
    Get(String),
    /// When the certificate that it shows ends. It has to be right for this name, by these authorities.
    Certificate {
        /// A DNS name or an address.
        name: String,
        /// Who may vouch for it.
        authorities: Vec<CertificateDer<'static>>,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody took the connection.
    Connected,
    /// The addresses of the name, in order; none is an answer too.
    Addresses(Vec<Ipv4Addr>),
    /// An HTTP status.
    Status(u16),
    /// When the certificate ends.
    Ends(Timestamp),
}
