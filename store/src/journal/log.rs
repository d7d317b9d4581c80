//! One run's log as it is read: its lines, what is wrong with it, and what the run left open.
use super::{
    chain,
    line::{Finish, Header, Line, SCHEMA, Tail, What},
    open::Open,
};
use kthw_engine::Unsettled;
use serde::Deserialize;

/// A log.
#[derive(Clone, Debug, PartialEq)]
pub struct RunLog {
    /// The run.
    pub run: u64,
    /// Its lines, as far as they are sound.
    pub lines: Vec<Line>,
    /// The digest of the last sound line; of nothing when there is none.
    pub chain: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// What is wrong with it, if anything is.
    pub fault: Option<Fault>,
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its last line has no end: the run died while it was written. That loses nothing, for what it announces was not begun.
    Torn {
        /// The line's number, from 1.
        line: u64,
    },
    /// A line is not as it was written.
    Changed {
        /// Its number, from 1.
        line: u64,
        /// What is wrong, in words.
        why: String,
    },
    /// A newer kthw wrote it.
    Newer {
        /// The version of its lines.
        schema: u32,
    },
}

/// The version of a line's log, whatever else is in it.
#[derive(Deserialize)]
struct OfSchema {
    schema: u32,
}

impl RunLog {
    /// Reads the log of `run`. Whatever is wrong with it is in the log that is returned.
    pub fn read(run: u64, bytes: &[u8]) -> Self {
        let mut log = Self { run, lines: Vec::new(), chain: String::new(), bytes: bytes.len() as u64, fault: None };
        let mut rest = bytes;
        while !rest.is_empty() && log.fault.is_none() {
            let line = log.next_number();
            match rest.iter().position(|byte| *byte == b'\n') {
                None => log.fault = Some(Fault::Torn { line }),
                Some(end) => {
                    let (text, after) = (&rest[..end], &rest[end + 1..]);
                    match log.understand(text) {
                        Ok((line, chain)) => {
                            log.lines.push(line);
                            log.chain = chain;
                        }
                        // Whoever takes over ends the line that its run died in.
                        Err(fault) => match log.understand(after.strip_suffix(b"\n").unwrap_or_default()) {
                            Ok((line @ Line { what: What::TakenOver { .. }, .. }, chain)) => {
                                log.lines.push(line);
                                log.chain = chain;
                                break;
                            }
                            _ => log.fault = Some(fault),
                        },
                    }
                    rest = after;
                }
            }
        }
        log
    }

    fn next_number(&self) -> u64 {
        self.lines.len() as u64 + 1
    }

    fn understand(&self, text: &[u8]) -> Result<(Line, String), Fault> {
        let number = self.next_number();
        let changed = |why: &str| Fault::Changed { line: number, why: why.to_owned() };
        let text = str::from_utf8(text).map_err(|_| changed("it is not UTF-8"))?;
        let (json, chain) = chain::open(text).ok_or_else(|| changed("it does not end with its digest"))?;
        if chain::digest(&json, &self.chain) != chain {
            return Err(changed("its digest is that of another line, or of another line before it"));
        }
        if number == 1
            && let Ok(OfSchema { schema }) = serde_json::from_str(&json)
            && schema > SCHEMA
        {
            return Err(Fault::Newer { schema });
        }
        let line: Line = serde_json::from_str(&json).map_err(|error| changed(&format!("it cannot be read: {error}")))?;
        if line.n != number {
            return Err(changed(&format!("it says that it is line {}", line.n)));
        }
        if matches!(self.lines.last(), Some(Line { what: What::TakenOver { .. }, .. })) {
            return Err(changed("it stands after the end"));
        }
        match &line.what {
            What::Run(header) if number == 1 && header.run == self.run => {}
            What::TakenOver { .. } => {}
            What::Run(header) => return Err(changed(&format!("it is the beginning of run {}", header.run))),
            _ if number == 1 => return Err(changed("it is not how a log begins")),
            _ => {}
        }
        Ok((line, chain.to_owned()))
    }

    /// How the run began; `None` when it was overtaken or died before that was written.
    pub fn header(&self) -> Option<&Header> {
        match &self.lines.first()?.what {
            What::Run(header) => Some(header),
            _ => None,
        }
    }

    /// How it ended; `None` when it did not come to its end.
    pub fn finish(&self) -> Option<&Finish> {
        self.lines.iter().rev().find_map(|line| match &line.what {
            What::Finish(finish) => Some(finish),
            _ => None,
        })
    }

    /// The run that took the workspace over from it.
    pub fn taken_over_by(&self) -> Option<u64> {
        match &self.lines.last()?.what {
            What::TakenOver { by } => Some(*by),
            _ => None,
        }
    }

    /// Its end, for the run after it.
    pub fn tail(&self) -> Tail {
        Tail { run: self.run, chain: self.chain.clone(), settled: self.unsettled().is_empty() }
    }

    /// Whether its last line has no end.
    pub fn is_torn(&self) -> bool {
        matches!(self.fault, Some(Fault::Torn { .. }))
    }

    /// What is open after this run: its own effects whose end nobody saw, what it left behind, and what it found open and did not settle.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        let mut open = Open::default();
        self.lines.iter().for_each(|line| open.follow(self.run, &line.what));
        open.all()
    }
}
