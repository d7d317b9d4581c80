//! The file itself: read whole, found by host, changed under a lock and never from memory alone, because other runs and people write it too.
use super::{
    KnownHostsError,
    line::{Entry, Line, Mark},
};
use kthw_engine::lock_folder;
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The lines of the file as they were last read.
pub(super) struct PinFile {
    path: PathBuf,
    lines: Vec<Line>,
    /// The lines about each host.
    index: HashMap<String, Vec<usize>>,
    /// The lines about authorities.
    authorities: Vec<usize>,
    stamp: Option<Stamp>,
    /// Whether the last line lacks its end.
    is_open_ended: bool,
}

/// What changes when somebody else writes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl PinFile {
    /// Reads the file at `path`; a missing file is an empty one.
    pub fn open(path: PathBuf) -> Result<Self, KnownHostsError> {
        let mut file = Self { path, lines: Vec::new(), index: HashMap::new(), authorities: Vec::new(), stamp: None, is_open_ended: false };
        file.refresh()?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is said about a host.
    pub fn entries<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.index.get(host).into_iter().flatten().filter_map(|line| self.lines[*line].entry.as_ref())
    }

    /// The authorities whose patterns have one of these names of a host.
    pub fn authorities<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a Entry> {
        let all = self.authorities.iter().filter_map(|line| self.lines[*line].entry.as_ref());
        all.filter(|entry| entry.covers(names))
    }

    /// Adds what `line` makes of the file as it is now; nothing when that is `None`.
    pub fn add(&mut self, line: impl FnOnce(&Self) -> Result<Option<Line>, KnownHostsError>) -> Result<(), KnownHostsError> {
        let _turn = self.turn()?;
        self.refresh()?;
        let Some(line) = line(self)? else { return Ok(()) };
        let end = if self.is_open_ended { "\n" } else { "" };
        let text = format!("{end}{}\n", line.text);
        let append = || -> io::Result<Stamp> {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            Stamp::of(&file)
        };
        let now = append().map_err(|source| self.failed(source))?;
        // If it is not the file that was read and this line, somebody wrote it without the lock: it is read again the next time.
        let ours = self
            .stamp
            .map_or(now.bytes == text.len() as u64, |before| before.inode == now.inode && before.bytes + text.len() as u64 == now.bytes);
        self.stamp = ours.then_some(now);
        self.is_open_ended = false;
        self.push(line);
        Ok(())
    }

    /// Takes `host` out of the lines about it that `goes` says so of; a line about nobody else goes.
    pub fn remove(&mut self, host: &str, goes: impl Fn(&Entry) -> bool) -> Result<(), KnownHostsError> {
        let _turn = self.turn()?;
        self.refresh()?;
        if !self.entries(host).any(&goes) {
            return Ok(());
        }
        let kept: Vec<Line> = self.lines.iter().filter_map(|line| line.without(host, &goes)).collect();
        self.stamp = Some(replace(&self.path, &kept).map_err(|source| self.failed(source))?);
        self.is_open_ended = false;
        self.clear();
        kept.into_iter().for_each(|line| self.push(line));
        Ok(())
    }

    /// As [`refresh`](Self::refresh), for somebody who only looks. A file that cannot be read, or is empty, for a moment while an editor
    /// writes it takes nothing away: what was read last still holds.
    pub fn look_again(&mut self) {
        let says_something = !self.index.is_empty() || !self.authorities.is_empty();
        if says_something && std::fs::metadata(&self.path).map_or(0, |found| found.len()) == 0 {
            return;
        }
        let _ = self.refresh();
    }

    /// Reads the file again if it is not as it was.
    pub fn refresh(&mut self) -> Result<(), KnownHostsError> {
        let read = || -> io::Result<Option<(Stamp, Option<String>)>> {
            let file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let stamp = Stamp::of(&file)?;
            let text = if self.stamp == Some(stamp) { None } else { Some(io::read_to_string(file)?) };
            Ok(Some((stamp, text)))
        };
        let (stamp, text) = match read().map_err(|source| self.failed(source))? {
            None => (None, Some(String::new())),
            Some((stamp, text)) => (Some(stamp), text),
        };
        let Some(text) = text else { return Ok(()) };
        let understand = |(position, line)| {
            Line::parse(line).map_err(|problem| {
                let path = self.path.display().to_string();
                KnownHostsError::Line { path, line: position + 1, problem }
            })
        };
        let lines: Vec<Line> = text.lines().enumerate().map(understand).collect::<Result<_, _>>()?;
        self.is_open_ended = !text.is_empty() && !text.ends_with('\n');
        self.stamp = stamp;
        self.clear();
        lines.into_iter().for_each(|line| self.push(line));
        Ok(())
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.index.clear();
        self.authorities.clear();
    }

    fn push(&mut self, line: Line) {
        let position = self.lines.len();
        match &line.entry {
            Some(entry) if entry.mark == Mark::Authority => self.authorities.push(position),
            Some(entry) => entry.hosts.iter().for_each(|host| self.index.entry(host.clone()).or_default().push(position)),
            None => {}
        }
        self.lines.push(line);
    }

    /// Keeps other processes of kthw from writing until the answer is dropped.
    fn turn(&self) -> Result<File, KnownHostsError> {
        let folder = folder(&self.path);
        std::fs::create_dir_all(folder).and_then(|()| lock_folder(folder)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> KnownHostsError {
        KnownHostsError::File { path: self.path.display().to_string(), source }
    }
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { inode: found.ino(), bytes: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

/// Writes the file anew, beside the old one and then over it.
fn replace(path: &Path, lines: &[Line]) -> io::Result<Stamp> {
    let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
    let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Stamp::of(&file.persist(path).map_err(|error| error.error)?)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
