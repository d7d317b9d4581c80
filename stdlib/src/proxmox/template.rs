//! The template that machines are cloned from: a cloud image that Proxmox itself downloads, checks and imports.
use super::{
    call::{Call, Write},
    client::{Client, Version},
    device::{Drive, GIB, Nic},
    guest::{self, Found, NotOurs, finish},
    inventory,
    names::{Bridge, CpuType, ImageFile, PveNode, Snippet, StorageId, TemplateName},
    ownership::{MadeMeanwhile, Mark},
    task::retry_locked,
    texts::Class,
};
use crate::{refusals::refused, workspace::Workspace};
use kthw_engine::{
    Change, Cost, Error, Field, Id, Intent, Limit, Peers, Permit, Poll, Recovery, Refusal, Removable, Resource, Result, field, wait,
};
use miette::Diagnostic;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

mod build;
mod image;
pub(super) mod old;

use build::Build;
pub use build::{BadBuild, BuildSpec};

/// How long creating the machine and importing the image may take.
const IMPORT: Limit = Limit::minutes(30);
/// How long another workspace's run may take between the import and the end of a template: it grows a disk and turns it into a base image.
const FINISHING: Limit = Limit::seconds(30);
/// The same for one that is built: packages are fetched and installed, and the machine is started twice.
const BUILDING: Limit = Limit::minutes(30);

/// The first version of Proxmox VE that downloads a disk image to a storage of content type `import`: pve-storage 8.3.6 of April 2025,
/// <https://git.proxmox.com/?p=pve-storage.git;a=blob;f=debian/changelog>.
const IMPORTS: Version = (8, 4);

/// What every template gets, whatever the image is. Part of its digest: whoever changes this makes new templates.
///
/// Cloud images of Debian and Ubuntu panic without a serial port; `ciupgrade=0` keeps the first boot from upgrading packages behind our back.
const STEPS: &[(&str, &str)] = &[
    ("agent", "enabled=1"),
    ("boot", "order=scsi0"),
    ("ciupgrade", "0"),
    ("cores", "2"),
    ("memory", "2048"),
    ("ostype", "l26"),
    ("scsihw", "virtio-scsi-single"),
    ("serial0", "socket"),
    ("vga", "serial0"),
];

/// The options of `proxmox::template`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// Its VM id.
    pub vmid: u32,
    /// The Proxmox node that it is built on.
    pub node: PveNode,
    /// Where Proxmox downloads the image from.
    pub image_url: String,
    /// Lower-case hex SHA-256 of the image; without it the template is refused.
    pub sha256: Option<String>,
    /// The image's name on the storage, ending in `.qcow2`, `.raw` or `.vmdk`; its digest is put before that end.
    pub file: ImageFile,
    /// The storage that keeps images; it must allow the content type `import`.
    pub images: StorageId,
    /// The storage of the template's disk.
    pub storage: StorageId,
    /// The bridge of its network card.
    pub bridge: Bridge,
    /// Its CPU type.
    pub cpu_type: CpuType,
    /// VLAN tag.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// Size of its disk in GiB, when not the image's own.
    #[serde(default)]
    pub disk_gib: Option<u32>,
    /// A cloud-init vendor file that lies on a storage already, such as `local:snippets/agent.yaml`.
    #[serde(default)]
    pub vendor_snippet: Option<Snippet>,
    /// What is built into it. Without that it is the image as it is.
    #[serde(default)]
    pub build: Option<BuildSpec>,
}

/// The resource behind `proxmox::template`.
#[derive(Clone, Debug)]
pub struct Template {
    workspace: String,
    name: TemplateName,
    spec: TemplateSpec,
    build: Option<Build>,
    /// Whether it is the same template on another Proxmox node than the workspace's own.
    is_replica: bool,
}

impl Template {
    /// A template called `name` that `workspace` declares.
    ///
    /// # Errors
    /// [`BadImage`] when the digest cannot be right.
    pub fn new(workspace: &str, name: TemplateName, spec: TemplateSpec) -> std::result::Result<Self, BadImage> {
        let is_digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(wrong) = spec.sha256.as_ref().filter(|text| !is_digest(text)) {
            return Err(BadImage { reason: format!("`{wrong}` is not a SHA-256 in lower-case hexadecimal digits") });
        }
        Ok(Self { workspace: workspace.into(), name, spec, build: None, is_replica: false })
    }

    /// The same template, built and placed as `workspace` says.
    ///
    /// # Errors
    /// [`BadBuild`] when the workspace has no address to build it on, or a package cannot be called so.
    pub fn of(mut self, workspace: &Arc<Workspace>) -> std::result::Result<Self, BadBuild> {
        let TemplateSpec { node, build, .. } = &self.spec;
        self.build = build.as_ref().map(|spec| Build::new(spec, &self.name, node, workspace)).transpose()?;
        let is_own = workspace.template.as_ref().is_some_and(|template| template.name == self.name);
        self.is_replica = is_own && workspace.proxmox.as_ref().is_some_and(|proxmox| proxmox.node != *node);
        Ok(self)
    }

