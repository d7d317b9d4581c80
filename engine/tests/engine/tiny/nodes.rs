//! The machines of the tiny world: they hold files and nothing else.
use super::World;
use kthw_engine::{BoxFuture, Effect, Error, Result, node::*};
use std::sync::{Arc, atomic::Ordering};

pub struct TinyNodes(pub Arc<World>);

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0} does not answer")]
#[diagnostic(code(tiny::silent), help("look at its console"))]
struct Silent(String);

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0} is not who it was")]
#[diagnostic(code(tiny::stranger), help("ask who it is"))]
struct Stranger(String);

impl TinyNodes {
    fn look(&self, node: &str, probes: &[Probe]) -> Vec<Finding> {
        let files = self.0.files.lock().unwrap();
        let one = |probe: &Probe| match probe {
            Probe::Path { path, .. } => Finding::Path(files.get(&(node.into(), path.clone())).map(|(content, mode)| PathState {
                kind: PathKind::File,
                mode: *mode,
                owner: "root".into(),
                group: "root".into(),
                modified_s: 0,
                sha256: Some(Content::plain(content).sha256()),
                content: Some(content.clone().into_bytes()),
            })),
            Probe::Run { argv } | Probe::Check { argv, .. } => {
                self.0.asked.lock().unwrap().push(argv[0].clone());
                let status = i32::from(!self.0.steps.lock().unwrap().contains(&argv[0]));
                Finding::Run(Output { status, ..Output::default() })
            }
            Probe::HostKey => {
                let trust = if self.0.strangers.lock().unwrap().contains(node) { KeyTrust::AsItCame } else { KeyTrust::Pinned };
                Finding::HostKey(HostKey { fingerprint: "SHA256:tiny".into(), trust })
            }
            Probe::Line { .. } => Finding::Line(false),
        };
        probes.iter().map(one).collect()
    }

    fn answers(&self, node: &str) -> Result<()> {
        if self.0.foreign.lock().unwrap().contains(node) {
            return Err(Error::refused(Stranger(node.into())));
        }
        if self.0.dead.lock().unwrap().contains(node) { Err(Error::peer(Silent(node.into()))) } else { Ok(()) }
    }

    fn change_block(&self, node: &str, block: &Block) -> BlockOutcome {
        for (number, action) in block.actions.iter().enumerate() {
            if let Action::Run { argv, .. } = action {
                self.0.run(&argv[0]);
            }
            if let Action::Remove { path } = action {
                if self.0.broken.lock().unwrap().contains(path) {
                    return disk_full(number);
                }
                self.0.files.lock().unwrap().remove(&(node.into(), path.clone()));
                self.0.log(&format!("-{node}{path}"));
            }
            let Action::Write { path, content, mode, .. } = action else { continue };
            if self.0.broken.lock().unwrap().contains(path) {
                return disk_full(number);
            }
            if !self.0.lost.lock().unwrap().contains(path) {
                self.0.write(node, path, std::str::from_utf8(content.bytes()).unwrap(), *mode);
            }
            self.0.log(&format!("{node}{path}"));
        }
        BlockOutcome::Done(self.look(node, &block.reread))
    }
}

fn disk_full(action: usize) -> BlockOutcome {
    BlockOutcome::Failed { action, output: Output { status: 1, stderr: "disk full".into(), ..Output::default() } }
}

impl Nodes for TinyNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(async move {
            self.0.reads.fetch_add(1, Ordering::Relaxed);
            self.0.look().await;
            self.answers(node)?;
            assert!(self.0.machines.lock().unwrap().contains_key(node), "{node} is read although it does not exist");
            Ok(self.look(node, probes))
        })
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        _: &'a Effect,
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(async move {
            let changes = self.0.changes.fetch_add(1, Ordering::Relaxed);
            self.answers(node)?;
            if let Some((node, path)) = &*self.0.restless.lock().unwrap() {
                self.0.write(node, path, &format!("somebody else, {changes}"), 0o644);
            }
            self.0.busy(&super::QuickClock::default()).await;
            let compared = |probe: &Probe| matches!(probe, Probe::Path { .. } | Probe::Line { .. });
            let differs =
                |(probe, finding): &(Probe, Finding)| compared(probe) && self.look(node, std::slice::from_ref(probe))[0] != *finding;
            let moved = |block: &Block| block.guard.iter().any(differs);
            if batch.iter().any(moved) {
                return Ok(batch.iter().map(|block| BlockOutcome::Moved(self.look(node, &block.reread))).collect());
            }
            let mut outcomes: Vec<BlockOutcome> = Vec::new();
            for (position, block) in batch.iter().enumerate() {
                let held = block.after.iter().any(|before| !matches!(outcomes[*before], BlockOutcome::Done(_)));
                told(Told::Began(position));
                if block.actions.iter().any(|action| matches!(action, Action::Write { path, .. } if path == "/odd")) {
                    told(Told::Noticed(position, "somebody's file is\u{1b}[31m odd"));
                }
                outcomes.push(if held { BlockOutcome::Skipped } else { self.change_block(node, block) });
            }
            Ok(outcomes)
        })
    }

    fn keep_host_key<'a>(&'a self, _: &'a str, _: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, _: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            self.answers(node)?;
            self.0.log(&format!("{node}: {action}"));
            Ok(Output { status: 3, ..Output::default() })
        })
    }
}
