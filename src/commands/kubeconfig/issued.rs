//! A kubeconfig for a person or a service account, with an end; and what a file says of its own end.
use super::write_private;
use crate::{
    interrupt::Interrupts,
    options::WorkspaceOptions,
    session::{self, Ended, Loaded},
    ui::Ui,
};
use clap::Args;
use jiff::Timestamp;
use kthw_engine::{Error, Id, Result};
use kthw_stdlib::kubernetes::credential::{self, Holder};
use kthw_store::Hold;
use std::path::{Path, PathBuf};

/// How long one is good for when nothing is said.
const A_DAYS_WORK_S: u32 = 8 * 3600;

/// For whom, and for how long.
#[derive(Debug, Args)]
pub struct Issued {
    /// Make one for this person, with a key and a certificate of its own
    #[arg(long, value_name = "NAME", group = "holder", conflicts_with = "merge")]
    user: Option<String>,
    /// The person's group, to which a recipe gives rights with `kubernetes::grant`; may be repeated
    #[arg(long, value_name = "NAME", requires = "user")]
    group: Vec<String>,
    /// Make one for this service account, with a token
    #[arg(long, value_name = "NAMESPACE/NAME", group = "holder", conflicts_with = "merge")]
    service_account: Option<String>,
    /// How long it is good for, from `10m` up to a year: `30m`, `8h` (when absent), `7d`. Before that nobody can take a certificate back
    #[arg(long, value_name = "TIME", requires = "holder", value_parser = credential::duration_s)]
    valid: Option<u32>,
    /// Say for whom this kubeconfig is and when it ends; nobody is asked. Exits with 1 when it has ended
    #[arg(long, value_name = "FILE", conflicts_with_all = ["holder", "merge", "output"])]
    pub inspect: Option<PathBuf>,
}

impl Issued {
    /// Who is to get one; `None` when the administrator's is asked for.
    pub fn holder(&self) -> Result<Option<Holder>> {
        match (&self.user, &self.service_account) {
            (Some(user), _) => Holder::person(user, &self.group).map(Some),
            (None, Some(account)) => Holder::service_account(account).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Has it made, under the lock of the workspace and with its journal, and writes it.
    pub async fn run(&self, holder: &Holder, workspace: &Loaded, options: &WorkspaceOptions, output: Option<&Path>, ui: &Ui) -> Result<u8> {
        if options.lab {
            return Err(Error::usage(NotInTheLab));
        }
        let file = match output {
            Some(file) if file.symlink_metadata().is_ok() => return Err(Error::usage(IsThere { file: file.display().to_string() })),
            Some(file) => file.to_owned(),
            // What is there was made by this command, and may have ended.
            None => session::store_of(workspace, options)?.file(&format!("kubeconfig-{}", holder.label())),
        };
        let target = session::connect_workspace(workspace, options)?;
        let change = session::Change::without_recipe(workspace, options, "kubeconfig")?;
        let work = async |hold: &Hold, interrupts: &Interrupts| {
            let _changes = interrupts.changing();
            let options = hold.options(interrupts.stop());
            let id = Id::new("kubernetes.kubeconfig", holder.label());
            let deed = async |permit: &_| {
                let issued = credential::issue(workspace, holder, self.valid.unwrap_or(A_DAYS_WORK_S), target.peers(), permit).await?;
                write_private(&file, issued.kubeconfig.expose())?;
                Ok(issued)
            };
            let (issued, report) = kthw_engine::once(id, "create", target.peers(), &options, deed).await;
            target.save()?;
            target.tell_trust(ui)?;
            let Some(issued) = issued else {
                report.failures.iter().for_each(|(_, error)| ui.error(error));
                let code = report.failures.iter().map(|(_, error)| error.exit_code()).max().unwrap_or(1);
                return Ok(Ended { code, report: Some(report) });
            };
            ui.line(&file.display().to_string());
            ui.note(&format!("It is for {}, and ends at {}.", holder.in_words(), issued.ends));
            if issued.is_shorter {
                ui.note("The cluster gave less time than was asked for: its controller manager or its authority allows no more.");
            }
            if let Holder::Person { .. } = holder {
                ui.note("Nobody can take it back before that; what its groups may do can be taken away at any time.");
            }
            Ok(Ended { code: 0, report: Some(report) })
        };
        change.under_lock(&target, ui, work).await
    }
}

/// Says for whom a kubeconfig is and when it ends.
pub fn inspect(file: &Path, ui: &Ui) -> Result<u8> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::usage(ReadFile { file: file.display().to_string(), why: error.to_string() }))?;
    let users = credential::users(&text)?;
    if users.is_empty() {
        return Err(Error::usage(ReadFile {
            file: file.display().to_string(),
            why: "it holds neither a certificate nor a token that says whose it is".into(),
        }));
    }
    let now = Timestamp::now();
    let mut code = 0;
    for user in users {
        ui.line(&match user.ends {
            None => format!("{}: it does not say when it ends", user.who),
            Some(ends) if ends <= now => {
                code = 1;
                format!("{}: ended at {ends}", user.who)
            }
            Some(ends) => format!("{}: ends at {ends}", user.who),
        });
    }
    if code != 0 {
        ui.note("An API server refuses what has ended. Who made it can make another: `kthw kubeconfig --user NAME --group GROUP`.");
    }
    Ok(code)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} is there already")]
#[diagnostic(code(kthw::kubeconfig::is_there), help("name another file, or move that one away; nothing was made"))]
struct IsThere {
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read {file}: {why}")]
#[diagnostic(code(kthw::kubeconfig::read), help("name a kubeconfig that you may read"))]
struct ReadFile {
    file: String,
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab signs no certificates and no tokens")]
#[diagnostic(code(kthw::kubeconfig::lab), help("without `--user` and `--service-account` its administrator's kubeconfig is fetched"))]
struct NotInTheLab;
