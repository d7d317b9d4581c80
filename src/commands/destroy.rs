//! `kthw destroy`: the same recipe with everything absent that it made.
use super::run::{code_of, exit_code, tell_begin, until_ended};
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use kthw_engine::{Error, Result, RunOptions, RunStamp, all_absent};

/// Remove what a recipe made
#[derive(Debug, Args)]
pub struct Destroy {
    /// Recipe: a path, or a name such as `ubuntu/full`
    recipe: String,
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask: the name of the workspace, as one would type it
    #[arg(long, value_name = "WORKSPACE")]
    confirm: Option<String>,
    /// Refuse to remove more resources than this
    #[arg(long, value_name = "COUNT")]
    max_destroy: Option<usize>,
}

impl Destroy {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let prepared = session::prepare(&self.recipe, &self.workspace)?;
        let world = session::connect(&prepared, &self.workspace)?;
        if self.dry_run {
            world.never_trust_at_first_sight()?;
        }
        let stamp = RunStamp::begin(world.peers().shared_clock());
        let events = ui.events(&stamp);
        let name = prepared.workspace.name.clone();
        tell_begin(&prepared, &world, &events, ui);
        let orphans = session::orphans(&prepared, &world).await;
        let gone = all_absent(prepared.evaluated);
        let plan = kthw_engine::plan(&gone, world.peers(), &events).await?;
        plan.announce(&events);
        drop(events);
        ui.plan(&plan);
        ui.orphans(&plan, &orphans);
        world.tell_trust(ui)?;
        world.save()?;
        plan.check_max_destroy(self.max_destroy)?;
        if self.dry_run || plan.work() == 0 {
            return Ok(code_of(&plan, false));
        }
        if !self.is_confirmed(&name, ui)? {
            ui.note("Nothing was removed.");
            return Ok(0);
        }
        // What follows may stand on what failed: nothing more is removed then.
        let options = RunOptions { number: Some(stamp.number()), ends_at_failure: true, ..RunOptions::default() };
        let events = ui.events(&stamp);
        let report = until_ended(kthw_engine::run(plan, world.peers(), &events, &options), &options.stop, ui).await;
        world.tell_trust(ui)?;
        ui.report(&report);
        world.tell_unplayed(ui);
        world.save()?;
        Ok(exit_code(&report))
    }

    /// Whether a person typed the workspace's name. In the lab nothing real goes.
    fn is_confirmed(&self, name: &str, ui: &Ui) -> Result<bool> {
        match &self.confirm {
            Some(given) if given == name => return Ok(true),
            Some(given) => return Err(Error::usage(OtherName { given: given.clone(), name: name.into() })),
            None if self.workspace.lab && self.workspace.speed.is_none() => return Ok(true),
            None => {}
        }
        let question = format!("\nThis cannot be taken back. Type the name of the workspace, {name}, to remove all of it: ");
        match ui.ask(&question) {
            Some(answer) => Ok(answer == name),
            None => Err(Error::usage(NotConfirmed { name: name.into() })),
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is something to remove and nobody to ask")]
#[diagnostic(
    code(kthw::destroy::not_confirmed),
    help("standard input is not a terminal; look at the plan above and call again with `--confirm {name}`, or with `--dry-run`")
)]
struct NotConfirmed {
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`--confirm {given}` is not the name of this workspace, which is `{name}`")]
#[diagnostic(code(kthw::destroy::other_name), help("nothing was removed; is it the workspace that you mean?"))]
struct OtherName {
    given: String,
    name: String,
}
