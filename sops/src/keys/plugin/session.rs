//! A plugin of age that runs: stanzas there and back over its standard input and output (<https://c2sp.org/age-plugin>), for a limited time.
//!
//! The age crate has such a client too, which neither ends a plugin that hangs nor looks after one that has ended.
use super::super::{Asking, Variables, exchange::in_one_line};
use age_core::format::{Stanza, is_arbitrary_string};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// No plugin has more to say.
const MAX_OUTPUT: u64 = 1 << 20;
/// What a pipe takes without being read; the header of a file with a hundred recipients is smaller.
const MAX_INPUT: usize = 60 << 10;
/// The columns of a body.
const COLUMNS: usize = 64;
/// For a plugin to end by itself once all is said.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Session {
    program: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Zeroizing<String>>,
    until: Instant,
    limit: Duration,
    sent: usize,
    /// What it said to a person, last of all.
    said: Option<String>,
}

impl Session {
    /// Starts `age-plugin-NAME` out of the search path.
    pub fn start(name: &str, state_machine: &str, variables: &Variables, limit: Duration) -> Result<Self, String> {
        let program = format!("age-plugin-{name}");
        let mut command = Command::new(&program);
        for name in ["PATH", "HOME"] {
            match variables(name) {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.arg(format!("--age-plugin={state_machine}")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{program} is not in the search path"),
            _ => format!("{program} does not start: {error}"),
        })?;
        let output = BufReader::new(child.stdout.take().expect("its output is piped").take(MAX_OUTPUT));
        let (send, lines) = sync_channel(16);
        // A thread that reads: what the plugin left running may hold the pipe longer than anybody waits.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(Zeroizing::new(line)).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Ok(Self { program, child, input, lines, until: Instant::now() + limit, limit, sent: 0, said: None })
    }

    /// Sends a stanza.
    pub fn send(&mut self, tag: &str, arguments: &[&str], body: &[u8]) -> Result<(), String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_INPUT));
        *text += "-> ";
        *text += tag;
        for argument in arguments {
            *text += " ";
            *text += argument;
        }
        let body = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(body));
        let lines = body.as_bytes().chunks(COLUMNS).map(|line| str::from_utf8(line).expect("base64 is ASCII"));
        for line in lines {
            *text += "\n";
            *text += line;
        }
        // A body ends with a line that is not full.
        *text += if body.len().is_multiple_of(COLUMNS) { "\n\n" } else { "\n" };
        self.sent += text.len();
        if self.sent > MAX_INPUT {
            return Err(format!("there is more to tell {} than it may take", self.program));
        }
        let input = self.input.as_mut().expect("it is open until the end");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).map_err(|_| self.ended())
    }

    /// Hears the plugin out. What asks a person is answered here, without one where there is none; `take` gets its other commands and says
    /// whether it knows them. An error is what the plugin says went wrong.
    pub fn hear(&mut self, asking: Asking<'_>, mut take: impl FnMut(&Stanza) -> bool) -> Result<(), String> {
        let mut wrong = Vec::new();
        loop {
            let stanza = self.receive()?;
            let text = || in_one_line(&String::from_utf8_lossy(&stanza.body));
            match stanza.tag.as_str() {
                "done" if wrong.is_empty() => return Ok(()),
                "done" => return Err(format!("{} says: {}", self.program, wrong.join("; "))),
                "error" => {
                    wrong.push(text());
                    self.send("ok", &[], b"")?;
                }
                "msg" => {
                    if let Asking::Person(person) = asking {
                        (person.tell)(&format!("{} says: {}", self.program, text()));
                    }
                    self.said = Some(text());
                    self.send("ok", &[], b"")?;
                }
                "request-secret" | "request-public" => {
                    let answer = match asking {
                        Asking::Person(person) => (person.ask)(&format!("{} asks: {}", self.program, text())),
                        Asking::NotYet | Asking::Programs => None,
                    };
                    match answer {
                        Some(answer) => self.send("ok", &[], answer.expose().as_bytes())?,
                        None => {
                            wrong.push(format!("nobody answered `{}`", text()));
                            self.send("fail", &[], b"")?;
                        }
                    }
                }
                "confirm" => self.send("fail", &[], b"")?,
                _ if take(&stanza) => self.send("ok", &[], b"")?,
                _ => self.send("unsupported", &[], b"")?,
            }
        }
    }

    fn receive(&self) -> Result<Stanza, String> {
        let garbled = || format!("{} does not speak as a plugin of age does", self.program);
        let head = self.line()?;
        let mut words = head.strip_prefix("-> ").ok_or_else(garbled)?.split(' ').map(str::to_owned);
        let tag = words.next().filter(is_arbitrary_string).ok_or_else(garbled)?;
        let args: Vec<String> = words.collect();
        if !args.iter().all(is_arbitrary_string) {
            return Err(garbled());
        }
        let mut body = Zeroizing::new(String::with_capacity(COLUMNS * 64));
        loop {
            let line = self.line()?;
            *body += &line;
            match line.len() {
                COLUMNS => {}
                ..COLUMNS => break,
                _ => return Err(garbled()),
            }
        }
        let body = BASE64_STANDARD_NO_PAD.decode(body.as_bytes()).map_err(|_| garbled())?;
        Ok(Stanza { tag, args, body })
    }

    fn line(&self) -> Result<Zeroizing<String>, String> {
        self.lines.recv_timeout(self.until.saturating_duration_since(Instant::now())).map_err(|_| self.ended())
    }

    /// Why there is nothing more to hear.
    fn ended(&self) -> String {
        let said = self.said.as_ref().map(|said| format!("; it said: {said}")).unwrap_or_default();
        match Instant::now() >= self.until {
            true => format!("{} did not end within {} s{said}", self.program, self.limit.as_secs()),
            false => format!("{} ended before it was done{said}", self.program),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        drop(self.input.take());
        let until = (Instant::now() + FAREWELL).min(self.until);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
