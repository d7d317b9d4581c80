//! `kthw destroy`: the same recipe with everything absent that it made.
use super::run::{code_of, exit_code, saved, tell_begin};
use crate::{
    interrupt::Interrupts,
    options::WorkspaceOptions,
    session::{self, Ended, Prepared, Target},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Asked, Error, Plan, Result, RunOptions, RunStamp, SavedPlan, Verb, all_absent};
use kthw_stdlib::workspace::{Environment, Workspace};
use kthw_store::Hold;
use std::path::PathBuf;

/// Remove what a recipe made
#[derive(Debug, Args)]
pub struct Destroy {
    /// Recipe: a path, or a name such as `ubuntu/full`
    #[arg(required_unless_present = "plan")]
    recipe: Option<String>,
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// With `--dry-run`: keep the plan in this file, with all that was asked for, to be carried out with `--plan`
    #[arg(short, long, requires = "dry_run", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Carry out exactly the plan in this file, or refuse and name what moved since it was made; the name of the workspace is asked for all the
    /// same
    #[arg(long, value_name = "FILE", conflicts_with_all = saved::GIVEN_WITH_A_PLAN_TO_DESTROY)]
    plan: Option<PathBuf>,
    /// What `plan` holds.
    #[arg(skip)]
    saved: Option<SavedPlan>,
    /// Do not ask: the name of the workspace, as one would type it; in production a second time with the word `production`
    #[arg(long, value_name = "WORKSPACE")]
    confirm: Vec<String>,
    /// Refuse to remove more resources than this
    #[arg(long, value_name = "COUNT")]
    max_destroy: Option<usize>,
}

impl Destroy {
    pub async fn run(mut self, ui: &Ui) -> Result<u8> {
        if let Some(file) = &self.plan {
            let saved = saved::read(file, Verb::Destroy)?;
            self.ask_as(saved.asked());
            self.saved = Some(saved);
        }
        let mut prepared = session::prepare(self.recipe.as_deref().unwrap_or_default(), &self.workspace)?;
        saved::check_inputs(self.saved.as_ref(), &prepared)?;
        let target = session::connect(&prepared, &self.workspace)?;
        if self.dry_run {
            target.never_trust_at_first_sight()?;
            session::tell_open(&prepared, &self.workspace, ui).await;
            let stamp = RunStamp::begin(target.peers().shared_clock());
            let plan = self.plan(&mut prepared, &target, &stamp, ui).await?;
            if let Some(file) = &self.output {
                saved::write(file, &plan, self.asked(&prepared.asked), &prepared, ui)?;
            }
            return Ok(code_of(&plan, false));
        }
        let change = session::Change::of(&prepared, &self.workspace, "destroy")?;
        let work = async |hold: &Hold, interrupts: &Interrupts| self.remove(&mut prepared, &target, hold, interrupts, ui).await;
        change.under_lock(&target, ui, work).await
    }

    /// Makes the plan and shows it.
    async fn plan(&self, prepared: &mut Prepared, target: &Target, stamp: &RunStamp, ui: &Ui) -> Result<Plan> {
        let events = ui.events(stamp);
        tell_begin(prepared, target, &events, ui);
        let orphans = session::orphans(prepared, target).await;
        let gone = all_absent(std::mem::take(&mut prepared.evaluated));
        let plan = kthw_engine::plan(&gone, target.peers(), &events).await?;
        if let Some(saved) = &self.saved {
            saved.check(&plan)?;
        }
        plan.announce(&events);
        drop(events);
        ui.plan(&plan);
        ui.orphans(&plan, &orphans);
        target.tell_trust(ui)?;
        target.save()?;
        plan.check_max_destroy(self.max_destroy)?;
        Ok(plan)
    }

    /// What is asked for, of `workspace`.
    fn asked(&self, workspace: &str) -> Asked {
        Asked {
            verb: Verb::Destroy,
            recipe: self.recipe.clone().unwrap_or_default(),
            workspace: workspace.into(),
            set: self.workspace.set.clone(),
            lab: self.workspace.lab,
            only: Vec::new(),
            nodes: Vec::new(),
            prune: false,
            max_destroy: self.max_destroy,
        }
    }

