//! A batch of changes at work on a machine, action by action; it may outlive the process that sent it.
use super::{host::Host, work};
use crate::{clock::sleep, state::State, world::World};
use kthw_engine::node::{Block, BlockOutcome};
use std::borrow::Cow;

/// How far a batch has come.
#[derive(Clone, Debug)]
pub(crate) struct Script<'b> {
    batch: Cow<'b, [Block]>,
    /// How the blocks ended that are over.
    outcomes: Vec<BlockOutcome>,
    /// How many actions of the next block are done.
    action: usize,
}

impl<'b> Script<'b> {
    pub fn new(batch: &'b [Block]) -> Self {
        Self { batch: Cow::Borrowed(batch), outcomes: Vec::with_capacity(batch.len()), action: 0 }
    }

    /// How many blocks are over.
    pub fn blocks(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether there is nothing left to do.
    pub fn is_over(&self) -> bool {
        self.outcomes.len() == self.batch.len()
    }

    /// Does the next action. `started` is told when a block begins.
    pub fn step(&mut self, host: &mut Host, started: impl Fn(usize)) {
        let position = self.outcomes.len();
        let Some(block) = self.batch.get(position) else { return };
        if self.action == 0 {
            if !block.after.iter().all(|earlier| matches!(self.outcomes.get(*earlier), Some(BlockOutcome::Done(_)))) {
                return self.outcomes.push(BlockOutcome::Skipped);
            }
            started(position);
        }
        let failed = block.actions.get(self.action).map(|action| work::act(host, action)).filter(|output| output.status != 0);
        let outcome = match failed {
            Some(output) => Some(BlockOutcome::Failed { action: self.action, output }),
            None if self.action + 1 < block.actions.len() => None,
            None => Some(BlockOutcome::Done(Vec::new())),
        };
        match outcome {
            Some(outcome) => {
                self.outcomes.push(outcome);
                self.action = 0;
            }
            None => self.action += 1,
        }
    }

    /// How its blocks ended; what did not begin is skipped.
    pub fn into_outcomes(mut self) -> Vec<BlockOutcome> {
        self.outcomes.resize(self.batch.len(), BlockOutcome::Skipped);
        self.outcomes
    }

    fn into_owned(self) -> Script<'static> {
        Script { batch: Cow::Owned(self.batch.into_owned()), outcomes: self.outcomes, action: self.action }
    }
}

/// A script between two of its actions.
#[derive(Debug)]
pub struct AtWork<'a, 's> {
    pub(super) host: &'a Host<'s>,
    pub(super) script: &'a Script<'a>,
}

impl AtWork<'_, '_> {
    /// The name by which the workspace knows the machine.
    pub fn node(&self) -> &str {
        &self.host.name
    }

    /// Whether it has done nothing yet.
    pub fn is_beginning(&self) -> bool {
        self.script.outcomes.is_empty() && self.script.action == 0
    }

    /// How far it has come, in words.
    pub fn progress(&self) -> String {
        format!("after {} of {} blocks and {} actions of the next", self.script.blocks(), self.script.batch.len(), self.script.action)
    }

    /// The world if the script ended here, with the connection that it came over.
    pub fn cut(&self) -> World {
        World::of_state(self.host.here(0))
    }

    /// The world at this moment if the script goes on, and what is left of it.
    pub fn outlived(&self) -> (World, Outlived) {
        let rest = Outlived {
            key: self.host.key.clone(),
            name: self.host.name.clone(),
            boots: self.host.machine.boots,
            script: self.script.clone().into_owned(),
        };
        let left_ms = rest.clone().takes_ms(self.host.here(0));
        (World::of_state(self.host.here(left_ms)), rest)
    }
}

/// A program that comes to a part of its work.
#[derive(Debug)]
pub struct InProgram<'a, 's> {
    pub(super) host: &'a Host<'s>,
    pub(super) part: &'a str,
}

