//! Ctrl-C and SIGTERM: before anything is changed they end the command; after that the first asks it to stop and the second ends it at once.
use crate::ui::Ui;
use kthw_engine::{Error, Result, Stop};
use std::{cell::Cell, future::Future, io};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a command that was interrupted, as shells give it.
const INTERRUPTED: i32 = 130;

/// What a signal does at the moment.
#[derive(Debug, Default)]
pub struct Interrupts {
    stop: Stop,
    changes: Cell<bool>,
}

/// For as long as it is there, the first signal asks to stop instead of ending the command.
pub struct Changing<'i>(&'i Interrupts);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changes.set(false);
    }
}

impl Interrupts {
    /// What is asked to stop.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Something is about to be changed.
    pub fn changing(&self) -> Changing<'_> {
        self.changes.set(true);
        Changing(self)
    }

    /// Does `work` until it ends, or a signal ends it.
    ///
    /// # Errors
    /// As `work`; and when a signal came before anything was changed.
    pub async fn ending<T>(&self, ui: &Ui, work: impl Future<Output = Result<T>>) -> Result<T> {
        let heard = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let [interrupt, terminate] = heard;
        let (mut interrupt, mut terminate) = (interrupt.map_err(deaf)?, terminate.map_err(deaf)?);
        tokio::pin!(work);
        loop {
            tokio::select! {
                // In one order, so that runs of the lab are alike.
                biased;
                done = &mut work => return done,
                _ = interrupt.recv() => self.interrupt(ui)?,
                _ = terminate.recv() => self.interrupt(ui)?,
            }
        }
    }

    fn interrupt(&self, ui: &Ui) -> Result<()> {
        match (self.changes.get(), self.stop.is_asked()) {
            (false, _) => Err(Error::stopped(Interrupted)),
            (true, false) => {
                ui.note("Stopping after what is under way; Ctrl-C again ends at once, and the next run goes on from there.");
                self.stop.ask();
                Ok(())
            }
            (true, true) => std::process::exit(INTERRUPTED),
        }
    }
}

fn deaf(source: io::Error) -> Error {
    Error::usage(Deaf { source })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("interrupted before anything was changed")]
#[diagnostic(code(kthw::interrupted), help("run it again when you like"))]
struct Interrupted;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the system does not let kthw hear signals")]
#[diagnostic(code(kthw::signals), help("the system refuses file descriptors; see `ulimit -a`"))]
struct Deaf {
    source: io::Error,
}
