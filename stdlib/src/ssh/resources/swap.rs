//! `ssh.swap`: no swap, now and at every start.
use super::declare::{declare, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    enabled: bool,
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps swap off, now and at every start. Swap lines in /etc/fstab are turned into comments; units that would bring swap back (swap files and
    /// partitions that systemd finds by itself, compressed memory) are masked, and services that do so disabled.
    ///
    /// Options: `enabled`, which has to be `false`; making swap is not kthw's business.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::swap(node, #{ enabled: false });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn swap(cx: NativeCallContext, node: Node, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::swap", options, |spec: Spec| Swap::new(&node, &spec))
    }
}

/// Prints `UNIT STATE …` of every unit that turns swap on at a start: systemd's own, whatever makes them (a file, a generator, zram), and the
/// services of zram-tools, zram-config, dphys-swapfile and swapspace.
pub const SWAP_QUERY: &str = "systemctl list-unit-files --no-legend --plain '*.swap' zramswap.service zram-config.service dphys-swapfile.service swapspace.service; :";

/// No swap on a node.
#[derive(Debug)]
pub struct Swap {
    node: String,
}

/// A unit that brings swap back.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    name: String,
    /// Whether systemd makes it anew at every start, so that only a mask keeps it away.
    generated: bool,
}

/// What is swapped to now, what brings it back, and the table of file systems.
#[derive(Debug)]
pub struct Live {
    active: Vec<String>,
    /// Units that bring it back, other than those that systemd makes of the table.
    units: Vec<Unit>,
    fstab: String,
    mode: u32,
}

const FSTAB: &str = "/etc/fstab";

impl Swap {
    fn new(node: &Node, spec: &Spec) -> std::result::Result<Self, BadOption> {
        if spec.enabled {
            return Err(BadOption::new("ssh::swap", "`enabled: true` is not supported; kthw only keeps swap off".into()));
        }
        Ok(Self { node: node.name().to_owned() })
    }
}

impl Live {
    /// The lines of the table that would turn swap on.
    fn entries(&self) -> Vec<&str> {
        self.fstab.lines().filter(|line| is_swap(line)).collect()
    }

    fn fstab_without(&self) -> String {
        self.fstab.split_inclusive('\n').map(|line| if is_swap(line) { format!("# {line}") } else { line.to_owned() }).collect()
    }
}

fn is_swap(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with('#') && line.split_whitespace().nth(2) == Some("swap")
}

