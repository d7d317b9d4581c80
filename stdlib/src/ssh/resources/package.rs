//! `ssh.package`: a package of the distribution or of a repository.
use super::{
    declare::{checked_name, checked_path, declare, family, path_at, run_at},
    in_use::back_to,
};
use crate::{
    distribution::{Family, Installed, installed},
    workspace::Node,
};
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Refusal, Result, Rhai, Work, field,
    node::{Finding, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    version: Option<String>,
    hold: Option<bool>,
    fixed_once: Option<String>,
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a package installed, in whatever version.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::package(node, "conntrack");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "package")]
    pub fn package(cx: NativeCallContext, node: Node, name: &str) -> Rhai<Id> {
        package_with(cx, node, name, Map::new())
    }

    /// Keeps a package installed.
    ///
    /// Options: `version` (exactly as the package manager spells it; any version when left out), and `hold` (`true` keeps upgrades
    /// away from it, `false` lets them at it, left out leaves it as it is). A lower version than the installed one is refused, and so is what would
    /// remove other packages; where the node's lists know the package, the plan says so.
    /// `fixed_once`: once this file is there, another version than the installed one is refused, because what uses the package has to be
    /// upgraded by other means.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::package(node, "jq", #{ hold: true });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "package")]
    pub fn package_with(cx: NativeCallContext, node: Node, name: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::package", options, |spec: Spec| Package::new(&node, name, spec))
    }
}

/// A package on a node.
#[derive(Debug)]
pub struct Package {
    node: String,
    family: &'static dyn Family,
    name: String,
    spec: Spec,
}

/// A package as it is, or what stands in its way.
#[derive(Debug)]
pub struct Live {
    /// How it is installed, if it is.
    found: Option<Installed>,
    /// Whether its version may not change any more.
    fixed: bool,
    /// What installing it would remove or lower.
    displaced: Vec<String>,
}

impl Package {
    /// A package in whatever version.
    pub(crate) fn installed(node: &Node, name: &str) -> std::result::Result<Self, BadOption> {
        Self::new(node, name, Spec { version: None, hold: None, fixed_once: None })
    }

    fn new(node: &Node, name: &str, spec: Spec) -> std::result::Result<Self, BadOption> {
        const FUNCTION: &str = "ssh::package";
        let name = checked_name(FUNCTION, "package", name, "+-.")?;
        if let Some(version) = &spec.version {
            checked_name(FUNCTION, "version", version, "+-.~:")?;
        }
        if let Some(path) = &spec.fixed_once {
            checked_path(FUNCTION, path)?;
        }
        Ok(Self { node: node.name().to_owned(), family: family(node), name, spec })
    }

    /// Whether it has to be installed where it is so.
    fn installs(&self, found: Option<&Installed>) -> bool {
        let other = |found: &Installed| self.spec.version.as_ref().is_some_and(|want| !self.family.is_version(want, &found.version));
        found.is_none_or(other)
    }
}