impl InProgram<'_, '_> {
    /// The name by which the workspace knows the machine.
    pub fn node(&self) -> &str {
        &self.host.name
    }

    /// As the lab's program calls it, such as `upload-config/kubeadm` of `kubeadm init`.
    pub fn part(&self) -> &str {
        self.part
    }

    /// The world if the program and its script ended here.
    pub fn cut(&self) -> World {
        World::of_state(self.host.here(0))
    }
}

/// What is left of a script that outlives the process that sent it.
#[derive(Clone, Debug)]
pub struct Outlived {
    key: String,
    name: String,
    boots: u32,
    script: Script<'static>,
}

impl Outlived {
    /// Does the rest in `world`, in its time.
    pub async fn go_on(mut self, world: &World) {
        loop {
            // The world is let go before time passes in it.
            let step = self.step(&mut world.lock());
            let Some(took_ms) = step else { return };
            sleep(world.clone(), took_ms).await;
        }
    }

    /// Does the next action and returns how long that takes; `None` when it is over, or its machine is not what it was.
    fn step(&mut self, state: &mut State) -> Option<u64> {
        state.machines.get(&self.key).filter(|machine| machine.running && machine.boots == self.boots)?;
        if self.script.is_over() {
            return None;
        }
        let mut host = Host::take(state, &self.key, &self.name)?;
        self.script.step(&mut host, |_| {});
        Some(host.put_back())
    }

    fn takes_ms(mut self, mut state: State) -> u64 {
        let begun_ms = state.now_ms;
        while let Some(took_ms) = self.step(&mut state) {
            state.now_ms += took_ms;
        }
        state.now_ms - begun_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{node::tests::a_world, observer::Observer};
    use kthw_engine::node::{Action, Content};
    use std::sync::{Arc, Mutex};

    const KEY: &str = "bare/10.0.0.5";

    #[derive(Default)]
    struct Seen(Mutex<Vec<(String, World, World, Outlived)>>);

    impl Observer for Seen {
        fn script(&self, script: &AtWork) {
            let (world, rest) = script.outlived();
            self.0.lock().unwrap().push((script.progress(), script.cut(), world, rest));
        }
    }

    /// Which of the files are there, and until when the machine is at work after now.
    fn files(world: &World) -> (String, u64) {
        world.with_state(|state| {
            let machine = &state.machines[KEY];
            let there = ["a", "b", "c"].into_iter().filter(|name| machine.files.exists(&format!("/etc/{name}"))).collect();
            (there, machine.busy_until_ms - state.now_ms)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_dies_with_its_connection_or_goes_on_in_its_time() {
        let write = |name: &str| Action::Write { path: format!("/etc/{name}"), content: Content::plain("x"), mode: 0o644, owner: None };
        let block = |actions| Block { after: Vec::new(), guard: Vec::new(), actions, reread: Vec::new() };
        let batch = [block(vec![write("a")]), block(vec![write("b"), write("c")])];
        let (seen, mut state) = (Arc::new(Seen::default()), a_world());
        state.observers.add(seen.clone());
        let mut host = Host::take(&mut state, KEY, "cu1").unwrap();
        work::change(&mut host, &batch, &|_| {}, None);
        host.put_back();

        let seen = std::mem::take(&mut *seen.0.lock().unwrap());
        let progress: Vec<&str> = seen.iter().map(|(progress, ..)| progress.as_str()).collect();
        let after = |blocks: u8, actions: u8| format!("after {blocks} of 2 blocks and {actions} actions of the next");
        assert_eq!(progress, [after(0, 0), after(1, 0), after(1, 1)]);
        let (_, cut, world, rest) = seen.into_iter().next_back().unwrap();
        assert_eq!(files(&cut), ("ab".into(), 0));
        assert_eq!(files(&world), ("ab".into(), 5));
        rest.go_on(&world).await;
        assert_eq!(files(&world), ("abc".into(), 0));
    }
}
