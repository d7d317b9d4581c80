//! What two environments cannot both have: the old system looked at each alone.
use super::{draft::Draft, text::Problem};

/// Everything that two of the drafts share and must not.
pub fn collisions(drafts: &[Draft<'_>]) -> Vec<Problem> {
    let pairs = drafts.iter().enumerate().flat_map(|(index, second)| drafts[..index].iter().map(move |first| (first, second)));
    pairs.flat_map(|(first, second)| between(first, second)).collect()
}

fn between(first: &Draft<'_>, second: &Draft<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names = format!("{} and {}", first.name, second.name);
    let either = format!("take one of them alone (`--only {}`), or change one in a copy of the folder", first.name);
    if (first.letter, &first.domain) == (second.letter, &second.domain) {
        let message = format!("`{}` is also the letter of {} ({})", second.letter, first.name, first.letter_setting.place());
        problems.push(second.letter_setting.wrong("taken", message, format!("their nodes have the same host names: {either}")));
    }
    let same_template = first.template == second.template && first.template_name != second.template_name;
    if same_template {
        let message = format!("{names} have the template id {} for {} and {}", first.template, first.template_name, second.template_name);
        problems.push(Problem::of(message, either.clone()));
    }
    for one in &second.nodes {
        for other in &first.nodes {
            let both = format!("{} ({}) and {} ({})", other.name, other.origin, one.name, one.origin);
            if one.address == other.address {
                problems.push(Problem::of(format!("{both} have the address {}", one.address), either.clone()));
            }
            if one.vmid == other.vmid {
                problems.push(Problem::of(format!("{both} have the VM id {}", one.vmid), either.clone()));
            }
        }
    }
    problems
}
