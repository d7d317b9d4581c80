//! Rules about names: of the cluster, its nodes, the endpoint, and who logs in.
use super::{Check, node, repeated};
use crate::{
    checked::Rule,
    workspace::names::{ApiEndpointRule, MAX_NAME, is_dns_name, is_label},
};

pub(super) fn cluster(check: &mut Check<'_>) {
    let workspace = check.workspace;
    if !is_label(&workspace.name) {
        check.add(
            "kthw::workspace::name",
            "name",
            "not such a name",
            format!("`{}` cannot name a cluster", workspace.name),
            "use lower-case letters, digits and dashes, such as `ubuntu`",
        );
    }
    if !is_dns_name(&workspace.domain) {
        check.add(
            "kthw::workspace::domain",
            "domain",
            "not a domain",
            format!("`{}` is not a DNS domain", workspace.domain),
            "write it without dots at the ends, such as `bevz.net`",
        );
    }
    if !workspace.release_letter.is_ascii_lowercase() {
        check.add(
            "kthw::workspace::release_letter",
            "release_letter",
            "not a lower-case letter",
            format!("`{}` cannot be part of host names", workspace.release_letter),
            "use one lower-case letter that no other workspace of this domain has",
        );
    }
}

pub(super) fn nodes(check: &mut Check<'_>) {
    let nodes = &check.workspace.nodes;
    for (index, spec) in nodes.iter().enumerate() {
        let full = check.workspace.fqdn(spec);
        if full.len() > MAX_NAME {
            check.add(
                "kthw::workspace::node_name",
                &node(index, "name"),
                "too long with its domain",
                format!("`{full}` cannot be a host name: it has {} characters, and {MAX_NAME} is the most", full.len()),
                "use a shorter name or domain",
            );
        }
    }
    let names: Vec<&str> = nodes.iter().map(|spec| spec.name.as_str()).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::duplicate_name",
            (&node(earlier, "name"), "the first"),
            (&node(later, "name"), "the second"),
            format!("two nodes are called `{}`", names[later]),
            "give every node a name of its own",
        );
    }
}

pub(super) fn endpoint(check: &mut Check<'_>) {
    let Some(endpoint) = &check.workspace.endpoint else { return };
    if !ApiEndpointRule::allows(endpoint) {
        check.add(
            "kthw::workspace::endpoint",
            "endpoint",
            "not host:port",
            format!("`{endpoint}` is not an address of an API server"),
            "write host and port without a scheme, such as `api.bevz.net:6443`, or leave it out",
        );
    }
}

/// Whether a text can be the name of a value in a secrets file.
pub(super) fn names_a_secret(name: &str) -> bool {
    !name.split('.').any(str::is_empty) && !name.contains(|c: char| c.is_whitespace() || c == '>')
}

pub(super) fn ssh(check: &mut Check<'_>) {
    let ssh = &check.workspace.ssh;
    if !is_user(&ssh.user) {
        check.add(
            "kthw::workspace::ssh_user",
            "ssh.user",
            "not a user name",
            format!("`{}` cannot log in", ssh.user),
            "name a user who may run `sudo -n`, or leave `user` out for `kthw`",
        );
    }
    if let Some(secret) = &ssh.key_secret {
        let path = "ssh.key_secret";
        if !names_a_secret(secret) {
            check.add(
                "kthw::workspace::key_secret",
                path,
                "not a name of a secret",
                format!("`{secret}` does not name a secret"),
                "write the keys on the way to it in secrets.sops.yaml with dots between them, such as `ssh.private_key`",
            );
        }
        if ssh.key_file.is_some() {
            check.add_pair(
                "kthw::workspace::two_keys",
                ("ssh.key_file", "a key on this computer"),
                (path, "a key in the secrets file"),
                "nodes are logged in to with one key, and two are named",
                "keep `key_secret` (kthw can rotate it), or `key_file`, and remove the other",
            );
        }
    }
    if let Some(jump) = ssh.jump_host.as_ref().filter(|jump| !is_jump_host(jump)) {
        check.add(
            "kthw::workspace::jump_host",
            "ssh.jump_host",
            "not such a host",
            format!("`{jump}` is not a host to go through"),
            "write it as `user@host:port`; user and port may be left out",
        );
    }
    let ports = std::iter::once(("ssh.port".to_owned(), ssh.port))
        .chain(check.workspace.nodes.iter().enumerate().filter_map(|(index, spec)| Some((node(index, "port"), spec.port?))));
    for (path, _) in ports.filter(|(_, port)| *port == 0).collect::<Vec<_>>() {
        check.add(
            "kthw::workspace::ssh_port",
            &path,
            "not a port",
            "no SSH server listens on port 0",
            "use a port from 1 to 65535; 22 is usual",
        );
    }
}

/// `user@host:port`, of which only the host must be there.
fn is_jump_host(text: &str) -> bool {
    let (user, rest) = text.split_once('@').map_or(("root", text), |(user, rest)| (user, rest));
    let (host, port) = rest.rsplit_once(':').map_or((rest, "22"), |(host, port)| (host, port));
    is_user(user) && is_dns_name(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts() {
        for (text, good) in [
            ("admin@gate.bevz.net:2222", true),
            ("gate", true),
            ("a@10.0.0.1", true),
            ("@gate", false),
            ("a@gate:", false),
            ("a b@c", false),
            ("-o@c", false),
        ] {
            assert_eq!(is_jump_host(text), good, "{text}");
        }
    }
}
