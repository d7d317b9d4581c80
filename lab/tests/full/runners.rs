//! Sixteen runners on one Proxmox VE at once: workspaces of their own with the same names of nodes and ids that overlap, machines of others
//! beside them, and faults. Whatever happens, every machine has one owner, and nobody touches another's.
//!
//! `KTHW_LAB_SEEDS=FROM..TO` plays other seeds.
use super::{Lab, cores::on_all_cores, failures, seeds::seeds, shelf};
use kthw_engine::{Report, RunOptions, run, silent};
use kthw_lab::{Dice, EndsAt, Moment, Observer, ProxmoxWrite, Schedule, State, Vm, World};
use kthw_stdlib::workspace::Workspace;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The seeds that everybody plays.
const SEEDS: Range<u64> = 0..200;
const MACHINES: &str = "phases/machines";
const RUNNERS: u64 = 16;
/// How many workspaces of a name there are, which differ in their machines.
const SHAPES: u64 = 4;
/// Machines that are there from the beginning, among the ids that the workspaces want.
const FOREIGN: [u32; 3] = [404, 413, 422];

/// `w0` to `w15`, each in several shapes: one to three machines, whose ids come from a narrow range.
static WORKSPACES: LazyLock<Vec<Vec<Arc<Workspace>>>> =
    LazyLock::new(|| (0..RUNNERS).map(|name| (0..SHAPES).map(|shape| a_workspace(name, shape)).collect()).collect());

fn a_workspace(name: u64, shape: u64) -> Arc<Workspace> {
    let mut dice = Dice::of_seed(name * SHAPES + shape);
    let mut set = vec![
        format!("name=w{name}"),
        format!("network.nodes=10.10.{name}.0/24"),
        format!("network.gateway=10.10.{name}.1"),
        format!("template.build_address=10.10.{name}.119"),
    ];
    if dice.once_in(2) {
        set.extend([format!("template.name=tpl-w{name}"), format!("template.vmid={}", 9500 + name)]);
    }
    if dice.once_in(2) {
        set.push("proxmox.clone=linked".into());
    }
    let mut ids = BTreeSet::new();
    while ids.len() < 3 {
        ids.insert(400 + dice.below(24));
    }
    for (node, (id, host)) in ["cu1", "wu1", "wu2"].iter().zip(ids.iter().zip(116..)) {
        set.extend([format!("nodes.{node}.vmid={id}"), format!("nodes.{node}.address=10.10.{name}.{host}")]);
    }
    let mut workspace = (*shelf::workspace(&set.iter().map(String::as_str).collect::<Vec<_>>())).clone();
    workspace.nodes.truncate(usize::try_from(1 + dice.below(3)).unwrap());
    Arc::new(workspace)
}

/// Who made each machine that is there, and everything that happened and must not.
#[derive(Default)]
struct Owners(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    makers: BTreeMap<u32, String>,
    foreign: BTreeMap<u32, String>,
    wrong: BTreeSet<String>,
}

