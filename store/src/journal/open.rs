//! What is open, followed line by line.
use super::line::What;
use kthw_engine::{Entry, Recovery, Unsettled};
use std::collections::BTreeMap;

/// The effects that are open, by the number of their run and their own.
#[derive(Debug, Default)]
pub struct Open(BTreeMap<(u64, u64), Unsettled>);

impl Open {
    /// Takes over what the next line of the log of `run` says.
    pub fn follow(&mut self, run: u64, what: &What) {
        match what {
            What::Run(header) => self.0.extend(header.open.iter().map(|one| ((one.entry.run, one.entry.number), one.clone()))),
            What::Settled { run, effect, .. } => _ = self.0.remove(&(*run, *effect)),
            What::Begin { effect, resources, intent } => {
                let entry = Entry { number: *effect, run, resources: resources.clone(), intent: intent.clone() };
                self.0.insert((run, *effect), Unsettled { entry, names: Vec::new(), ended: false });
            }
            What::Note { effect, name } => {
                if let Some(one) = self.0.get_mut(&(run, *effect)) {
                    one.names.push(name.clone());
                }
            }
            What::End { effect, failure } => self.end((run, *effect), failure.is_some()),
            What::Planned { .. } | What::Resource(_) | What::Finish(_) | What::TakenOver { .. } => {}
        }
    }

    /// An effect is over: what it took back is gone with it, and it stays open only for what it left itself.
    fn end(&mut self, which: (u64, u64), failed: bool) {
        let Some(one) = self.0.get_mut(&which) else { return };
        one.ended = true;
        let intent = one.entry.intent.clone();
        if let Some(taken) = intent.takes_back.filter(|_| !failed) {
            let gone = Recovery::TakeBack(taken);
            self.0.retain(|_, other| other.entry.intent.recovery != gone);
        }
        if !matches!(intent.recovery, Recovery::TakeBack(_)) {
            self.0.remove(&which);
        }
    }

    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, the earliest first.
    pub fn all(self) -> Vec<Unsettled> {
        self.0.into_values().collect()
    }
}