    /// The identity of the template called `name`.
    pub fn id_of(name: &str) -> Id {
        Id::new("proxmox.template", name)
    }

    /// The identity of its replica on the Proxmox node `host`.
    pub fn id_of_replica(name: &str, host: &str) -> Id {
        Id::new("proxmox.template", Workspace::build_machine(name, host))
    }

    /// The machine's name in Proxmox: the template's, and the first 12 digits of the digest of image and steps.
    pub fn machine_name(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.pin());
        for (key, value) in STEPS {
            digest.update(format!("\n{key}={value}"));
        }
        for (key, value) in [
            ("disk_gib", self.spec.disk_gib.map(|gib| gib.to_string())),
            ("vendor", self.spec.vendor_snippet.as_ref().map(ToString::to_string)),
        ] {
            digest.update(value.map(|value| format!("\n{key}={value}")).unwrap_or_default());
        }
        digest.update(self.build.as_ref().map(Build::recipe).unwrap_or_default());
        format!("{}-{}", self.name, &hex::encode(digest.finalize())[..12])
    }

    /// Whether a machine called `found` in Proxmox is the template called `name`, of whatever digest.
    pub fn is_called(found: &str, name: &str) -> bool {
        let digest = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        found == name || digest.is_some_and(|digest| digest.len() == 12 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// The image's digest, or a word where it is not pinned.
    fn pin(&self) -> &str {
        self.spec.sha256.as_deref().unwrap_or("unpinned")
    }

    /// An image that anybody could swap is no base for machines.
    fn unpinned(&self) -> Refusal {
        let TemplateSpec { file, image_url, .. } = &self.spec;
        Refusal {
            why: format!("the image {file} has no digest, so nobody would notice another one in its place"),
            next: format!(
                "fetch {image_url} and the publisher's signed list of checksums, verify both, and write the image's SHA-256 into \
                 `template.image.sha256`; or look at what `kthw artifacts pin` finds there, and record that"
            ),
            fields: Vec::new(),
        }
    }

    fn mark_name(&self) -> String {
        format!("template/{}", self.name)
    }

    /// `keys` are those by which a build logs in.
    fn create_call(&self, mark: &Mark, keys: &[String]) -> Call<Write> {
        let TemplateSpec { vmid, node, storage, bridge, cpu_type, vendor_snippet, .. } = &self.spec;
        let description = if self.build.is_some() { Build::description(mark) } else { mark.to_string() };
        let call = Call::post(["nodes", node, "qemu"])
            .with("vmid", vmid)
            .with("name", self.machine_name())
            .with("description", description)
            .with_all(STEPS.iter().copied())
            .with("cpu", cpu_type)
            .with("net0", Nic::new(bridge, self.vlan()))
            .with("scsi0", format!("{storage}:0,import-from={},discard=on,iothread=1", self.volume()))
            .with("ide2", format!("{storage}:cloudinit"))
            .with("tags", "kthw")
            .maybe("cicustom", vendor_snippet.as_ref().map(|file| format!("vendor={file}")));
        match &self.build {
            Some(build) => build.told(call, keys),
            None => call,
        }
    }

    /// The VLAN of its network card. One that is built is in that of the workspace, for it is used.
    fn vlan(&self) -> Option<u16> {
        self.spec.vlan.or_else(|| self.build.as_ref()?.vlan())
    }

    /// What a template that is there can get without being made anew.
    fn differences(&self, live: &Found) -> Vec<(&'static str, String, Field)> {
        let (TemplateSpec { bridge, cpu_type, .. }, vlan) = (&self.spec, self.vlan());
        let nic = live.config.net0().unwrap_or_else(|| Nic::new(bridge, vlan));
        let cpu = field("cpu_type", live.config.cpu_type().as_str(), cpu_type.as_str());
        let written = live.config.properties("cpu", "cputype").with("cputype", cpu_type).to_string();
        let cpu = cpu.map(|field| ("cpu", written, field));
        let plugged = |bridge: &str, vlan: Option<u16>| vlan.map_or_else(|| bridge.to_owned(), |vlan| format!("{bridge}, VLAN {vlan}"));
        let net = field("network", plugged(nic.bridge(), nic.vlan()), plugged(bridge, vlan));
        let net = net.map(|field| ("net0", nic.on(bridge, vlan).to_string(), field));
        cpu.into_iter().chain(net).collect()
    }

    async fn create(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<Found> {
        if let Some(version) = client.version().await?.filter(|version| *version < IMPORTS) {
            return Err(Error::refused(TooOld { major: version.0, minor: version.1 }));
        }
        self.fetch_image(client, peers, permit).await?;
        let keys = match &self.build {
            Some(build) => build.read_keys(peers).await?,
            None => Vec::new(),
        };
        let mark = Mark::new(&self.workspace, &self.mark_name(), peers.random());
        let what = format!("the import of {} as {}", self.spec.file, self.machine_name());
        let work = async |effect: &_| {
            retry_locked(peers, &what, async || match client.write(&self.create_call(&mark, &keys), effect).await {
                Ok(Some(task)) => task.wait(client, peers, IMPORT, &what).await,
                // Whose it is shows when it is read.
                Err(failure) if failure.is(Class::Taken) => Ok(()),
                done => finish(done?, client, peers, &what).await,
            })
            .await
        };
        permit.effect(Intent::on("proxmox", &what, Recovery::Task).told_by(mark.to_string()), work).await?;
        inventory::remember(client, self.spec.vmid, &self.spec.node, &self.machine_name()).await;
        let Some(found) = self.read_ours(client, peers).await? else {
            return Err(Error::peer(Vanished { name: self.machine_name(), vmid: self.spec.vmid }));
        };
        if found.config.mark().as_ref() != Some(&mark) {
            // Somebody else made the same template at the same moment, and goes on with it.
            return Err(Error::settle(MadeMeanwhile { what: format!("the template {}", self.name), vmid: self.spec.vmid }));
        }
        Ok(found)
    }

    /// The size that its disk still has to get, in GiB. Once it is a template, its disk stays as it is.
    fn growth(&self, drive: &Drive) -> Option<u32> {
        let bytes = drive.size_bytes?;
        self.spec.disk_gib.filter(|gib| bytes < u64::from(*gib) * GIB)
    }

    async fn read_ours(&self, client: &Client, peers: &Peers) -> Result<Option<Found>> {
        let Some(found) = guest::find(client, peers, self.spec.vmid).await? else { return Ok(None) };
        if found.config.mark().is_some_and(|mark| mark.name == self.mark_name()) {
            return Ok(Some(found));
        }
        Err(Error::refused(NotOurs::new(&found, format!("the template {}", self.name))))
    }

    /// The workspace that is making it, or died in that; `None` when it is made, or ours to make.
    fn maker(&self, found: &Found) -> Option<String> {
        let mark = found.config.mark().filter(|_| !self.is_ours(found) && !found.config.flag("template", false));
        mark.map(|mark| mark.workspace)
    }

    /// Waits until another workspace's run has made it.
    async fn wait_for_maker(&self, client: &Client, peers: &Peers) -> Result<()> {
        let what = format!("another workspace's run to finish the template {}", self.name);
        let help =
            format!("let a run of that workspace finish VM {}, or remove it if that workspace is gone; then run again", self.spec.vmid);
        let limit = if self.build.is_some() { BUILDING } else { FINISHING };
        wait(peers, limit, &what, &help, async || {
            let maker = self.read_ours(client, peers).await?.and_then(|found| self.maker(&found));
            Ok(maker.map_or(Poll::Ready(()), |maker| Poll::Pending(format!("workspace `{maker}` is at it"))))
        })
        .await
    }

    /// Whether it is a build machine of ours that nobody will end: image or recipe are others now. No machine can have been cloned from it.
    fn is_stale(&self, live: &Found) -> bool {
        let is_left = self.is_ours(live) && !live.config.flag("template", false) && build::is_build_machine(&live.config);
        is_left && live.config.get("name") != Some(&self.machine_name())
    }

    /// What another workspace's template lacks is not ours to change.
    fn refused_if_theirs(&self, live: &Found, change: Change) -> Change {
        let Some(Mark { workspace, .. }) = live.config.mark().filter(|_| !change.is_none() && !self.is_ours(live)) else { return change };
        let rest = Refusal { why: String::new(), next: String::new(), fields: change.fields().to_vec() };
        let theirs = Refusal {
            why: format!("VM {} is the template of workspace `{workspace}`", live.guest.vmid),
            next: "let a run of that workspace change it, or give this one a template of its own (`template.name` and `template.vmid`)"
                .into(),
            fields: Vec::new(),
        };
        let generic = if let Change::Refused(refusal) = change { refusal } else { rest };
        refused([theirs, generic]).expect("there are two")
    }
}

impl Resource for Template {
    type Live = Found;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        if self.is_replica { Self::id_of_replica(&self.name, &self.spec.node) } else { Self::id_of(&self.name) }
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Found>> {
        self.read_ours(peers.get::<Client>()?, peers).await
    }

    fn diff(&self, live: Option<&Found>) -> Change {
        let TemplateSpec { vmid, node, file, storage, bridge, cpu_type, .. } = &self.spec;
        if self.spec.sha256.is_none() {
            return Change::Refused(self.unpinned());
        }
        let Some(live) = live else {
            let build = self.build.iter().flat_map(Build::create_fields);
            let fields = [
                Field::new("name", self.machine_name()),
                Field::new("vmid", vmid),
                Field::new("node", node),
                Field::new("image", file),
                Field::new("sha256", self.pin()),
                Field::new("storage", storage),
                Field::new("bridge", bridge),
                Field::new("cpu_type", cpu_type),
            ];
            return Change::create(fields.into_iter().chain(build));
        };
        if let Some(maker) = self.maker(live) {
            return Change::between([field("template", format!("in the making by workspace `{maker}`"), "yes".into())]);
        }
        if self.is_stale(live) {
            return Change::between([field("build", "left half made, of another image or recipe", "done")]);
        }
        let name = self.machine_name();
        let found = live.config.get("name").unwrap_or_default();
        // Image or steps are others: machines are still cloned from the old one until it is given another VM id.
        let wanted = format!("{name} (another image or build: choose another VM id for it)");
        let other = (found != name).then(|| Field { live: Some(found.into()), ..Field::new("name", wanted) }.at(Cost::Replacement));
        let drive = live.config.drive("scsi0");
        let lies_on = drive.as_ref().map_or("nowhere", |drive| drive.storage.as_str());
        let storage = field("storage", lies_on, storage).map(|field| field.at(Cost::Replacement));
        let node = field("node", live.guest.host.as_str(), node.as_str()).map(|field| field.at(Cost::Replacement));
        let is_template = live.config.flag("template", false);
        let converted = field("template", if is_template { "yes" } else { "no" }, "yes");
        let built = self.build.as_ref().filter(|_| !is_template).and_then(|build| build.field(&live.config));
        let differences = self.differences(live).into_iter().map(|(.., field)| Some(field));
        self.refused_if_theirs(live, Change::between([other, node, storage, built, converted].into_iter().chain(differences)))
    }

    async fn apply(&self, live: Option<Found>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        let found = match live {
            None => self.create(client, peers, permit).await?,
            Some(live) if self.maker(&live).is_some() => return self.wait_for_maker(client, peers).await,
            Some(live) if self.is_stale(&live) => {
                live.remove(client, peers, permit).await?;
                self.create(client, peers, permit).await?
            }
            Some(live) => {
                let values = |config: &_| {
                    let now = Found { config: Clone::clone(config), ..live.clone() };
                    self.differences(&now).into_iter().map(|(key, value, _)| (key, value)).collect()
                };
                live.guest.configure(client, peers, permit, values).await?;
                live
            }
        };
        if found.config.flag("template", false) {
            return Ok(());
        }
        // A run may have ended between any two of these.
        if let Some((disk, drive)) = found.guest.boot_disk(&found.config, client).await?
            && let Some(gib) = self.growth(&drive)
        {
            found.guest.grow(&disk, gib, client, peers, permit).await?;
        }
        if let Some(build) = &self.build {
            build.carry_out(self.spec.vmid, client, peers, permit).await?;
        }
        found.guest.convert(client, peers, permit).await
    }

    /// Another workspace may use the same template; it goes with the workspace that made it.
    fn is_ours(&self, live: &Found) -> bool {
        live.config.mark().is_some_and(|mark| mark.is_of(&self.workspace, &self.mark_name()))
    }

    fn keeps(&self, live: &Found) -> Option<String> {
        live.protection()
    }

    /// The image first: when the template is gone, nobody looks for it any more.
    async fn remove(&self, live: Found, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        self.remove_image(client, peers, permit).await?;
        live.remove(client, peers, permit).await
    }
}

/// The image of a template cannot be right.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{reason}")]
#[diagnostic(code(kthw::proxmox::bad_image), help("`sha256` is what the image's publisher lists for it"))]
pub struct BadImage {
    reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("this is Proxmox VE {major}.{minor}, which does not import cloud images over its API; 8.4 and newer do")]
#[diagnostic(
    code(kthw::proxmox::too_old),
    help(
        "upgrade it, or build the template by hand with a cloud-init drive and name it in `template.name` and `template.vmid`, without `proxmox::template`"
    )
)]
struct TooOld {
    major: u32,
    minor: u32,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{name} was created as VM {vmid} and is not there")]
#[diagnostic(code(kthw::proxmox::vanished), help("did somebody remove it meanwhile? Run again"))]
struct Vanished {
    name: String,
    vmid: u32,
}

#[cfg(test)]
mod tests;
