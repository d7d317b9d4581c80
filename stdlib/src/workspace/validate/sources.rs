//! Rules about what is downloaded, and from where.
use super::{Check, repeated};
use crate::{
    artifact::is_sha256,
    workspace::{Repository, SigningKey},
};
use url::Url;

pub(super) fn image(check: &mut Check<'_>) {
    let Some(template) = &check.workspace.template else { return };
    let image = &template.image;
    if image.sha256.as_ref().is_some_and(|digest| !is_sha256(digest)) {
        check.add(
            "kthw::workspace::sha256",
            "template.image.sha256",
            "not a SHA-256",
            "the image's digest is not 64 lower-case hex digits",
            "copy it from the SHA256SUMS file beside the image, or run `sha256sum` on the file",
        );
    }
    web(check, "template.image.url", &image.url);
}

pub(super) fn packages(check: &mut Check<'_>) {
    let packages = &check.workspace.packages;
    for (name, given) in [("kubernetes", &packages.kubernetes), ("containerd_repository", &packages.containerd_repository)] {
        if let Some(given) = given {
            repository(check, &format!("packages.{name}"), given);
        }
    }
    for (at, given) in packages.distribution.iter().enumerate() {
        repository(check, &format!("packages.distribution[{at}]"), given);
    }
    if !packages.kubernetes_keys.is_empty() {
        if packages.kubernetes.is_some() {
            check.add_pair(
                KEY,
                ("packages.kubernetes", "this repository"),
                ("packages.kubernetes_keys", "keys of the community's"),
                "`kubernetes_keys` are those of the community's repository, which is not used here",
                "list them under `packages.kubernetes.keys`",
            );
        }
        keys(check, "packages.kubernetes_keys", &packages.kubernetes_keys);
    }
}

const KEY: &str = "kthw::workspace::repository_key";

fn repository(check: &mut Check<'_>, name: &str, repository: &Repository) {
    let path = |field: &str| format!("{name}.{field}");
    web(check, &path("url"), &repository.url);
    let single = match (&repository.key, &repository.key_url, &repository.key_sha256) {
        (Some(_), ..) => Some("key"),
        (_, Some(_), _) => Some("key_url"),
        (.., Some(_)) => Some("key_sha256"),
        _ => None,
    };
    match (single, repository.keys.is_empty()) {
        (Some(single), false) => check.add_pair(
            KEY,
            (&path(single), "one key"),
            (&path("keys"), "and a list of them"),
            "the repository's keys are given in two forms",
            "list all of them under `keys`",
        ),
        (None, true) => check.add(
            KEY,
            &path("url"),
            "nothing says whose packages these are",
            "the repository has no signing key",
            "give `key`, or `key_url` with `key_sha256`, or a list of `keys`",
        ),
        (None, false) => keys(check, &path("keys"), &repository.keys),
        (Some(_), true) => {
            let names = KeyFields { key: path("key"), url: path("key_url"), sha256: path("key_sha256") };
            for one in repository.signing_keys() {
                key(check, &names, &one);
            }
        }
    }
    if !repository.signed_index && check.workspace.distribution.family().name() == "apt" {
        check.add(
            "kthw::workspace::signed_index",
            &path("signed_index"),
            "apt verifies indexes, and packages by them",
            "apt takes no repository whose index is not signed",
            "leave `signed_index` out",
        );
    }
}

/// The paths of a key's fields.
struct KeyFields {
    key: String,
    url: String,
    sha256: String,
}

fn keys(check: &mut Check<'_>, path: &str, keys: &[SigningKey]) {
    for (index, one) in keys.iter().enumerate() {
        let field = |field: &str| format!("{path}[{index}].{field}");
        key(check, &KeyFields { key: field("key"), url: field("url"), sha256: field("sha256") }, one);
    }
    let identities: Vec<&String> = keys.iter().filter_map(|key| key.sha256.as_ref().or(key.key.as_ref())).collect();
    for (earlier, later) in repeated(&identities) {
        let at = |position: usize| format!("{path}[{position}]");
        check.add_pair(
            KEY,
            (&at(earlier), "this key"),
            (&at(later), "the same again"),
            "a signing key is listed twice",
            "leave one of them out",
        );
    }
}

fn key(check: &mut Check<'_>, fields: &KeyFields, key: &SigningKey) {
    match (&key.key, &key.url) {
        (Some(_), Some(_)) => check.add_pair(
            KEY,
            (&fields.key, "the key itself"),
            (&fields.url, "and where to fetch it"),
            "the repository's key is given twice",
            "keep the key as text, or the address with the digest",
        ),
        (None, None) => check.add(
            KEY,
            &fields.sha256,
            "of what?",
            "a signing key is neither given as text nor by an address",
            "give it as text, or an address with the digest of what it serves",
        ),
        (Some(_), None) if key.sha256.is_some() => check.add_pair(
            KEY,
            (&fields.key, "the key itself"),
            (&fields.sha256, "and a digest"),
            "a key that stands here needs no digest",
            "leave the digest out",
        ),
        (Some(_), None) => {}
        (None, Some(address)) => {
            web(check, &fields.url, address);
            if key.sha256.is_none() {
                let name = fields.sha256.rsplit('.').next().unwrap_or_default();
                check.add(
                    KEY,
                    &fields.url,
                    "fetched from here",
                    "a key that is fetched needs its digest",
                    format!("add `{name}`: run `sha256sum` on the key that you trust"),
                );
            }
        }
    }
    if key.sha256.as_ref().is_some_and(|digest| !is_sha256(digest)) {
        check.add(
            "kthw::workspace::sha256",
            &fields.sha256,
            "not a SHA-256",
            "the key's digest is not 64 lower-case hex digits",
            "run `sha256sum` on the key that you trust",
        );
    }
}

pub(super) fn mirror(check: &mut Check<'_>) {
    if let Some(mirror) = &check.workspace.artifacts.mirror
        && !mirror.starts_with('/')
        && !is_web(mirror)
    {
        check.add(
            "kthw::workspace::mirror",
            "artifacts.mirror",
            "neither of the two",
            format!("`{mirror}` is neither a folder nor a web address"),
            "write an absolute path, such as `/srv/mirror`, or an address that starts with http:// or https://",
        );
    }
}

/// An address of the web.
pub(super) fn web(check: &mut Check<'_>, path: &str, address: &str) {
    if !is_web(address) {
        check.add(
            "kthw::workspace::address",
            path,
            "not a web address",
            format!("`{address}` is not a web address"),
            "write it in full, with http:// or https:// and a host",
        );
    }
}

fn is_web(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
