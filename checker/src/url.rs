//! The address of a check, such as `http://10.10.10.200/ping`.
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// Where a check asks. The host is an IP address: a check that depended on a name server would take healthy servers out when that one is sick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckUrl {
    /// Whether it is asked by TLS.
    pub tls: bool,
    /// The address and port.
    pub address: SocketAddr,
    /// The path with its query, from `/` on.
    pub path: String,
}

/// A text that is no address of a check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a check: {why}; write `http://10.10.10.200/ping` or `https://10.10.10.200:6443/readyz`")]
pub struct BadUrl {
    text: String,
    why: &'static str,
}

impl FromStr for CheckUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl { text: text.into(), why };
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(bad("it begins with neither `http://` nor `https://`")),
        };
        let (host, path) = rest.split_once('/').ok_or_else(|| bad("it has no path"))?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(bad("its path holds a space, a `#`, a control character or a letter outside of ASCII"));
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = if tls { 443 } else { 80 };
        let address = host.parse().or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)));
        let address = address.map_err(|_| bad("its host is not an IP address"))?;
        if address.port() == 0 {
            return Err(bad("nothing listens on port 0"));
        }
        Ok(Self { tls, address, path: format!("/{path}") })
    }
}

impl TryFrom<String> for CheckUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl From<CheckUrl> for String {
    fn from(url: CheckUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for CheckUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.address, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_written_back_with_its_port() {
        for (text, expected) in [
            ("http://10.10.10.200/ping", "http://10.10.10.200:80/ping"),
            ("http://10.10.10.200:8080/ping?a=b", "http://10.10.10.200:8080/ping?a=b"),
            ("https://10.10.10.11:6443/readyz", "https://10.10.10.11:6443/readyz"),
            ("https://[fd00::1]/", "https://[fd00::1]:443/"),
            ("https://[fd00::1]:6443/readyz", "https://[fd00::1]:6443/readyz"),
        ] {
            assert_eq!(text.parse::<CheckUrl>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("10.10.10.200/ping", "neither"),
            ("http://10.10.10.200", "no path"),
            ("http://cluster.bevz.net/ping", "not an IP address"),
            ("http://10.10.10.200:0/ping", "port 0"),
            ("http://10.10.10.200:99999/ping", "not an IP address"),
            ("http://10.10.10.200/ping\r\nHost: a", "control character"),
            ("http://user@10.10.10.200/ping", "not an IP address"),
        ] {
            let said = text.parse::<CheckUrl>().unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
