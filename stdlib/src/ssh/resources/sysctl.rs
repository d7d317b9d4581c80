//! `ssh.sysctl`: a kernel setting, now and at every start.
use super::declare::{NeedsOnly, checked_name, declare, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;

#[export_module]
pub mod api {
    use rhai::{Dynamic, Map};

    /// Keeps a kernel setting at a value (a number or text), now and at every start.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::sysctl(node, "net.ipv4.ip_forward", 1);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "sysctl")]
    pub fn sysctl(cx: NativeCallContext, node: Node, key: &str, value: Dynamic) -> Rhai<Id> {
        sysctl_with(cx, node, key, value, Map::new())
    }

    /// Keeps a kernel setting at a value (a number or text), now and at every start. Options: `needs` only.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let loaded = ssh::kernel_module(node, "nf_conntrack");
    ///     ssh::sysctl(node, "net.netfilter.nf_conntrack_max", 131072, #{ needs: [loaded] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "sysctl")]
    pub fn sysctl_with(cx: NativeCallContext, node: Node, key: &str, value: Dynamic, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::sysctl", options, |_: NeedsOnly| {
            if !(value.is_int() || value.is_string()) {
                return Err(BadOption::new("ssh::sysctl", format!("a kernel setting is a number or text, not {}", value.type_name())));
            }
            Sysctl::new(&node, key, &value.to_string())
        })
    }
}

/// Prints every line of what sets kernel settings at the start, as `FILE:LINE`, in the order in which systemd-sysctl reads them: by file name, and
/// of several files with one name that of the first folder (sysctl.d(5)). All settings of a node share this query.
pub const SYSCTL_QUERY: &str = r#"for D in /etc /run /usr/local/lib /usr/lib; do
  for F in "$D"/sysctl.d/*.conf; do [ ! -e "$F" ] || printf '%s %s\n' "${F##*/}" "$F"; done
done | LC_ALL=C sort -s -k1,1 | awk '!seen[$1]++ { print $2 }' | while read -r F; do grep -H '' "$F"; done; :"#;

/// A kernel setting on a node.
#[derive(Debug)]
pub struct Sysctl {
    node: String,
    key: String,
    value: String,
}

/// Its value now, and what sets it at every start.
#[derive(Debug)]
pub struct Live {
    value: String,
    at_start: Option<AtStart>,
}

/// The file that decides what a setting is after a start, and the value there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AtStart {
    file: String,
    value: String,
}

impl AtStart {
    /// The last file that sets `key`, from the answer to [`SYSCTL_QUERY`]. A setting by its name counts more than one by a pattern, wherever
    /// that stands, so patterns do not matter here.
    fn of(key: &str, lines: &str) -> Option<Self> {
        let dotted = |key: &str| key.trim().trim_start_matches('-').replace('/', ".");
        let wanted = dotted(key);
        lines.lines().filter_map(|line| line.split_once(':')).fold(None, |found, (file, line)| {
            let setting = line.split_once('=').filter(|_| !line.trim_start().starts_with(['#', ';']));
            match setting.filter(|(key, _)| dotted(key) == wanted) {
                Some((_, value)) => Some(Self { file: file.to_owned(), value: plain(value) }),
                None => found,
            }
        })
    }
}

impl Sysctl {
    fn new(node: &Node, key: &str, value: &str) -> std::result::Result<Self, BadOption> {
        let key = checked_name("ssh::sysctl", "kernel setting", key, "._-/")?;
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(BadOption::new("ssh::sysctl", format!("{value:?} is not the value of a kernel setting")));
        }
        Ok(Self { node: node.name().to_owned(), key, value: plain(value) })
    }

    /// The file that sets it: behind the one that decides now, where that is somebody else's and says something else.
    fn file(&self, now: Option<&AtStart>) -> String {
        let usual = format!("90-kthw-{}.conf", self.key.replace('/', "_"));
        let name = |at_start: &AtStart| at_start.file.rsplit('/').next().unwrap_or_default().to_owned();
        let name = match now.map(name) {
            Some(other) if other > usual => format!("zz-kthw-{}.conf", self.key.replace('/', "_")),
            _ => usual,
        };
        format!("/etc/sysctl.d/{name}")
    }

    fn content(&self) -> Content {
        Content::plain(format!("{} = {}\n", self.key, self.value))
    }
}

