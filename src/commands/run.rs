//! `kthw run`: plan, ask, apply, report.
use crate::{
    interrupt::Interrupts,
    options::WorkspaceOptions,
    session::{self, Ended, Prepared, Target},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Asked, Choice, Error, Event, Id, Kind, Plan, Report, Result, RunStamp, SCHEMA, SavedPlan, Verb};
use kthw_stdlib::{restart::Restarts, workspace::Environment};
use kthw_store::Hold;
use std::path::PathBuf;

pub(super) mod saved;

/// Exit code of a dry run that found changes, when `--exit-code` asks for it.
const CHANGES: u8 = 10;
/// Exit code of a run that another one overtook.
const OVERTAKEN: u8 = 5;

/// Show what a recipe would change, then make it so
#[derive(Debug, Args)]
pub struct Run {
    /// Recipe: a path such as `recipes/ubuntu/full.rhai`, or a name such as `ubuntu/full`
    #[arg(required_unless_present = "plan")]
    recipe: Option<String>,
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
    /// With `--dry-run`: keep the plan in this file, with all that was asked for, to be carried out with `--plan`
    #[arg(short, long, requires = "dry_run", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Carry out exactly the plan in this file, without asking, or refuse and name what moved since it was made. Recipe, workspace and
    /// everything else are as they were given then
    #[arg(long, value_name = "FILE", conflicts_with_all = saved::GIVEN_WITH_A_PLAN)]
    plan: Option<PathBuf>,
    /// What `plan` holds.
    #[arg(skip)]
    saved: Option<SavedPlan>,
    /// Change only these phases or resources: `phases/system`, `proxmox.vm/cu1`, or a beginning such as `ssh.file/`; may be repeated
    #[arg(long, value_name = "PHASE|RESOURCE")]
    only: Vec<String>,
    /// Change only what is on this node, and its machine; may be repeated
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Also remove machines that this workspace made and does not name any more
    #[arg(long)]
    prune: bool,
    /// Refuse to remove more resources than this; 0 in production unless it is given
    #[arg(long, value_name = "COUNT")]
    max_destroy: Option<usize>,
}

impl Run {
    pub async fn run(mut self, ui: &Ui) -> Result<u8> {
        if let Some(file) = &self.plan {
            let saved = saved::read(file, Verb::Run)?;
            self.ask_as(saved.asked());
            self.saved = Some(saved);
        }
        let prepared = session::prepare(self.recipe.as_deref().unwrap_or_default(), &self.workspace)?;
        saved::check_inputs(self.saved.as_ref(), &prepared)?;
        self.carry_out(prepared, "run", ui).await
    }

    /// A run of one part of a recipe, for another command.
    pub(super) fn of_a_part(workspace: WorkspaceOptions, dry_run: bool, yes: bool, part: &str) -> Self {
        Self {
            recipe: None,
            workspace,
            dry_run,
            yes,
            exit_code: false,
            output: None,
            plan: None,
            saved: None,
            only: vec![part.to_owned()],
            node: Vec::new(),
            prune: false,
            max_destroy: None,
        }
    }

    /// Shows what `prepared` would change; if it is no dry run, makes it so. `verb` is what was asked for.
    pub(super) async fn carry_out(&self, mut prepared: Prepared, verb: &str, ui: &Ui) -> Result<u8> {
        let target = session::connect(&prepared, &self.workspace)?;
        if self.dry_run {
            target.never_trust_at_first_sight()?;
            session::tell_open(&prepared, &self.workspace, ui).await;
            let stamp = RunStamp::begin(target.peers().shared_clock());
            let (plan, _) = self.plan(&mut prepared, &target, &stamp, ui).await?;
            if let Some(file) = &self.output {
                saved::write(file, &plan, self.asked(&prepared.asked), &prepared, ui)?;
            }
            return Ok(code_of(&plan, self.exit_code));
        }
        let change = session::Change::of(&prepared, &self.workspace, verb)?;
        let work = async |hold: &Hold, interrupts: &Interrupts| self.change(&mut prepared, &target, hold, interrupts, ui).await;
        change.under_lock(&target, ui, work).await
    }

    /// Makes the plan and shows it.
    async fn plan(&self, prepared: &mut Prepared, target: &Target, stamp: &RunStamp, ui: &Ui) -> Result<(Plan, Restarts)> {
        let in_production = prepared.workspace.environment == Environment::Production;
        let events = ui.events(stamp);
        tell_begin(prepared, target, &events, ui);
        let mut orphans = session::orphans(prepared, target).await;
        if self.prune {
            prepared.evaluated.extend(session::without_orphans(std::mem::replace(&mut orphans, Ok(Vec::new()))?)?);
        }
        // A plan that was kept is made anew as a dry run made it, so that the two can be compared.
        let mut plan = match self.dry_run || self.saved.is_some() {
            true => kthw_engine::plan(&prepared.evaluated, target.peers(), &events).await?,
            false => kthw_engine::plan_for_run(&prepared.evaluated, target.peers(), &events).await?,
        };
        let choice = Choice { only: self.only.clone(), nodes: self.node.clone() };
        if !choice.is_everything() {
            plan = plan.only(&choice)?;
        }
        if let Some(saved) = &self.saved {
            saved.check(&plan)?;
        }
        plan.announce(&events);
        let restarts = Restarts::seen_by(&plan, target.peers());
        tell_restarts(&restarts, &events);
        // A live display must not run over the plan or the question.
        drop(events);
        ui.plan(&plan);
        ui.orphans(&plan, &orphans);
        ui.restarts(&restarts, &prepared.asked);
        target.tell_trust(ui)?;
        target.save()?;
        plan.check_max_destroy(self.max_destroy.or(in_production.then_some(0)))?;
        Ok((plan, restarts))
    }

