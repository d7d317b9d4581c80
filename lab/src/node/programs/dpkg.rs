//! dpkg and dpkg-query: what is installed.
use super::super::{
    host::{Host, failed, printed},
    machine::Package,
};
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
    let pieces = pieces(format);
    for name in &all {
        match host.machine.packages.get(name) {
            Some(package) => {
                let listed = Listed { name, package, configured: !host.machine.unconfigured.contains(name) };
                pieces.iter().for_each(|piece| stdout += piece.of(&listed));
            }
            None => missing += &format!("dpkg-query: no packages found matching {name}\n"),
        }
    }
    Output { status: i32::from(!missing.is_empty()), stdout, stderr: missing }
}

/// A piece of a format: text, or a field of the package.
enum Piece {
    Text(String),
    Field(for<'p> fn(&Listed<'p>) -> &'p str),
}

/// A package as dpkg lists it.
struct Listed<'p> {
    name: &'p str,
    package: &'p Package,
    /// Whether its configuration has ended.
    configured: bool,
}

impl Piece {
    fn of<'p>(&'p self, listed: &Listed<'p>) -> &'p str {
        match self {
            Self::Text(text) => text,
            Self::Field(field) => field(listed),
        }
    }
}

/// A format such as `${Package} ${Version}\n`, taken apart once for all packages.
fn pieces(format: &str) -> Vec<Piece> {
    let text = |text: &str| Piece::Text(text.replace("\\n", "\n").replace("\\t", "\t"));
    let mut parts = format.split("${");
    let mut pieces: Vec<Piece> = parts.next().map(text).into_iter().collect();
    for part in parts {
        let (field, rest) = part.split_once('}').unwrap_or((part, ""));
        pieces.push(match field {
            "Package" | "binary:Package" => Piece::Field(|listed| listed.name),
            "Version" => Piece::Field(|listed| &listed.package.version),
            "Architecture" => Piece::Field(|_| "amd64"),
            "Status" => Piece::Field(|listed| match (listed.package.held, listed.configured) {
                (true, true) => "hold ok installed",
                (true, false) => "hold ok unpacked",
                (false, true) => "install ok installed",
                (false, false) => "install ok unpacked",
            }),
            "db:Status-Abbrev" => Piece::Field(|listed| match (listed.package.held, listed.configured) {
                (true, true) => "hi ",
                (true, false) => "hU ",
                (false, true) => "ii ",
                (false, false) => "iU ",
            }),
            "db:Status-Want" => Piece::Field(|listed| if listed.package.held { "hold" } else { "install" }),
            "db:Status-Status" => Piece::Field(|listed| if listed.configured { "installed" } else { "unpacked" }),
            "db:Status-Eflag" => Piece::Field(|_| "ok"),
            // As upstream: a field that a package does not have is empty.
            _ => Piece::Field(|_| ""),
        });
        pieces.push(text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_filled_in() {
        let package = Package { version: "1.31.9-1.1".into(), held: true };
        let listed = Listed { name: "kubelet", package: &package, configured: true };
        let filled = |format: &str| pieces(format).iter().map(|piece| piece.of(&listed)).collect::<String>();
        assert_eq!(filled("${db:Status-Abbrev}|${binary:Package}|${Version}\\n"), "hi |kubelet|1.31.9-1.1\n");
        assert_eq!(filled("${Package}\\t${Status} ${Section}."), "kubelet\thold ok installed .");
        assert_eq!(filled("plain"), "plain");
    }
}
