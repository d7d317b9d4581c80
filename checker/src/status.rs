//! What the checker says of its state: a small JSON file, replaced every second, for `kthw` and for people.
use serde::{Deserialize, Serialize};

/// The whole file. A file that is older than a few seconds is of a checker that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The checker's version.
    pub version: String,
    /// When this was written (RFC 3339, UTC).
    pub written: String,
    /// Why NGINX does not use what the checker decided, if so: what its test or its reload said.
    pub nginx: Option<String>,
    /// Each upstream.
    pub upstreams: Vec<UpstreamStatus>,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Whether no server is well, so that all of them get connections.
    pub panic: bool,
    /// Each server.
    pub servers: Vec<ServerStatus>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Where NGINX passes connections.
    pub address: String,
    /// Whether it counts as well.
    pub well: bool,
    /// Whether it gets new connections.
    pub takes_part: bool,
    /// Since when it counts as well or sick (RFC 3339, UTC); since the checker's start if it has not turned.
    pub since: String,
    /// The last answer to a check; none before the first one.
    pub last: Option<LastAnswer>,
}

/// The last answer of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// When it came (RFC 3339, UTC).
    pub at: String,
    /// Whether it was what was expected.
    pub good: bool,
    /// What it was, such as `status 200 in 3 ms`.
    pub said: String,
}

impl Status {
    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        let servers = || self.upstreams.iter().flat_map(|upstream| &upstream.servers);
        let well = servers().filter(|server| server.well).count();
        let panics: Vec<&str> = self.upstreams.iter().filter(|upstream| upstream.panic).map(|upstream| upstream.name.as_str()).collect();
        let panics = if panics.is_empty() { String::new() } else { format!("; panic mode: {}", panics.join(", ")) };
        format!("{well} of {} servers are well{panics}", servers().count())
    }
}
