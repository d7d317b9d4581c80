//! One run, in one line and whole.
use super::{began, fault_in_words, moment};
use crate::ui::Ui;
use kthw_engine::{Outcome, Result, presentable};
use kthw_store::journal::{Resource, RunLog, What};
use std::collections::BTreeMap;

/// How a run ended, in words.
fn ended(log: &RunLog) -> String {
    match (log.finish(), log.taken_over_by(), &log.fault) {
        (_, _, Some(fault)) => format!("died or damaged: {}", fault_in_words(fault)),
        (Some(finish), _, _) => {
            let stopped = if finish.stopped { "told to stop, " } else { "" };
            let (changed, failed, skipped) = (finish.changed, finish.failed, finish.skipped);
            format!("{stopped}{changed} changed, {failed} failed, {skipped} skipped in {:.1} s", finish.seconds)
        }
        (None, Some(0), None) => "its lock was broken".into(),
        (None, Some(by), None) => format!("taken over by run {by}"),
        (None, None, None) => "under way, or it died".into(),
    }
}

fn what(log: &RunLog) -> String {
    let Some(header) = log.header() else { return "nothing written".into() };
    let recipe = header.about.recipes.last().map(|recipe| format!(" {} {}", recipe.name, recipe.version)).unwrap_or_default();
    format!("{}{recipe}", header.about.verb)
}

/// For the list.
pub fn in_one_line(log: &RunLog) -> String {
    let who = log.header().map(|header| format!("{}@{}", header.about.owner.user, header.about.owner.host)).unwrap_or_default();
    format!("{}  {}  {who}  {}: {}", log.run, began(log), what(log), ended(log))
}

/// For the list, as JSON.
pub fn as_json(log: &RunLog) -> String {
    let open = log.unsettled().len();
    let (header, finish) = (log.header(), log.finish());
    serde_json::json!({ "event": "run", "run": log.run, "bytes": log.bytes, "header": header, "finish": finish, "ended": ended(log), "open": open })
        .to_string()
}

/// All of it.
pub fn show(log: &RunLog, ui: &Ui) -> Result<u8> {
    if ui.is_json() {
        for line in &log.lines {
            ui.line(&serde_json::to_string(line).unwrap_or_default());
        }
        return Ok(0);
    }
    let line = |text: String| ui.line(&presentable(&text));
    line(format!("Run {}: {}, {}", log.run, what(log), ended(log)));
    if let Some(header) = log.header() {
        line(format!("  began     {}", began(log)));
        line(format!("  by        {}, kthw {}", header.about.owner, header.about.kthw));
        for recipe in &header.about.recipes {
            line(format!("  recipe    {} {} ({})", recipe.name, recipe.version, short(&recipe.sha256)));
        }
        line(format!("  workspace {} ({})", header.about.workspace, short(&header.about.workspace_sha256)));
    }
    let ends: BTreeMap<u64, (&Option<String>, u64)> = log
        .lines
        .iter()
        .filter_map(|line| match &line.what {
            What::End { effect, failure } => Some((*effect, (failure, line.ms))),
            _ => None,
        })
        .collect();
    for entry in &log.lines {
        match &entry.what {
            What::Settled { run, effect, how } => line(format!("  settled   effect {effect} of run {run}: {how}")),
            What::Planned { sha256, changes } => line(format!("  plan      {changes} to change ({})", short(sha256))),
            What::Begin { effect, intent, .. } => {
                let end = match ends.get(effect) {
                    None => "nobody saw its end".into(),
                    Some((None, ms)) => format!("{:.1} s", ms.saturating_sub(entry.ms) as f64 / 1000.0),
                    Some((Some(failure), _)) => format!("failed: {failure}"),
                };
                line(format!("  {}  {effect:>4}  {}: {} ({end})", moment(entry.ms), intent.peer, intent.what));
            }
            What::Note { effect, name } => line(format!("                              {effect:>4}  known as {name}")),
            What::Resource(Resource { id, outcome, seconds }) => {
                line(format!("            {id} {} ({seconds:.1} s)", outcome_in_words(outcome)))
            }
            What::Run(_) | What::End { .. } | What::Finish(_) | What::TakenOver { .. } => {}
        }
    }
    let open = log.unsettled();
    for one in &open {
        line(format!(
            "  open      effect {} of run {}: {} ({})",
            one.entry.number, one.entry.run, one.entry.intent.what, one.entry.intent.peer
        ));
    }
    Ok(0)
}

/// How a resource ended, in a word or two.
pub fn outcome_in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unchanged => "unchanged".into(),
        Outcome::Changed { change } => format!("done: {change}"),
        Outcome::Failed { error } => format!("failed: {}", error.lines().next().unwrap_or_default()),
        Outcome::Skipped { because } => format!("skipped: {because}"),
        Outcome::Refused { why } => format!("refused: {why}"),
    }
}

/// The beginning of a digest, as people compare it.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
