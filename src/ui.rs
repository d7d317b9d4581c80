//! The only file that prints: plan and report on stdout, progress and errors on stderr, events as JSON when asked.
#![allow(clippy::print_stdout, clippy::print_stderr)]
use indicatif::{ProgressBar, ProgressStyle};
use kthw_engine::{Error, Event, Events, Outcome, Owned, Plan, Report, RunStamp, Secret, presentable};
use kthw_stdlib::restart::{RECIPE, Restarts};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use std::{
    collections::BTreeMap,
    io::{ErrorKind, IsTerminal, StdoutLock, Write},
    sync::{Arc, OnceLock},
    time::Duration,
};

mod table;
mod window;

pub use table::table;
use window::Windowed;

/// What a script prints, at once: it is for whoever writes the script.
pub fn of_a_script(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "recipe: {}", presentable(text));
}

/// How this call talks to the person or program that made it.
#[derive(Clone, Debug)]
pub struct Ui {
    json: bool,
    colour: bool,
    live: bool,
    /// Why a part of the answer was not printed.
    lost: Arc<OnceLock<String>>,
}

impl Ui {
    /// `plain` turns colour and the live display off; so do `NO_COLOR` and not being on a terminal.
    pub fn new(json: bool, plain: bool) -> Self {
        let colour = !plain && std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
        let live = !json && !plain && std::io::stderr().is_terminal();
        Self { json, colour, live, lost: Arc::default() }
    }

    /// The same without a live display, for output that other lines go into.
    pub fn in_lines(&self) -> Self {
        Self { live: false, ..self.clone() }
    }

    /// Whether events are printed instead of text.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A line of the answer.
    pub fn line(&self, text: &str) {
        self.answer(|out| writeln!(out, "{text}"));
    }

    /// A part of the answer that must not gain a line ending: nothing is printed but these bytes.
    pub fn raw(&self, bytes: &[u8]) {
        self.answer(|out| out.write_all(bytes).and_then(|()| out.flush()));
    }