    /// What is asked for, of `workspace`.
    fn asked(&self, workspace: &str) -> Asked {
        Asked {
            verb: Verb::Run,
            recipe: self.recipe.clone().unwrap_or_default(),
            workspace: workspace.into(),
            set: self.workspace.set.clone(),
            lab: self.workspace.lab,
            only: self.only.clone(),
            nodes: self.node.clone(),
            prune: self.prune,
            max_destroy: self.max_destroy,
        }
    }

    /// Asks for what was asked for when a plan was kept.
    fn ask_as(&mut self, asked: &Asked) {
        self.recipe = Some(asked.recipe.clone());
        self.workspace.ask_as(asked);
        (self.only, self.node) = (asked.only.clone(), asked.nodes.clone());
        (self.prune, self.max_destroy) = (asked.prune, asked.max_destroy);
    }

    /// Plans, asks, and makes it so.
    async fn change(&self, prepared: &mut Prepared, target: &Target, hold: &Hold, interrupts: &Interrupts, ui: &Ui) -> Result<Ended> {
        let stamp = RunStamp::numbered(hold.number(), target.peers().shared_clock());
        if self.saved.is_some() {
            target.never_trust_at_first_sight()?;
        }
        let (plan, restarts) = self.plan(prepared, target, &stamp, ui).await?;
        target.trust_at_first_sight()?;
        if plan.work() == 0 {
            return Ok(Ended::early(code_of(&plan, self.exit_code)));
        }
        if let Some(id) = plan.blocker() {
            return Err(Error::refused(Blocked { id: id.clone() }));
        }
        // Whoever hands over a plan has seen it. Nothing real changes in the lab, so there is nothing to ask for, unless somebody wants to see
        // how it is.
        if !self.yes && self.saved.is_none() && (!self.workspace.lab || self.workspace.speed.is_some()) {
            match session::ask(ui, |ui| ui.confirm("\nMake these changes?")).await.flatten() {
                Some(true) => {}
                Some(false) => {
                    ui.note("Nothing was changed.");
                    return Ok(Ended::early(0));
                }
                None => return Err(Error::usage(NotAsked)),
            }
        }
        hold.journal().planned(plan.digest(), plan.work())?;
        let _changes = interrupts.changing();
        let events = hold.journal().with_resources(ui.events(&stamp));
        let report = kthw_engine::run(plan, target.peers(), &events, &hold.options(interrupts.stop())).await;
        drop(events);
        ui.report(&report);
        target.tell_unplayed(ui);
        let restarts = restarts.after_run(&report, target.peers());
        tell_restarts(&restarts, &ui.events(&stamp));
        ui.restarts(&restarts, &prepared.asked);
        target.tell_trust(ui)?;
        let code = exit_code(&report);
        // The lab's world is another run's then, as the real one would be.
        if code != OVERTAKEN {
            target.save()?;
        }
        Ok(Ended { code, report: Some(report) })
    }
}

fn tell_restarts(restarts: &Restarts, events: &kthw_engine::Events) {
    if !restarts.is_empty() {
        events(Event::RestartNeeded { nodes: restarts.by_node() });
    }
}

/// Tells what a plan or a run is about, and whether its world is the lab.
pub(super) fn tell_begin(prepared: &session::Prepared, target: &session::Target, events: &kthw_engine::Events, ui: &Ui) {
    let lab = matches!(target, session::Target::Lab(_));
    events(Event::Begun {
        schema: SCHEMA,
        recipe: prepared.graph.root().source.name.clone(),
        workspace: prepared.workspace.name.clone(),
        lab,
    });
    if lab && !ui.is_json() {
        ui.note(&format!("This is the lab: a simulated world, kept in {}. Nothing real is read or changed.", target.place()));
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
        () if kinds.contains(&Kind::Overtaken) => OVERTAKEN,
        () if kinds.contains(&Kind::Peer) => 3,
        () if kinds.contains(&Kind::Settle) => 4,
        () if kinds.contains(&Kind::Refused) => 1,
        () => 2,
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nothing was changed: {id} differs in what everything else was told too")]
#[diagnostic(
    code(kthw::run::blocker),
    help("the rest of the plan would bring that to one half of the cluster; set the field back as the plan says")
)]
struct Blocked {
    id: Id,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there are changes to make and nobody to ask")]
#[diagnostic(
    code(kthw::run::not_asked),
    help("standard input is not a terminal; look at the plan above and call again with `--yes`, or with `--dry-run`")
)]
struct NotAsked;
