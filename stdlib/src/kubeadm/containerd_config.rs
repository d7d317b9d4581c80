//! containerd's configuration file on one node: its format is that of the containerd that is installed there.
use super::{
    containerd::{Format, PATH, Version, write},
    kubelet, packages,
};
use crate::{ssh::kind_field, workspace::Workspace};
use kthw_engine::{
    Change, Error, Field, Id, NodeResource, Refusal, Result, Work, field,
    node::{Finding, PathKind, PathState, Probe},
};
use miette::Diagnostic;
use std::sync::Arc;

const MODE: &str = "0644";
const OWNER: &str = "root:root";
/// What a plan can say of the format before containerd is there.
const TO_BE_CHOSEN: &str = "of the containerd that will be installed";

/// `/etc/containerd/config.toml` on a node.
#[derive(Debug)]
pub struct ContainerdConfig {
    /// The cluster.
    pub workspace: Arc<Workspace>,
    /// Its Kubernetes.
    pub kubernetes: semver::Version,
    /// The machine's name.
    pub node: String,
}

/// What reading finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// The installed containerd, if there is one.
    installed: Option<Version>,
    /// The file, if there is one.
    file: Option<PathState>,
    /// The configuration of the node's kubelet, once the node has joined.
    kubelet: Option<String>,
    /// The kubelet's version, when one is in use that is not the cluster's.
    in_use: Option<String>,
}

impl NodeResource for ContainerdConfig {
    type Live = LiveConfig;

    /// The identity of the file, so that nothing else can keep the same one, and what restarts with it knows where it is.
    fn id(&self) -> Id {
        Id::new("ssh.file", format!("{}{PATH}", self.node))
    }

    fn node(&self) -> &str {
        &self.node
    }

    /// Another version of the package may want another format.
    fn refreshed_by(&self) -> Vec<Id> {
        vec![Id::new("ssh.package", format!("{}/{}", self.node, self.workspace.containerd.package))]
    }

    fn query(&self) -> Vec<Probe> {
        // No file has this digest, so the content comes along: which one is wanted depends on the other answer.
        let content = |path: &str| Probe::Path { path: path.into(), expect: Some(String::new()) };
        let mut probes = vec![Probe::run(["containerd", "--version"]), content(PATH), content(kubelet::CONFIG)];
        probes.extend(packages::kubelet_in_use(&self.workspace, &self.kubernetes).query(self.workspace.distribution.family()));
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveConfig>> {
        let [Finding::Run(said), Finding::Path(file), Finding::Path(kubelet), in_use @ ..] = findings else {
            return Err(Error::peer(super::NoAnswer { node: self.node.clone() }));
        };
        let installed = match Version::parse(&said.stdout) {
            Some(version) => Some(version),
            None if said.status == 0 => return Err(self.strange(said.stdout.trim())),
            None => None,
        };
        let (kubelet, in_use) = (
            kubelet::text_of(kubelet.as_ref()),
            packages::kubelet_in_use(&self.workspace, &self.kubernetes).other_version(self.workspace.distribution.family(), in_use)?,
        );
        Ok((installed.is_some() || file.is_some()).then(|| LiveConfig { installed, file: file.clone(), kubelet, in_use }))
    }

    fn diff(&self, live: Option<&LiveConfig>) -> Change {
        let text = live.and_then(|live| live.installed).map(|installed| self.text(installed));
        let Some(file) = live.and_then(|live| live.file.as_ref()) else {
            let content = text.map_or_else(|| Field::new("format", TO_BE_CHOSEN), |text| Field::new("content", text));
            return Change::create([content, Field::new("mode", MODE), Field::new("owner", OWNER)]);
        };
        if file.kind != PathKind::File {
            return Change::between([kind_field(&file.kind, "file")]);
        }
        let found = String::from_utf8_lossy(file.content.as_deref().unwrap_or_default()).into_owned();
        let content = match text {
            // Without containerd the file is left from before, and is looked at again when there is one.
            None => Some(Field { live: Some(format_in(&found)), ..Field::new("format", TO_BE_CHOSEN) }),
            Some(text) => (found != text).then(|| Field { live: Some(found), ..Field::new("content", text) }),
        };
        if let (Some(live), Some(content)) = (live, &content)
            && let Some(refused) = crate::refusals::refused(self.refusals(live, content))
        {
            return refused;
        }
        let owner = format!("{}:{}", file.owner, file.group);
        Change::between([content, field("mode", format!("{:04o}", file.mode), MODE.into()), field("owner", owner, OWNER.into())])
    }

    fn work(&self, _: Option<&LiveConfig>, _: bool) -> Work {
        Work::Actions(vec![write(&self.workspace, &self.kubernetes)])
    }
}

impl ContainerdConfig {
    /// The wanted text. A containerd that is too old for Kubernetes is shown the oldest format; writing it says why that fails.
    fn text(&self, installed: Version) -> String {
        Format::of(installed).unwrap_or(Format::ALL[0]).text(&self.workspace, &self.kubernetes)
    }

