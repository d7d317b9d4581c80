//! A run that dies at any moment, and a plain run after it: the same world as if nothing had happened. For every recipe that ships, by
//! itself; for removing what it made; and for machines that are no longer named.
use super::{
    Lab, changes, cores, failures,
    scenes::{Scene, every_recipe},
};
use kthw_engine::{RunOptions, Stop, run, silent};
use kthw_lab::{Boundaries, Boundary, a_run_that_is_gone, at_rest, differences};
use kthw_stdlib::recovery::Recovery;
use kthw_store::{Hold, MemoryRecords, journal::History};
use serde_json::Value;
use std::{sync::Arc, time::Instant};

/// A scene, every moment at which its run may die, and the world that a run makes which does not.
struct Matrix {
    scene: Scene,
    lab: Lab,
    boundaries: Vec<Boundary>,
    wanted: Value,
}

impl Matrix {
    async fn of(scene: Scene) -> Self {
        let lab = scene.begin().await;
        let records = Arc::new(MemoryRecords::default());
        let hold = Hold::take(records.clone(), lab.peers.shared_clock(), a_run_that_is_gone(&[]), &|_| ()).await.unwrap();
        let boundaries = Boundaries::watch(&lab.world, lab.folder.join("known_hosts"), records, hold.journal().clone());
        let options = RunOptions { ledger: boundaries.clone(), ..hold.options(Stop::default()) };
        let report = run(scene.plan(&lab).await, &lab.peers, &silent(), &options).await;
        assert_eq!(failures(&report), "", "{scene}");
        hold.end(Some(&report)).await.unwrap();
        let wanted = at_rest(&lab.world);
        Self { scene, lab, boundaries: boundaries.take(), wanted }
    }

    /// What is wrong after a plain run that came after a death at this moment.
    async fn wrong(&self, number: usize, boundary: &Boundary) -> Outcome {
        let Self { scene, lab, wanted, .. } = self;
        let name = format!("crash-{}-{number}", scene.to_string().replace(['/', ' '], "-"));
        let next = || Lab::on(&name, boundary.world.clone(), lab.workspace.clone(), &boundary.known_hosts);
        let plain = next();
        let settle = async { self.settle(&plain, boundary.records.clone()).await };
        let outlived = async {
            if let Some(rest) = boundary.outlived.clone() {
                rest.go_on(&boundary.world).await;
            }
        };
        let (mut wrong, ()) = futures::join!(settle, outlived);
        wrong.extend(changes(&scene.plan(&plain.again()).await));
        let tokens: usize = boundary.world.with_state(|state| state.clusters.iter().map(|cluster| cluster.tokens.len()).sum());
        if tokens > 0 {
            wrong.push(format!("{tokens} tokens for joining were left"));
        }
        wrong.extend(differences(&at_rest(&boundary.world), wanted));
        wrong.extend(boundary.world.unknown().into_iter().map(|what| format!("not played: {what}")));
        Outcome { moment: boundary.moment.clone(), wrong }
    }

    /// What `kthw run` does: take the lock, settle what is open, plan, run. Returns what failed, and what is open after it.
    async fn settle(&self, plain: &Lab, records: Arc<MemoryRecords>) -> Vec<String> {
        let mut hold = Hold::take(records.clone(), plain.peers.shared_clock(), a_run_that_is_gone(&[]), &|_| ()).await.unwrap();
        let options = hold.options(Stop::default());
        let recovered = hold.recover(&Recovery, &plain.peers, &silent(), &options).await.unwrap();
        let mut wrong: Vec<String> = recovered
            .settled
            .iter()
            .filter_map(|(one, how)| Some(format!("open: {}: {}", one.entry.intent.what, how.as_ref().err()?)))
            .collect();
        let report = run(self.scene.plan(plain).await, &plain.peers, &silent(), &hold.options(Stop::default())).await;
        wrong.extend(failures(&report).lines().map(str::to_owned));
        hold.end(Some(&report)).await.unwrap();
        let history = History::new(records, "lab");
        let left = history.unsettled().await.unwrap();
        wrong.extend(left.iter().map(|one| format!("still open: {}", one.entry.intent.what)));
        wrong.extend(history.verify(None).await.unwrap().into_iter().map(|damage| format!("{damage:?}")));
        wrong
    }

    /// Dies at every moment.
    fn play(&self) -> Vec<Outcome> {
        let numbered: Vec<(usize, &Boundary)> = self.boundaries.iter().enumerate().collect();
        cores::on_all_cores(&numbered, async |(number, boundary)| self.wrong(*number, boundary).await)
    }
}

struct Outcome {
    moment: String,
    wrong: Vec<String>,
}

fn play(scenes: impl IntoIterator<Item = Scene>) {
    let (mut faults, mut moments) = (String::new(), 0);
    // One scene alone, while somebody mends it.
    let only = std::env::var("KTHW_CRASH").ok();
    for scene in scenes.into_iter().filter(|scene| only.as_ref().is_none_or(|only| *only == scene.to_string())) {
        let begun = Instant::now();
        let matrix = cores::in_lab_time(Matrix::of(scene));
        let Matrix { scene, boundaries, .. } = &matrix;
        if scene.only_looks() {
            assert!(boundaries.is_empty(), "{scene} has effects after all");
            continue;
        }
        assert!(
            !boundaries.is_empty(),
            "{scene}: nothing happens in its world, so there is nothing at which it could die; give it one in which it has something to do, in `Scene::begin` of lab/tests/full/scenes.rs"
        );
        let played = matrix.play();
        println!("{scene}: {} moments in {:.1} s", boundaries.len(), begun.elapsed().as_secs_f64());
        moments += boundaries.len();
        for Outcome { moment, wrong } in played {
            if !wrong.is_empty() {
                faults += &format!("{scene}, {moment}:\n    {}\n", wrong.join("\n    "));
            }
        }
    }
    println!("{moments} moments in all");
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn after_a_crash_at_any_moment_of_any_recipe_a_plain_run_ends_in_the_same_world() {
    play(every_recipe().into_iter().map(Scene::Recipe));
}

#[test]
fn after_a_crash_at_any_moment_of_a_removal_a_plain_run_ends_in_the_same_world() {
    // Operations make nothing that could be removed.
    let removals = every_recipe().into_iter().filter(|recipe| !recipe.starts_with("operations/")).map(Scene::Removal);
    play(removals.chain([Scene::Pruning, Scene::Leaving]));
}
