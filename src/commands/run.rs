//! `kthw run`: plan, ask, apply, report.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use kthw_engine::{Choice, Error, Event, Kind, Plan, Report, Result, RunOptions, RunStamp, SCHEMA, Stop};
use kthw_stdlib::restart::Restarts;

/// Exit code of a dry run that found changes, when `--exit-code` asks for it.
const CHANGES: u8 = 10;

/// Show what a recipe would change, then make it so
#[derive(Debug, Args)]
pub struct Run {
    /// Recipe: a path such as `recipes/ubuntu/full.rhai`, or a name such as `ubuntu/full`
    recipe: String,
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before changing anything
    #[arg(short, long)]
    yes: bool,
    /// With `--dry-run`: exit with 10 when there are changes
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
    /// Change only these phases or resources: `phases/system`, `proxmox.vm/cu1`, or a beginning such as `ssh.file/`; may be repeated
    #[arg(long, value_name = "PHASE|RESOURCE")]
    only: Vec<String>,
    /// Change only what is on this node, and its machine; may be repeated
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Also remove machines that this workspace made and does not name any more
    #[arg(long)]
    prune: bool,
    /// Refuse to remove more resources than this
    #[arg(long, value_name = "COUNT")]
    max_destroy: Option<usize>,
}

impl Run {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let prepared = session::prepare(&self.recipe, &self.workspace)?;
        let world = session::connect(&prepared, &self.workspace)?;
        if self.dry_run {
            world.never_trust_at_first_sight()?;
        }
        let stamp = RunStamp::begin(world.peers().shared_clock());
        let events = ui.events(&stamp);
        tell_begin(&prepared, &world, &events, ui);
        let mut orphans = session::orphans(&prepared, &world).await;
        let mut declared = prepared.evaluated;
        if self.prune {
            declared.extend(session::without_orphans(std::mem::replace(&mut orphans, Ok(Vec::new()))?)?);
        }
        let mut plan = match self.dry_run {
            true => kthw_engine::plan(&declared, world.peers(), &events).await?,
            false => kthw_engine::plan_for_run(&declared, world.peers(), &events).await?,
        };
        let choice = Choice { only: self.only, nodes: self.node };
        if !choice.is_everything() {
            plan = plan.only(&choice)?;
        }
        plan.announce(&events);
        let restarts = Restarts::seen_by(&plan, world.peers());
        tell_restarts(&restarts, &events);
        // A live display must not run over the plan or the question.
        drop(events);
        ui.plan(&plan);
        ui.orphans(&plan, &orphans);
        ui.restarts(&restarts);
        world.tell_trust(ui)?;
        world.save()?;
        plan.check_max_destroy(self.max_destroy)?;
        if self.dry_run || plan.work() == 0 {
            return Ok(code_of(&plan, self.exit_code));
        }
        // Nothing real changes in the lab, so there is nothing to ask for, unless somebody wants to see how it is.
        if !self.yes && (!self.workspace.lab || self.workspace.speed.is_some()) {
            match ui.confirm("\nMake these changes?") {
                Some(true) => {}
                Some(false) => {
                    ui.note("Nothing was changed.");
                    return Ok(0);
                }
                None => return Err(Error::usage(NotAsked)),
            }
        }
        let report = apply(plan, &world, &stamp, ui).await;
        ui.report(&report);
        world.tell_unplayed(ui);
        let restarts = restarts.after_run(world.peers());
        tell_restarts(&restarts, &ui.events(&stamp));
        ui.restarts(&restarts);
        world.tell_trust(ui)?;
        world.save()?;
        Ok(exit_code(&report))
    }
}

fn tell_restarts(restarts: &Restarts, events: &kthw_engine::Events) {
    if !restarts.is_empty() {
        events(Event::RestartNeeded { nodes: restarts.by_node() });
    }
}

/// Tells what a plan or a run is about, and whether its world is the lab.
pub(super) fn tell_begin(prepared: &session::Prepared, world: &session::World, events: &kthw_engine::Events, ui: &Ui) {
    let lab = matches!(world, session::World::Lab(_));
    events(Event::Begun {
        schema: SCHEMA,
        recipe: prepared.graph.root().source.name.clone(),
        workspace: prepared.workspace.name.clone(),
        lab,
    });
    if lab && !ui.is_json() {
        ui.note(&format!("This is the lab: a simulated world, kept in {}. Nothing real is read or changed.", world.place()));
    }
}

/// Applies the plan.
async fn apply(plan: Plan, world: &session::World, stamp: &RunStamp, ui: &Ui) -> Report {
    let stop = Stop::default();
    let asked = stop.clone();
    let options = RunOptions { stop, number: Some(stamp.number()), ..RunOptions::default() };
    let events = ui.events(stamp);
    until_ended(kthw_engine::run(plan, world.peers(), &events, &options), &asked, ui).await
}

/// Waits for a run to end; Ctrl-C once asks it to stop, twice ends at once.
pub(super) async fn until_ended(run: impl Future<Output = Report>, asked: &Stop, ui: &Ui) -> Report {
    tokio::pin!(run);
    loop {
        tokio::select! {
            // In one order, so that runs of the lab are alike.
            biased;
            report = &mut run => return report,
            signal = tokio::signal::ctrl_c() => {
                if signal.is_ok() && asked.is_asked() {
                    std::process::exit(130);
                }
                ui.note("Stopping after what is under way; Ctrl-C again ends at once.");
                asked.ask();
            }
        }
    }
}

/// The exit code of a plan that is not carried out: 3 when a part of it could not be looked at, 1 when a part is refused.
pub(super) fn code_of(plan: &Plan, tell_changes: bool) -> u8 {
    let any = |word: &str| plan.planned().iter().any(|one| one.change.word() == word);
    match () {
        () if any("unknown") => 3,
        () if any("refused") => 1,
        () if tell_changes && plan.changes() > 0 => CHANGES,
        () => 0,
    }
}

pub(super) fn exit_code(report: &Report) -> u8 {
    let kinds: Vec<Kind> = report.failures.iter().map(|(_, error)| error.kind()).collect();
    match () {
        () if kinds.is_empty() && report.skipped() + report.refused() > 0 => 1,
        () if kinds.is_empty() => 0,
        () if kinds.contains(&Kind::Peer) => 3,
        () if kinds.contains(&Kind::Settle) => 4,
        () if kinds.contains(&Kind::Refused) => 1,
        () => 2,
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there are changes to make and nobody to ask")]
#[diagnostic(
    code(kthw::run::not_asked),
    help("standard input is not a terminal; look at the plan above and call again with `--yes`, or with `--dry-run`")
)]
struct NotAsked;
