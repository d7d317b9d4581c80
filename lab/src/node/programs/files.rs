//! Small programs that look at files: cat, test, readlink, ls, sha256sum, mkdir, mv, rm.
use super::super::{
    files::{Entry, Kind},
    host::{Host, failed, killed, printed},
    machine::Machine,
};
use super::{has, option, plain};
use crate::state::fingerprint;
use kthw_engine::node::Output;

/// Runs cat; `/proc` is made up as it is read.
pub(crate) fn cat(host: &mut Host, arguments: &[&str]) -> Output {
    let mut output = Output::default();
    for path in plain(arguments) {
        match content(host, path) {
            Some(content) => output.stdout += &String::from_utf8_lossy(&content),
            None => {
                output.status = 1;
                let why = if host.machine.files.is_directory(path) { "Is a directory" } else { "No such file or directory" };
                output.stderr += &format!("cat: {path}: {why}\n");
            }
        }
    }
    output
}

/// The content of a file, also below `/proc` and `/sys`.
pub(super) fn content(host: &Host, path: &str) -> Option<Vec<u8>> {
    let machine = &host.machine;
    let up_ms = host.state.now_ms.saturating_sub(machine.booted_ms);
    let text = match path {
        "/proc/swaps" => {
            let lines = machine.swaps.iter().map(|device| format!("{device}                               file\t\t2097148\t\t0\t\t-2\n"));
            format!("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{}", lines.collect::<String>())
        }
        "/proc/modules" => machine.modules.iter().map(|name| format!("{name} 32768 0 - Live 0x0000000000000000\n")).collect(),
        "/proc/meminfo" => format!("MemTotal:       {:>8} kB\n", u64::from(machine.memory_mib) * 1024),
        "/proc/uptime" => format!("{}.{:02} {0}.00\n", up_ms / 1000, up_ms % 1000 / 10),
        "/proc/sys/kernel/hostname" => format!("{}\n", machine.hostname),
        "/proc/sys/kernel/random/boot_id" => format!("{}\n", boot_id(&host.key, machine)),
        _ if path.starts_with("/proc/sys/") => format!("{}\n", machine.sysctls.get(&path["/proc/sys/".len()..].replace('/', "."))?),
        _ => return machine.files.content(path).map(<[u8]>::to_vec),
    };
    Some(text.into_bytes())
}

/// What tells one start of a machine from the next.
pub(crate) fn boot_id(key: &str, machine: &Machine) -> String {
    let digits = fingerprint(format!("{key} {} {}", machine.files.text("/etc/machine-id"), machine.boots));
    format!("{}-{}-4{}-8{}-{}", &digits[0..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32])
}

/// Runs grep with a text that is no pattern, on one file, as far as `-m1` for the first line goes.
pub(crate) fn grep(host: &mut Host, arguments: &[&str]) -> Output {
    let ["-m1", text, path] = arguments else {
        host.state.cannot_play(format!("{} $ grep {}", host.name, arguments.join(" ")));
        return failed(2, "grep: the lab does not play this");
    };
    match content(host, path) {
        None => failed(2, format!("grep: {path}: No such file or directory")),
        Some(content) => match String::from_utf8_lossy(&content).lines().find(|line| line.contains(text)) {
            Some(line) => printed(format!("{line}\n")),
            None => failed(1, ""),
        },
    }
}

/// Runs test with one file operator.
pub(crate) fn test(host: &mut Host, arguments: &[&str]) -> Output {
    let (negated, words) = match arguments {
        ["!", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let files = &host.machine.files;
    let holds = match words {
        ["-e" | "-r", path] => files.exists(path) || content(host, path).is_some(),
        ["-f", path] => files.content(path).is_some(),
        ["-s", path] => files.content(path).is_some_and(|content| !content.is_empty()),
        ["-d", path] => files.is_directory(path) || host.machine.modules.contains(path.trim_start_matches("/sys/module/")),
        ["-L" | "-h", path] => matches!(files.get(path), Some(Entry { kind: Kind::Symlink(_), .. })),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        _ => {
            host.state.cannot_play(format!("{} $ test {}", host.name, arguments.join(" ")));
            return failed(2, "test: unknown operator");
        }
    };
    failed(i32::from(holds == negated), "")
}

/// Runs readlink.
pub(crate) fn readlink(host: &mut Host, arguments: &[&str]) -> Output {
    match plain(arguments).first().and_then(|path| host.machine.files.get(path)) {
        Some(Entry { kind: Kind::Symlink(target), .. }) => printed(format!("{target}\n")),
        _ => failed(1, ""),
    }
}

/// Runs ls on directories, one name a line.
pub(crate) fn ls(host: &mut Host, arguments: &[&str]) -> Output {
    let mut output = Output::default();
    for path in plain(arguments) {
        if host.machine.files.is_directory(path) {
            output.stdout += &host.machine.files.names(path).iter().map(|name| format!("{name}\n")).collect::<String>();
        } else if host.machine.files.exists(path) {
            output.stdout += &format!("{path}\n");
        } else {
            output.status = 2;
            output.stderr += &format!("ls: cannot access '{path}': No such file or directory\n");
        }
    }
    output
}

/// Runs sha256sum.
pub(crate) fn sha256sum(host: &mut Host, arguments: &[&str]) -> Output {
    let mut output = Output::default();
    for path in plain(arguments) {
        match host.machine.files.content(path) {
            Some(content) => output.stdout += &format!("{}  {path}\n", fingerprint(content)),
            None => {
                output.status = 1;
                output.stderr += &format!("sha256sum: {path}: No such file or directory\n");
            }
        }
    }
    output
}

/// Runs mkdir.
pub(crate) fn mkdir(host: &mut Host, arguments: &[&str]) -> Output {
    let now_s = host.now_s();
    for path in plain(arguments) {
        host.machine.files.make_directory(path, 0o755, now_s);
    }
    printed("")
}

/// Runs `mv -t FOLDER FILE…`.
pub(crate) fn mv(host: &mut Host, arguments: &[&str]) -> Output {
    let Some(folder) = option(arguments, "-t") else {
        host.state.cannot_play(format!("{} $ mv {}", host.name, arguments.join(" ")));
        return failed(1, "mv: the lab does not play this");
    };
    let now_s = host.now_s();
    for path in plain(arguments).into_iter().filter(|path| *path != folder) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some(Entry { kind: Kind::File(content), mode, .. }) = host.machine.files.get(path).cloned() else {
            return failed(1, format!("mv: cannot stat '{path}': No such file or directory"));
        };
        let moved = host.machine.files.write(&format!("{folder}/{name}"), content, mode, now_s);
        if let Err(text) = moved.and_then(|()| host.machine.files.remove(path)) {
            return failed(1, format!("mv: {text}"));
        }
        if host.dies_during(name) {
            return killed();
        }
    }
    printed("")
}

/// Runs rm.
pub(crate) fn rm(host: &mut Host, arguments: &[&str]) -> Output {
    let (force, recursive) = (has(arguments, &["-f", "-rf", "-fr", "--force"]), has(arguments, &["-r", "-rf", "-fr", "--recursive"]));
    for path in plain(arguments) {
        if recursive {
            host.machine.files.remove_tree(path);
        } else if !force && host.machine.files.get(path).is_none() {
            return failed(1, format!("rm: cannot remove '{path}': No such file or directory"));
        } else if let Err(text) = host.machine.files.remove(path) {
            return failed(1, format!("rm: {text}"));
        }
    }
    printed("")
}
