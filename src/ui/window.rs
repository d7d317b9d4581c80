//! Errors in texts with very long lines: a window of the line is shown around the place, as the rest would hide it.
use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use std::fmt;

/// Longer lines are shown by a window.
const LONG: usize = 200;
/// Characters on either side of the place.
const AROUND: usize = 60;

/// An error as it is shown, with windows of its long lines.
#[derive(Debug)]
pub(super) struct Windowed {
    message: String,
    code: Option<String>,
    help: Option<String>,
    severity: Option<Severity>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Self>,
}

impl Windowed {
    /// The same error for showing; `None` when no line of it is long, and it can be shown as it is.
    pub fn of(error: &dyn Diagnostic) -> Option<Self> {
        has_long_lines(error).then(|| Self::copy(error))
    }

    fn copy(error: &dyn Diagnostic) -> Self {
        let labels: Vec<LabeledSpan> = error.labels().into_iter().flatten().collect();
        let window = error.source_code().and_then(|source| window(source, labels.first()?));
        let (source, labels) = window.map_or((None, Vec::new()), |(source, label)| (Some(source), vec![label]));
        Self {
            message: error.to_string(),
            code: error.code().map(|code| code.to_string()),
            help: error.help().map(|help| help.to_string()),
            severity: error.severity(),
            source,
            labels,
            related: error.related().into_iter().flatten().map(Self::copy).collect(),
        }
    }
}

fn has_long_lines(error: &dyn Diagnostic) -> bool {
    let own = error
        .source_code()
        .zip(error.labels())
        .is_some_and(|(source, mut labels)| labels.any(|label| Line::of(source, &label).is_some_and(|line| line.text.len() > LONG)));
    own || error.related().into_iter().flatten().any(has_long_lines)
}

/// The line on which a label begins.
struct Line {
    file: String,
    /// From 0.
    number: usize,
    text: String,
    /// Bytes of it before the label.
    before: usize,
}

impl Line {
    fn of(source: &dyn SourceCode, label: &LabeledSpan) -> Option<Self> {
        // Without a line around it miette gives the label's bytes alone.
        let around = source.read_span(label.inner(), 1, 1).ok()?;
        let text = std::str::from_utf8(around.data()).ok()?;
        let at = label.offset().checked_sub(around.span().offset())?.min(text.len());
        let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let number = around.line() + text[..start].matches('\n').count();
        Some(Self { file: around.name().unwrap_or_default().to_owned(), number, text: text[start..end].to_owned(), before: at - start })
    }
}

/// The line of a label as a text of its own, whose empty lines before it keep its number, and the label in it.
fn window(source: &dyn SourceCode, label: &LabeledSpan) -> Option<(NamedSource<String>, LabeledSpan)> {
    let Line { file, number, text, before } = Line::of(source, label)?;
    let end = (before + label.len()).min(text.len());
    let (before, word, after) = (text.get(..before)?, text.get(before..end)?, text.get(end..)?);
    let start: String = before.chars().rev().take(AROUND).collect::<Vec<_>>().into_iter().rev().collect();
    let word: String = word.chars().take(AROUND).collect();
    let rest: String = after.chars().take(AROUND).collect();
    let cut = |whole: &str, kept: &str| if whole.len() > kept.len() { "…" } else { "" };
    let head = format!("{}{}{start}", "\n".repeat(number), cut(before, &start));
    let shown = format!("{head}{word}{rest}{}", cut(after, &rest));
    let column = before.chars().count() + 1;
    let label_text = format!("{} (column {column})", label.label().unwrap_or("here"));
    Some((NamedSource::new(file, shown), LabeledSpan::new(Some(label_text), head.len(), word.len())))
}

impl fmt::Display for Windowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Windowed {}

impl Diagnostic for Windowed {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }
    fn severity(&self) -> Option<Severity> {
        self.severity
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (!self.related.is_empty())
            .then(|| Box::new(self.related.iter().map(|error| error as &dyn Diagnostic)) as Box<dyn Iterator<Item = &dyn Diagnostic>>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miette::{GraphicalReportHandler, GraphicalTheme, miette};

    fn shown(text: &str, word: &str) -> Option<String> {
        let at = text.find(word).unwrap();
        let error = miette!(labels = vec![LabeledSpan::new(Some("here".into()), at, word.len())], help = "mend it", "it is wrong");
        let error = error.with_source_code(NamedSource::new("w.yaml", text.to_owned()));
        let windowed = Windowed::of(error.as_ref())?;
        let mut out = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).render_report(&mut out, &windowed).unwrap();
        Some(out)
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("a: 1\nb: {}ü wrong {}\nc: 2\n", "x".repeat(5000), "y".repeat(5000));
        let out = shown(&text, "wrong").unwrap();
        assert!(out.lines().all(|line| line.chars().count() < 160), "{out}");
        for part in ["w.yaml:2:", "2 │ …xxx", "ü wrong yyy", "y…", "here (column 5006)", "it is wrong", "mend it"] {
            assert!(out.contains(part), "{part}: {out}");
        }
        let line = out.lines().position(|line| line.contains("wrong yyy")).unwrap();
        let column = |line: &str, part: &str| line.chars().collect::<String>().find(part).map(|at| line[..at].chars().count());
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(column(lines[line], "wrong"), column(lines[line + 1], "──"), "the caret stands under the word: {out}");
    }

    #[test]
    fn other_lines_are_shown_as_they_are() {
        assert!(shown("a: 1\nb: wrong\n", "wrong").is_none());
    }
}
