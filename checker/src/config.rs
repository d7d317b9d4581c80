//! The checker's configuration: one JSON file, checked as a whole before anything is done.
use crate::url::CheckUrl;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the state is written down ([`Status`](crate::status::Status)). A folder under `/run`: it is written every second.
    pub status_file: PathBuf,
    /// How NGINX is asked and told.
    #[serde(default)]
    pub nginx: Nginx,
    /// The upstreams that are looked after.
    pub upstreams: Vec<Upstream>,
}

/// How NGINX is asked whether its files are right, and told to read them. Commands are lists of words; no shell sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nginx {
    /// Ends with 0 if the files are right.
    pub test: Vec<String>,
    /// Makes NGINX read them. It has to reload, not restart.
    pub reload: Vec<String>,
    /// How long each may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Nginx {
    fn default() -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        Self { test: words("nginx -t -q"), reload: words("systemctl reload nginx"), timeout_ms: 10_000 }
    }
}

/// One upstream of NGINX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name, as NGINX has it.
    pub name: String,
    /// The file with its `server` lines, which its `upstream` block includes. Only the checker writes it.
    pub servers_file: PathBuf,
    /// After how many failed connections within [`fail_timeout_s`](Self::fail_timeout_s) NGINX itself leaves a server out
    /// (<https://nginx.org/en/docs/stream/ngx_stream_upstream_module.html#max_fails>).
    #[serde(default = "three")]
    pub max_fails: u32,
    /// For how long it does so, in seconds.
    #[serde(default = "ten_seconds")]
    pub fail_timeout_s: u32,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What people call it.
    pub name: String,
    /// Where NGINX passes connections.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// How it is asked whether it is well.
    pub check: Check,
}

/// One check: what is asked, how often, and how many answers turn a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is asked by `GET`.
    pub url: CheckUrl,
    /// From the beginning of one check to the beginning of the next, in milliseconds.
    #[serde(default = "half_a_second")]
    pub interval_ms: u64,
    /// How long a check may take from its beginning to the status line of the answer, in milliseconds; at most the interval.
    #[serde(default = "half_a_second")]
    pub timeout_ms: u64,
    /// How many good answers in a row make a sick server well.
    #[serde(default = "three")]
    pub rise: u32,
    /// How many bad ones in a row make a well server sick.
    #[serde(default = "two")]
    pub fall: u32,
    /// The status of a good answer.
    #[serde(default = "ok")]
    pub expected_status: u16,
    /// The `Host` header; the URL's address when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The authorities that may vouch for an `https` server, as PEM. It is read for each check, so a renewed one counts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate of an `https` server has to be for; the URL's address when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// Says what was meant instead of an address, which serde would not.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bad = |_| D::Error::custom(format!("`{text}` is not an IP address with a port, such as `10.10.10.200:443`"));
    text.parse().map_err(bad)
}

fn half_a_second() -> u64 {
    500
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}

fn ten_seconds() -> u32 {
    10
}

fn ok() -> u16 {
    200
}

