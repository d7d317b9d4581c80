//! A template's build machine: the image is started once, gets the guest agent and packages, shows that the agent comes with the machine, and
//! forgets who it was (ADR 14). Its description notes how far it is.
mod error;
mod host_key;
mod machine;

use crate::{
    distribution::{BUILD_VERSION, Family, GUEST_AGENT, release},
    proxmox::{
        call::{Call, Write, percent_encoded},
        config::Config,
        names::TemplateName,
        ownership::{Mark, noted},
        vm::Keys,
    },
    sops::Secrets,
    workspace::Workspace,
};
use error::NoPublicKey;
use kthw_engine::{Error, Field, Peers, Result, field};
use miette::Diagnostic;
use serde::Deserialize;
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// The note in its description, below the mark, of how far it is.
const NOTE: &str = "build";
/// How long the agent may take after a start.
const AGENT: Duration = Duration::from_secs(300);
/// What cloud-init is told for the build, and no machine that is made of the template.
const TOLD: [&str; 5] = ["ciuser", "sshkeys", "ipconfig0", "nameserver", "searchdomain"];

/// The option `build` of `proxmox::template`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    /// Packages that the template has, beside the guest agent.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// How far a build machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It may be started, and gets what the template is to have.
    Making,
    /// What makes it itself is being taken away; it may let nobody in any more.
    Cleaning,
    /// It was seen to be clean, and was not started since.
    Done,
}

impl Stage {
    /// `None` for a machine that was never to be built on.
    fn of(config: &Config) -> Option<Self> {
        let known = noted(config, NOTE)?;
        [Self::Making, Self::Cleaning, Self::Done].into_iter().find(|stage| stage.word() == known)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Cleaning => "cleaning",
            Self::Done => "done",
        }
    }
}

/// Whether a machine was made to build a template on.
pub(in crate::proxmox) fn is_build_machine(config: &Config) -> bool {
    Stage::of(config).is_some()
}

/// What is built into a template, and where.
#[derive(Clone, Debug)]
pub(super) struct Build {
    workspace: Arc<Workspace>,
    template: TemplateName,
    /// What the machine is called over SSH.
    machine: String,
    address: Ipv4Addr,
    packages: Vec<String>,
    family: &'static dyn Family,
    /// Whether the image has an agent, which is then waited for and vouches for the host key from the beginning.
    has_agent: bool,
    keys: Keys,
}

impl Build {
    /// What `spec` asks for, on the Proxmox node `host`.
    pub fn new(spec: &BuildSpec, template: &TemplateName, host: &str, workspace: &Arc<Workspace>) -> std::result::Result<Self, BadBuild> {
        let machine = Workspace::build_machine(template, host);
        let Some((address, _)) = workspace.place(&machine) else {
            return Err(BadBuild { why: format!("the workspace names no address on which `{template}` is built on {host}") });
        };
        let fine = |name: &&String| {
            let has_word = name.starts_with(|c: char| c.is_ascii_alphanumeric());
            has_word && name.len() <= 200 && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
        };
        if let Some(wrong) = spec.packages.iter().find(|name| !fine(name)) {
            return Err(BadBuild { why: format!("{wrong:?} is not the name of a package") });
        }
        let mut packages = vec![GUEST_AGENT.to_owned()];
        packages.extend(spec.packages.iter().filter(|name| *name != GUEST_AGENT).cloned());
        let release = release(workspace);
        Ok(Self {
            template: template.clone(),
            machine,
            address,
            packages,
            family: release.distribution.family(),
            has_agent: release.has_guest_agent,
            keys: Keys::of(&workspace.ssh),
            workspace: workspace.clone(),
        })
    }

    /// What of it makes a template another one, for its digest.
    pub fn recipe(&self) -> String {
        format!("\nbuild={BUILD_VERSION}\npackages={}", self.packages.join(","))
    }

    /// What a plan says of a template that is still to be built.
    pub fn create_fields(&self) -> [Field; 3] {
        let [agent, packages] = [GUEST_AGENT, &self.packages[1..].join(", ")].map(str::to_owned);
        [Field::new("agent", format!("{agent}, built in")), Field::new("packages", packages), Field::new("build_address", self.address)]
    }

    /// How far it is from its end.
    pub fn field(&self, config: &Config) -> Option<Field> {
        field("build", Stage::of(config).map_or("not begun", Stage::word), Stage::Done.word())
    }

    /// The VLAN of its network card, where the template names none.
    pub fn vlan(&self) -> Option<u16> {
        self.workspace.proxmox.as_ref()?.vlan
    }

    /// The description of a build machine that is made now.
    pub fn description(mark: &Mark) -> String {
        format!("{mark}\n{NOTE}: {}", Stage::Making.word())
    }

    /// The call that makes it, with what cloud-init is told for the time of the build.
    pub fn told(&self, call: Call<Write>, keys: &[String]) -> Call<Write> {
        let network = &self.workspace.network;
        let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
        call.with("ciuser", &self.workspace.ssh.user)
            .with("sshkeys", percent_encoded(&format!("{}\n", keys.join("\n"))))
            .with("ipconfig0", format!("ip={}/{},gw={}", self.address, network.nodes.prefix_len(), network.gateway))
            .maybe("nameserver", (!dns.is_empty()).then(|| dns.join(" ")))
            .with("searchdomain", &self.workspace.domain)
    }

    /// The public keys by which the build logs in.
    pub async fn read_keys(&self, peers: &Peers) -> Result<Vec<String>> {
        let keys = self.keys.read(peers.get::<Secrets>()?).await?;
        if keys.is_empty() { Err(Error::usage(NoPublicKey { template: self.template.clone() })) } else { Ok(keys) }
    }
}

/// A template cannot be built as the recipe says.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(
    code(kthw::proxmox::bad_build),
    help(
        "`build` takes `packages: [\"socat\", …]`, and is for the template of workspace.yaml, where `template.build_address` is a free address"
    )
)]
pub struct BadBuild {
    why: String,
}
