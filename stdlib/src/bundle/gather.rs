//! Brings together what a bundle will hold.
use super::{Cache, FORMAT, FileRow, ImageName, ImageRow, Index, Registries, images, packages};
use crate::{
    artifact::{FetchArtifact, Kind, Needed, bring, download, image_place, needed},
    kubernetes::Document,
    seams::Http,
    workspace::Workspace,
};
use kthw_engine::{Error, Result};
use sha2::{Digest, Sha256};

/// Fetches everything that a bundle for `workspace` holds into `cache`, and says what that is. Manifests come from `artifacts.mirror`, images of
/// containers from `containerd.mirrors`, where the workspace names such; packages from the repositories of `packages`, those called `more` among them.
/// `tell` hears what is fetched.
///
/// # Errors
/// A workspace without a cluster, a file without a digest, and whatever cannot be had or is not what its digest says.
pub async fn gather(workspace: &Workspace, more: &[String], http: &dyn Http, cache: &Cache, tell: &dyn Fn(&str)) -> Result<Index> {
    let versions = workspace.versions().map_err(Error::usage)?;
    let (mut files, mut wanted) = (Vec::new(), images::of_kubeadm(workspace, &versions.kubernetes));
    wanted.extend(images::of_calico(&versions.calico));
    wanted.extend(workspace.traefik.iter().map(|traefik| crate::traefik::image(&traefik.version.to_string())));
    for one in needed(workspace) {
        let row = file(workspace, http, cache, &one, tell).await?;
        if one.kind == Kind::Manifest {
            let bytes =
                std::fs::read(cache.path(&row.sha256)).map_err(|source| Error::usage(Unreadable { what: row.path.clone(), source }))?;
            let documents = Document::parse(&String::from_utf8_lossy(&bytes)).map_err(Error::peer)?;
            wanted.extend(images::of_manifest(&documents));
        }
        files.push(row);
    }
    files.sort();
    let gathered = packages::gather(workspace, more, http, cache, tell).await?;
    let registries =
        Registries::new(http, workspace.containerd.mirrors.iter().map(|(host, url)| (host.to_string(), url.clone())).collect());
    let mut names: Vec<ImageName> =
        wanted.iter().map(|text| text.parse().map_err(|why| Error::usage(NoImage { why }))).collect::<Result<_>>()?;
    names.sort();
    names.dedup();
    let mut images = Vec::new();
    for name in names {
        images.push(image(&registries, cache, &name, tell).await?);
    }
    Ok(Index {
        format: FORMAT,
        workspace: workspace.name.clone(),
        kubernetes: versions.kubernetes.to_string(),
        calico: versions.calico.to_string(),
        files,
        images,
        repositories: gathered.repositories,
        own_packages: gathered.own,
    })
}

async fn file(workspace: &Workspace, http: &dyn Http, cache: &Cache, one: &Needed, tell: &dyn Fn(&str)) -> Result<FileRow> {
    let (upstream, path) = (&one.upstream, one.upstream.path());
    let Some(sha256) = one.sha256.clone() else { return Err(Error::refused(NoDigest { path })) };
    let known = cache.size(&sha256);
    let size = match (known, one.kind) {
        (Some(size), _) => size,
        (None, Kind::Manifest | Kind::Program) => {
            tell(&path);
            let whole = bring(http, workspace.artifacts.mirror.as_deref(), upstream).await?;
            let found = hex::encode(Sha256::digest(&whole.bytes));
            if found != sha256 {
                return Err(Error::peer(crate::artifact::WrongDigest::new(whole.place, &sha256, found)));
            }
            cache.keep(&sha256, &whole.bytes)?;
            whole.bytes.len() as u64
        }
        (None, Kind::Image) => {
            tell(&path);
            let place = image_place(workspace, &upstream.url);
            let coming = download(http, &place).await?.ok_or_else(|| Error::peer(FetchArtifact::absent(&place)))?;
            cache.fill(&sha256, coming).await?
        }
    };
    Ok(FileRow { path, sha256, size, url: upstream.url.clone() })
}

async fn image(registries: &Registries<'_>, cache: &Cache, name: &ImageName, tell: &dyn Fn(&str)) -> Result<ImageRow> {
    let image = registries.image(name).await?;
    for (descriptor, bytes) in &image.manifests {
        cache.keep(descriptor.digits(), bytes)?;
    }
    let missing: Vec<_> = image.blobs.iter().filter(|blob| cache.size(blob.digits()) != Some(blob.size)).collect();
    if !missing.is_empty() {
        tell(&format!("{name}, {} bytes", missing.iter().map(|blob| blob.size).sum::<u64>()));
    }
    for blob in missing {
        cache.fill(blob.digits(), registries.blob(name, blob).await?).await?;
    }
    let manifests = image.manifests.into_iter().map(|(descriptor, _)| descriptor).collect();
    Ok(ImageRow { name: name.to_string(), manifests, blobs: image.blobs })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{path} has no digest, so nothing vouches for it")]
#[diagnostic(code(kthw::bundle::no_digest), help("`kthw artifacts pin` looks at it and records one"))]
struct NoDigest {
    path: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{why}, so it cannot be put into a bundle")]
#[diagnostic(code(kthw::bundle::no_image), help("look at `kubeadm.image_repository` and at the images in the manifests"))]
struct NoImage {
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read {what}, which has just come")]
#[diagnostic(code(kthw::bundle::unreadable))]
struct Unreadable {
    what: String,
    source: std::io::Error,
}
