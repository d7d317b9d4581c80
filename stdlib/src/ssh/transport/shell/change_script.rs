//! Compiles a batch of changes to one script and one stream of standard input, and understands how each block ended.
//!
//! The script compares what the plan saw, waits until all input has arrived, does the blocks in order, and reads again. Nothing is
//! changed before the comparison and the last byte of input, so a connection that breaks early leaves the node as it was.
use super::{
    COMMAND_LIMIT, NoTurn, Privilege, Query, Separator, Turn,
    answer::{Malformed, Sections, tail},
    prologue, quote, words,
};
use kthw_engine::node::{Action, Block, BlockOutcome, Content, Finding, Output, Probe};
use std::{borrow::Cow, fmt::Write as _};
use zeroize::Zeroizing;

/// Of a program's output, so many bytes are kept when it fails.
const FAILURE_STDOUT: usize = 16 * 1024;
const FAILURE_STDERR: usize = 8 * 1024;
/// Of the output of an action that was asked for alone, so many bytes are kept.
const ACT_LIMIT: usize = 4 * 1024 * 1024;

/// The variable that names the file into which an action puts what hinders nobody and a person should know of, a line each.
pub(crate) const NOTICES: &str = "KTHW_NOTICES";
/// Of those lines, so many bytes are told.
const NOTICES_LIMIT: usize = 4 * 1024;

/// The script that a batch of changes compiles to, ready to be sent.
pub(crate) struct ChangeScript {
    /// The command line for the login shell.
    pub command: String,
    /// What follows on standard input, if anything does.
    pub stdin: Option<Zeroizing<Vec<u8>>>,
    /// The longest that its programs may take together, in seconds.
    pub timeout_s: u64,
}

/// How a change script ended.
#[derive(Debug)]
pub(crate) enum ScriptEnd {
    /// The outcome of each block.
    Blocks(Vec<BlockOutcome>),
    /// Standard input broke off; nothing was done.
    InputCutShort,
    /// It was not its turn; nothing was done.
    NoTurn(NoTurn),
}

/// Why an action was not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// Standard input broke off.
    InputCutShort,
    /// It was not its turn.
    NoTurn(NoTurn),
}

impl NotDone {
    fn of(sections: &Sections) -> Option<Self> {
        let is_short = sections.get("short").is_some();
        is_short.then_some(Self::InputCutShort).or_else(|| Turn::refused(sections).map(Self::NoTurn))
    }
}

/// A line that says how much of an output of `size` bytes came too early to be among the last `limit`; empty where nothing did.
fn missing(size: &str, limit: usize) -> String {
    let missing = size.trim().parse::<u64>().unwrap_or(0).saturating_sub(limit as u64);
    match missing {
        0 => String::new(),
        1..0x10_0000 => format!("(the first {} KiB are missing)\n", missing.div_ceil(1024)),
        _ => format!("(the first {} MiB are missing)\n", missing.div_ceil(1024 * 1024)),
    }
}

/// Collects what goes over standard input: contents one behind the other.
#[derive(Default)]
struct Input(Zeroizing<Vec<u8>>);

impl Input {
    /// The shell words `offset length` under which the script finds the content.
    fn put(&mut self, content: &Content) -> String {
        let offset = self.0.len();
        self.0.extend_from_slice(content.bytes());
        format!("$((O+{offset})) {}", content.bytes().len())
    }
}

impl ChangeScript {
    /// Compiles blocks: guard, actions, re-read.
    pub fn of_blocks(blocks: &[Block], mark: &Separator, privilege: Privilege, turn: Option<&Turn>) -> Self {
        let mut input = Input::default();
        let mut script = String::new();
        for (position, block) in blocks.iter().enumerate() {
            let conditions: String = block.after.iter().map(|other| format!(" && [ \"$B{other}\" = 0 ]")).collect();
            let _ = writeln!(script, "B{position}=1\nif :{conditions}; then\necho \"${{N}}begin {position}\"; K=0");
            actions(&mut script, &block.actions, &mut input, mark);
            let _ = writeln!(script, "S=$?\n[ $S = 0 ] && B{position}=0 || f {position}\nn {position}\nfi");
        }
        let guards = guard(blocks);
        let reread = Query::new(blocks.iter().flat_map(|block| &block.reread)).body();
        let frame = Frame { turn, guard: guards, main: script, tail: reread, stdout: FAILURE_STDOUT, stderr: FAILURE_STDERR };
        Self::assemble(&frame, input, blocks.iter().flat_map(|block| &block.actions), mark, privilege)
    }

