//! One round trip to a machine: its turn, the faults that strike it, and the time that it takes.
use super::{LabNodes, broken, key_of, unreachable};
use crate::{
    clock::{silence, sleep},
    fault::{Harm, Trigger},
    node::host::Host,
    state::State,
};
use kthw_engine::{Error, Result, progress};
use kthw_stdlib::ssh::{SshError, TURN_LIMIT_S};

impl LabNodes {
    /// Does `work` on a node, in virtual time, with the faults that strike it.
    pub(crate) async fn on<T>(&self, node: &str, work: impl FnOnce(&mut Host) -> T + Send) -> Result<T> {
        self.round_trip(node, Errand::Look, |host, _| work(host)).await
    }

    /// One round trip. `work` is told after how many blocks it stops, if it does.
    pub(super) async fn round_trip<T>(
        &self,
        node: &str,
        errand: Errand,
        work: impl FnOnce(&mut Host, Option<usize>) -> T + Send,
    ) -> Result<T> {
        if let Errand::Script { run, .. } = errand {
            self.wait_for_turn(node, run).await?;
        }
        let (answer, span_ms) = {
            let state = &mut *self.world.lock();
            let key = self.reach(state, node)?;
            let fault = strike(state, node, errand);
            match &fault {
                Some(Harm::BrokenBefore) => (Some(Err(broken(node))), 0),
                Some(Harm::Refused { text, .. }) => (Some(Err(unreachable(node, &self.addresses[node], text))), 0),
                Some(Harm::Hangs { carried_out: false }) => (None, 0),
                _ => {
                    let Some(mut host) = Host::take(state, &key, node) else { return Err(broken(node)) };
                    if let Errand::Script { run, .. } = errand
                        && let Err(overtaken) = in_turn(&mut host, run)
                    {
                        host.put_back();
                        return Err(overtaken);
                    }
                    let stops_after = if let Some(Harm::StopsAfter { blocks }) = fault { Some(blocks) } else { None };
                    let answer = work(&mut host, stops_after);
                    let span_ms = finish(host, errand);
                    match fault {
                        None => (Some(Ok(answer)), span_ms),
                        Some(Harm::Hangs { .. }) => (None, span_ms),
                        Some(_) => (Some(Err(broken(node))), span_ms),
                    }
                }
            }
        };
        sleep(self.world.clone(), span_ms).await;
        match answer {
            Some(answer) => answer,
            None => silence(self.world.clone()).await,
        }
    }

    /// Waits for the script that is at work on a node, as the lock on a real one makes scripts wait. What a person asked for directly
    /// waits for nobody.
    async fn wait_for_turn(&self, node: &str, run: u64) -> Result<()> {
        let limit_ms = self.world.now_ms() + TURN_LIMIT_S * 1000;
        loop {
            let (now_ms, busy_until_ms) = {
                let state = &*self.world.lock();
                // Whether it can be reached at all shows when it is its turn.
                let machine = self.addresses.get(node).and_then(|address| state.machines.get(&key_of(state, address)?));
                (state.now_ms, machine.map_or(0, |machine| machine.busy_until_ms))
            };
            if run == 0 || busy_until_ms <= now_ms {
                return Ok(());
            }
            progress(format!("waiting for another script of kthw on {node}, for at most {TURN_LIMIT_S} s"));
            sleep(self.world.clone(), busy_until_ms.min(limit_ms).saturating_sub(now_ms)).await;
            if busy_until_ms > limit_ms {
                return Err(Error::peer(SshError::Held { node: node.to_owned(), seconds: TURN_LIMIT_S }));
            }
        }
    }
}

/// What a round trip is for.
#[derive(Clone, Copy)]
pub(super) enum Errand {
    /// To look, or to log in.
    Look,
    /// To change something, for the run with this number: a batch, or one action.
    Script { run: u64, batch: bool },
}

/// The fault that strikes a round trip, if one does.
fn strike(state: &mut State, node: &str, errand: Errand) -> Option<Harm> {
    let is_batch = matches!(errand, Errand::Script { batch: true, .. });
    let strikes = |on: &Trigger| on.is_node(node) || is_batch && matches!(on, Trigger::Batch { node: wanted } if wanted == node);
    state.strike_as(strikes, |outcome| match outcome {
        Harm::Refused { .. } | Harm::BrokenBefore | Harm::BrokenAfter | Harm::Hangs { .. } => Some(outcome.clone()),
        Harm::StopsAfter { .. } => is_batch.then(|| outcome.clone()),
        _ => None,
    })
}

/// Puts a machine back, at work for as long as the work takes, and returns how long that is.
fn finish(mut host: Host, errand: Errand) -> u64 {
    // What a person asked for directly takes no turn.
    if let Errand::Script { run: run @ 1.., .. } = errand {
        let (begun_ms, name) = (host.state.now_ms, host.name.clone());
        host.machine.busy_until_ms = begun_ms + host.took_ms;
        host.state.journal.push(format!("{name} script of run {run} from {begun_ms} to {} ms", host.machine.busy_until_ms));
    }
    host.put_back()
}

/// A run that was overtaken by a later one does nothing more; what a person asked for directly is no run.
fn in_turn(host: &mut Host, run: u64) -> Result<()> {
    let last = host.machine.last_run;
    if run > 0 && run < last {
        return Err(Error::peer(SshError::Overtaken { node: host.name.clone(), by: last }));
    }
    host.machine.last_run = last.max(run);
    Ok(())
}
