//! `kthw kubeconfig`: the administrator's kubeconfig in a file of its own, merged into another only on request; or one for somebody else.
mod issued;

use crate::{options::WorkspaceOptions, private_file, session, ui::Ui};
use clap::Args;
use etcetera::BaseStrategy;
use kthw_engine::{Error, Result};
use kthw_stdlib::kubernetes::kubeconfig;
use std::path::{Path, PathBuf};

/// Fetch the cluster's kubeconfig into a file of its own, or make one for somebody that ends
#[derive(Debug, Args)]
pub struct Kubeconfig {
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// File to write; a file in the store when absent
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also merge it into `~/.kube/config`, after a backup; its current context stays
    #[arg(long)]
    merge: bool,
    /// Merge into this file instead
    #[arg(long, value_name = "FILE", requires = "merge")]
    into: Option<PathBuf>,
    #[command(flatten)]
    issued: issued::Issued,
}

impl Kubeconfig {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        if let Some(file) = &self.issued.inspect {
            return issued::inspect(file, ui);
        }
        let workspace = session::workspace_of(&self.workspace)?;
        // An edge has no cluster.
        workspace.versions().map_err(Error::usage)?;
        if let Some(holder) = self.issued.holder()? {
            return self.issued.run(&holder, &workspace, &self.workspace, self.output.as_deref(), ui).await;
        }
        let target = session::connect_workspace(&workspace, &self.workspace)?;
        let own = kubeconfig::fetch(&workspace, target.peers()).await?;
        target.tell_trust(ui)?;
        let file = match self.output {
            Some(file) => file,
            None => {
                session::store_of(&workspace, &self.workspace)?.file(if self.workspace.lab { session::LAB_FILES[2] } else { "kubeconfig" })
            }
        };
        keep_backup(&file, &own, ui)?;
        write_private(&file, &own)?;
        ui.line(&file.display().to_string());
        ui.note(&format!("Use it with `kubectl --kubeconfig {} get nodes`.", file.display()));
        if self.merge {
            let target = match self.into {
                Some(target) => target,
                None => default_target()?,
            };
            merge_into(&target, &own, ui)?;
        }
        Ok(0)
    }
}

fn default_target() -> Result<PathBuf> {
    let dirs = etcetera::choose_base_strategy()
        .map_err(|error| Error::usage(WriteFile { file: "~/.kube/config".into(), why: error.to_string() }))?;
    Ok(dirs.home_dir().join(".kube/config"))
}

fn merge_into(target: &Path, own: &str, ui: &Ui) -> Result<()> {
    let existing = match std::fs::read_to_string(target) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::usage(WriteFile { file: target.display().to_string(), why: error.to_string() })),
    };
    let merged = kubeconfig::merge(existing.as_deref(), own)?;
    if existing.as_deref() == Some(merged.as_str()) {
        ui.note(&format!("{} holds it already.", target.display()));
        return Ok(());
    }
    keep_backup(target, &merged, ui)?;
    // A link stays a link.
    let real = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    write_private(&real, &merged)?;
    ui.note(&format!("Merged into {}; its current context is unchanged.", target.display()));
    Ok(())
}

/// Keeps what a file holds, beside it, before something else is written there. Earlier backups stay.
fn keep_backup(file: &Path, new: &str, ui: &Ui) -> Result<()> {
    let Ok(existing) = std::fs::read_to_string(file) else { return Ok(()) };
    if existing == new {
        return Ok(());
    }
    let names = std::iter::once("kthw-backup".to_owned()).chain((2..1000).map(|number| format!("kthw-backup-{number}")));
    let Some(backup) = names.map(|name| file.with_extension(name)).find(|backup| !backup.exists()) else { return Ok(()) };
    write_private(&backup, &existing)?;
    ui.note(&format!("The file as it was is kept in {}.", backup.display()));
    Ok(())
}

/// Writes a file that only its owner may read, atomically.
fn write_private(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| Error::usage(WriteFile { file: file.display().to_string(), why: error.to_string() });
    std::fs::create_dir_all(folder).map_err(failed)?;
    private_file::write(file, text).map_err(failed)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write {file}: {why}")]
#[diagnostic(code(kthw::kubeconfig::write), help("name a file that you may write"))]
struct WriteFile {
    file: String,
    why: String,
}