/// A configuration that is not used. The text says what is wrong and where.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no configuration.
    #[error("{} is not a configuration of kthw-checker: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its line and column.
        source: serde_json::Error,
    },
    /// A value cannot be.
    #[error("{place} {fault}")]
    Value {
        /// Of which upstream and server.
        place: String,
        /// What is wrong with it.
        fault: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`BadConfig`] for the first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, BadConfig> {
        let text = fs::read_to_string(path).map_err(|source| BadConfig::Read { path: path.into(), source })?;
        let config: Self = serde_json::from_str(&text).map_err(|source| BadConfig::Parse { path: path.into(), source })?;
        config.check()?;
        Ok(config)
    }

    /// Looks at what the types alone do not say.
    ///
    /// # Errors
    /// [`BadConfig::Value`] for the first value that cannot be.
    pub fn check(&self) -> Result<(), BadConfig> {
        let at = |place: &str, fault: Option<String>| match fault {
            None => Ok(()),
            Some(fault) => Err(BadConfig::Value { place: place.into(), fault }),
        };
        let mut names = BTreeSet::new();
        let mut files = BTreeSet::from([&self.status_file]);
        at("`status_file`", path_fault(&self.status_file))?;
        at("`nginx`", self.nginx.fault())?;
        for upstream in &self.upstreams {
            let place = format!("upstream `{}`", upstream.name);
            at(&place, upstream.fault())?;
            at(&place, (!names.insert(&upstream.name)).then(|| "is there twice".into()))?;
            at(&place, (!files.insert(&upstream.servers_file)).then(|| format!("shares {}", upstream.servers_file.display())))?;
            let (mut servers, mut addresses) = (BTreeSet::new(), BTreeSet::new());
            for server in &upstream.servers {
                let place = format!("server `{}` of upstream `{}`", server.name, upstream.name);
                at(&place, name_fault(&server.name).or_else(|| server.check.fault()))?;
                at(&place, (server.address.port() == 0).then(|| "has port 0".into()))?;
                at(&place, (!servers.insert(&server.name)).then(|| "is there twice".into()))?;
                at(&place, (!addresses.insert(server.address)).then(|| format!("has the address {} of another one", server.address)))?;
            }
        }
        Ok(())
    }
}

impl Nginx {
    fn fault(&self) -> Option<String> {
        let empty = self.test.is_empty() || self.reload.is_empty();
        empty.then(|| "names no program in `test` or `reload`".to_owned()).or_else(|| range("timeout_ms", self.timeout_ms, 100, 60_000))
    }
}

impl Upstream {
    fn fault(&self) -> Option<String> {
        name_fault(&self.name)
            .or_else(|| path_fault(&self.servers_file))
            .or_else(|| range("max_fails", self.max_fails.into(), 0, 1_000))
            .or_else(|| range("fail_timeout_s", self.fail_timeout_s.into(), 1, 3_600))
            .or_else(|| self.servers.is_empty().then(|| "has no server".into()))
    }
}

impl Check {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        range("interval_ms", self.interval_ms, 100, 60_000)
            // A longer one would put the next check off, and the time until a sick server is out would not be what it says.
            .or_else(|| range("timeout_ms", self.timeout_ms, 50, self.interval_ms))
            .or_else(|| range("rise", self.rise.into(), 1, 100))
            .or_else(|| range("fall", self.fall.into(), 1, 100))
            .or_else(|| range("expected_status", self.expected_status.into(), 100, 599))
            .or_else(|| self.ca_file.as_deref().and_then(path_fault))
            .or_else(|| match (self.url.tls, &self.ca_file, &self.server_name) {
                (true, None, _) => Some("asks by `https` and names no `ca_file` to verify the answer with".into()),
                (false, Some(_), _) | (false, _, Some(_)) => Some("names a `ca_file` or a `server_name`, and asks by plain `http`".into()),
                _ => None,
            })
            .or_else(|| {
                let word = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                let both = [&self.host, &self.server_name];
                both.into_iter().flatten().any(|text| !word(text)).then(|| "has a `host` or a `server_name` that is no name".into())
            })
    }

    /// The longest time from a server's fault to the moment when it counts as sick, in milliseconds: the fault comes just after a good
    /// answer, and the last check that it takes waits for its whole time.
    pub fn sick_within_ms(&self) -> u64 {
        self.interval_ms * u64::from(self.fall) + self.timeout_ms
    }
}

fn range(name: &str, value: u64, least: u64, most: u64) -> Option<String> {
    (value < least || value > most).then(|| format!("has `{name}` {value}; it is {least} to {most}"))
}

/// Names stand in NGINX's files, so they are plain words.
fn name_fault(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fine = !name.is_empty() && name.len() <= 100 && name.bytes().all(plain);
    (!fine).then(|| "is no name: it takes 1 to 100 letters, digits and `-_.`".into())
}