    fn answer(&self, print: impl FnOnce(&mut StdoutLock<'_>) -> std::io::Result<()>) {
        let printed = print(&mut std::io::stdout().lock());
        // A closed pipe (`kthw … | head`) ends the output, not the run.
        if let Err(error) = printed.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }) {
            let _ = self.lost.set(error.to_string());
        }
    }

    /// The exit code of a call that ends with `code`: not 0 when a part of its answer could not be printed, which is said.
    pub fn end(&self, code: u8) -> u8 {
        self.answer(|out| out.flush());
        let Some(reason) = self.lost.get() else { return code };
        self.note(&format!("kthw: cannot write to standard output: {reason}. Its answer is not complete."));
        code.max(1)
    }

    /// A value, raw; on a terminal a line ending follows, so that the prompt has its own line.
    pub fn value(&self, text: &str) {
        self.raw(text.as_bytes());
        if std::io::stdout().is_terminal() {
            self.raw(b"\n");
        }
    }

    /// A line beside the answer.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// An error with its place, cause and next step.
    pub fn error(&self, error: &Error) {
        if self.json {
            let help = error.diagnostic().help().map(|help| help.to_string());
            let code = error.diagnostic().code().map(|code| code.to_string());
            self.line(&serde_json::json!({ "event": "error", "message": error.to_string(), "help": help, "code": code }).to_string());
        } else {
            self.note(&self.render(error));
        }
    }

    /// A mistake in kthw itself: its place, and its message when that is the same in every call. Nothing is captured from the stack.
    pub fn panic(&self, panic: &std::panic::PanicHookInfo<'_>) {
        self.note(&panicked(panic));
    }

    fn render(&self, error: &Error) -> String {
        let theme = if self.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        let windowed = Windowed::of(error.diagnostic());
        let shown: &dyn Diagnostic = match &windowed {
            Some(windowed) => windowed,
            None => error.diagnostic(),
        };
        match GraphicalReportHandler::new_themed(theme).with_width(110).render_report(&mut text, shown) {
            Ok(()) => text,
            Err(_) => error.to_string(),
        }
    }

    /// What a workspace made and does not name any more. That it could not be looked for goes without saying where the plan says why.
    pub fn orphans(&self, plan: &Plan, orphans: &Result<Vec<Owned>, Error>) {
        if let (Err(error), []) = (orphans, plan.failures()) {
            self.note(&format!("Cannot look for what this workspace made and does not name any more: {error}"));
        }
        for one in orphans.iter().flatten() {
            self.note(&format!(
                "{} ({}) carries this workspace's mark and is not named in it any more; `--prune` removes it",
                one.id(),
                one.what()
            ));
        }
    }

    /// The plan and its summary.
    pub fn plan(&self, plan: &Plan) {
        if self.json {
            return;
        }
        self.line(plan.to_string().trim_end());
        let chosen = plan.planned().iter().filter(|one| one.chosen).count();
        let count = |word: &str| plan.planned().iter().filter(|one| one.chosen && one.change.word() == word).count();
        self.line("");
        if plan.changes() == 0 {
            let left_out = plan.left_out();
            let rest = if left_out > 0 { format!(" ({left_out} were left out)") } else { String::new() };
            self.line(&format!("Nothing to change: all {chosen} resources are as declared{rest}."));
            return;
        }
        let parts: Vec<String> =
            [("create", "to create"), ("update", "to update"), ("delete", "to delete"), ("unknown", "unknown"), ("refused", "refused")]
                .into_iter()
                .filter(|(word, _)| count(word) > 0)
                .map(|(word, told)| format!("{} {told}", count(word)))
                .collect();
        self.line(&format!("Plan: {}, {} unchanged.", parts.join(", "), count("none")));
        self.unplanned(plan);
    }

    /// The machines that go on without something until they are restarted, and how that is done in this workspace.
    pub fn restarts(&self, restarts: &Restarts, workspace: &str) {
        if self.json || restarts.is_empty() {
            return;
        }
        self.line(&presentable(&restarts.to_string()));
        if restarts.needs_recipe() {
            self.line(&format!("  `kthw run {RECIPE} -w {workspace}` restarts them, one after the other."));
        }
    }

    /// Why parts of a plan are not known. What is the same for many, such as a peer that is silent, is said once.
    fn unplanned(&self, plan: &Plan) {
        let mut told: Vec<(String, Vec<String>)> = Vec::new();
        for (id, error) in plan.failures() {
            let text = self.render(error);
            match told.iter_mut().find(|(known, _)| *known == text) {
                Some((_, ids)) => ids.push(id.to_string()),
                None => told.push((text, vec![id.to_string()])),
            }
        }
        for (text, ids) in told {
            let others = if ids.len() > 1 { format!(" and {} more", ids.len() - 1) } else { String::new() };
            self.note(&format!("\n{}{others} could not be planned:\n{text}", ids[0]));
        }
    }

    /// What a run did.
    pub fn report(&self, report: &Report) {
        if self.json {
            return;
        }
        for (id, error) in &report.failures {
            self.note(&format!("{id} failed:"));
            self.error(error);
        }
        let mut skipped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (id, outcome) in &report.outcomes {
            if let Outcome::Skipped { because } = outcome {
                skipped.entry(because).or_default().push(id.to_string());
            }
        }
        for (because, ids) in skipped {
            self.line(&format!("Skipped, because {because}:\n  {}", ids.join("\n  ")));
        }
        let unchanged = report.count(|outcome| *outcome == Outcome::Unchanged);
        let seconds = report.took.as_secs_f64();
        let refused = if report.refused() > 0 { format!(", {} refused", report.refused()) } else { String::new() };
        self.line(&format!(
            "{}: {} changed, {unchanged} unchanged, {} failed, {} skipped{refused}, in {seconds:.1} s.",
            if report.failures.is_empty() && !report.stopped && report.refused() == 0 { "Done" } else { "Not done" },
            report.changed(),
            report.failures.len(),
            report.skipped(),
        ));
        if !report.failures.is_empty() || report.stopped {
            self.line("Run the same command again to go on from here.");
        }
    }

    /// Asks for consent on a terminal; `None` when there is none to ask on.
    pub fn confirm(&self, question: &str) -> Option<bool> {
        if self.json || !std::io::stdin().is_terminal() {
            return None;
        }
        eprint!("{question} Only `yes` goes on: ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(answer.trim() == "yes")
    }

    /// Asks for a line on a terminal; `None` when there is none to ask on, or it ended.
    pub fn ask(&self, question: &str) -> Option<String> {
        if self.json || !std::io::stdin().is_terminal() {
            return None;
        }
        eprint!("{question}");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).ok()?;
        (read > 0).then(|| answer.trim().to_owned())
    }

    /// Asks for a secret on the terminal, without showing it; `None` when there is no terminal, or nothing was entered.
    pub fn secret(&self, prompt: &str) -> Option<Secret> {
        rpassword::prompt_password(prompt).ok().map(Secret::new).filter(|text| !text.expose().is_empty())
    }

    /// Where the events of a plan or run go: JSON lines, a live line on a terminal, or plain lines.
    pub fn events(&self, stamp: &RunStamp) -> Events {
        if self.json {
            let (ui, stamp) = (self.clone(), stamp.clone());
            return Arc::new(move |event| {
                if let Ok(line) = serde_json::to_string(&stamp.on(event)) {
                    ui.line(&line);
                }
            });
        }
        let ui = self.clone();
        let bar = self.live.then(spinner);
        Arc::new(move |event| {
            let Some(text) = told(&event) else { return };
            match (&bar, &event) {
                (Some(bar), Event::Ended { .. } | Event::Noticed { .. }) => bar.println(text),
                (Some(bar), Event::Finished { .. }) => bar.finish_and_clear(),
                (Some(bar), _) => bar.set_message(text),
                (None, Event::Finished { .. }) => {}
                (None, _) => ui.note(&text),
            }
        })
    }
}