impl NodeResource for Package {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.package", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        let displaced = self.family.displaced(&self.name, self.spec.version.as_deref());
        [self.family.list(), displaced].into_iter().chain(self.spec.fixed_once.as_ref().map(Probe::path)).collect()
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let listed = &run_at(findings, 0)?.stdout;
        let found = installed(listed, &self.name);
        let displaced: Vec<String> = run_at(findings, 1)?.stdout.split_whitespace().map(str::to_owned).collect();
        let fixed = path_at(findings, 2).is_some();
        Ok((found.is_some() || !displaced.is_empty()).then_some(Live { found, fixed, displaced }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let found = live.and_then(|live| live.found.as_ref());
        let fields: Vec<Field> = match found {
            None => {
                let version = Field::new("version", self.spec.version.as_deref().unwrap_or("the newest"));
                [Some(version), self.spec.hold.map(|hold| Field::new("hold", hold))].into_iter().flatten().collect()
            }
            Some(found) => {
                let other = self.spec.version.as_ref().filter(|want| !self.family.is_version(want, &found.version));
                let version = other.and_then(|want| field("version", found.version.clone(), want.clone()));
                [version, self.spec.hold.and_then(|want| field("hold", found.held, want))].into_iter().flatten().collect()
            }
        };
        match (live, found) {
            (Some(live), Some(found)) if live.fixed && self.installs(Some(found)) => Change::Refused(Refusal {
                why: format!(
                    "{} is in use on {} in version {}, and its version is not changed under it",
                    self.name, self.node, found.version
                ),
                next: back_to(&found.version),
                fields: fields.into_iter().filter(|field| field.name == "version").collect(),
            }),
            (Some(live), _) if !live.displaced.is_empty() && self.installs(found) => Change::Refused(Refusal {
                why: format!("installing {} on {} would remove or lower {}", self.name, self.node, live.displaced.join(", ")),
                next: format!("remove or lower that yourself on {} if it is meant, or declare another package or version", self.node),
                fields,
            }),
            (_, None) => Change::create(fields),
            (_, Some(_)) => Change::between(fields.into_iter().map(Some)),
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        let found = live.and_then(|live| live.found.as_ref());
        let installs = self.installs(found);
        if installs {
            actions.push(self.family.install(&self.name, self.spec.version.as_deref()));
        }
        match self.spec.hold {
            Some(true) if installs || found.is_some_and(|found| !found.held) => actions.push(self.family.hold(&self.name, true)),
            Some(false) if found.is_some_and(|found| found.held) => actions.push(self.family.hold(&self.name, false)),
            _ => {}
        }
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distribution::{DNF_HOLD, DNF_INSTALL, Distribution, ZYPPER_HOLD, ZYPPER_INSTALL},
        ssh::testing::{a_file, check, check_diff, node, node_of, printed, workspace},
        workspace::Workspace,
    };
    use expect_test::expect;
    use kthw_engine::node::{Action, PathState};

    fn package(version: Option<&str>, hold: Option<bool>) -> Package {
        Package::new(&node(), "kubelet", Spec { version: version.map(str::to_owned), hold, fixed_once: None }).unwrap()
    }

    #[test]
    fn version_and_hold_are_kept() {
        let listed = "kubeadm ii  1.31.8-1.1\nkubelet-extra ii  9\nkubelet hi  1.31.9-1.1\nlibc6 ii  2.39\n";
        check(&package(Some("1.31.9-1.1"), Some(true)), &[printed(listed), printed("")], false, &expect!["= ssh.package/cu1/kubelet\n"]);
        check(&package(None, None), &[printed(listed), printed("")], false, &expect!["= ssh.package/cu1/kubelet\n"]);
        check(
            &package(None, Some(false)),
            &[printed(listed), printed("")],
            false,
            &expect!["~ ssh.package/cu1/kubelet\n    hold: true -> false\n  > run (300 s) apt-mark unhold kubelet\n"],
        );
        let update = package(Some("1.31.10-1.1"), Some(true));
        check_diff(
            &update,
            update.live(&[printed(listed), printed("")]).unwrap(),
            &expect!["~ ssh.package/cu1/kubelet\n    version: 1.31.9-1.1 -> 1.31.10-1.1\n"],
        );
        let Work::Actions(actions) = update.work(update.live(&[printed(listed), printed("")]).unwrap().as_ref(), false) else { panic!() };
        assert!(matches!(&actions[0], Action::Run { argv, .. } if argv.last().unwrap() == "kubelet=1.31.10-1.1"));
        assert!(matches!(&actions[1], Action::Run { argv, .. } if argv[..] == ["apt-mark", "hold", "kubelet"]));
    }

    #[test]
    fn in_use_its_version_stays() {
        let spec = Spec { version: Some("1.32.0-1.1".into()), hold: Some(true), fixed_once: Some("/etc/kubernetes/kubelet.conf".into()) };
        let kubelet = Package::new(&node(), "kubelet", spec).unwrap();
        let listed = printed("kubelet hi  1.31.9-1.1\n");
        let live = |used: Option<PathState>| kubelet.live(&[listed.clone(), printed(""), Finding::Path(used)]).unwrap();
        check_diff(
            &kubelet,
            live(None),
            &expect![[r#"
            ~ ssh.package/cu1/kubelet
                version: 1.31.9-1.1 -> 1.32.0-1.1
        "#]],
        );
        check_diff(
            &kubelet,
            live(Some(a_file("", false))),
            &expect![[r#"
            ! ssh.package/cu1/kubelet
                version: 1.31.9-1.1 -> 1.32.0-1.1
        "#]],
        );
    }

    #[test]
    fn what_it_would_take_away_is_in_the_plan() {
        let kubelet = package(Some("1.31.9-1.1"), None);
        let live = |listed: &str| kubelet.live(&[printed(listed), printed("docker-ce\ncontainerd.io\n")]).unwrap();
        let Change::Refused(refusal) = kubelet.diff(live("").as_ref()) else { panic!() };
        assert_eq!(refusal.why, "installing kubelet on cu1 would remove or lower docker-ce, containerd.io");
        let Change::Refused(_) = kubelet.diff(live("kubelet ii  1.31.10-1.1\n").as_ref()) else { panic!() };
        check_diff(&kubelet, live("kubelet ii  1.31.9-1.1\n"), &expect!["= ssh.package/cu1/kubelet\n"]);
    }

    #[test]
    fn removed_half_installed_and_unknown_packages_are_absent() {
        for listed in ["", "kubelet rc  1.31.9-1.1\n", "kubelet un  \n", "kubelet iHR 1.31.9-1.1\n", "kubelet iU  1.31.9-1.1\n"] {
            check_diff(
                &package(None, None),
                package(None, None).live(&[printed(listed), printed("")]).unwrap(),
                &expect!["+ ssh.package/cu1/kubelet\n    version: the newest\n"],
            );
        }
    }

    #[test]
    fn every_package_manager_is_asked_in_its_own_words() {
        for (distribution, script, hold) in [
            (Distribution::Rocky, DNF_INSTALL, ["sh", "-c", DNF_HOLD, "kthw-hold", "add", "kubelet"]),
            (Distribution::Suse, ZYPPER_INSTALL, ["sh", "-c", ZYPPER_HOLD, "kthw-hold", "add", "kubelet"]),
        ] {
            let workspace = Workspace { distribution, ..workspace() };
            let spec = Spec { version: Some("1.31.9".into()), hold: Some(true), fixed_once: None };
            let package = Package::new(&node_of(workspace), "kubelet", spec).unwrap();
            // The release of the package is left to the repository.
            let live = package.live(&[printed("kubelet hi  1.31.9-150500.1.1\n"), printed("")]).unwrap();
            check_diff(&package, live, &expect!["= ssh.package/cu1/kubelet\n"]);
            let live = package.live(&[printed("kubelet ii  1.31.90-1\n"), printed("")]).unwrap();
            let Work::Actions(actions) = package.work(live.as_ref(), false) else { panic!() };
            let argv = |action: &Action| if let Action::Run { argv, .. } = action { argv.clone() } else { vec![] };
            assert_eq!(argv(&actions[0]), ["sh", "-c", script, "kthw-install", "kubelet", "1.31.9"]);
            assert_eq!(argv(&actions[1]), hold);
        }
    }

    #[test]
    fn what_cannot_be_a_package_is_refused() {
        assert!(Package::new(&node(), "a b", Spec { version: None, hold: None, fixed_once: None }).is_err());
        assert!(Package::new(&node(), "-o=x", Spec { version: None, hold: None, fixed_once: None }).is_err());
    }
}