impl Owners {
    fn watch(world: &World) -> Arc<Self> {
        let owners = Arc::new(Self::default());
        owners.watched().foreign = world.with_state(|state| state.pve.vms.iter().map(|(vmid, vm)| (*vmid, as_it_is(vm))).collect());
        world.observe(owners.clone());
        owners
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_it_is(vm: &Vm) -> String {
    serde_json::to_string(vm).unwrap()
}

/// The workspace and node in a machine's mark, without what is random.
fn mark(vm: &Vm) -> Option<&str> {
    let line = vm.config.get("description")?.lines().find(|line| line.starts_with("kthw:"))?;
    line.rsplit_once(':').map(|(whose, _)| whose)
}

impl Observer for Owners {
    fn proxmox(&self, write: &ProxmoxWrite, state: &State) {
        let Watched { makers, foreign, wrong } = &mut *self.watched();
        let vms = &state.pve.vms;
        // What is gone is nobody's.
        makers.retain(|vmid, _| vms.contains_key(vmid));
        if let ProxmoxWrite::Request { by, path, vmid: Some(vmid), refused, .. } = write {
            let makes = path.ends_with("/clone") || path.ends_with("/qemu");
            match makers.get(vmid) {
                _ if makes && *refused => {}
                None if makes => drop(makers.insert(*vmid, (*by).to_owned())),
                Some(maker) if makes => drop(wrong.insert(format!("VM {vmid} of {maker} is made again: {write}"))),
                Some(maker) if maker == by => {}
                Some(maker) => drop(wrong.insert(format!("VM {vmid} is {maker}'s: {write}"))),
                None if vms.contains_key(vmid) => drop(wrong.insert(format!("VM {vmid} is somebody else's: {write}"))),
                None => {}
            }
        }
        for (vmid, before) in foreign.iter() {
            if vms.get(vmid).map(as_it_is).as_ref() != Some(before) {
                wrong.insert(format!("VM {vmid} of somebody else is not as it was: {write}"));
            }
        }
        let mut marks = BTreeMap::new();
        for (vmid, vm) in vms {
            if let Some(other) = mark(vm).and_then(|mark| marks.insert(mark, vmid)) {
                wrong.insert(format!("VM {other} and VM {vmid} are the same machine: {write}"));
            }
        }
    }
}

/// One process: it begins at some moment, and perhaps it is killed.
struct Runner {
    workspace: Arc<Workspace>,
    begins: Duration,
    killed: Option<(u64, Moment)>,
}

impl Runner {
    fn draw(dice: &mut Dice, workspaces: u64) -> Self {
        let workspace = WORKSPACES[usize::try_from(dice.below(workspaces)).unwrap()][usize::try_from(dice.below(SHAPES)).unwrap()].clone();
        let killed = dice.once_in(8).then(|| (1 + dice.below(20), *dice.one_of(&[Moment::Before, Moment::Underway, Moment::After])));
        Self { workspace, begins: Duration::from_millis(dice.below(90_000)), killed }
    }

    /// Runs once.
    async fn run(&self, name: &str, world: &World) -> Option<Report> {
        let lab = Lab::on(name, world.clone(), self.workspace.clone(), "");
        lab.peers.clock().sleep(self.begins).await;
        let plan = kthw_engine::plan_for_run(&lab.evaluated(MACHINES), &lab.peers, &silent()).await.ok()?;
        let Some((number, moment)) = self.killed else {
            return Some(run(plan, &lab.peers, &silent(), &RunOptions::default()).await);
        };
        let ends = EndsAt::new(number, moment);
        let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
        ends.cut(run(plan, &lab.peers, &silent(), &options)).await
    }
}

/// A plain run of each workspace; what failed, but for VM ids that others have.
async fn settle(seed: u64, shapes: &BTreeMap<String, Arc<Workspace>>, world: &World) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for (name, workspace) in shapes {
        let plain = Runner { workspace: workspace.clone(), begins: Duration::from_secs(60), killed: None };
        match plain.run(&format!("runners-{seed}-{name}"), world).await {
            None => drop(failed.insert(format!("{name}: nothing could be planned"))),
            Some(report) => {
                let is_taken = |failure: &&str| failure.contains("has the VM id");
                failed.extend(failures(&report).lines().filter(|line| !is_taken(line)).map(|failure| format!("{name}: {failure}")));
            }
        }
    }
    failed
}

/// What went wrong with a seed.
async fn wrong(seed: u64) -> Vec<String> {
    let mut dice = Dice::of_seed(seed);
    let world = World::of_seed(seed);
    FOREIGN.iter().for_each(|vmid| world.add_foreign_vm(*vmid, &format!("theirs-{vmid}")));
    let workspaces = 1 + dice.below(RUNNERS);
    // A workspace has one shape at a time: its machines are declared once.
    let mut shapes: BTreeMap<String, Arc<Workspace>> = BTreeMap::new();
    let runners: Vec<Runner> = (0..RUNNERS)
        .map(|_| {
            let runner = Runner::draw(&mut dice, workspaces);
            let workspace = shapes.entry(runner.workspace.name.to_string()).or_insert(runner.workspace).clone();
            Runner { workspace, ..runner }
        })
        .collect();
    let schedule = Schedule::of_seed(seed, &runners[0].workspace);
    schedule.faults.iter().for_each(|fault| world.add_fault(fault.clone()));
    let owners = Owners::watch(&world);
    let names: Vec<String> = (0..RUNNERS).map(|number| format!("runners-{seed}-{number}")).collect();
    futures::future::join_all(runners.iter().zip(&names).map(|(runner, name)| runner.run(name, &world))).await;

    // Afterwards, one after the other and undisturbed, everybody gets what is theirs to get. A template that a killed run left half made is
    // finished by its own workspace alone, which may come later than one that waits for it; so what failed is tried once more.
    world.with_state(|state| state.faults.clear());
    let mut failed = settle(seed, &shapes, &world).await;
    if !failed.is_empty() {
        failed = settle(seed, &shapes, &world).await;
    }
    let mut wrong = failed;
    wrong.extend(std::mem::take(&mut owners.watched().wrong));
    wrong.extend(world.unknown().into_iter().map(|what| format!("not played: {what}")));
    wrong.into_iter().map(|what| format!("seed {seed}: {what}\n")).collect()
}

#[test]
fn sixteen_runners_never_touch_what_is_not_theirs() {
    let seeds = seeds(SEEDS);
    WORKSPACES.iter().flatten().for_each(|workspace| drop(shelf::declared(MACHINES, workspace)));
    let begun = Instant::now();
    let wrong = on_all_cores(&seeds, async |seed| wrong(*seed).await).concat();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} seeds with {RUNNERS} runners each in {seconds:.1} s, {:.1} a second", seeds.len(), seeds.len() as f64 / seconds);
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
