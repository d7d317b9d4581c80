//! Compiles a query (many probes) to one piece of shell, and understands what it prints.
use super::{
    COMMAND_LIMIT, Separator,
    answer::{Malformed, Sections, tail},
    login_word::login_length,
    prologue, quote, words,
};
use base64::Engine as _;
use kthw_engine::node::{Finding, Output, PathKind, PathState, Probe};
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    ops::Range,
};

/// Files up to this size come along when they differ from what is expected.
const CONTENT_LIMIT: u64 = 64 * 1024;
/// Of what a program prints to standard error, so many bytes are kept.
const STDERR_LIMIT: usize = 8 * 1024;

/// Probes that are answered together.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    probes: Vec<&'a Probe>,
}

impl<'a> Query<'a> {
    pub fn new(probes: impl IntoIterator<Item = &'a Probe>) -> Self {
        Self { probes: probes.into_iter().collect() }
    }

    /// Cuts probes into runs whose scripts fit into one command each.
    pub fn pieces(probes: &[Probe]) -> Vec<Range<usize>> {
        let (mut pieces, mut from, mut size) = (Vec::new(), 0, 0);
        for (position, probe) in probes.iter().enumerate() {
            let more = weight(probe);
            if size + more > COMMAND_LIMIT && position > from {
                pieces.push(from..position);
                (from, size) = (position, 0);
            }
            size += more;
        }
        if from < probes.len() {
            pieces.push(from..probes.len());
        }
        pieces
    }

    /// The whole script of a query that travels alone.
    pub fn script(&self, mark: &Separator) -> String {
        format!("{}{}", prologue(mark), self.body())
    }

    /// The query as a part of a script. It prints marked sections and ends with the section `end`.
    pub fn body(&self) -> String {
        let mut script = String::new();
        self.look_at_paths(&mut script);
        self.look_at_digests(&mut script);
        self.look_at_lines(&mut script);
        self.run_programs(&mut script);
        script.push_str("echo \"${N}end\"\n");
        script
    }

    /// Prints what stands at the paths and which lines are there, in a form that [`expected`](Self::expected) can foretell.
    pub fn guard_body(&self) -> String {
        let mut script = String::new();
        let paths = self.paths();
        if !paths.is_empty() {
            let _ = writeln!(script, r"find {} -maxdepth 0 -printf '%y %m %u:%g %p %l\n' 2>/dev/null", words(paths));
        }
        let digests = self.expected_digests();
        if !digests.is_empty() {
            collect_files(&mut script, digests.iter().map(|(path, _)| *path), "[ ! -L {} ] && ");
            script.push_str("[ $# = 0 ] || sha256sum -- \"$@\" 2>/dev/null\n");
        }
        let lines = self.lines();
        for (path, line) in &lines {
            let (path, line) = (quote(path), quote(line));
            let _ = writeln!(script, "[ -f {path} ] && grep -qsaxF -e {line} -- {path} && echo + || echo -");
        }
        script
    }

    /// What [`guard_body`](Self::guard_body) prints when `findings` still hold, without line ends at its end.
    pub fn expected(&self, findings: &[&Finding]) -> String {
        let mut states: HashMap<&str, Option<&PathState>> = HashMap::new();
        let mut held: HashMap<(&str, &str), bool> = HashMap::new();
        for (probe, finding) in self.probes.iter().zip(findings) {
            match (probe, finding) {
                (Probe::Path { path, .. }, Finding::Path(state)) => {
                    // Of two probes of one path, the one that knows the digest says more.
                    let known = states.entry(path).or_insert(state.as_ref());
                    if known.is_none_or(|known| known.sha256.is_none()) {
                        *known = state.as_ref();
                    }
                }
                (Probe::Line { path, line }, Finding::Line(there)) => {
                    held.insert((path, line), *there);
                }
                _ => {}
            }
        }
        let mut text = String::new();
        for path in self.paths() {
            if let Some(Some(state)) = states.get(path) {
                let (kind, target) = letter(&state.kind);
                let _ = writeln!(text, "{kind} {:o} {}:{} {path} {target}", state.mode, state.owner, state.group);
            }
        }
        for (path, _) in self.expected_digests() {
            if let Some(Some(PathState { sha256: Some(sha256), .. })) = states.get(path) {
                let _ = writeln!(text, "{sha256}  {path}");
            }
        }
        for pair in self.lines() {
            text.push_str(if held.get(&pair).copied().unwrap_or(false) { "+\n" } else { "-\n" });
        }
        text.trim_end_matches('\n').to_owned()
    }

    fn look_at_paths(&self, script: &mut String) {
        let paths = self.paths();
        if !paths.is_empty() {
            script.push_str("echo \"${N}paths\"\n");
            let _ = writeln!(script, r"find {} -maxdepth 0 -printf '%y %m %u %g %Ts %s %p\0%l\0\n' 2>/dev/null", words(paths));
        }
    }