    /// Compiles one action whose output is wanted whatever its status.
    pub fn of_action(action: &Action, mark: &Separator, privilege: Privilege, turn: Option<&Turn>) -> Self {
        let mut input = Input::default();
        let mut main = String::from("K=0\n");
        actions(&mut main, std::slice::from_ref(action), &mut input, mark);
        main.push_str("S=$?\nf 0\necho \"${N}sizes\" $(stat -c %s \"$T/o\" \"$T/e\")\n");
        let frame = Frame { turn, guard: None, main, tail: "echo \"${N}end\"\n".into(), stdout: ACT_LIMIT, stderr: FAILURE_STDERR };
        Self::assemble(&frame, input, std::iter::once(action), mark, privilege)
    }

    /// Compiles one action which somebody listens to. It prints into files as any other, and what comes into them is followed from there:
    /// a connection that breaks does not end it.
    pub fn of_action_aloud(action: &Action, mark: &Separator, privilege: Privilege, turn: Option<&Turn>) -> Self {
        let mut input = Input::default();
        let mut main = String::from(": >\"$T/o\"; : >\"$T/e\"\necho \"${N}began\"\n{\n");
        actions(&mut main, std::slice::from_ref(action), &mut input, mark);
        main.push_str(
            "} &\nP=$!\ntail -n +1 -s 0.1 -f --pid=$P \"$T/o\" 9>&- &\nQ=$!\ntail -n +1 -s 0.1 -f --pid=$P \"$T/e\" >&2 9>&- &\nR=$!\nwait $P\nS=$?\nwait $Q $R\nprintf '\\n%s\\n' \"${N}ended $S\"\n",
        );
        let frame = Frame { turn, guard: None, main, tail: "echo \"${N}end\"\n".into(), stdout: 0, stderr: 0 };
        Self::assemble(&frame, input, std::iter::once(action), mark, privilege)
    }

    /// Understands what such a script said of itself: the action's status, or why it was not done.
    pub fn understand_aloud(answer: &[u8], mark: &Separator) -> Result<std::result::Result<i32, NotDone>, Malformed> {
        let sections = Sections::split(answer, mark)?;
        if let Some(why) = NotDone::of(&sections) {
            return Ok(Err(why));
        }
        let status = sections.iter().find_map(|(name, _)| name.strip_prefix("ended "));
        let status = status.ok_or_else(|| Malformed::new("how a program ended", "it is missing"))?;
        status.parse().map(Ok).map_err(|_| Malformed::new("a status", status))
    }

    fn assemble<'a>(
        frame: &Frame<'_>,
        input: Input,
        all: impl Iterator<Item = &'a Action>,
        mark: &Separator,
        privilege: Privilege,
    ) -> Self {
        let programs = all.map(|action| match action {
            Action::Run { timeout_s, .. } => u64::from(*timeout_s) + 5,
            _ => 0,
        });
        let timeout_s = programs.sum();
        let script = frame.script(mark, 0, input.0.len());
        let command = privilege.command(&script);
        if command.len() <= COMMAND_LIMIT {
            let stdin = (!input.0.is_empty()).then_some(input.0);
            return Self { command, stdin, timeout_s };
        }
        // Too long for one argument: the script goes ahead of the contents, over standard input.
        // Its length depends on the offset in it, which is written with a fixed width for that reason.
        let length = frame.script(mark, usize::MAX, usize::MAX).len();
        let body = frame.script(mark, length, length + input.0.len());
        debug_assert_eq!(body.len(), length);
        let bootstrap = format!(
            "{}{}dd if=\"$T/in\" of=\"$T/script\" bs=64k iflag=count_bytes count={length} status=none || exit 74\n. \"$T/script\"\n",
            prologue(mark),
            spool(length + input.0.len()),
        );
        let mut stdin = Zeroizing::new(body.into_bytes());
        stdin.extend_from_slice(&input.0);
        Self { command: privilege.command(&bootstrap), stdin: Some(stdin), timeout_s }
    }

    /// Understands the answer to a batch of blocks.
    pub fn understand(blocks: &[Block], answer: &[u8], mark: &Separator) -> Result<ScriptEnd, Malformed> {
        let sections = Sections::split(answer, mark)?;
        if sections.get("short").is_some() {
            return Ok(ScriptEnd::InputCutShort);
        }
        if let Some(why) = Turn::refused(&sections) {
            return Ok(ScriptEnd::NoTurn(why));
        }
        let reread: Vec<&Probe> = blocks.iter().flat_map(|block| &block.reread).collect();
        let mut findings = Query::new(reread).understand(&sections)?.into_iter();
        let moved = sections.get("moved").is_some();
        let outcomes = blocks.iter().enumerate().map(|(position, block)| {
            let findings: Vec<Finding> = findings.by_ref().take(block.reread.len()).collect();
            if moved {
                return Ok(BlockOutcome::Moved(findings));
            }
            if let Some((action, output)) = failure(&sections, position, FAILURE_STDOUT)? {
                return Ok(BlockOutcome::Failed { action, output });
            }
            let begun = sections.get(&format!("begin {position}")).is_some();
            Ok(if begun { BlockOutcome::Done(findings) } else { BlockOutcome::Skipped })
        });
        Ok(ScriptEnd::Blocks(outcomes.collect::<Result<_, _>>()?))
    }

    /// Understands the answer to one action; why it was not done, if it was not.
    pub fn understand_action(answer: &[u8], mark: &Separator) -> Result<std::result::Result<Output, NotDone>, Malformed> {
        let sections = Sections::split(answer, mark)?;
        if let Some(why) = NotDone::of(&sections) {
            return Ok(Err(why));
        }
        let (_, mut output) =
            failure(&sections, 0, ACT_LIMIT)?.ok_or_else(|| Malformed::new("the output of a program", "it is missing"))?;
        let sizes = sections.iter().find_map(|(name, _)| name.strip_prefix("sizes ")?.split_once(' '));
        let (stdout, stderr) = sizes.unwrap_or_default();
        output.stdout.insert_str(0, &missing(stdout, ACT_LIMIT));
        output.stderr.insert_str(0, &missing(stderr, FAILURE_STDERR));
        Ok(Ok(output))
    }

    /// The position of the block of which this line of the answer tells that it noticed something, and what.
    pub fn noticed<'a>(line: &'a [u8], mark: &Separator) -> Option<(usize, Cow<'a, str>)> {
        let rest = line.strip_prefix(mark.as_str().as_bytes())?.strip_prefix(b"noticed ")?;
        let end = rest.iter().position(|byte| *byte == b' ')?;
        let position = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((position, String::from_utf8_lossy(rest[end..].trim_ascii())))
    }

    /// The position of the block whose beginning this line of the answer tells.
    pub fn begun(line: &[u8], mark: &Separator) -> Option<usize> {
        let name = line.strip_prefix(mark.as_str().as_bytes())?.strip_prefix(b"begin ")?;
        std::str::from_utf8(name).ok()?.trim_end().parse().ok()
    }
}