    /// Asks for what was asked for when a plan was kept.
    fn ask_as(&mut self, asked: &Asked) {
        (self.recipe, self.max_destroy) = (Some(asked.recipe.clone()), asked.max_destroy);
        self.workspace.ask_as(asked);
    }

    /// Plans, asks, and removes.
    async fn remove(&self, prepared: &mut Prepared, target: &Target, hold: &Hold, interrupts: &Interrupts, ui: &Ui) -> Result<Ended> {
        let stamp = RunStamp::numbered(hold.number(), target.peers().shared_clock());
        let words = words_to_type(&prepared.workspace);
        if self.saved.is_some() {
            target.never_trust_at_first_sight()?;
        }
        let plan = self.plan(prepared, target, &stamp, ui).await?;
        target.trust_at_first_sight()?;
        if plan.work() == 0 {
            return Ok(Ended::early(code_of(&plan, false)));
        }
        let (given, in_lab) = (self.confirm.clone(), self.workspace.lab && self.workspace.speed.is_none());
        if !session::ask(ui, move |ui| is_confirmed(&given, &words, in_lab, ui)).await.transpose()?.unwrap_or(false) {
            ui.note("Nothing was removed.");
            return Ok(Ended::early(0));
        }
        hold.journal().planned(plan.digest(), plan.work())?;
        let _changes = interrupts.changing();
        // What follows may stand on what failed: nothing more is removed then.
        let options = RunOptions { ends_at_failure: true, ..hold.options(interrupts.stop()) };
        let events = hold.journal().with_resources(ui.events(&stamp));
        let report = kthw_engine::run(plan, target.peers(), &events, &options).await;
        drop(events);
        target.tell_trust(ui)?;
        ui.report(&report);
        target.tell_unplayed(ui);
        target.save()?;
        Ok(Ended { code: exit_code(&report), report: Some(report) })
    }
}

/// Whether a person typed what there is to type. In the lab nothing real goes.
fn is_confirmed(confirmed: &[String], words: &[String], in_lab: bool, ui: &Ui) -> Result<bool> {
    let is_what = ["the name of this workspace", "the word that production asks for"];
    if let Some(((given, word), what)) = confirmed.iter().zip(words).zip(is_what).find(|((given, word), _)| given != word) {
        return Err(Error::usage(OtherWord { given: given.clone(), what, word: word.clone() }));
    }
    if confirmed.is_empty() && in_lab {
        return Ok(true);
    }
    for (number, word) in words.iter().enumerate().skip(confirmed.len()) {
        let question = match number {
            0 => format!("\nThis cannot be taken back. Type the name of the workspace, {word}, to remove all of it: "),
            _ => format!("{} is a cluster in {word}. Type {word} as well: ", words[0]),
        };
        match ui.ask(&question) {
            Some(answer) if answer == *word => {}
            Some(_) => return Ok(false),
            None => return Err(Error::usage(NotConfirmed::new(words))),
        }
    }
    Ok(true)
}

/// What a person has to type: the workspace's name, and that it is in production if it is.
fn words_to_type(workspace: &Workspace) -> Vec<String> {
    let production = (workspace.environment == Environment::Production).then(|| "production".to_owned());
    [workspace.name.clone()].into_iter().chain(production).collect()
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is something to remove and nobody to ask")]
#[diagnostic(
    code(kthw::destroy::not_confirmed),
    help("standard input is not a terminal; look at the plan above and call again with `{call}`, or with `--dry-run`")
)]
struct NotConfirmed {
    call: String,
}

impl NotConfirmed {
    fn new(words: &[String]) -> Self {
        Self { call: words.iter().map(|word| format!("--confirm {word}")).collect::<Vec<_>>().join(" ") }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`--confirm {given}` is not {what}, which is `{word}`")]
#[diagnostic(code(kthw::destroy::other_name), help("nothing was removed; is it the workspace that you mean?"))]
struct OtherWord {
    given: String,
    what: &'static str,
    word: String,
}
