//! Asks NGINX whether its files are right, and tells it to read them.
use crate::config::Nginx;
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A command that did not end well.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` {how}{said}")]
pub struct CommandFailed {
    command: String,
    how: String,
    /// What it printed, in one line, with its colon; empty if nothing.
    said: String,
}

impl Nginx {
    /// Asks whether the files are right.
    ///
    /// # Errors
    /// When NGINX refuses them or cannot be asked.
    pub fn test(&self) -> Result<(), CommandFailed> {
        run(&self.test, Duration::from_millis(self.timeout_ms))
    }

    /// Makes NGINX read them.
    ///
    /// # Errors
    /// When that fails, because NGINX does not run for example.
    pub fn reload(&self) -> Result<(), CommandFailed> {
        run(&self.reload, Duration::from_millis(self.timeout_ms))
    }
}

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(5);

fn run(argv: &[String], limit: Duration) -> Result<(), CommandFailed> {
    let failed = |how: String, said: &str| {
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = if said.is_empty() { said } else { format!(": {said}") };
        CommandFailed { command: argv.join(" "), how, said }
    };
    let Some((program, arguments)) = argv.split_first() else { return Err(failed("names no program".into(), "")) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(format!("cannot be run ({error})"), ""))?;
    let heard = listen(&mut child);
    let until = Instant::now() + limit;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            Ok(None) => break Err(format!("was stopped after {} ms", limit.as_millis())),
            Err(error) => break Err(format!("cannot be waited for ({error})")),
        }
    };
    if ended.is_err() {
        // Both fail only for a process that has ended.
        let _ = child.kill();
        let _ = child.wait();
    }
    // Something that it left behind may hold the pipe open.
    let said = heard.recv_timeout(Duration::from_millis(200)).unwrap_or_default();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("failed ({status})"), &said)),
        Err(how) => Err(failed(how, &said)),
    }
}

/// The longest text that is kept of a command, in bytes.
const LONGEST: u64 = 4096;

/// Reads what it prints beside it, so that a full pipe holds nothing up.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, heard) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read until then is what there is to say.
            let _ = stderr.by_ref().take(LONGEST).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str) -> String {
        let nginx = Nginx { test: ["sh", "-c", script].map(String::from).into(), timeout_ms: 300, ..Nginx::default() };
        nginx.test().map_or_else(|error| error.to_string(), |()| "right".into())
    }

    #[test]
    fn how_it_ended_is_said() {
        assert_eq!(said("exit 0"), "right");
        assert_eq!(said("echo a >&2; echo b >&2; exit 3"), "`sh -c echo a >&2; echo b >&2; exit 3` failed (exit status: 3): a b");
        let long = said("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789 >&2; i=$((i+1)); done; exit 1");
        assert!(long.contains("exit status: 1") && long.len() < 5_000, "{long}");
        let started = Instant::now();
        assert!(said("exec sleep 30").ends_with("was stopped after 300 ms"));
        assert!(started.elapsed() < Duration::from_secs(5));
        let nowhere = Nginx { reload: vec!["/nowhere/nginx".into()], ..Nginx::default() };
        assert!(nowhere.reload().unwrap_err().to_string().contains("cannot be run"));
    }
}
