//! A way, or why there is none, for people and as events.
use crate::ui::Ui;
use kthw_stdlib::versions::{NoWay, Problem, Purpose, Set, Step, check};
use serde_json::{Map, Value, json};

/// Prints the steps.
pub fn way(ui: &Ui, from: &Set, to: &Set, steps: &[Step]) {
    let outside = check(from);
    if ui.is_json() {
        for problem in &outside {
            ui.line(&problem_as_json(problem).to_string());
        }
        for (number, step) in (1..).zip(steps) {
            ui.line(&step_as_json(number, step).to_string());
        }
        ui.line(&json!({ "event": "way", "from": versions(from), "to": versions(to), "steps": steps.len() }).to_string());
        return;
    }
    for problem in &outside {
        ui.line(&format!("The start is outside: {}.\n    {}\n", problem.rule, problem.page));
    }
    match steps.len() {
        0 => ui.line(&format!("{from}: nothing to move.")),
        1 => ui.line(&format!("{from}\n  to {to}: 1 step.")),
        count => ui.line(&format!("{from}\n  to {to}: {count} steps.")),
    }
    for (number, step) in (1..).zip(steps) {
        ui.line(&format!("\n{}", step_in_words(number, step)));
    }
}

fn step_in_words(number: usize, step: &Step) -> String {
    let brings: Vec<String> = step.brings.iter().map(|(image, old, new)| format!("{image} {old} -> {new}")).collect();
    let with = if brings.is_empty() { String::new() } else { format!(", with {}", brings.join(", ")) };
    let waypoint =
        if matches!(step.purpose, Purpose::Waypoint | Purpose::Repair) { format!("  ({})", step.purpose.key()) } else { String::new() };
    let mut text = format!(
        "{number:>3}. {} {} -> {}{with}{waypoint}\n     {}.\n     {}",
        step.component, step.from, step.to, step.reason, step.source
    );
    for mind in &step.minds {
        text += &format!("\n     Mind: {}.\n     {}", mind.text, mind.source);
    }
    if let Some(gone) = step.gone {
        let flags: Vec<String> = gone.kubelet_flags.iter().map(|flag| format!("--{flag}")).collect();
        let flags = if flags.is_empty() { String::new() } else { format!("the kubelet's flags {} and ", flags.join(", ")) };
        text += &format!("\n     Gone: {flags}{} feature gates, which `--json` names.\n     {}", gone.feature_gates.len(), gone.source);
    }
    text
}

fn step_as_json(number: usize, step: &Step) -> Value {
    let brings: Map<String, Value> =
        step.brings.iter().map(|(image, old, new)| ((*image).to_owned(), json!({ "from": old, "to": new }))).collect();
    let minds: Vec<Value> = step.minds.iter().map(|mind| json!({ "text": mind.text, "source": mind.source })).collect();
    json!({
        "event": "step",
        "number": number,
        "component": step.component.key(),
        "from": step.from.to_string(),
        "to": step.to.to_string(),
        "purpose": step.purpose.key(),
        "reason": step.reason,
        "source": step.source,
        "brings": brings,
        "mind": minds,
        "gone": step.gone.map(|gone| json!({ "kubelet_flags": gone.kubelet_flags, "feature_gates": gone.feature_gates, "source": gone.source })),
        "after": versions(&step.set),
    })
}

/// The versions of a set by component.
fn versions(set: &Set) -> Value {
    let mut versions: Map<String, Value> =
        set.iter().map(|(component, version)| (component.key().to_owned(), version.to_string().into())).collect();
    versions.extend(set.system.map(|system| ("system".to_owned(), system.id.into())));
    versions.into()
}

fn problem_as_json(problem: &Problem) -> Value {
    let (one, other) = problem.between;
    json!({
        "event": "problem",
        "between": [one.to_string(), other.to_string()],
        "rule": problem.rule,
        "source": problem.page,
        "nearest": problem.nearest.as_ref().map(versions),
    })
}

/// Prints what is wrong with a workspace's versions, or that nothing is.
pub fn problems(ui: &Ui, workspace: &str, set: &Set, problems: &[Problem]) {
    if ui.is_json() {
        for problem in problems {
            ui.line(&problem_as_json(problem).to_string());
        }
        ui.line(&json!({ "event": "versions", "workspace": workspace, "versions": versions(set), "problems": problems.len() }).to_string());
        return;
    }
    if problems.is_empty() {
        ui.line(&format!("Workspace {workspace}: {set}, which upstream tests together."));
    }
    for problem in problems {
        ui.line(&in_words(workspace, problem));
    }
}

/// A problem of a workspace as a warning.
pub fn in_words(workspace: &str, problem: &Problem) -> String {
    let nearest = problem.nearest.as_ref().map(|nearest| format!(" The nearest right set is {nearest}.")).unwrap_or_default();
    format!("Workspace {workspace}: {}.{nearest}\n    {}", problem.rule, problem.page)
}

/// Why there is no way, with the nearest right target.
pub fn refusal(no_way: NoWay) -> Refusal {
    let nearest = match (no_way.nearest, no_way.is_reachable) {
        (Some(nearest), true) => format!("the nearest right target is {nearest}"),
        (Some(nearest), false) => format!("no right target can be reached from here; the nearest right set by itself is {nearest}"),
        (None, _) => "no right target is known".into(),
    };
    Refusal { why: no_way.why, help: format!("{nearest}\n{}", no_way.source) }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no way: {why}")]
#[diagnostic(code(kthw::versions::no_way), help("{help}"))]
pub struct Refusal {
    why: String,
    help: String,
}