/// The parts of a script around the actions.
struct Frame<'a> {
    /// What is waited for before anything is compared or changed.
    turn: Option<&'a Turn>,
    /// Prints the state that the second part foretells.
    guard: Option<(String, String)>,
    main: String,
    tail: String,
    stdout: usize,
    stderr: usize,
}

impl Frame<'_> {
    /// The script, whose contents begin at `offset` of an input of `total` bytes. When the script itself comes that way (`offset` is
    /// not zero), the input is already there.
    fn script(&self, mark: &Separator, offset: usize, total: usize) -> String {
        let mut script = prologue(mark);
        // The leading zeros, which keep the script's length fixed, come off again: arithmetic would read them as octal.
        let _ = writeln!(script, "O={offset:020}; O=${{O#\"${{O%%[1-9]*}}\"}}; O=${{O:-0}}");
        script.push_str(&self.turn.map(Turn::script).unwrap_or_default());
        if let Some((look, expected)) = &self.guard {
            let _ = writeln!(script, "g() {{\n{look}:\n}}\nif [ \"$(g)\" != {} ]; then echo \"${{N}}moved\"; else", quote(expected));
        }
        if offset == 0 {
            script.push_str(&spool(total));
        }
        script.push_str(&functions(self.stdout, self.stderr));
        script.push_str(&self.main);
        if self.guard.is_some() {
            script.push_str("fi\n");
        }
        script.push_str(&self.tail);
        script
    }
}

/// Makes the private folder of this script and waits for all input.
fn spool(total: usize) -> String {
    let mut script = String::from(
        "T=$(mktemp -d /run/kthw.XXXXXX || mktemp -d) || exit 73\ntrap 'rm -rf \"$T\"' EXIT\ntrap 'exit 75' PIPE HUP INT TERM\n",
    );
    if total == 0 {
        script.push_str(": >\"$T/in\"\n");
    } else {
        let _ = writeln!(
            script,
            "cat >\"$T/in\"\nif [ \"$(wc -c <\"$T/in\")\" != {total} ]; then echo \"${{N}}short\"; echo \"${{N}}end\"; exit 0; fi"
        );
    }
    script
}