    /// One `sha256sum` for all files. A file that differs prints its content as well, unless it is big.
    fn look_at_digests(&self, script: &mut String) {
        let digests = self.expected_digests();
        if digests.is_empty() {
            return;
        }
        collect_files(script, digests.iter().map(|(path, _)| *path), "[ ! -L {} ] && ");
        script.push_str("if [ $# != 0 ]; then D=$(sha256sum -- \"$@\" 2>/dev/null); else D=; fi\n");
        script.push_str("printf '%s\\n' \"${N}digests\" \"$D\"\nD=\"\n$D\n\"\n");
        let _ = writeln!(
            script,
            "c() {{ printf '%s\\n' \"${{N}}content $1\"; find \"$2\" -maxdepth 0 -type f -size -{}c -exec base64 -w0 {{}} \\; ; echo; }}",
            CONTENT_LIMIT + 1
        );
        for (position, (path, expect)) in digests.iter().enumerate() {
            let line = quote(&format!("\n{expect}  {path}\n"));
            let _ = writeln!(script, "case $D in *{line}*) ;; *) [ -f {0} ] && [ ! -L {0} ] && c {position} {0} ;; esac", quote(path));
        }
    }

    /// One `grep` for all lines of all files.
    fn look_at_lines(&self, script: &mut String) {
        let lines = self.lines();
        if lines.is_empty() {
            return;
        }
        let files: BTreeSet<&str> = lines.iter().map(|(path, _)| *path).collect();
        let wanted: BTreeSet<&str> = lines.iter().map(|(_, line)| *line).collect();
        collect_files(script, files.into_iter(), "");
        script.push_str("echo \"${N}lines\"\n");
        let patterns: String = wanted.into_iter().map(|line| format!(" -e {}", quote(line))).collect();
        let _ = writeln!(script, "[ $# = 0 ] || grep -HsaxF{patterns} -- \"$@\"");
    }

    /// Standard output goes straight through; standard error is kept and follows with the status.
    fn run_programs(&self, script: &mut String) {
        let programs = self.programs();
        if programs.is_empty() {
            return;
        }
        script.push_str("exec 3>&1\n");
        for (position, argv) in programs.iter().enumerate() {
            let _ = writeln!(
                script,
                "echo \"${{N}}run {position}\"\nE=$({} 2>&1 >&3 3>&- </dev/null)\nprintf '\\n%s %s\\n%s\\n' \"${{N}}status\" $? \"$E\"",
                words(argv.iter())
            );
        }
    }

    fn paths(&self) -> Vec<&'a str> {
        let mut known = BTreeSet::new();
        self.probes
            .iter()
            .filter_map(|probe| match probe {
                Probe::Path { path, .. } => Some(path.as_str()),
                _ => None,
            })
            .filter(|path| known.insert(*path))
            .collect()
    }

    fn expected_digests(&self) -> Vec<(&'a str, &'a str)> {
        let mut known = BTreeSet::new();
        self.probes
            .iter()
            .filter_map(|probe| match probe {
                Probe::Path { path, expect: Some(expect) } => Some((path.as_str(), expect.as_str())),
                _ => None,
            })
            .filter(|(path, _)| known.insert(*path))
            .collect()
    }

    fn lines(&self) -> Vec<(&'a str, &'a str)> {
        let mut known = BTreeSet::new();
        self.probes
            .iter()
            .filter_map(|probe| match probe {
                Probe::Line { path, line } => Some((path.as_str(), line.as_str())),
                _ => None,
            })
            .filter(|pair| known.insert(*pair))
            .collect()
    }

    fn programs(&self) -> Vec<&'a [String]> {
        let mut known = BTreeSet::new();
        self.probes
            .iter()
            .filter_map(|probe| match probe {
                Probe::Run { argv } | Probe::Check { argv, .. } => Some(argv.as_slice()),
                _ => None,
            })
            .filter(|argv| known.insert(*argv))
            .collect()
    }

    /// The findings, in the order of the probes.
    pub fn understand(&self, sections: &Sections) -> Result<Vec<Finding>, Malformed> {
        let mut states = path_states(sections.get("paths").unwrap_or_default())?;
        for line in text(sections.get("digests")).lines().filter(|line| !line.is_empty()) {
            let (sha256, path) = line.split_once("  ").ok_or_else(|| Malformed::new("a digest", line))?;
            if let Some((state, _)) = states.get_mut(path) {
                state.sha256 = Some(sha256.to_owned());
            }
        }
        for (position, (path, _)) in self.expected_digests().iter().enumerate() {
            let Some(encoded) = sections.get(&format!("content {position}")) else { continue };
            if let Some((state, size)) = states.get_mut(*path).filter(|(_, size)| *size <= CONTENT_LIMIT) {
                let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim_ascii());
                let bytes = bytes.map_err(|_| Malformed::new("the content of a file", path))?;
                *size = bytes.len() as u64;
                state.content = Some(bytes);
            }
        }
        let matches = text(sections.get("lines"));
        let matches: BTreeSet<&str> = matches.lines().collect();
        let programs: HashMap<&[String], usize> =
            self.programs().into_iter().enumerate().map(|(position, argv)| (argv, position)).collect();
        self.probes
            .iter()
            .map(|probe| match probe {
                Probe::Path { path, expect } => {
                    Ok(Finding::Path(states.get(path.as_str()).map(|(state, _)| for_probe(state, expect.as_deref()))))
                }
                Probe::Line { path, line } => Ok(Finding::Line(matches.contains(format!("{path}:{line}").as_str()))),
                Probe::Run { argv } | Probe::Check { argv, .. } => output(sections, programs[argv.as_slice()]).map(Finding::Run),
                Probe::HostKey => Err(Malformed::new("a probe", "the host key is no question to the node")),
            })
            .collect()
    }
}

