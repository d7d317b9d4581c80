//! Names, users, cloud-init, and other questions to the system.
use super::super::{
    host::{Host, failed, printed},
    personality,
};
use super::{has, option, plain};
use kthw_engine::node::Output;
use serde_json::json;

/// Runs cloud-init: `status`, also with `--wait`, and `clean`.
pub(crate) fn cloud_init(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments.first() {
        Some(&"status") => {}
        Some(&"clean") => {
            // The next start is a first one.
            host.machine.instance.clear();
            return printed("");
        }
        _ => return failed(2, "cloud-init: invalid choice"),
    }
    let left_ms = host.machine.cloud_init_until_ms.saturating_sub(host.now_ms());
    if has(arguments, &["--wait", "-w"]) {
        host.took_ms += left_ms;
    }
    let running = left_ms > 0 && !has(arguments, &["--wait", "-w"]);
    let status = if running { "running" } else { "done" };
    match option(arguments, "--format") {
        Some("json") => {
            let stage = if running { "modules-final" } else { "" };
            let shown = json!({
                "boot_status_code": "enabled-by-generator", "datasource": "nocloud", "detail": "DataSourceNoCloud [seed=/dev/sr0]", "errors": [],
                "extended_status": status, "recoverable_errors": {}, "status": status, "stage": if running { json!(stage) } else { json!(null) },
            });
            printed(format!("{shown:#}\n"))
        }
        _ if has(arguments, &["--long", "-l"]) => printed(format!(
            "status: {status}\nextended_status: {status}\nboot_status_code: enabled-by-generator\ndetail:\nDataSourceNoCloud [seed=/dev/sr0]\nerrors: []\nrecoverable_errors: {{}}\n"
        )),
        _ => printed(format!("status: {status}\n")),
    }
}

/// Runs hostname.
pub(crate) fn hostname(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        [] | ["-s"] => printed(format!("{}\n", host.machine.hostname)),
        ["-f" | "--fqdn"] => printed(format!("{}\n", host.machine.fqdn())),
        ["-I"] => printed(format!("{} \n", host.machine.ip())),
        _ => host.does_not_play("hostname", arguments),
    }
}

/// Runs hostnamectl: `set-hostname` and showing.
pub(crate) fn hostnamectl(host: &mut Host, arguments: &[&str]) -> Output {
    match plain(arguments)[..] {
        ["set-hostname" | "hostname", name] => {
            let now_s = host.now_s();
            host.machine.hostname = name.to_owned();
            host.machine.files.put("/etc/hostname", &format!("{name}\n"), 0o644, now_s);
            printed("")
        }
        ["hostname"] => printed(format!("{}\n", host.machine.hostname)),
        _ if has(arguments, &["--static"]) => printed(format!("{}\n", host.machine.hostname)),
        [] | ["status"] => {
            let personality = personality(&host.machine.os);
            let (name, system, kernel) = (&host.machine.hostname, personality.release.title, personality.kernel);
            printed(format!(
                " Static hostname: {name}\nOperating System: {system}\n          Kernel: Linux {kernel}\n    Architecture: x86-64\n"
            ))
        }
        _ => host.does_not_play("hostnamectl", arguments),
    }
}

/// Runs uname.
pub(crate) fn uname(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["-nr"] => printed(format!("{} {}\n", host.machine.hostname, personality(&host.machine.os).kernel)),
        ["-r"] => printed(format!("{}\n", personality(&host.machine.os).kernel)),
        ["-m"] => printed("x86_64\n"),
        [] | ["-s"] => printed("Linux\n"),
        _ => host.does_not_play("uname", arguments),
    }
}

/// Runs id: everything runs as root.
pub(crate) fn id(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["-u"] | ["-g"] => printed("0\n"),
        ["-un"] | ["-gn"] => printed("root\n"),
        [] => printed("uid=0(root) gid=0(root) groups=0(root)\n"),
        _ => host.does_not_play("id", arguments),
    }
}

/// Runs getent for hosts and users.
pub(crate) fn getent(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["hosts" | "ahosts" | "ahostsv4", name] => {
            let hosts = host.machine.files.text("/etc/hosts");
            // The Pi-hole is the name server of every machine.
            let mut lines = hosts.lines().chain(host.state.pihole.hosts.iter().map(String::as_str));
            match lines.find(|line| line.split_whitespace().skip(1).any(|known| known == *name)) {
                Some(line) => printed(format!("{line}\n")),
                None => failed(2, ""),
            }
        }
        ["passwd", "root"] => printed("root:x:0:0:root:/root:/bin/bash\n"),
        ["passwd", name] if *name == host.machine.user => printed(format!("{name}:x:1000:1000::/home/{name}:/bin/bash\n")),
        ["passwd", _] => failed(2, ""),
        _ => host.does_not_play("getent", arguments),
    }
}

/// Runs nproc.
pub(crate) fn nproc(host: &mut Host, _: &[&str]) -> Output {
    printed(format!("{}\n", host.machine.cores))
}

/// Runs sleep.
pub(crate) fn sleep(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += arguments.first().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1000;
    printed("")
}

/// Runs systemd-detect-virt.
pub(crate) fn virtualization(_: &mut Host, _: &[&str]) -> Output {
    printed("kvm\n")
}

/// A program that does nothing and succeeds.
pub(crate) fn succeeds(_: &mut Host, _: &[&str]) -> Output {
    printed("")
}

/// A program that does nothing and fails.
pub(crate) fn fails(_: &mut Host, _: &[&str]) -> Output {
    failed(1, "")
}

/// fuser: nobody holds the file.
pub(crate) fn nobody(_: &mut Host, _: &[&str]) -> Output {
    failed(1, "")
}

/// Runs setenforce: the kernel says it in a file.
pub(crate) fn setenforce(host: &mut Host, arguments: &[&str]) -> Output {
    let now_s = host.now_s();
    match arguments {
        [mode @ ("0" | "1")] if host.machine.files.exists(ENFORCE) => {
            host.machine.files.put(ENFORCE, &format!("{mode}\n"), 0o644, now_s);
            printed("")
        }
        _ => failed(1, "setenforce: SELinux is disabled"),
    }
}

/// Whether SELinux enforces its policy; not there where it is off.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
