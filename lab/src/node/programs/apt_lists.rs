//! apt's sources, its lists, and files that it fetches.
use super::super::{
    host::{Host, failed, printed},
    machine::Machine,
};
use super::catalog::{Source, update_lists};
use kthw_engine::node::Output;

/// Runs `apt-get update`.
pub(super) fn update(host: &mut Host, arguments: &[&str]) -> Output {
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("Dir::Etc::SourceList="));
    host.took_ms += if only.is_some() { 1500 } else { 4000 };
    for Source { file, url, keys } in sources(&host.machine).into_iter().filter(|source| only.is_none_or(|only| only == source.file)) {
        if keys.iter().any(|key| key.starts_with('/') && !host.machine.files.exists(key)) {
            let text = format!("E: The repository '{url}' is not signed. (from {file})");
            return failed(100, text);
        }
    }
    update_lists(&mut host.machine, only);
    printed("Reading package lists...\n")
}

/// Every source of apt.
pub(super) fn sources(machine: &Machine) -> Vec<Source> {
    let mut found = Vec::new();
    let mut files = vec!["/etc/apt/sources.list".to_owned()];
    files.extend(machine.files.names("/etc/apt/sources.list.d").iter().map(|name| format!("/etc/apt/sources.list.d/{name}")));
    for file in files {
        let text = machine.files.text(&file);
        if file.ends_with(".sources") {
            for stanza in text.split("\n\n") {
                let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
                if field("Enabled:").is_none_or(|enabled| enabled != "no") {
                    found.extend(field("URIs:").map(|url| Source { file: file.clone(), url, keys: words(field("Signed-By:")) }));
                }
            }
        } else {
            for line in text.lines().filter(|line| line.trim_start().starts_with("deb ")) {
                let keys = words(line.split("signed-by=").nth(1).and_then(|rest| rest.split([']', ' ']).next()).map(str::to_owned));
                let url = line.split_whitespace().find(|word| word.contains("://") || word.starts_with("file:"));
                found.extend(url.map(|url| Source { file: file.clone(), url: url.to_owned(), keys: keys.clone() }));
            }
        }
    }
    found
}

/// The words of a field that may be missing.
fn words(field: Option<String>) -> Vec<String> {
    field.iter().flat_map(|field| field.split_whitespace()).map(str::to_owned).collect()
}

/// Runs apt-helper: `download-file URL PATH SHA256:DIGEST`. The lab has no network; the file gets words of its own.
pub(crate) fn helper(host: &mut Host, arguments: &[&str]) -> Output {
    let ["download-file", url, path, ..] = arguments else { return failed(1, "E: Invalid operation") };
    download(host, url, path, arguments.get(3).and_then(|digest| digest.strip_prefix("SHA256:")))
}

/// Makes a file with words of its own, which stands for one with this digest.
pub(super) fn download(host: &mut Host, url: &str, path: &str, sha256: Option<&str>) -> Output {
    host.took_ms += 800;
    let now_s = host.now_s();
    match host.machine.files.write(path, format!("what {url} serves\n").into_bytes(), 0o644, now_s) {
        Ok(()) => {
            if let Some(entry) = host.machine.files.get_mut(path) {
                entry.stands_for = sha256.map(str::to_owned);
            }
            printed("")
        }
        Err(text) => failed(100, format!("E: {text}")),
    }
}
