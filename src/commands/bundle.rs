//! `kthw bundle`: one file with what a cluster is made of, made where there is internet and served where there is none.
use crate::{interrupt::Interrupts, options::WorkspaceOptions, session, ui::Ui};
use clap::{Args, Subcommand};
use kthw_engine::{Error, Result};
use kthw_stdlib::{
    bundle::{self, Cache},
    http::{HttpClient, Trust},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tokio::net::TcpListener;

/// Make one file with what a cluster is made of, and serve it where there is no internet
///
/// A bundle holds upstream's manifests, the cloud image, the container images that kubeadm and Calico run, for linux/amd64, and, for distributions with
/// apt, the packages that nodes need: out of the repositories that the workspace names in `packages`, with the signatures of their publishers.
#[derive(Debug, Args)]
pub struct Bundle {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fetch everything that a workspace needs, and write it into a file; from the same inputs comes the same file
    Make(Make),
    /// Show what is in a bundle
    Show(Show),
    /// Serve a bundle over HTTP: files and container images, until Ctrl-C
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Make {
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Another package that nodes need, with what it needs itself: one that recipes of your own install; can be given several times
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
}

#[derive(Debug, Args)]
struct Show {
    /// Bundle
    file: PathBuf,
    /// Read all of it and compare every digest
    #[arg(long)]
    verify: bool,
}

#[derive(Debug, Args)]
struct Serve {
    /// Bundle
    file: PathBuf,
    /// Address and port to listen on, such as `10.10.10.5:8080`; with port 0 a free one is taken
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

impl Bundle {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        match self.what {
            What::Make(make) => make.run(ui).await,
            What::Show(show) => show.run(ui),
            What::Serve(serve) => serve.run(ui).await,
        }
    }
}

impl Make {
    async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        // An edge has no cluster.
        workspace.versions().map_err(Error::usage)?;
        if self.workspace.lab {
            return Err(Error::usage(NothingInTheLab));
        }
        let http = HttpClient::new(&Trust::System).map_err(Error::usage)?;
        let cache = Cache::new(session::store_of(&workspace, &self.workspace)?.file("artifacts").join("sha256"));
        let tell = |what: &str| ui.note(&format!("Fetching {what} …"));
        let index = Interrupts::default().ending(ui, bundle::gather(&workspace, &self.packages, &http, &cache, &tell)).await?;
        let packed = bundle::pack(&index, &cache, &self.output)?;
        let (file, files, images) = (self.output.display(), index.files.len(), index.images.len());
        let packages: usize = index.repositories.iter().map(|row| row.packages().count()).sum();
        if let Some(missing) = not_in_it(&index) {
            ui.note(&missing);
            match bundle::has_packages(&workspace) {
                true => ui.note("Name the distribution's repositories in `packages.distribution`, and they come along."),
                false => ui.note("Packages are put into bundles for distributions with apt alone so far."),
            }
        }
        for (row, until) in index.repositories.iter().filter_map(|row| Some((row, row.until.as_ref()?))) {
            ui.note(&kthw_engine::presentable(&format!("Nodes take nothing from packages/{} after {until}.", row.name)));
        }
        ui.line(&format!("{file}: {files} files, {images} images, {packages} packages, {} bytes\nsha256 {}", packed.size, packed.sha256));
        Ok(0)
    }
}

impl Show {
    fn run(self, ui: &Ui) -> Result<u8> {
        let bundle = bundle::Bundle::open(&self.file)?;
        if self.verify {
            bundle.verify()?;
        }
        let index = bundle.index();
        if ui.is_json() {
            ui.line(&serde_json::json!({ "event": "bundle", "verified": self.verify, "index": index }).to_string());
            return Ok(0);
        }
        let lines = [format!("For workspace {}: Kubernetes {}, Calico {}.", index.workspace, index.kubernetes, index.calico)];
        let files = index.files.iter().map(|row| format!("  {}  {} bytes", row.path, row.size));
        let images = index.images.iter().map(|image| {
            let digest = image.manifests.first().map_or("", |root| root.digest.as_str());
            format!("  {}  {digest}", image.name)
        });
        let repositories = index.repositories.iter().flat_map(|row| {
            let until = row.until.as_ref().map_or_else(String::new, |until| format!(", until {until}"));
            let suite = row.suite.as_ref().map_or_else(String::new, |suite| format!(" {suite} {}", row.components.join(" ")));
            let packages = row.packages().map(|package| format!("  {package}"));
            [format!("  packages/{}{suite}{until}", row.name)]
                .into_iter()
                .chain(packages.map(|line| format!("  {line}")))
                .collect::<Vec<_>>()
        });
        let end = if self.verify { "Every digest is right." } else { "Its digests were not compared; `--verify` does." };
        let text: Vec<String> =
            lines.into_iter().chain(files).chain(images).chain(repositories).chain(not_in_it(index)).chain([end.into()]).collect();
        ui.line(&kthw_engine::presentable(&text.join("\n")));
        Ok(0)
    }
}

impl Serve {
    async fn run(self, ui: &Ui) -> Result<u8> {
        let bundle = bundle::Bundle::open(&self.file)?;
        let listen = self.listen;
        let cannot = |source| Error::usage(CannotListen { listen, source });
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        ui.line(&in_words(&self.file, &bundle, address));
        let requests = ui.clone();
        let work = async {
            let served = bundle::serve(bundle, listener, move |request| requests.note(&kthw_engine::presentable(request))).await;
            served.map_err(cannot)
        };
        Interrupts::default().ending(ui, work).await?;
        Ok(0)
    }
}

/// The packages that nodes have to find elsewhere, if any.
fn not_in_it(index: &bundle::Index) -> Option<String> {
    let names = index.own_packages.join(", ");
    (!names.is_empty()).then(|| format!("Not in it, so nodes take them from their own sources: {names}."))
}

/// What a workspace has to say to be served from here.
fn in_words(file: &Path, bundle: &bundle::Bundle, address: SocketAddr) -> String {
    let mut registries: Vec<&str> = bundle.index().images.iter().filter_map(|image| Some(image.name.split_once('/')?.0)).collect();
    registries.dedup();
    let mirrors: Vec<String> = registries.iter().map(|registry| format!("    {registry}: http://{address}")).collect();
    format!(
        "Serving {} at http://{address}. A workspace takes it with:\n\nartifacts:\n  mirror: http://{address}\ncontainerd:\n  mirrors:\n{}\n{}",
        file.display(),
        mirrors.join("\n"),
        packages_in_words(bundle.index(), address),
    )
}

/// The block `packages` of such a workspace; nothing for a bundle without packages.
fn packages_in_words(index: &bundle::Index, address: SocketAddr) -> String {
    let (mut single, mut distribution) = (String::new(), String::new());
    for row in &index.repositories {
        let url = format!("http://{address}/packages/{}/", row.name);
        let mut lines = vec![format!("url: {url}")];
        if let Some(suite) = &row.suite {
            lines.push(format!("suite: {suite}"));
            lines.push(format!("components: [{}]", row.components.join(", ")));
        }
        lines.push("keys:".into());
        lines.extend(row.keys.iter().map(|key| format!("  - {{ url: \"{url}keys/{key}\", sha256: \"{key}\" }}")));
        match row.name.strip_prefix("distribution-") {
            Some(_) => distribution.push_str(&format!("    - {}\n", lines.join("\n      "))),
            None => {
                let field = if row.name == "containerd" { "containerd_repository" } else { &row.name };
                single.push_str(&format!("  {field}:\n    {}\n", lines.join("\n    ")));
            }
        }
    }
    let distribution = if distribution.is_empty() { distribution } else { format!("  distribution:\n{distribution}") };
    let all = format!("{single}{distribution}");
    if all.is_empty() { all } else { format!("packages:\n{all}") }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("in the lab nothing is downloaded, so there is nothing to put into a bundle")]
#[diagnostic(code(kthw::bundle::lab), help("call it without `--lab`; no machine is reached"))]
struct NothingInTheLab;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot listen on {listen}")]
#[diagnostic(code(kthw::bundle::listen), help("name an address of this machine and a port that nobody else uses"))]
struct CannotListen {
    listen: SocketAddr,
    source: std::io::Error,
}
