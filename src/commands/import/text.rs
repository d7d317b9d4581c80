//! The files of the old system as text that problems can point into, showing no more of it than they are about.
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::{fmt, ops::Range};

/// One file.
#[derive(Clone, Debug)]
pub struct Text {
    /// As people know it: its path below the old system's folder.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Text {
    /// The line, from 1, that the byte at `offset` is on.
    pub fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// A problem with the bytes of `label`. Of the file only `shown` is shown: around it there may be secrets.
    pub fn problem(
        &self,
        shown: Range<usize>,
        (place, label): (Range<usize>, &str),
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        let start = self.text[..shown.start].rfind('\n').map_or(0, |line_end| line_end + 1);
        let mut text = "\n".repeat(self.line(shown.start) - 1);
        text.extend(self.text[start..shown.start].chars().map(|_| ' '));
        let behind = text.len();
        text += &self.text[shown.clone()];
        let place = LabeledSpan::new(Some(label.into()), behind + place.start - shown.start, place.len());
        Problem { message: message.into(), help: help.into(), place: Some((NamedSource::new(&self.name, text), place)) }
    }
}

/// Something in the old system's folder that cannot be taken over.
#[derive(Debug)]
pub struct Problem {
    message: String,
    help: String,
    place: Option<(NamedSource<String>, LabeledSpan)>,
}

impl Problem {
    /// A problem without a place, such as a variable that nobody set.
    pub fn of(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), place: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("kthw::import"))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.place.as_ref().map(|(_, label)| Box::new(std::iter::once(label.clone())) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_own_words_in_their_place_and_nothing_beside_them() {
        let file = Text { name: "cpc.env".into(), text: "A=1\nTOKEN=abc ADDRESS=x SECRET=def\n".into() };
        let address = file.text.find("ADDRESS").unwrap();
        let problem = file.problem(address..address + 9, (address + 8..address + 9, "here"), "no address", "write one");
        let (source, label) = problem.place.unwrap();
        assert_eq!(source.inner(), "\n          ADDRESS=x");
        assert_eq!(&source.inner()[label.offset()..label.offset() + label.len()], "x");
    }
}