fn path_fault(path: &Path) -> Option<String> {
    (!path.is_absolute() || path.file_name().is_none()).then(|| format!("names {}, which is no absolute path of a file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const RIGHT: &str = r#"{
      "status_file": "/run/kthw-checker/status.json",
      "upstreams": [{
        "name": "https",
        "servers_file": "/etc/nginx/kthw/https.servers",
        "servers": [
          { "name": "alpha", "address": "10.10.10.200:443", "check": { "url": "http://10.10.10.200/ping" } },
          { "name": "beta", "address": "10.10.20.200:443", "check": { "url": "https://10.10.20.200/ping", "ca_file": "/etc/ca.pem" } }
        ]
      }]
    }"#;

    fn said(text: &str) -> String {
        match serde_json::from_str::<Config>(text) {
            Ok(config) => config.check().map_or_else(|error| error.to_string(), |()| "right".into()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_left_out_has_values_that_give_two_seconds() {
        assert_eq!(said(RIGHT), "right");
        let config: Config = serde_json::from_str(RIGHT).unwrap();
        let check = &config.upstreams[0].servers[0].check;
        assert_eq!((check.interval_ms, check.timeout_ms, check.rise, check.fall, check.expected_status), (500, 500, 3, 2, 200));
        assert_eq!(check.sick_within_ms(), 1_500);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&again).unwrap(), config);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let mut all = String::new();
        for (from, to) in [
            ("\"servers_file\"", "\"server_file\""),
            ("\"https\"", "\"a b\""),
            ("\"beta\"", "\"alpha\""),
            ("10.10.20.200:443", "10.10.10.200:443"),
            ("10.10.20.200:443", "cluster.bevz.net:443"),
            ("10.10.20.200:443", "10.10.20.200:0"),
            ("/etc/nginx/kthw/https.servers", "https.servers"),
            ("/etc/nginx/kthw/https.servers", "/run/kthw-checker/status.json"),
            ("http://10.10.10.200/ping\"", "http://10.10.10.200/ping\", \"timeout_ms\": 501"),
            ("http://10.10.10.200/ping\"", "http://10.10.10.200/ping\", \"fall\": 0"),
            ("http://10.10.10.200/ping\"", "http://10.10.10.200/ping\", \"host\": \"a\\r\\nb\""),
            (", \"ca_file\": \"/etc/ca.pem\"", ""),
            ("https://10", "http://10"),
            ("http://10.10.10.200/ping", "http://alpha/ping"),
        ] {
            let text = RIGHT.replacen(from, to, 1);
            assert_ne!(text, RIGHT, "{from}");
            all += &format!("{}\n", said(&text));
        }
        expect![[r#"
            unknown field `server_file`, expected one of `name`, `servers_file`, `max_fails`, `fail_timeout_s`, `servers` at line 5 column 21
            upstream `a b` is no name: it takes 1 to 100 letters, digits and `-_.`
            server `alpha` of upstream `https` is there twice
            server `beta` of upstream `https` has the address 10.10.10.200:443 of another one
            `cluster.bevz.net:443` is not an IP address with a port, such as `10.10.10.200:443` at line 8 column 61
            server `beta` of upstream `https` has port 0
            upstream `https` names https.servers, which is no absolute path of a file
            upstream `https` shares /run/kthw-checker/status.json
            server `alpha` of upstream `https` has `timeout_ms` 501; it is 50 to 500
            server `alpha` of upstream `https` has `fall` 0; it is 1 to 100
            server `alpha` of upstream `https` has a `host` or a `server_name` that is no name
            server `beta` of upstream `https` asks by `https` and names no `ca_file` to verify the answer with
            server `beta` of upstream `https` names a `ca_file` or a `server_name`, and asks by plain `http`
            `http://alpha/ping` is not the address of a check: its host is not an IP address; write `http://10.10.10.200/ping` or `https://10.10.10.200:6443/readyz` at line 7 column 99
        "#]].assert_eq(&all);
    }
}
