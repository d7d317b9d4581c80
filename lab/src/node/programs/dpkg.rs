//! dpkg and dpkg-query: what is installed.
use super::super::host::{Host, failed, printed};
use super::{apt::configure, option, plain};
use kthw_engine::node::Output;

/// Runs dpkg: architecture, and comparing versions.
pub(crate) fn dpkg(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["--print-architecture"] => printed("amd64\n"),
        ["--audit" | "-C"] => printed(host.machine.unconfigured.iter().map(|name| format!(" {name}\n")).collect::<String>()),
        ["--configure", "-a"] => configure(host),
        ["-s" | "--status", name] => query(host, &["-s", name]),
        _ => {
            host.state.cannot_play(format!("{} $ dpkg {}", host.name, arguments.join(" ")));
            failed(2, "dpkg: error: the lab does not play this")
        }
    }
}

/// Runs dpkg-query.
pub(crate) fn query(host: &mut Host, arguments: &[&str]) -> Output {
    let format = option(arguments, "-f")
        .or_else(|| option(arguments, "--showformat"))
        .or_else(|| arguments.iter().find_map(|argument| argument.strip_prefix("-f").filter(|rest| !rest.is_empty())))
        .unwrap_or("${Package}\\t${Version}\\n");
    let names: Vec<&str> = plain(arguments).into_iter().filter(|word| *word != format).collect();
    let (mut stdout, mut missing) = (String::new(), String::new());
    let all: Vec<String> = if names.is_empty() {
        host.machine.packages.keys().cloned().collect()
    } else {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    for name in &all {
        match host.machine.packages.get(name) {
            Some(package) => {
                let configured = !host.machine.unconfigured.contains(name);
                stdout += &filled(format, name, &package.version, package.held, configured);
            }
            None => missing += &format!("dpkg-query: no packages found matching {name}\n"),
        }
    }
    Output { status: i32::from(!missing.is_empty()), stdout, stderr: missing }
}

fn filled(format: &str, name: &str, version: &str, held: bool, configured: bool) -> String {
    let want = if held { "hold" } else { "install" };
    let abbreviation = format!("{}{} ", if held { 'h' } else { 'i' }, if configured { 'i' } else { 'U' });
    let status = if configured { "installed" } else { "unpacked" };
    let fields = [
        ("Package", name),
        ("binary:Package", name),
        ("Version", version),
        ("Architecture", "amd64"),
        ("Status", &format!("{want} ok {status}")),
        ("db:Status-Abbrev", &abbreviation),
        ("db:Status-Want", want),
        ("db:Status-Status", status),
        ("db:Status-Eflag", "ok"),
    ];
    let text = fields.iter().fold(format.to_owned(), |text, (key, value)| text.replace(&format!("${{{key}}}"), value));
    text.replace("\\n", "\n").replace("\\t", "\t")
}
