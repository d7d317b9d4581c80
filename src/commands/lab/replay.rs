//! `kthw lab replay`: the runs of a seed again, showing each fault as it strikes. Nothing of it is kept.
use crate::{commands::run::exit_code, options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use kthw_engine::{Error, Events, Peers, Plan, Report, Result, RunOptions, RunStamp, plan_for_run, run, silent};
use kthw_lab::{Audience, Fault, LabRecords, Observer, Played, Schedule, World, at_rest, differences, play};
use kthw_stdlib::ssh::KnownHosts;
use kthw_store::Records;
use std::sync::Arc;

/// Play the faults that a seed gives, in a world of its own
#[derive(Debug, Args)]
pub struct Replay {
    /// The seed, as a test that failed prints it
    seed: u64,
    /// Recipe: a path, or a name such as `ubuntu/full`
    #[arg(default_value = "ubuntu/full")]
    recipe: String,
    /// Workspace: a name below `workspaces/`, or a folder, or a file; the recipe's own when absent
    #[arg(short, long, value_name = "NAME|PATH")]
    workspace: Option<String>,
    /// Set a field of the workspace for this call, such as `machine.cores=4`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

impl Replay {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let Self { seed, recipe, workspace, set } = self;
        let options = WorkspaceOptions { workspace, set, lab: true, ..WorkspaceOptions::default() };
        let prepared = session::prepare(&recipe, &options)?;
        let workspace = &prepared.workspace;
        let names = session::secrets_of(workspace)?.names();
        let scratch = tempfile::tempdir().map_err(|source| Error::usage(NoScratch { source }))?;
        let ui = ui.in_lines();

        kthw_lab::pass_waits_at_once();
        let world = World::of_seed(seed);
        let schedule = Schedule::of_seed(seed, workspace);
        let begins = format!("Seed {seed}, for {recipe} on workspace {}, in a world that is not kept:\n{schedule}", workspace.name);
        tell(&ui, "lab_seed", begins.trim_end());
        world.observe(Arc::new(Strikes(ui.clone())));
        let open = |world: &World, pins: &str| {
            let known_hosts = KnownHosts::open(scratch.path().join(pins)).map_err(Error::usage)?;
            kthw_lab::peers(world, workspace, known_hosts, kthw_lab::stand_in_secrets(names.clone()))
        };
        let records: Arc<dyn Records> = LabRecords::new(&world, Arc::default());
        let played = play(&schedule, &world, &prepared.evaluated, &records, || open(&world, "known_hosts"), &mut Shown(&ui)).await?;
        // The test that prints a seed judges it by the same: what the lab was asked for and does not play, and an undisturbed world.
        world.with_state(|state| state.faults.clear());
        let mut wrong: Vec<String> =
            played.untrue.iter().map(|left| format!("a run said that it did everything, but there was: {left}")).collect();
        wrong.extend(world.unknown().into_iter().map(|what| format!("the lab does not play {what}")));
        if played.settled && wrong.is_empty() {
            let plain = World::of_seed(seed);
            let peers = open(&plain, "known_hosts of the plain one")?;
            let plan = plan_for_run(&prepared.evaluated, &peers, &silent()).await?;
            run(plan, &peers, &silent(), &RunOptions::default()).await;
            wrong.extend(differences(&at_rest(&world), &at_rest(&plain)));
        }
        ui.line(&in_words(seed, &played, &wrong, &ui));
        Ok(code(&played, &wrong))
    }
}

/// Shows faults as they strike.
struct Strikes(Ui);

impl Observer for Strikes {
    fn fault(&self, fault: &Fault) {
        tell(&self.0, "lab_fault", &format!("  ! {fault}"));
    }
}

/// Shows each run as `kthw run` does.
struct Shown<'u>(&'u Ui);

impl Audience for Shown<'_> {
    fn events(&mut self, number: usize, peers: &Peers) -> Events {
        tell(self.0, "lab_run", &format!("\nRun {number}"));
        self.0.events(&RunStamp::begin(peers.shared_clock()))
    }

    fn planned(&mut self, plan: &Plan) {
        self.0.plan(plan);
    }

    fn store_failed(&mut self, error: &Error) {
        self.0.error(error);
    }

    fn ended(&mut self, report: Option<&Report>) {
        match report {
            Some(report) => self.0.report(report),
            None => tell(self.0, "lab_killed", "The run was killed here."),
        }
    }
}

/// A line beside the answer; an event of the lab's own where events are asked for.
fn tell(ui: &Ui, event: &str, text: &str) {
    if ui.is_json() {
        ui.line(&serde_json::json!({ "event": event, "text": text.trim() }).to_string());
    } else {
        ui.note(text);
    }
}

fn in_words(seed: u64, played: &Played, wrong: &[String], ui: &Ui) -> String {
    let Played { runs, settled, .. } = played;
    if ui.is_json() {
        return serde_json::json!({ "event": "lab_played", "seed": seed, "runs": runs, "settled": settled, "wrong": wrong }).to_string();
    }
    let end = match (settled, wrong) {
        (true, []) => "nothing left to do, and the world is as without faults",
        (true, _) => "nothing left to do, but something is wrong",
        (false, _) => "something is still left",
    };
    let wrong: String = wrong.iter().map(|one| format!("  wrong: {one}\n")).collect();
    format!("{wrong}Seed {seed}: {end}, after {runs} runs.")
}

/// Nothing left is 0; else as the last run ended.
fn code(played: &Played, wrong: &[String]) -> u8 {
    match &played.last {
        _ if played.settled && wrong.is_empty() => 0,
        Some(report) => exit_code(report).max(1),
        None => 1,
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot make a folder for the world of the replay")]
#[diagnostic(code(kthw::lab::scratch), help("check the free space of the folder for temporary files, or set TMPDIR"))]
struct NoScratch {
    source: std::io::Error,
}
