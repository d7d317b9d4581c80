//! The program that keeps a machine's firewall, as far as its rules are kept, tried and taken back: in the lab they hold nobody up.
use super::super::host::{Host, failed, printed};
use kthw_engine::node::{Content, Output};
use kthw_stdlib::firewall::{PROGRAM, RULES, UNIT};

const LOADED: &str = "/run/kthw-firewall/loaded";
/// The rules on trial.
const TRIAL: &str = "/run/kthw-firewall/trial";
/// What was in force before the trial.
const BEFORE: &str = "/run/kthw-firewall/before";
/// When the trial ends, in virtual milliseconds.
const UNTIL: &str = "/run/kthw-firewall/until";

/// Runs `kthw-firewall`.
pub(crate) fn firewall(host: &mut Host, arguments: &[&str]) -> Output {
    if !host.machine.files.exists(PROGRAM) {
        return failed(127, "kthw-firewall: command not found");
    }
    if let ["look"] = arguments {
        return printed(look(host));
    }
    if is_over(host) {
        back(host);
    }
    match arguments {
        ["try", file, seconds] => {
            back(host);
            let Ok(seconds) = seconds.parse::<u64>() else { return failed(1, format!("Failed to parse time span: {seconds}")) };
            let until = host.now_ms() + seconds * 1000;
            let (before, rules) = (text(host, LOADED), text(host, file));
            put(host, BEFORE, &before);
            put(host, UNTIL, &until.to_string());
            put(host, TRIAL, &rules);
            put(host, LOADED, &Content::plain(rules).sha256());
            printed("")
        }
        ["keep"] => {
            if !host.machine.files.exists(BEFORE) {
                return failed(3, "the rules were taken back before they could be kept");
            }
            let rules = text(host, TRIAL);
            put(host, RULES, &rules);
            [BEFORE, UNTIL, TRIAL].iter().for_each(|path| drop(host.machine.files.remove(path)));
            printed("")
        }
        ["back"] => {
            back(host);
            printed("")
        }
        ["off"] => {
            host.machine.files.remove_tree("/run/kthw-firewall");
            printed("")
        }
        ["remove"] => {
            host.machine.files.remove_tree("/run/kthw-firewall");
            host.machine.units.remove(UNIT);
            let unit = format!("/etc/systemd/system/{UNIT}");
            [unit.as_str(), RULES, PROGRAM].iter().for_each(|path| drop(host.machine.files.remove(path)));
            printed("")
        }
        _ => host.does_not_play("kthw-firewall", arguments),
    }
}

/// Puts the kept rules in force, as the unit does when a machine starts.
pub(crate) fn load(files: &mut super::super::files::Files, now_s: u64) {
    files.remove_tree("/run/kthw-firewall");
    if files.exists(RULES) {
        let loaded = Content::plain(files.text(RULES)).sha256();
        files.put(LOADED, &loaded, 0o644, now_s);
    }
}

/// Whether a trial has come to its end, so that the rules from before are in force again.
fn is_over(host: &Host) -> bool {
    text(host, UNTIL).parse::<u64>().is_ok_and(|until_ms| until_ms <= host.now_ms())
}

fn back(host: &mut Host) {
    if !host.machine.files.exists(BEFORE) {
        return;
    }
    match text(host, BEFORE) {
        before if before.is_empty() => drop(host.machine.files.remove(LOADED)),
        before => put(host, LOADED, &before),
    }
    [BEFORE, UNTIL, TRIAL].iter().for_each(|path| drop(host.machine.files.remove(path)));
}

/// What is listed is told by the digest of the rules: nobody changes them by hand here.
fn look(host: &Host) -> String {
    let over = is_over(host);
    let loaded = text(host, if over { BEFORE } else { LOADED });
    let trial = if !over && host.machine.files.exists(BEFORE) { "trial\n" } else { "" };
    if loaded.is_empty() { String::new() } else { format!("listed {loaded}\nloaded {loaded} {loaded}\n{trial}") }
}

fn text(host: &Host, path: &str) -> String {
    host.machine.files.text(path)
}

fn put(host: &mut Host, path: &str, content: &str) {
    let now_s = host.now_s();
    host.machine.files.put(path, content, 0o644, now_s);
}
