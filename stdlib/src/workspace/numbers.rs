//! Numbers in workspace.yaml that readers of YAML take for different things: `0100` is 100, 64 or a text, and what is too large becomes inexact.
use super::problem::Problem;
use crate::yaml::{Node, Value};
use miette::NamedSource;
use std::sync::Arc;

/// Every number that is not surely what it looks like. Quotes make a text of it.
pub(super) fn problems(source: &Arc<NamedSource<String>>, tree: &Node) -> Vec<Problem> {
    let mut found = Vec::new();
    look(tree, &mut |node, text| {
        let Some((message, help)) = wrong(text) else { return };
        found.push(Problem::new("kthw::workspace::number", message, source.clone(), help).at(node.span.clone(), "this number"));
    });
    found
}

fn look(node: &Node, see: &mut impl FnMut(&Node, &str)) {
    match &node.value {
        Value::Scalar { text, plain: true } => see(node, text),
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| look(item, see)),
        Value::Map(entries) => entries.iter().for_each(|entry| look(&entry.node, see)),
    }
}

fn wrong(text: &str) -> Option<(String, String)> {
    let digits = text.trim_start_matches(['-', '+']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let quoted = format!("write `\"{text}\"` if it is a text");
    if digits.len() > 1 && digits.starts_with('0') {
        let number = digits.trim_start_matches('0');
        let number = if number.is_empty() { "0" } else { number };
        return Some((
            format!("`{text}` begins with a zero: some readers of YAML take it for octal, others for {number}"),
            format!("{quoted}, or `{number}`"),
        ));
    }
    let large = text.parse::<i64>().is_err();
    large.then(|| (format!("`{text}` is larger than a whole number can be here ({})", i64::MAX), quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_mean_several_things_are_wrong() {
        for fine in ["0", "10", "-7", "1.05", "0.5", "0x1F", "1e3", "9223372036854775807", "10.10.10.1", "00:11", "", "007a"] {
            assert_eq!(wrong(fine), None, "{fine}");
        }
        for odd in ["01234", "0100", "-012", "00", "9223372036854775808"] {
            assert!(wrong(odd).is_some_and(|(message, help)| message.contains(odd) && help.contains('"')), "{odd}");
        }
    }

    #[test]
    fn each_is_pointed_at() {
        let text = "values:\n  zip: 01234\n  kept: \"0100\"\n  list: [1, 007]\n";
        let tree = crate::yaml::parse(text).expect("YAML");
        let found = problems(&Arc::new(NamedSource::new("w.yaml", text.to_owned())), &tree);
        let places: Vec<&str> = found
            .iter()
            .flat_map(|problem| miette::Diagnostic::labels(problem).into_iter().flatten())
            .map(|label| &text[label.offset()..label.offset() + label.len()])
            .collect();
        assert_eq!(places, ["01234", "007"]);
    }
}
