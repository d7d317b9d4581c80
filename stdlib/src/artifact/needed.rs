//! What a workspace needs of upstream's files, and where each digest comes from.
use super::{PINS_FILE, Pins, Upstream, checker_file, download::web_place};
use crate::{
    add_ons::{files_of, known},
    distribution::release,
    workspace::Workspace,
};
use miette::Diagnostic;

/// An upstream file that clusters of a workspace are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Which file it is.
    pub upstream: Upstream,
    /// What it holds.
    pub kind: Kind,
    /// Its SHA-256, if there is one.
    pub sha256: Option<String>,
    /// Where that comes from.
    pub from: DigestFrom,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Objects of Kubernetes, as YAML.
    Manifest,
    /// The disk of a machine, which Proxmox fetches.
    Image,
    /// A program for nodes.
    Program,
}

/// Where a digest comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestFrom {
    /// kthw knows it; in words, from which bytes.
    Known(&'static str),
    /// It stands in `workspace.yaml`.
    Workspace,
    /// It was pinned, on this day.
    Pinned(String),
    /// There is none, so the file is refused.
    Missing,
}

/// The files that `workspace` needs, in the order of their use.
pub fn needed(workspace: &Workspace) -> Vec<Needed> {
    let image = workspace.template.as_ref().filter(|_| workspace.proxmox.is_some()).map(|template| &template.image);
    let image = image.map(|image| {
        let upstream = of_image(workspace, &image.url);
        let pin = workspace.artifacts.pins.get(&upstream);
        let from = match (&image.sha256, pin) {
            (None, _) => DigestFrom::Missing,
            (Some(sha256), Some(pin)) if pin.sha256 == *sha256 => DigestFrom::Pinned(pin.date.clone()),
            (Some(_), _) => DigestFrom::Workspace,
        };
        Needed { upstream, kind: Kind::Image, sha256: image.sha256.clone(), from }
    });
    let manifests = files_of(workspace).into_iter().map(|upstream| kept(upstream, Kind::Manifest, &workspace.artifacts.pins));
    let checker = workspace.is_edge().then(|| kept(checker_file(), Kind::Program, &workspace.artifacts.pins));
    image.into_iter().chain(manifests).chain(checker).collect()
}

/// The files that recipes of one's own may need and this workspace does not ask for: they are pinned where a person names them.
pub fn on_request(workspace: &Workspace) -> Vec<Needed> {
    let checker = (!workspace.is_edge()).then(|| kept(checker_file(), Kind::Program, &workspace.artifacts.pins));
    checker.into_iter().collect()
}

fn kept(upstream: Upstream, kind: Kind, pins: &Pins) -> Needed {
    let (sha256, from) = match (known(&upstream), pins.get(&upstream)) {
        (Some((sha256, from)), _) => (Some(sha256.to_owned()), DigestFrom::Known(from)),
        (None, Some(pin)) => (Some(pin.sha256.clone()), DigestFrom::Pinned(pin.date.clone())),
        (None, None) => (None, DigestFrom::Missing),
    };
    Needed { upstream, kind, sha256, from }
}

/// The digest of a file that kthw itself brings: the one that kthw knows, else the one that was pinned.
pub(crate) fn digest_of(upstream: &Upstream, pins: &Pins) -> Option<String> {
    kept(upstream.clone(), Kind::Manifest, pins).sha256
}

/// A cloud image is known by its address: publishers put another file under the same name.
fn of_image(workspace: &Workspace, url: &str) -> Upstream {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    Upstream {
        project: "images".into(),
        version: release(workspace).id(),
        file: path.rsplit('/').next().unwrap_or_default().to_owned(),
        url: url.into(),
    }
}

/// Where Proxmox fetches the image that a recipe names by its own address: from a mirror that is a web server, else there. A folder of this
/// computer it could not reach.
pub fn image_place(workspace: &Workspace, url: &str) -> String {
    web_place(workspace.artifacts.mirror.as_deref(), &of_image(workspace, url))
}

/// Gives the image of a workspace that has no digest the one that was pinned for its address.
pub fn pin_image(workspace: &mut Workspace) {
    let Some(image) = workspace.template.as_ref().map(|template| &template.image) else { return };
    let pinned = workspace.artifacts.pins.get(&of_image(workspace, &image.url)).map(|pin| pin.sha256.clone());
    if let Some(template) = &mut workspace.template {
        template.image.sha256 = template.image.sha256.take().or(pinned);
    }
}

