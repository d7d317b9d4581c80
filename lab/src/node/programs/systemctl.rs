//! systemctl: states of units, and changing them.
use super::super::{
    boot,
    host::{Host, failed, printed},
    machine::Unit,
};
use super::{has, plain};
use crate::state::{BEGIN_S, rfc3339};
use kthw_engine::node::Output;

/// A moment as systemd prints it in UTC: `Sat 2026-08-15 08:00:00 UTC`.
fn timestamp(unix_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = usize::try_from(unix_s / 86_400 % 7).unwrap_or(0);
    format!("{} {} UTC", DAYS[day], rfc3339(unix_s).replace('T', " ").trim_end_matches('Z'))
}

/// Runs systemctl.
pub(crate) fn systemctl(host: &mut Host, arguments: &[&str]) -> Output {
    let words = without_properties(arguments);
    let Some((verb, units)) = words.split_first() else { return printed("") };
    let names: Vec<String> = units.iter().map(|name| full_name(name)).collect();
    match *verb {
        "daemon-reload" | "daemon-reexec" | "reset-failed" => printed(""),
        "is-system-running" => printed("running\n"),
        "reboot" => reboot(host, &[]),
        "show" => show(host, &names, arguments),
        "is-active" => {
            each(host, &names, arguments, 3, |host, name| active_state(host, name).0 == "active", |host, name| active_state(host, name).0)
        }
        "is-enabled" => is_enabled(host, &names, arguments),
        "is-failed" => each(host, &names, arguments, 1, |_, _| false, |host, name| active_state(host, name).0),
        "enable" | "disable" | "start" | "stop" | "restart" | "try-restart" | "reload" | "reload-or-restart" | "mask" | "unmask" => {
            change(host, verb, &names, has(arguments, &["--now"]))
        }
        _ => {
            host.state.cannot_play(format!("{} $ systemctl {}", host.name, arguments.join(" ")));
            failed(1, format!("Unknown command verb '{verb}'."))
        }
    }
}

/// Restarts the machine: it answers no more from now on, until it is up again.
pub(crate) fn reboot(host: &mut Host, _: &[&str]) -> Output {
    boot::reboot(host);
    printed("")
}

/// The arguments without options and without the values of `-p`.
fn without_properties<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let valued = |at: usize| at > 0 && matches!(arguments[at - 1], "-p" | "--property" | "-t" | "--type");
    let words: Vec<&str> = arguments.iter().enumerate().filter(|(at, _)| !valued(*at)).map(|(_, word)| *word).collect();
    plain(&words)
}

fn full_name(name: &str) -> String {
    let known = [".service", ".socket", ".timer", ".target", ".mount", ".swap", ".slice", ".path"];
    if known.iter().any(|end| name.ends_with(end)) { name.to_owned() } else { format!("{name}.service") }
}

/// Active state and sub-state of a unit.
fn active_state(host: &Host, name: &str) -> (&'static str, &'static str) {
    let swapped_on = name.ends_with(".swap") && !host.machine.swaps.is_empty();
    match host.machine.units.get(name) {
        _ if swapped_on => ("active", "active"),
        Some(unit) if unit.started && host.machine.runs(name) => ("active", "running"),
        // A kubelet without configuration ends at once and is started again and again.
        Some(unit) if unit.started => ("activating", "auto-restart"),
        _ => ("inactive", "dead"),
    }
}

fn enabled_state(unit: Option<&Unit>) -> &'static str {
    match unit {
        None => "",
        Some(unit) if unit.masked => "masked",
        Some(unit) if unit.enabled => "enabled",
        Some(_) => "disabled",
    }
}

