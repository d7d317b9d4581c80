//! Formats and patterns of parameters: upstream's name or expression, and what it means.
use std::net::Ipv4Addr;

/// Name, official spelling, and whether a text fits.
pub(crate) type Pattern = (&'static str, &'static str, fn(&str) -> bool);

/// A pattern as the table names it, as the official schema spells it, and as code.
pub(crate) const PATTERNS: &[Pattern] = &[
    ("size", r"\+?\d+(\.\d+)?[KMGT]?", is_size),
    ("user-or-token", r"(?^:^(?^:[^\s:/]+)\@(?^:[A-Za-z][A-Za-z0-9\.\-_]+)(?:!(?^:[A-Za-z][A-Za-z0-9\.\-_]+))?$)", |text| {
        text.contains('@') && !text.contains([' ', ':', '/'])
    }),
    ("url", "https?://.*", |text| text.starts_with("http://") || text.starts_with("https://")),
    ("serial", r"(/dev/[^,]+|socket)", |text| text == "socket" || text.starts_with("/dev/")),
];

/// Whether `text` has the format called `name`; formats that the lab does not know let everything pass.
///
/// # Errors
/// What is wrong, as Proxmox VE says it.
pub(crate) fn has_format(name: &str, text: &str) -> Result<(), String> {
    match name {
        "dns-name" if !is_dns_name(text) => Err("invalid format - value does not look like a valid DNS name\n".into()),
        "urlencoded" if !is_urlencoded(text) => Err("invalid format - invalid urlencoded string: ".to_owned() + text + "\n"),
        "pve-qm-ipconfig" => has_ipconfig_format(text),
        "pve-tag-list" => match split_list(text).find(|tag| !is_tag(tag)) {
            Some(tag) => Err(format!("invalid format - invalid characters in tag '{tag}'\n")),
            None => Ok(()),
        },
        "address-list" => match split_list(text).find(|address| address.parse::<std::net::IpAddr>().is_err()) {
            Some(_) => Err("invalid format - value does not look like a valid IP address or DNS name\n".into()),
            None => Ok(()),
        },
        "pve-storage-id" if !is_id(text) => Err(format!("invalid format - storage ID '{text}' contains illegal characters\n")),
        "pve-poolid" if !is_id(text) => Err(format!("invalid format - value does not look like a valid pool ID: {text}\n")),
        _ => Ok(()),
    }
}

/// The parts of a list in one parameter: separated by comma, semicolon or blank.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\0']).filter(|part| !part.is_empty())
}

/// The settings of a property string such as `local-lvm:0,discard=on`; the first may stand without its key.
pub(crate) fn split_properties<'t>(text: &'t str, default_key: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    text.split(',').map(move |part| part.split_once('=').unwrap_or((default_key, part)))
}

fn is_size(text: &str) -> bool {
    let number = text.strip_prefix('+').unwrap_or(text).trim_end_matches(['K', 'M', 'G', 'T']);
    number.starts_with(|digit: char| digit.is_ascii_digit()) && number.parse::<f64>().is_ok()
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(label)
}

fn is_urlencoded(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-_.!~*'()".contains(&byte))
}

fn is_tag(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte))
}

fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

fn has_ipconfig_format(text: &str) -> Result<(), String> {
    let wrong = |key: &str, what: &str| Err(format!("invalid format - format error\n{key}: invalid format - {what}\n"));
    for (key, value) in split_properties(text, "") {
        match key {
            "ip" if value == "dhcp" || is_cidr(value) => {}
            "ip" => return wrong("ip", "value does not look like a valid ipv4 network configuration"),
            "gw" if value.parse::<Ipv4Addr>().is_ok() => {}
            "gw" => return wrong("gw", "value does not look like a valid ipv4 address"),
            "ip6" | "gw6" => {}
            other => return wrong(other, "property is not defined in schema and the schema does not allow additional properties"),
        }
    }
    Ok(())
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(address, bits)| address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| (8..=32).contains(&bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (name, text, good) in [
            ("dns-name", "cu1.bevz.net", true),
            ("dns-name", "c_u1", false),
            ("urlencoded", "ssh-ed25519%20AAAA%2B", true),
            ("urlencoded", "ssh-ed25519 AAAA", false),
            ("pve-qm-ipconfig", "ip=10.0.0.5/24,gw=10.0.0.1", true),
            ("pve-qm-ipconfig", "ip=notanip", false),
            ("pve-qm-ipconfig", "address=10.0.0.5/24", false),
            ("pve-tag-list", "k8s;kthw", true),
            ("pve-tag-list", "k8s;-x", false),
            ("address-list", "10.0.0.1 10.0.0.2", true),
            ("not-known-here", "anything", true),
        ] {
            assert_eq!(has_format(name, text).is_ok(), good, "{name} {text}");
        }
        for (text, good) in [("20G", true), ("+5G", true), ("1.5T", true), ("G", false), ("-1G", false), ("20GB", false)] {
            assert_eq!(is_size(text), good, "{text}");
        }
    }
}
