//! Rules about what is downloaded, and from where.
use super::Check;
use crate::{artifact::is_sha256, workspace::Repository};
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
            repository(check, name, given);
        }
    }
}

fn repository(check: &mut Check<'_>, name: &str, repository: &Repository) {
    let path = |field: &str| format!("packages.{name}.{field}");
    web(check, &path("url"), &repository.url);
    if let Some(key_url) = &repository.key_url {
        web(check, &path("key_url"), key_url);
        if repository.key.is_some() {
            check.add_pair(
                "kthw::workspace::repository_key",
                (&path("key"), "the key itself"),
                (&path("key_url"), "and where to fetch it"),
                "the repository's key is given twice",
                "keep `key`, or `key_url` with `key_sha256`",
            );
        }
        if repository.key_sha256.is_none() {
            check.add(
                "kthw::workspace::repository_key",
                &path("key_url"),
                "fetched from here",
                "a key that is fetched needs its digest",
                "add `key_sha256`: run `sha256sum` on the key that you trust",
            );
        }
    }
    if repository.key_sha256.as_ref().is_some_and(|digest| !is_sha256(digest)) {
        check.add(
            "kthw::workspace::sha256",
            &path("key_sha256"),
            "not a SHA-256",
            "the key's digest is not 64 lower-case hex digits",
            "run `sha256sum` on the key that you trust",
        );
    }
}

pub(super) fn mirrors(check: &mut Check<'_>) {
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
    for (host, mirror) in &check.workspace.containerd.mirrors {
        web(check, &format!("containerd.mirrors.{host}"), mirror);
    }
}

fn web(check: &mut Check<'_>, path: &str, address: &str) {
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