/// `set --` with those of the paths that are regular files (after following links, unless `extra` forbids it).
fn collect_files<'a>(script: &mut String, paths: impl Iterator<Item = &'a str>, extra: &str) {
    script.push_str("set --\n");
    for path in paths {
        let path = quote(path);
        let _ = writeln!(script, "{}[ -f {path} ] && set -- \"$@\" {path}", extra.replace("{}", &path));
    }
}

fn for_probe(state: &PathState, expect: Option<&str>) -> PathState {
    let mut state = state.clone();
    match expect {
        None => (state.sha256, state.content) = (None, None),
        Some(expect) if state.sha256.as_deref() == Some(expect) => state.content = None,
        Some(_) => {}
    }
    state
}

fn output(sections: &Sections, position: usize) -> Result<Output, Malformed> {
    let missing = || Malformed::new("the output of a program", "it is missing");
    let stdout = sections.get(&format!("run {position}")).ok_or_else(missing)?;
    let (status, stderr) = sections.after(&format!("run {position}"), "status ").ok_or_else(missing)?;
    let stderr = stderr.strip_suffix(b"\n").unwrap_or(stderr);
    Ok(Output {
        status: status.parse().map_err(|_| Malformed::new("a status", status))?,
        stdout: String::from_utf8_lossy(stdout.strip_suffix(b"\n").unwrap_or(stdout)).into_owned(),
        stderr: tail(stderr, STDERR_LIMIT),
    })
}

fn path_states(printed: &[u8]) -> Result<HashMap<String, (PathState, u64)>, Malformed> {
    let mut states = HashMap::new();
    let mut fields = printed.split(|byte| *byte == 0);
    while let (Some(first), Some(target)) = (fields.next(), fields.next()) {
        let first = String::from_utf8_lossy(first).into_owned();
        let first = first.trim_start_matches('\n');
        let bad = || Malformed::new("what stands at a path", first);
        let mut parts = first.splitn(7, ' ');
        let mut next = || parts.next().ok_or_else(bad);
        let (kind, mode, owner, group) = (next()?, next()?, next()?.to_owned(), next()?.to_owned());
        let modified_s = next()?.split('.').next().unwrap_or_default().parse().map_err(|_| bad())?;
        let size: u64 = next()?.parse().map_err(|_| bad())?;
        let path = next()?.to_owned();
        let kind = match kind {
            "f" => PathKind::File,
            "d" => PathKind::Directory,
            "l" => PathKind::Symlink { target: String::from_utf8_lossy(target).into_owned() },
            _ => PathKind::Other,
        };
        let mode = u32::from_str_radix(mode, 8).map_err(|_| bad())?;
        states.insert(path, (PathState { kind, mode, owner, group, modified_s, sha256: None, content: None }, size));
    }
    Ok(states)
}

/// The letter of `find`'s `%y`, and `%l`. All other kinds share one letter, which only means that a guard on them never holds.
fn letter(kind: &PathKind) -> (char, &str) {
    match kind {
        PathKind::File => ('f', ""),
        PathKind::Directory => ('d', ""),
        PathKind::Symlink { target } => ('l', target),
        PathKind::Other => ('?', ""),
    }
}

fn text(section: Option<&[u8]>) -> String {
    String::from_utf8_lossy(section.unwrap_or_default()).into_owned()
}

/// About how many bytes a probe adds to a command line.
fn weight(probe: &Probe) -> usize {
    let size = |text: &str| login_length(&quote(text));
    match probe {
        Probe::Path { path, expect: None } => size(path) + 160,
        Probe::Path { path, expect: Some(_) } => 6 * size(path) + 260,
        Probe::Line { path, line } => 3 * size(path) + size(line) + 60,
        Probe::Run { argv } | Probe::Check { argv, .. } => argv.iter().map(|word| size(word) + 1).sum::<usize>() + 200,
        Probe::HostKey => 0,
    }
}