impl NodeResource for Swap {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.swap", &self.node)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        // Compared with an empty file, so that the content comes along.
        let fstab = Probe::Path { path: FSTAB.into(), expect: Some(Content::default().sha256()) };
        vec![Probe::run(["cat", "/proc/swaps"]), fstab, Probe::run(["sh", "-c", SWAP_QUERY])]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let swaps = &run_at(findings, 0)?.stdout;
        let active = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        let fstab = path_at(findings, 1);
        let text = fstab.and_then(|file| file.content.as_deref()).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let units = units(&run_at(findings, 2)?.stdout, &text);
        Ok(Some(Live { active, units, fstab: text, mode: fstab.map_or(0o644, |file| file.mode) }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let shown = |all: &[&str]| if all.is_empty() { "off".to_owned() } else { all.join(", ") };
        let texts = |all: &[String]| shown(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let names = |units: &[Unit]| shown(&units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>());
        let (active, entries, units) = match live {
            None => (String::from("unknown"), String::from("unknown"), String::from("unknown")),
            Some(live) => (texts(&live.active), shown(&live.entries()), names(&live.units)),
        };
        Change::between([field("swap", active, "off".into()), field("fstab", entries, "off".into()), field("units", units, "off".into())])
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        if live.is_some_and(|live| !live.active.is_empty()) {
            actions.push(Action::run(["swapoff", "-a"]));
        }
        if let Some(live) = live.filter(|live| !live.entries().is_empty()) {
            let content = Content::plain(live.fstab_without());
            actions.push(Action::Write { path: FSTAB.into(), content, mode: live.mode, owner: None });
        }
        let units = live.map(|live| live.units.as_slice()).unwrap_or_default();
        for unit in units {
            match unit.generated {
                true => actions.push(Action::run(["systemctl", "mask", "--", &unit.name])),
                false => actions.push(Action::run(["systemctl", "disable", "--now", "--", &unit.name])),
            }
        }
        if !actions.is_empty() {
            // What systemd made of the table goes with its lines.
            actions.push(Action::run(["systemctl", "daemon-reload"]));
        }
        Work::Actions(actions)
    }
}

/// The units that bring swap back, from the answer to [`SWAP_QUERY`]; those of the table's own lines go with them.
fn units(listed: &str, fstab: &str) -> Vec<Unit> {
    let of_table: Vec<String> =
        fstab.lines().filter(|line| is_swap(line)).filter_map(|line| line.split_whitespace().next()).map(unit_of).collect();
    let brings_back = |line: &str| {
        let mut words = line.split_whitespace();
        let (unit, state) = (words.next()?, words.next()?);
        let on = matches!(state, "generated" | "enabled" | "enabled-runtime" | "linked" | "linked-runtime");
        (on && !of_table.iter().any(|known| known == unit)).then(|| Unit { name: unit.to_owned(), generated: state == "generated" })
    };
    listed.lines().filter_map(brings_back).collect()
}

/// The name of the unit that systemd makes of a line of the table: systemd-escape(1) of its path.
fn unit_of(device: &str) -> String {
    let tagged = ["UUID", "LABEL", "PARTUUID", "PARTLABEL"].into_iter().find_map(|tag| {
        let value = device.strip_prefix(tag)?.strip_prefix('=')?.trim_matches('"');
        Some(format!("/dev/disk/by-{}/{value}", tag.to_lowercase()))
    });
    let path = tagged.as_deref().unwrap_or(device).trim_matches('/');
    let escaped: String = path
        .char_indices()
        .map(|(at, c)| match c {
            '/' => "-".to_owned(),
            '.' if at > 0 => ".".to_owned(),
            c if c.is_ascii_alphanumeric() || matches!(c, ':' | '_') => c.to_string(),
            c => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
        })
        .collect();
    format!("{escaped}.swap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, node, printed};
    use expect_test::expect;

    #[test]
    fn swap_goes_off_now_and_later() {
        let swap = Swap { node: node().name().into() };
        let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let table = "UUID=1 / ext4 defaults 0 1\n/swap.img\tnone\tswap\tsw\t0\t0\n# /old none swap sw 0 0\n";
        let fstab = |text: &str| Finding::Path(Some(a_file(text, false)));
        let none = || printed("");
        check(&swap, &[printed(header), fstab("UUID=1 / ext4 defaults 0 1\n"), none()], false, &expect!["= ssh.swap/cu1\n"]);
        check(&swap, &[printed(header), Finding::Path(None), none()], false, &expect!["= ssh.swap/cu1\n"]);
        check(
            &swap,
            &[printed(&format!("{header}/swap.img  file  2097148 0 -2\n")), fstab(table), printed("swap.img.swap generated -\n")],
            false,
            &expect![[r##"
                ~ ssh.swap/cu1
                    swap: /swap.img -> off
                    fstab: /swap.img	none	swap	sw	0	0 -> off
                  > run (300 s) swapoff -a
                  > write /etc/fstab 0644 "UUID=1 / ext4 defaults 0 1\n# /swap.img\tnone\tswap\tsw\t0\t0\n# /old none swap sw 0 0\n"
                  > run (300 s) systemctl daemon-reload
            "##]],
        );
        let listed =
            "dev-zram0.swap generated -\ndev-sda3.swap masked enabled\nmy.swap disabled enabled\nzramswap.service enabled enabled\n";
        check(
            &swap,
            &[printed(header), Finding::Path(None), printed(listed)],
            false,
            &expect![[r#"
                ~ ssh.swap/cu1
                    units: dev-zram0.swap, zramswap.service -> off
                  > run (300 s) systemctl mask -- dev-zram0.swap
                  > run (300 s) systemctl disable --now -- zramswap.service
                  > run (300 s) systemctl daemon-reload
            "#]],
        );
        assert!(Swap::new(&node(), &Spec { enabled: true }).is_err());
    }

    #[test]
    fn a_line_of_the_table_has_the_unit_that_systemd_makes_of_it() {
        assert_eq!(unit_of("/swap.img"), "swap.img.swap");
        assert_eq!(unit_of("/dev/mapper/vg-swap"), "dev-mapper-vg\\x2dswap.swap");
        assert_eq!(unit_of("UUID=0a-1b"), "dev-disk-by\\x2duuid-0a\\x2d1b.swap");
    }
}