/// `i` prints a part of the input; `w` writes a file; `f` tells a block's output; `n` tells what its actions put into [`NOTICES`].
fn functions(stdout: usize, stderr: usize) -> String {
    format!(
        r#"i() {{ dd if="$T/in" bs=64k iflag=skip_bytes,count_bytes skip="$1" count="$2" status=none; }}
w() {{
  umask "$4"; i "$1" "$2" >"$6" || {{ umask 022; rm -f "$6"; return 74; }}; umask 022
  if [ "$5" != root:root ] || ! [ -G "$6" ]; then chown "$5" "$6" || {{ rm -f "$6"; return 74; }}; fi
  case $3 in 6??|4??|2??) case $3 in *[1357]*) chmod "$3" "$6";; esac;; *) chmod "$3" "$6";; esac || {{ rm -f "$6"; return 74; }}
  mv -fT -- "$6" "$7" || {{ rm -f "$6"; return 74; }}
}}
f() {{
  printf '%s\n' "${{N}}ended $1 $K $S"; tail -c {stdout} "$T/o"; printf '\n%s\n' "${{N}}stderr"; tail -c {stderr} "$T/e"; echo
}}
export {NOTICES}="$T/n"
n() {{
  [ -s "$T/n" ] || return 0
  head -c {NOTICES_LIMIT} "$T/n" | while IFS= read -r L; do printf '%s\n' "${{N}}noticed $1 $L"; done
  rm -f "$T/n"
}}
"#
    )
}

/// The actions of one block: each runs when the one before succeeded; `$K` counts them and `$?` is the last status.
fn actions(script: &mut String, actions: &[Action], input: &mut Input, mark: &Separator) {
    if actions.is_empty() {
        script.push_str(":\n");
        return;
    }
    for (position, action) in actions.iter().enumerate() {
        let joint = if position == 0 { String::new() } else { format!(" && K={position} && ") };
        let _ = write!(script, "{joint}{{ {}; }} >\"$T/o\" 2>\"$T/e\" </dev/null 9>&-", one(action, input, mark));
    }
    script.push('\n');
}

fn one(action: &Action, input: &mut Input, mark: &Separator) -> String {
    match action {
        Action::Write { path, content, mode, owner } => {
            let place = input.put(content);
            let beside = format!("{path}.{}new", mark.as_str());
            let owner = owner.as_deref().unwrap_or("root:root");
            words_after("w", &format!("{place} {mode:o} {:04o}", 0o777 & !mode), [owner, &beside, path])
        }
        Action::Directory { path, mode, owner } => {
            let quoted = quote(path);
            let owner = owner.as_ref().map(|owner| format!(" && chown {}", words([owner.as_str(), path]))).unwrap_or_default();
            format!(
                "if [ -L {quoted} ]; then echo {} >&2; false; elif [ -d {quoted} ]; then chmod {mode:o} {quoted}; else mkdir -p -m {mode:o} -- {quoted}; fi{owner}",
                quote(&format!("{path} is a symbolic link, not a directory")),
            )
        }
        Action::Symlink { path, target } => format!("ln -sfnT -- {}", words([target, path])),
        Action::AppendLine { path, line } => {
            let path = quote(path);
            format!("{{ [ ! -s {path} ] || [ -z \"$(tail -c1 {path})\" ] || echo >>{path}; }} && printf '%s\\n' {} >>{path}", quote(line))
        }
        Action::Remove { path } => format!("rm -f -- {}", quote(path)),
        Action::Run { argv, stdin, timeout_s } => {
            let run = format!("timeout -k 5 {timeout_s} {}", words(argv));
            if stdin.bytes().is_empty() { run } else { format!("i {} | {run}", input.put(stdin)) }
        }
    }
}

fn words_after<const COUNT: usize>(function: &str, plain: &str, quoted: [&str; COUNT]) -> String {
    format!("{function} {plain} {}", words(quoted))
}

/// The paths and lines that blocks were computed from: what looks at them, and what that must print.
fn guard(blocks: &[Block]) -> Option<(String, String)> {
    let pairs = blocks.iter().flat_map(|block| &block.guard).filter(|(probe, _)| !matches!(probe, Probe::Run { .. } | Probe::Check { .. }));
    let (probes, findings): (Vec<&Probe>, Vec<&Finding>) = pairs.map(|(probe, finding)| (probe, finding)).unzip();
    let query = Query::new(probes);
    let look = query.guard_body();
    (!look.is_empty()).then(|| (look, query.expected(&findings)))
}

/// The action that ended a block and its output, of which the last `limit` bytes came, if the answer tells of one.
fn failure(sections: &Sections, block: usize, limit: usize) -> Result<Option<(usize, Output)>, Malformed> {
    let prefix = format!("ended {block} ");
    let Some((name, stdout)) = sections.iter().find(|(name, _)| name.starts_with(&prefix)) else { return Ok(None) };
    let stderr = sections.after(name, "stderr").map(|(_, content)| content).unwrap_or_default();
    let bad = || Malformed::new("how a block ended", name);
    let (action, status) = name[prefix.len()..].split_once(' ').ok_or_else(bad)?;
    let plain = |bytes: &[u8], limit| tail(bytes.strip_suffix(b"\n").unwrap_or(bytes), limit);
    let output = Output { status: status.parse().map_err(|_| bad())?, stdout: plain(stdout, limit), stderr: plain(stderr, FAILURE_STDERR) };
    Ok(Some((action.parse().map_err(|_| bad())?, output)))
}