/// Values of several numbers are shown with tabs and may be written with spaces.
fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl NodeResource for Sysctl {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.sysctl", format!("{}/{}", self.node, self.key))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::run(["sysctl", "-n", &self.key]), Probe::run(["sh", "-c", SYSCTL_QUERY])]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let output = run_at(findings, 0)?;
        let at_start = AtStart::of(&self.key, &run_at(findings, 1)?.stdout);
        // A setting whose module is not loaded is not there.
        Ok((output.status == 0).then(|| Live { value: plain(&output.stdout), at_start }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        match live {
            None => Change::create([Field::new("value", &self.value), Field::new("at_start", true)]),
            Some(live) => {
                let (value, file) =
                    live.at_start.as_ref().map_or(("not set", None), |at_start| (at_start.value.as_str(), Some(&at_start.file)));
                let at_start = field("at_start", value, self.value.as_str());
                let at_start = at_start.map(|field| file.into_iter().fold(field, |field, file| field.because(file.as_str())));
                Change::between([field("value", live.value.clone(), self.value.clone()), at_start])
            }
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        let now = live.and_then(|live| live.at_start.as_ref());
        if now.is_none_or(|now| now.value != self.value) {
            actions.push(Action::Write { path: self.file(now), content: self.content(), mode: 0o644, owner: None });
        }
        if live.is_none_or(|live| live.value != self.value) {
            actions.push(Action::run(["sysctl", "-w", &format!("{}={}", self.key, self.value)]));
        }
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{check, failed, node, printed};
    use expect_test::expect;

    #[test]
    fn value_and_file_are_kept() {
        let setting = Sysctl::new(&node(), "net.ipv4.tcp_rmem", "4096  8192 16384").unwrap();
        let kept = printed("/etc/sysctl.d/90-kthw-net.ipv4.tcp_rmem.conf:net.ipv4.tcp_rmem = 4096 8192 16384\n");
        check(&setting, &[printed("4096\t8192\t16384\n"), kept.clone()], false, &expect!["= ssh.sysctl/cu1/net.ipv4.tcp_rmem\n"]);
        check(
            &setting,
            &[printed("1\t2\t3\n"), kept],
            false,
            &expect![
                "~ ssh.sysctl/cu1/net.ipv4.tcp_rmem\n    value: 1 2 3 -> 4096 8192 16384\n  > run (300 s) sysctl -w net.ipv4.tcp_rmem=4096 8192 16384\n"
            ],
        );
        check(
            &setting,
            &[failed(255), printed("")],
            false,
            &expect![[r#"
                + ssh.sysctl/cu1/net.ipv4.tcp_rmem
                    value: 4096 8192 16384
                    at_start: true
                  > write /etc/sysctl.d/90-kthw-net.ipv4.tcp_rmem.conf 0644 "net.ipv4.tcp_rmem = 4096 8192 16384\n"
                  > run (300 s) sysctl -w net.ipv4.tcp_rmem=4096 8192 16384
            "#]],
        );
    }

    #[test]
    fn the_file_that_decides_at_a_start_is_looked_at() {
        let setting = Sysctl::new(&node(), "vm.swappiness", "10").unwrap();
        let files = "/usr/lib/sysctl.d/50-default.conf:# vm.swappiness = 1\n/usr/lib/sysctl.d/50-default.conf:vm/swappiness=60\n\
                     /etc/sysctl.d/90-kthw-vm.swappiness.conf:vm.swappiness = 10\n";
        check(&setting, &[printed("10\n"), printed(files)], false, &expect!["= ssh.sysctl/cu1/vm.swappiness\n"]);
        let later = format!("{files}/etc/sysctl.d/99-sysctl.conf:-vm.swappiness = 60\n/etc/sysctl.d/99-sysctl.conf:vm.swap*=1\n");
        check(
            &setting,
            &[printed("10\n"), printed(&later)],
            false,
            &expect![[r#"
                ~ ssh.sysctl/cu1/vm.swappiness
                    at_start: 60 (/etc/sysctl.d/99-sysctl.conf) -> 10
                  > write /etc/sysctl.d/zz-kthw-vm.swappiness.conf 0644 "vm.swappiness = 10\n"
            "#]],
        );
        let ours = format!("{later}/etc/sysctl.d/zz-kthw-vm.swappiness.conf:vm.swappiness = 10\n");
        check(&setting, &[printed("10\n"), printed(&ours)], false, &expect!["= ssh.sysctl/cu1/vm.swappiness\n"]);
        let old = "/etc/sysctl.d/90-kthw-vm.swappiness.conf:vm.swappiness = 5\n";
        assert!(setting.file(AtStart::of("vm.swappiness", old).as_ref()).ends_with("/90-kthw-vm.swappiness.conf"));
    }

    #[test]
    fn the_query_reads_files_as_systemd_does() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("etc/sysctl.d/60-b.conf", "a.b = 2\n");
        put("usr/lib/sysctl.d/60-b.conf", "a.b = 1\n");
        put("run/sysctl.d/70-c.conf", "a.b = 3\n");
        put("usr/lib/sysctl.d/50-a.conf", "a.b = 0\nc.d = 1\n");
        let script = SYSCTL_QUERY.replace(
            "/etc /run /usr/local/lib /usr/lib",
            &["etc", "run", "usr/local/lib", "usr/lib"].map(|folder| root.path().join(folder).display().to_string()).join(" "),
        );
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap().replace(&format!("{}/", root.path().display()), "/");
        assert_eq!(
            said,
            "/usr/lib/sysctl.d/50-a.conf:a.b = 0\n/usr/lib/sysctl.d/50-a.conf:c.d = 1\n/etc/sysctl.d/60-b.conf:a.b = 2\n/run/sysctl.d/70-c.conf:a.b = 3\n"
        );
        assert_eq!(AtStart::of("a.b", &said), Some(AtStart { file: "/run/sysctl.d/70-c.conf".into(), value: "3".into() }));
    }
}