fn panicked(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    // A message that was made on the spot may quote what kthw was working on.
    let message = panic.payload().downcast_ref::<&'static str>().map(|message| format!(": {}", kthw_engine::redacted(message)));
    format!("kthw: this is a mistake in kthw{place}{}\nPlease report it with the command that you ran.", message.unwrap_or_default())
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// An event in one line; `None` for what the plan and report show anyway.
fn told(event: &Event) -> Option<String> {
    match event {
        Event::Begun { .. } | Event::Planned { .. } | Event::RestartNeeded { .. } => None,
        Event::Recovered { run_left, effect, what, how, settled } => {
            let mark = if *settled { '✓' } else { '✗' };
            Some(format!("  {mark} left by run {run_left}, effect {effect}, {what}: {how}"))
        }
        Event::Started { id } => Some(format!("  … {id}")),
        Event::Noticed { id, text } => Some(format!("  ! {id}: {text}")),
        Event::Progress { id, text } => Some(format!("    {id}: {text}")),
        Event::Ended { id, outcome: Outcome::Changed { change }, seconds } => Some(format!("  ✓ {id} ({change}, {seconds:.1} s)")),
        Event::Ended { id, outcome: Outcome::Failed { error }, .. } => Some(format!("  ✗ {id}: {}", error.lines().next().unwrap_or(""))),
        Event::Ended { id, outcome: Outcome::Unchanged, .. } => Some(format!("  = {id} (nothing to change)")),
        Event::Ended { .. } => None,
        Event::Finished { .. } => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_panic_shows_its_place_and_no_secret() {
        static SHOWN: Mutex<String> = Mutex::new(String::new());
        let secret = kthw_engine::Secret::new("correct horse battery staple");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|panic| *SHOWN.lock().unwrap() = panicked(panic)));
        let _ = std::panic::catch_unwind(|| panic!("no room for {}", secret.expose()));
        let of_secret = SHOWN.lock().unwrap().clone();
        let _ = std::panic::catch_unwind(|| panic!("no room"));
        std::panic::set_hook(before);
        assert!(of_secret.contains("src/ui.rs:") && !of_secret.contains("no room"), "{of_secret}");
        assert!(SHOWN.lock().unwrap().contains(": no room\n"));
    }
}
