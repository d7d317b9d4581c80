//! `ssh.kernel_module`: a kernel module, loaded now and at every start.
use super::declare::{NeedsOnly, checked_name, declare, path_at, run_at};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;

/// Prints the modules built into the kernel and then those that are loaded. All modules of a node share this one query.
pub const MODULES_QUERY: &str = r#"cat "/lib/modules/$(uname -r)/modules.builtin" /proc/modules"#;

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a kernel module loaded, now and at every start. One that is built into the kernel counts as loaded.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::kernel_module(node, "br_netfilter");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "kernel_module")]
    pub fn kernel_module(cx: NativeCallContext, node: Node, name: &str) -> Rhai<Id> {
        kernel_module_with(cx, node, name, Map::new())
    }

    /// Keeps a kernel module loaded, now and at every start. Options: `needs` only.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let modules = ssh::package(node, "linux-modules-extra-6.8.0-31-generic");
    ///     ssh::kernel_module(node, "ip_vs", #{ needs: [modules] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "kernel_module")]
    pub fn kernel_module_with(cx: NativeCallContext, node: Node, name: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::kernel_module", options, |_: NeedsOnly| KernelModule::new(&node, name))
    }
}

/// A kernel module on a node.
#[derive(Debug)]
pub struct KernelModule {
    node: String,
    name: String,
}

/// Whether it is loaded, and at every start.
#[derive(Debug)]
pub struct Live {
    loaded: bool,
    at_start: bool,
}

impl KernelModule {
    fn new(node: &Node, name: &str) -> std::result::Result<Self, BadOption> {
        let name = checked_name("ssh::kernel_module", "kernel module", name, "_-")?;
        Ok(Self { node: node.name().to_owned(), name })
    }

    fn file(&self) -> String {
        format!("/etc/modules-load.d/kthw-{}.conf", self.name)
    }

    fn content(&self) -> Content {
        Content::plain(format!("{}\n", self.name))
    }

    /// The kernel takes `-` and `_` for the same and shows `_`.
    fn kernel_name(&self) -> String {
        self.name.replace('-', "_")
    }

    fn is_listed(&self, listed: &str) -> bool {
        let name = self.kernel_name();
        listed.lines().any(|line| match line.rsplit_once('/') {
            Some((_, file)) => file.split('.').next().is_some_and(|module| module.replace('-', "_") == name),
            None => line.split(' ').next() == Some(&name),
        })
    }
}

impl NodeResource for KernelModule {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.kernel_module", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![
            Probe::run(["sh", "-c", MODULES_QUERY]),
            Probe::path(format!("/sys/module/{}", self.kernel_name())),
            Probe::Path { path: self.file(), expect: Some(self.content().sha256()) },
        ]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let loaded = self.is_listed(&run_at(findings, 0)?.stdout) || path_at(findings, 1).is_some();
        let at_start = path_at(findings, 2).is_some_and(|file| file.sha256 == Some(self.content().sha256()));
        Ok((loaded || at_start).then_some(Live { loaded, at_start }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        match live {
            None => Change::create([Field::new("loaded", true), Field::new("at_start", true)]),
            Some(live) => Change::between([field("loaded", live.loaded, true), field("at_start", live.at_start, true)]),
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        if live.is_none_or(|live| !live.loaded) {
            actions.push(Action::run(["modprobe", "--", &self.name]));
        }
        if live.is_none_or(|live| !live.at_start) {
            actions.push(Action::Write { path: self.file(), content: self.content(), mode: 0o644, owner: None });
        }
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, node, printed};
    use expect_test::expect;

    #[test]
    fn loaded_built_in_or_missing() {
        let module = KernelModule::new(&node(), "br-netfilter").unwrap();
        let listed = "kernel/fs/overlayfs/overlay.ko\nkernel/net/bridge/br_netfilter_extra.ko\nxt_conntrack 16384 1 - Live 0x0\n";
        let kept = Finding::Path(Some(a_file("br-netfilter\n", true)));
        check(
            &module,
            &[printed(listed), Finding::Path(None), Finding::Path(None)],
            false,
            &expect![[r#"
                + ssh.kernel_module/cu1/br-netfilter
                    loaded: true
                    at_start: true
                  > run (300 s) modprobe -- br-netfilter
                  > write /etc/modules-load.d/kthw-br-netfilter.conf 0644 "br-netfilter\n"
            "#]],
        );
        for loaded in ["br_netfilter 32768 0 - Live 0x0\n", "kernel/net/bridge/br_netfilter.ko\n", "kernel/net/br-netfilter.ko.zst\n"] {
            check(
                &module,
                &[printed(loaded), Finding::Path(None), kept.clone()],
                false,
                &expect!["= ssh.kernel_module/cu1/br-netfilter\n"],
            );
        }
        check(
            &module,
            &[printed(""), Finding::Path(None), kept],
            false,
            &expect!["~ ssh.kernel_module/cu1/br-netfilter\n    loaded: false -> true\n  > run (300 s) modprobe -- br-netfilter\n"],
        );
    }
}