/// A file that was pinned with another digest than the one that counts for it. Neither is taken in silence.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} has two digests: {known} {wanted}, and pinned in {PINS_FILE} on {date} {pinned}")]
#[diagnostic(
    code(kthw::artifact::two_digests),
    help("find out which file is the right one, and take the other digest away: its row in {PINS_FILE}, or what workspace.yaml says")
)]
pub struct TwoDigests {
    path: String,
    known: &'static str,
    wanted: String,
    date: String,
    pinned: String,
}

/// Compares what was pinned with what kthw knows and the workspace says itself.
///
/// # Errors
/// [`TwoDigests`] for the first file of this workspace about which they do not agree.
pub fn pins_agree(workspace: &Workspace) -> Result<(), TwoDigests> {
    for Needed { upstream, sha256, from, .. } in needed(workspace) {
        let known = match from {
            DigestFrom::Known(_) => "kthw knows",
            DigestFrom::Workspace => "workspace.yaml says",
            DigestFrom::Pinned(_) | DigestFrom::Missing => continue,
        };
        let wanted = sha256.unwrap_or_default();
        if let Some(pin) = workspace.artifacts.pins.get(&upstream).filter(|pin| pin.sha256 != wanted) {
            return Err(TwoDigests { path: upstream.path(), known, wanted, date: pin.date.clone(), pinned: pin.sha256.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Pin;
    use super::*;

    fn told(workspace: &Workspace) -> Vec<String> {
        needed(workspace).iter().map(|one| format!("{} {:?}", one.upstream.path(), one.from)).collect()
    }

    #[test]
    fn what_a_newer_kthw_knows_otherwise_is_no_quiet_loss_of_a_pin() {
        let mut workspace = crate::ssh::testing::workspace();
        let manifest = needed(&workspace).into_iter().find(|one| one.kind == Kind::Manifest).unwrap();
        assert!(matches!(manifest.from, DigestFrom::Known(_)));
        let pin = Pin::of(manifest.upstream, "0".repeat(64), 1, "2026-11-29".into());
        workspace.artifacts.pins.add(pin, false).unwrap();
        let two = pins_agree(&workspace).unwrap_err().to_string();
        assert!(two.contains(&format!("kthw knows {}", manifest.sha256.unwrap())), "{two}");
    }

    #[test]
    fn the_workspace_comes_first_then_what_is_known_then_what_was_pinned() {
        let mut workspace = crate::ssh::testing::workspace();
        assert!(told(&workspace)[0].ends_with(".img Workspace") && told(&workspace)[1].contains("Known"), "{:?}", told(&workspace));
        (workspace.metallb, workspace.traefik) = (None, None);
        workspace.template.as_mut().unwrap().image.sha256 = None;
        workspace.versions.as_mut().unwrap().calico = "3.32.1".parse().unwrap();
        assert!(told(&workspace).iter().all(|one| one.ends_with("Missing")) && told(&workspace).len() == 3, "{:?}", told(&workspace));
        for one in needed(&workspace) {
            let pin = Pin::of(one.upstream, "0".repeat(64), 1, "2026-11-29".into());
            workspace.artifacts.pins.add(pin, false).unwrap();
        }
        pin_image(&mut workspace);
        assert!(told(&workspace).iter().all(|one| one.ends_with("Pinned(\"2026-11-29\")")), "{:?}", told(&workspace));
        workspace.template.as_mut().unwrap().image.sha256 = Some("1".repeat(64));
        assert!(told(&workspace)[0].ends_with("Workspace"), "another digest than the pinned one is the workspace's own");
        let two = pins_agree(&workspace).unwrap_err().to_string();
        assert!(two.contains(&format!("workspace.yaml says {}", "1".repeat(64))) && two.contains("on 2026-11-29"), "{two}");
        workspace.template.as_mut().unwrap().image.sha256 = Some("0".repeat(64));
        assert!(pins_agree(&workspace).is_ok(), "the same one twice");
        workspace.template.as_mut().unwrap().image.url.push_str(".new");
        workspace.template.as_mut().unwrap().image.sha256 = None;
        pin_image(&mut workspace);
        assert!(told(&workspace)[0].ends_with("Missing"), "a pin is of one address");
    }
}
