//! A machine at work: the machine itself, the world around it, and how long the work took.
use super::{machine::Machine, programs, script::InProgram};
use crate::{
    fault::{Harm, Trigger},
    state::{BEGIN_S, State},
};
use kthw_engine::node::Output;

/// A machine taken out of the world while something is done on it.
#[derive(Debug)]
pub(crate) struct Host<'s> {
    /// The rest of the world.
    pub state: &'s mut State,
    /// The key of this machine.
    pub key: String,
    /// The name by which the workspace knows it.
    pub name: String,
    pub machine: Machine,
    /// What the running program gets on standard input.
    pub stdin: Vec<u8>,
    /// Whether somebody only looks: nothing may change.
    pub looking: bool,
    /// The part of its work in which the running program is killed.
    dies_during: Option<String>,
    /// Virtual milliseconds that the work has taken so far.
    pub took_ms: u64,
}

impl<'s> Host<'s> {
    /// Takes a machine out of the world.
    pub fn take(state: &'s mut State, key: &str, name: &str) -> Option<Self> {
        let machine = state.machines.remove(key)?;
        Some(Self {
            state,
            key: key.to_owned(),
            name: name.to_owned(),
            machine,
            stdin: Vec::new(),
            looking: false,
            dies_during: None,
            took_ms: 0,
        })
    }

    /// Puts it back and returns how long the work took.
    pub fn put_back(self) -> u64 {
        self.state.machines.insert(self.key, self.machine);
        self.took_ms
    }

    /// Virtual milliseconds at this point of the work.
    pub fn now_ms(&self) -> u64 {
        self.state.now_ms + self.took_ms
    }

    /// Seconds since 1970 at this point of the work.
    pub fn now_s(&self) -> u64 {
        BEGIN_S + self.now_ms() / 1000
    }

    /// Runs a program.
    pub fn run(&mut self, argv: &[String], stdin: &[u8]) -> Output {
        self.state.journal.push(format!("{} $ {}", self.name, argv.join(" ")));
        let name = &self.name;
        let strikes = |on: &Trigger| matches!(on, Trigger::Command { node, begins } if node == name && argv.starts_with(begins));
        let fault = self.state.strike_as(strikes, |outcome| match outcome {
            Harm::Refused { status, text } => Some(Err(failed(i32::from(*status), text.as_str()))),
            Harm::Dies { during } => Some(Ok(during.clone())),
            _ => None,
        });
        match fault {
            Some(Err(output)) => return output,
            Some(Ok(during)) => self.dies_during = Some(during),
            None => {}
        }
        stdin.clone_into(&mut self.stdin);
        self.took_ms += 10;
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let output = programs::run(self, &words);
        self.dies_during = None;
        output
    }

    /// What comes of a program that is asked for something that the lab does not play: it is remembered, and fails.
    pub fn does_not_play(&mut self, program: &str, arguments: &[&str]) -> Output {
        self.state.cannot_play(format!("{} $ {program} {}", self.name, arguments.join(" ")));
        failed(1, format!("{program}: the lab does not play this"))
    }

    /// The whole world at this point of the work, with the machine in it, which is at work for so long yet.
    pub fn here(&self, left_ms: u64) -> State {
        let mut state = self.state.fork();
        state.now_ms = self.now_ms();
        let machine = Machine { busy_until_ms: state.now_ms + left_ms, ..self.machine.clone() };
        state.machines.insert(self.key.clone(), machine);
        state
    }

    /// Whether the running program comes to its end where it begins with this part of its work.
    pub fn dies_during(&self, part: &str) -> bool {
        self.state.observers.tell(|observer| observer.program(&InProgram { host: self, part }));
        self.dies_during.as_deref() == Some(part)
    }
}

/// Output of a program that succeeded.
pub(crate) fn printed(stdout: impl Into<String>) -> Output {
    Output { status: 0, stdout: stdout.into(), stderr: String::new() }
}

/// Output of a program that was killed.
pub(crate) fn killed() -> Output {
    failed(137, "Killed")
}

/// Output of a program that failed.
pub(crate) fn failed(status: i32, stderr: impl Into<String>) -> Output {
    let mut stderr = stderr.into();
    if !stderr.is_empty() && !stderr.ends_with('\n') {
        stderr.push('\n');
    }
    Output { status, stdout: String::new(), stderr }
}
