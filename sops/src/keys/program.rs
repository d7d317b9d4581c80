//! Runs a program that holds or prints keys: input and output in wiped memory, and never longer than a limit.
use std::{
    io::{Read, Write},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// More than this is not read; a file of keys is never near it.
const MAX_OUTPUT: usize = 1 << 20;

/// A program that has ended.
pub(super) struct ProgramEnd {
    pub status: ExitStatus,
    pub output: Zeroizing<Vec<u8>>,
    /// What it said on stderr.
    pub said: String,
}

/// Runs `command` with `input` on its stdin. The error says why it did not run to its end.
pub(super) fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<ProgramEnd, String> {
    let until = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", command.get_program().to_string_lossy()))?;
    feed(child.stdin.take().expect("its input is piped"), input);
    let output = collect(child.stdout.take().expect("its output is piped"));
    let said = collect(child.stderr.take().expect("its messages are piped"));
    let late = || format!("it did not end within {} s", limit.as_secs());
    // What it left running may still hold the pipes, so the end of the output does not tell that it ended, nor the other way round.
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(late());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let receive = |from: Receiver<Zeroizing<Vec<u8>>>| match from.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(bytes) => Ok(bytes),
        Err(RecvTimeoutError::Timeout) => Err(late()),
        Err(RecvTimeoutError::Disconnected) => Err("its output could not be read".to_owned()),
    };
    let (output, said) = (receive(output)?, receive(said)?);
    Ok(ProgramEnd { status, output, said: String::from_utf8_lossy(&said).into_owned() })
}

/// Writes `input` on a thread of its own: a program may print before it has read everything.
fn feed(mut pipe: ChildStdin, input: &[u8]) {
    let input = Zeroizing::new(input.to_vec());
    // A program that needs no input closes the pipe, which is no failure of it.
    thread::spawn(move || drop(pipe.write_all(&input)));
}

fn collect(pipe: impl Read + Send + 'static) -> Receiver<Zeroizing<Vec<u8>>> {
    let (send, receive) = sync_channel(1);
    thread::spawn(move || {
        // Room for everything at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT));
        if pipe.take(MAX_OUTPUT as u64).read_to_end(&mut bytes).is_ok() {
            let _ = send.send(bytes);
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<ProgramEnd, String> {
        run(Command::new("sh").args(["-c", script]), b"in", limit)
    }

    #[test]
    fn input_output_and_messages_arrive() {
        let ended = shell("cat; echo no >&2; exit 3", Duration::from_secs(20)).expect("it ends");
        assert_eq!((&ended.output[..], ended.said.as_str(), ended.status.code()), (&b"in"[..], "no\n", Some(3)));
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_one_that_is_not_there_named() {
        let started = Instant::now();
        for script in ["exec sleep 30", "sleep 30 & exit 0"] {
            assert_eq!(shell(script, Duration::from_secs(1)).err().as_deref(), Some("it did not end within 1 s"), "{script}");
        }
        assert!(started.elapsed() < Duration::from_secs(20));
        let missing = run(&mut Command::new("/nonexistent/gpg"), b"", Duration::from_secs(1)).err();
        assert_eq!(missing.as_deref(), Some("/nonexistent/gpg does not start: No such file or directory (os error 2)"));
    }
}