    /// What of another content is not changed under a node that has joined: the cgroup driver, and the pause image of another version.
    fn refusals(&self, live: &LiveConfig, content: &Field) -> Vec<Refusal> {
        let driver = kubelet::refuse_cgroup_driver(&self.workspace, &self.node, live.kubelet.as_deref());
        let pause = field(
            "pause image",
            content.live.as_deref().and_then(pause_in).unwrap_or_default(),
            pause_in(&content.want).unwrap_or_default(),
        );
        let image = live.in_use.as_ref().zip(pause).map(|(version, pause)| {
            packages::kubelet_in_use(&self.workspace, &self.kubernetes).refusal(
                &self.node,
                version,
                "the image that its pods begin with",
                vec![pause],
            )
        });
        driver.into_iter().chain(image).collect()
    }

    fn strange(&self, said: &str) -> Error {
        Error::peer(StrangeVersion { node: self.node.clone(), said: said.to_owned() })
    }
}

/// The format that a file says to have; format 1 has no such line.
fn format_in(text: &str) -> String {
    let version = text.lines().find_map(|line| line.trim_start().strip_prefix("version")?.trim_start().strip_prefix('='));
    version.map_or("1", str::trim).to_owned()
}

/// The pause image that a file names, in whatever format.
fn pause_in(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.trim_start().starts_with("sandbox"))?;
    Some(line.split_once('=')?.1.trim().trim_matches('"'))
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`containerd --version` on {node} says {said:?}, which is no version that kthw understands")]
#[diagnostic(
    code(kthw::kubeadm::containerd_version),
    help("install containerd from a package: `containerd.package` and `packages.containerd` in the workspace")
)]
struct StrangeVersion {
    node: String,
    said: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kubeadm::config_tests::workspace,
        ssh::testing::{a_file, check_diff, failed, printed},
    };
    use expect_test::expect;
    use kthw_engine::node::Action;

    fn config() -> ContainerdConfig {
        with("1.31.9", "")
    }

    fn with(version: &str, more: &str) -> ContainerdConfig {
        let kubernetes = version.parse().expect("a version");
        ContainerdConfig { workspace: Arc::new(workspace(version, more)), kubernetes, node: "cu1".into() }
    }

    fn said(version: &str) -> Finding {
        printed(&format!("containerd github.com/containerd/containerd {version} \n"))
    }

    fn file(format: Format) -> Finding {
        Finding::Path(Some(a_file(&format.text(&config().workspace, &config().kubernetes), false)))
    }

    /// A node that has not joined.
    fn check(findings: &[Finding], expected: &expect_test::Expect) {
        check_on(&config(), findings, [Finding::Path(None), printed(""), Finding::Path(None)], expected);
    }

    fn check_on(config: &ContainerdConfig, findings: &[Finding], kubelet: [Finding; 3], expected: &expect_test::Expect) {
        check_diff(config, config.live(&[findings, &kubelet].concat()).expect("understood"), expected);
    }

    #[test]
    fn on_a_node_that_has_joined_neither_driver_nor_version_change() {
        let there = |text| Finding::Path(Some(a_file(text, false)));
        let kubelet = || [there("cgroupDriver: systemd\n"), printed("kubelet hi  1.31.9-1.1\n"), there("")];
        let findings = [said("v2.2.1"), file(Format::Three)];
        check_on(&with("1.31.9", ""), &findings, kubelet(), &expect!["= ssh.file/cu1/etc/containerd/config.toml\n"]);
        check_on(
            &with("1.31.9", "kubeadm: {cgroup_driver: cgroupfs}\n"),
            &findings,
            kubelet(),
            &expect![[r#"
            ! ssh.file/cu1/etc/containerd/config.toml
                cgroup_driver: systemd -> cgroupfs
        "#]],
        );
        check_on(
            &with("1.34.1", ""),
            &findings,
            kubelet(),
            &expect![[r#"
            ! ssh.file/cu1/etc/containerd/config.toml
                pause image: registry.k8s.io/pause:3.10 -> registry.k8s.io/pause:3.10.1
        "#]],
        );
        // Another registry of the same version is only another place to fetch from.
        check_on(
            &with("1.31.9", "kubeadm: {image_repository: 'r.lab:5000'}\n"),
            &findings,
            kubelet(),
            &expect![[r#"
            ~ ssh.file/cu1/etc/containerd/config.toml
                content:
                -  sandbox = "registry.k8s.io/pause:3.10"
                +  sandbox = "r.lab:5000/pause:3.10"
        "#]],
        );
    }

    #[test]
    fn the_format_of_the_installed_version_is_kept() {
        for (version, format) in [("1.6.20~ds1", Format::Two), ("1.7.27", Format::Two), ("v2.2.1", Format::Three), ("v2.4.2", Format::Four)]
        {
            check(&[said(version), file(format)], &expect!["= ssh.file/cu1/etc/containerd/config.toml\n"]);
        }
        check(
            &[said("v2.4.2"), file(Format::Three)],
            &expect![[r#"
                ~ ssh.file/cu1/etc/containerd/config.toml
                    content:
                    -version = 3
                    +version = 4
            "#]],
        );
    }

    #[test]
    fn before_containerd_is_there_the_format_is_not_known() {
        check(
            &[failed(127), Finding::Path(None)],
            &expect![[r#"
                + ssh.file/cu1/etc/containerd/config.toml
                    format: of the containerd that will be installed
                    mode: 0644
                    owner: root:root
            "#]],
        );
        check(
            &[failed(127), file(Format::Two)],
            &expect![[r#"
                ~ ssh.file/cu1/etc/containerd/config.toml
                    format: 2 -> of the containerd that will be installed
            "#]],
        );
        check(
            &[said("2.2.1"), Finding::Path(None)],
            &expect![[r#"
                + ssh.file/cu1/etc/containerd/config.toml
                    content: 18 lines
                    mode: 0644
                    owner: root:root
            "#]],
        );
    }

    #[test]
    fn mode_owner_and_kind_are_kept_too() {
        let text = Format::Two.text(&config().workspace, &config().kubernetes);
        let other = PathState { mode: 0o600, group: "adm".into(), ..a_file(&text, false) };
        check(
            &[said("1.7.27"), Finding::Path(Some(other))],
            &expect![[r#"
                ~ ssh.file/cu1/etc/containerd/config.toml
                    mode: 0600 -> 0644
                    owner: root:adm -> root:root
            "#]],
        );
        let folder = PathState { kind: PathKind::Directory, content: None, sha256: None, ..a_file("", false) };
        check(
            &[said("1.7.27"), Finding::Path(Some(folder))],
            &expect![[r#"
                ! ssh.file/cu1/etc/containerd/config.toml
                    kind: directory -> file  (needs replacement)
            "#]],
        );
    }

    #[test]
    fn another_package_writes_it_anew_and_it_is_written_on_the_node() {
        assert_eq!(config().refreshed_by()[0].to_string(), "ssh.package/cu1/containerd");
        let Work::Actions(actions) = config().work(None, true) else { panic!("it travels with the others of its node") };
        assert!(matches!(&actions[..], [Action::Run { argv, .. }] if argv[4] == PATH));
    }

    #[test]
    fn a_version_that_cannot_be_understood_is_no_guess() {
        let error = config()
            .live(&[printed("containerd github.com/containerd/containerd unknown\n"), Finding::Path(None), Finding::Path(None)])
            .unwrap_err();
        assert!(error.to_string().contains("which is no version"), "{error}");
    }
}
