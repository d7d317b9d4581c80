//! The lock and the journal around a command that changes a workspace, and what an earlier run left, which is settled first.
use super::{Loaded, Prepared, Target, store_of};
use crate::{interrupt::Interrupts, options::WorkspaceOptions, ui::Ui};
use kthw_engine::{Entry, Event, RecipeStamp, Report, Result, RunStamp, Unsettled};
use kthw_stdlib::recovery::Recovery;
use kthw_store::{
    About, Hold, Records,
    journal::History,
    lease::{EXPIRES, Holder, Owner},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How a command under the lock ended.
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// What was done; `None` when nothing was begun.
    pub report: Option<Report>,
}

impl Ended {
    /// Nothing was begun.
    pub fn early(code: u8) -> Self {
        Self { code, report: None }
    }
}

/// What it takes to change a workspace.
pub struct Change {
    records: Arc<dyn Records>,
    about: About,
}

impl Change {
    /// Changing the workspace of `prepared` by `verb`.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn of(prepared: &Prepared, options: &WorkspaceOptions, verb: &str) -> Result<Self> {
        let recipes = prepared.graph.recipes().iter().map(|recipe| RecipeStamp::of(recipe)).collect();
        Ok(Self { records: store_of(&prepared.workspace, options)?.records()?, about: about(&prepared.workspace, recipes, verb) })
    }

    /// Changing a workspace without a recipe.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn without_recipe(workspace: &Loaded, options: &WorkspaceOptions, verb: &str) -> Result<Self> {
        Ok(Self { records: store_of(workspace, options)?.records()?, about: about(workspace, Vec::new(), verb) })
    }

    /// Takes the lock of the workspace, settles what earlier runs left open, does `work`, and gives the lock back.
    ///
    /// # Errors
    /// When another run has the lock, when the store or the last journal cannot be used, and as `work`.
    pub async fn under_lock(self, target: &Target, ui: &Ui, work: impl AsyncFnOnce(&Hold, &Interrupts) -> Result<Ended>) -> Result<u8> {
        let waiting = |holder: &Holder| ui.note(&wait_in_words(holder));
        let mut hold = Hold::take(self.records, target.peers().shared_clock(), self.about, &waiting).await?;
        let interrupts = Interrupts::default();
        let lease = hold.lease().clone();
        let all = async {
            recover(&mut hold, target, &interrupts, ui).await?;
            work(&hold, &interrupts).await
        };
        let ended = interrupts.ending(ui, lease.renewing(all)).await;
        let given = hold.end(ended.as_ref().ok().and_then(|ended| ended.report.as_ref())).await;
        let code = ended?.code;
        given.map(|()| code)
    }
}

fn about(workspace: &Loaded, recipes: Vec<RecipeStamp>, verb: &str) -> About {
    About {
        workspace: workspace.name.clone(),
        verb: verb.to_owned(),
        owner: Owner::me(),
        kthw: env!("CARGO_PKG_VERSION").to_owned(),
        recipes,
        workspace_sha256: hex::encode(Sha256::digest(workspace.as_json().to_string())),
    }
}

fn wait_in_words(holder: &Holder) -> String {
    let owner = holder.owner.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "Workspace {} is locked: {owner} is at `{}`. Waiting for at most {} s to see whether it is alive; `kthw lock break` takes the lock at once.",
        holder.workspace,
        holder.what,
        EXPIRES.as_secs()
    )
}

/// Settles what earlier runs left open. What cannot be settled now is told, and stays for the next run.
async fn recover(hold: &mut Hold, target: &Target, interrupts: &Interrupts, ui: &Ui) -> Result<()> {
    if hold.open().is_empty() {
        return Ok(());
    }
    let events = ui.events(&RunStamp::numbered(hold.number(), target.peers().shared_clock()));
    let options = hold.options(interrupts.stop());
    let _changes = interrupts.changing();
    let recovered = hold.recover(&Recovery, target.peers(), &events, &options).await?;
    for (one, how) in recovered.settled {
        let (run_left, effect, what) = (one.entry.run, one.entry.number, format!("{} ({})", one.entry.intent.what, one.entry.intent.peer));
        let settled = how.is_ok();
        let how = match &how {
            Ok(how) => how.clone(),
            Err(error) => error.to_string(),
        };
        events(Event::Recovered { run_left, effect, what, how, settled });
    }
    target.save()
}

/// Tells what earlier runs left open, for a dry run, which settles nothing.
pub async fn tell_open(prepared: &Prepared, options: &WorkspaceOptions, ui: &Ui) {
    let open = async {
        let records = store_of(&prepared.workspace, options)?.records()?;
        History::new(records, &prepared.workspace.name).unsettled().await
    };
    match open.await {
        Ok(open) => open.iter().for_each(|one| {
            let Unsettled { entry: Entry { run, number, intent, .. }, .. } = one;
            ui.note(&format!("Run {run} left its effect {number} open: {} ({}). A run settles it first.", intent.what, intent.peer));
        }),
        // What is there to change does not depend on it.
        Err(error) => ui.note(&format!("Cannot tell what earlier runs left open: {error}")),
    }
}

/// Asks a person while the lock goes on being renewed.
pub async fn ask<T: Send + 'static>(ui: &Ui, question: impl FnOnce(&Ui) -> T + Send + 'static) -> Option<T> {
    let ui = ui.clone();
    tokio::task::spawn_blocking(move || question(&ui)).await.ok()
}