fn show(host: &Host, names: &[String], arguments: &[&str]) -> Output {
    let mut wanted: Vec<&str> = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        let value = match *argument {
            "-p" | "--property" => arguments.get(at + 1).copied(),
            other => other.strip_prefix("--property=").or_else(|| other.strip_prefix("-p").filter(|rest| !rest.is_empty())),
        };
        wanted.extend(value.into_iter().flat_map(|value| value.split(',')));
    }
    let only_values = has(arguments, &["--value"]);
    let blocks = names.iter().map(|name| {
        let unit = host.machine.units.get(name);
        let (active, sub) = active_state(host, name);
        let running = active == "active" && name.ends_with(".service");
        let since_us = unit.filter(|_| running).map_or(0, |unit| unit.started_ms.saturating_sub(host.machine.booted_ms) * 1000 + 1);
        let pid = if running { 700 + host.machine.units.keys().position(|known| known == name).unwrap_or(0) } else { 0 };
        let started = unit.filter(|_| running).map_or_else(String::new, |unit| timestamp(BEGIN_S + unit.started_ms / 1000));
        // The order is systemd's own, whatever order was asked for.
        let properties = [
            ("Type", "notify".to_owned()),
            ("MainPID", pid.to_string()),
            ("NRestarts", if active == "activating" { "7" } else { "0" }.to_owned()),
            ("ExecMainStartTimestamp", started),
            ("Result", if active == "activating" { "exit-code" } else { "success" }.to_owned()),
            ("Id", name.clone()),
            ("Names", name.clone()),
            (
                "LoadState",
                match unit {
                    None => "not-found",
                    Some(unit) if unit.masked => "masked",
                    Some(_) => "loaded",
                }
                .to_owned(),
            ),
            ("ActiveState", active.to_owned()),
            ("SubState", sub.to_owned()),
            ("FragmentPath", unit.map(|_| format!("/usr/lib/systemd/system/{name}")).unwrap_or_default()),
            ("UnitFileState", enabled_state(unit).to_owned()),
            ("ActiveEnterTimestampMonotonic", since_us.to_string()),
            ("NeedDaemonReload", "no".to_owned()),
        ];
        let shown = properties.iter().filter(|(key, _)| wanted.is_empty() || wanted.contains(key));
        shown.map(|(key, value)| if only_values { format!("{value}\n") } else { format!("{key}={value}\n") }).collect::<String>()
    });
    printed(blocks.collect::<Vec<_>>().join("\n"))
}

fn each(
    host: &Host,
    names: &[String],
    arguments: &[&str],
    bad: i32,
    is_good: impl Fn(&Host, &str) -> bool,
    word: impl Fn(&Host, &str) -> &'static str,
) -> Output {
    let stdout = names.iter().map(|name| format!("{}\n", word(host, name))).collect::<String>();
    let status = if names.iter().any(|name| is_good(host, name)) { 0 } else { bad };
    Output { status, stdout: if has(arguments, &["-q", "--quiet"]) { String::new() } else { stdout }, stderr: String::new() }
}

fn is_enabled(host: &Host, names: &[String], arguments: &[&str]) -> Output {
    if let Some(missing) = names.iter().find(|name| !host.machine.units.contains_key(*name)) {
        return Output {
            status: 4,
            stdout: "not-found\n".into(),
            stderr: format!("Failed to get unit file state for {missing}: No such file or directory\n"),
        };
    }
    let word = |host: &Host, name: &str| enabled_state(host.machine.units.get(name));
    each(host, names, arguments, 1, |host, name| host.machine.units.get(name).is_some_and(|unit| unit.enabled && !unit.masked), word)
}

fn change(host: &mut Host, verb: &str, names: &[String], now: bool) -> Output {
    for name in names {
        if name.ends_with(".swap") {
            host.machine.swaps.clear();
            continue;
        }
        // A file under /etc/systemd/system makes a unit too.
        if !host.machine.units.contains_key(name) && host.machine.files.exists(&format!("/etc/systemd/system/{name}")) {
            host.machine.units.insert(name.clone(), Unit::default());
        }
        let now_ms = host.now_ms();
        let Some(unit) = host.machine.units.get_mut(name) else {
            return match verb {
                "enable" | "disable" | "mask" => failed(1, format!("Failed to {verb} unit: Unit file {name} does not exist.")),
                _ => failed(5, format!("Failed to {verb} {name}: Unit {name} not found.")),
            };
        };
        if unit.masked && matches!(verb, "start" | "restart") {
            return failed(1, format!("Failed to {verb} {name}: Unit {name} is masked."));
        }
        match verb {
            "enable" => unit.enabled = true,
            "disable" => unit.enabled = false,
            "mask" => unit.masked = true,
            "unmask" => unit.masked = false,
            "stop" => unit.started = false,
            _ => {}
        }
        let was_started = unit.started;
        match verb {
            "disable" | "mask" if now => unit.started = false,
            "restart" | "reload-or-restart" => host.machine.start_unit(name, now_ms),
            "try-restart" | "reload" if was_started => host.machine.start_unit(name, now_ms),
            "start" if !was_started => host.machine.start_unit(name, now_ms),
            "enable" if now && !was_started => host.machine.start_unit(name, now_ms),
            _ => {}
        }
        host.took_ms += if matches!(verb, "start" | "restart" | "reload-or-restart") { 1000 } else { 100 };
    }
    printed("")
}
