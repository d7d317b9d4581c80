//! Takes what a program prints out of an answer while it comes, and leaves what the script around it says.
use super::{connection::Listener, shell::Separator};
use kthw_engine::node::Heard;

/// A line that is longer is handed on in pieces.
const LINE: usize = 64 * 1024;

/// Listens to a script that says `began`, lets its program print, and goes on with marked lines on a new line.
pub(crate) struct Aloud<'a> {
    mark: Vec<u8>,
    heard: &'a (dyn Fn(Heard<'_>) + Sync),
    line: Vec<u8>,
    /// What is the script's own.
    rest: Vec<u8>,
    state: State,
    /// Whether the line before was an empty one: the one before a mark is the script's.
    has_empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    After,
}

impl<'a> Aloud<'a> {
    pub fn new(mark: &Separator, heard: &'a (dyn Fn(Heard<'_>) + Sync)) -> Self {
        let mark = mark.as_str().as_bytes().to_vec();
        Self { mark, heard, line: Vec::new(), rest: Vec::new(), state: State::Before, has_empty: false }
    }

    /// What was the script's own.
    pub fn end(mut self) -> Vec<u8> {
        self.rest.append(&mut self.line);
        self.rest
    }

    fn take_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_marked = line.starts_with(&self.mark);
        match self.state {
            State::Inside if !is_marked => {
                if self.has_empty {
                    (self.heard)(Heard::Stdout(b"\n"));
                }
                self.has_empty = line == b"\n";
                if !self.has_empty {
                    (self.heard)(Heard::Stdout(&line));
                }
            }
            _ => {
                if self.state == State::Inside {
                    self.state = State::After;
                } else if is_marked && line[self.mark.len()..].trim_ascii_end() == b"began" {
                    self.state = State::Inside;
                }
                self.rest.extend_from_slice(&line);
            }
        }
    }
}

impl Listener for &mut Aloud<'_> {
    fn stdout(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.line.push(*byte);
            // A piece of a long line is not the beginning of one: nothing of it can be a mark.
            let is_long = self.state == State::Inside && self.line.len() >= LINE;
            if *byte == b'\n' || is_long {
                self.take_line();
            }
        }
        false
    }

    fn stderr(&mut self, bytes: &[u8]) {
        // What comes before the program is the login shell's, or sudo's.
        if self.state != State::Before {
            (self.heard)(Heard::Stderr(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_program_is_heard_and_the_script_understood_however_it_is_cut() {
        let text = b"motd\nkthw-0123456789abcdef-began\none\n\nkthw-\n two\nkthw-0123456789abcdef-ended 0\nkthw-0123456789abcdef-end\n";
        let own = b"motd\nkthw-0123456789abcdef-began\nkthw-0123456789abcdef-ended 0\nkthw-0123456789abcdef-end\n";
        for size in 1..text.len() {
            let told = Mutex::new(Vec::new());
            let heard = |piece: Heard<'_>| {
                if let Heard::Stdout(bytes) = piece {
                    told.lock().unwrap().extend_from_slice(bytes);
                }
            };
            let mut aloud = Aloud::new(&Separator::fixed(), &heard);
            for piece in text.chunks(size) {
                assert!(!(&mut aloud).stdout(piece));
            }
            assert_eq!(aloud.end(), own, "{size}");
            assert_eq!(told.into_inner().unwrap(), b"one\n\nkthw-\n two\n", "{size}");
        }
    }
}
