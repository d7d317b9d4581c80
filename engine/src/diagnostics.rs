//! Errors of recipes, with the place in the script and the next thing to type.
use crate::{dialect, error::Error};
use miette::{Diagnostic, LabeledSpan, NamedSource};
use rhai::{Engine, EvalAltResult, LexError, ParseErrorType, Position};
use std::{fmt, sync::Arc};

mod signatures;

/// Any diagnostic that a host function threw through a script, kept whole.
#[derive(Clone)]
pub(crate) struct Thrown(pub Arc<Error>);

/// Something wrong in a recipe.
#[derive(Debug)]
pub struct RecipeError {
    message: String,
    code: &'static str,
    help: Option<String>,
    source: NamedSource<String>,
    labels: Vec<LabeledSpan>,
    related: Vec<RecipeError>,
}

impl RecipeError {
    /// An error in `text`, which people know as `file`.
    pub fn new(code: &'static str, message: impl fmt::Display, file: &str, text: &str) -> Self {
        let source = NamedSource::new(file, text.to_owned());
        Self { message: message.to_string(), code, help: None, source, labels: Vec::new(), related: Vec::new() }
    }

    /// Points at a position of the script.
    #[must_use]
    pub fn at(mut self, position: Position, label: impl Into<String>) -> Self {
        if let Some((offset, length)) = span(self.source.inner(), position) {
            self.labels.push(LabeledSpan::new(Some(label.into()), offset, length));
        }
        self
    }

    /// Points at the first occurrence of a piece of the text.
    #[must_use]
    pub fn at_text(mut self, piece: &str, label: impl Into<String>) -> Self {
        if let Some(offset) = self.source.inner().find(piece) {
            self.labels.push(LabeledSpan::new(Some(label.into()), offset, piece.len()));
        }
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that belongs to the same error.
    #[must_use]
    pub fn related(mut self, other: Self) -> Self {
        self.related.push(other);
        self
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RecipeError {}

impl Diagnostic for RecipeError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        (!self.source.inner().is_empty()).then_some(&self.source as &dyn miette::SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            // The whole file is meant: show its name and first line.
            return Some(Box::new(std::iter::once(LabeledSpan::new(None, 0, 0))));
        }
        Some(Box::new(self.labels.iter().cloned()))
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (!self.related.is_empty())
            .then(|| Box::new(self.related.iter().map(|error| error as &dyn Diagnostic)) as Box<dyn Iterator<Item = &dyn Diagnostic>>)
    }
}

/// Several errors of one load or evaluation, shown one after the other.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} problems in the recipes", .0.len())]
#[diagnostic(code(kthw::recipe))]
pub struct RecipeErrors(#[related] pub Vec<RecipeError>);

impl From<RecipeErrors> for Error {
    fn from(mut errors: RecipeErrors) -> Self {
        match errors.0.len() {
            1 => Self::recipe(errors.0.remove(0)),
            _ => Self::recipe(errors),
        }
    }
}

/// An options map that does not fit its function.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(kthw::recipe::bad_option), help("{help}"))]
pub struct BadOption {
    message: String,
    help: String,
}

impl BadOption {
    /// `message` about the options of `function`, such as `ssh::file`. A serde "unknown field" message gets the nearest name.
    pub fn new(function: &str, message: String) -> Self {
        let message = wanted_type(&message).unwrap_or(message);
        let mut quoted = message.split('`').skip(1).step_by(2);
        let guess = match (message.starts_with("unknown "), quoted.next()) {
            (true, Some(wrong)) => nearest(wrong, quoted).map(|name| format!("did you mean `{name}`? ")),
            _ => None,
        };
        Self { help: format!("{}see `kthw help {function}`", guess.unwrap_or_default()), message }
    }
}

/// Says Rhai's "Output type incorrect: string (expecting bool)" in plain words.
fn wanted_type(message: &str) -> Option<String> {
    let (found, wanted) = message.strip_prefix("Output type incorrect: ")?.split_once(" (expecting ")?;
    Some(format!("an option holds a {found} where a {} is wanted", wanted.trim_end_matches(')')))
}

/// The known name that is most like `wrong`, if any is like it.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            // Two swapped letters in a short name make a low Jaro-Winkler likeness.
            let is_slip = wrong.len() > 2 && strsim::osa_distance(wrong, name) == 1;
            (if is_slip { 1.0 } else { strsim::jaro_winkler(wrong, name) }, name)
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Turns what Rhai reports into an error of the recipe `file`.
pub(crate) fn from_rhai(engine: &Engine, file: &str, text: &str, error: &EvalAltResult) -> RecipeError {
    let mut calls = Vec::new();
    let mut inner = error;
    loop {
        match inner {
            EvalAltResult::ErrorInFunctionCall(name, _, cause, position) => {
                calls.push((name.clone(), *position));
                inner = cause;
            }
            EvalAltResult::ErrorInModule(_, cause, _) => inner = cause,
            _ => break,
        }
    }
    let thrown = match inner {
        EvalAltResult::ErrorRuntime(value, _) => value.clone().try_cast::<Thrown>(),
        _ => None,
    };
    let (message, code, help) = match &thrown {
        Some(Thrown(error)) => {
            let diagnostic = error.diagnostic();
            (error.to_string(), "kthw::recipe", diagnostic.help().map(|help| help.to_string()))
        }
        None => {
            let (message, help) = plain_words(engine, inner);
            (message, "kthw::recipe", help)
        }
    };
    let mut report = RecipeError::new(code, message, file, text).at(inner.position(), "here");
    report.help = help;
    for (name, position) in calls.iter().filter(|(name, position)| name != "declare" && !position.is_none()) {
        report = report.at(*position, format!("in this call of `{name}`"));
    }
    report
}

/// Says a built-in Rhai error without its trailing position, and what to do about the common ones.
fn plain_words(engine: &Engine, error: &EvalAltResult) -> (String, Option<String>) {
    let mut bare = error.to_string();
    if let Some(at) = bare.rfind(" (line ") {
        bare.truncate(at);
    }
    match error {
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let (message, help) = signatures::not_found(engine, signature);
            (message, Some(help))
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            (format!("no module `{name}`"), Some("see `kthw help` for all modules; they need no `import`".into()))
        }
        EvalAltResult::ErrorRuntime(value, _) if value.is_string() => {
            let text = value.to_string();
            let help = match text.starts_with("a cluster ") || text.starts_with("a node ") {
                true => "`kthw help workspace` lists the fields of a cluster and its nodes",
                false => dialect::help(&text).unwrap_or("the recipe itself ends here; see its text"),
            };
            (text, Some(help.into()))
        }
        EvalAltResult::ErrorStackOverflow(_) => (bare, Some("look for a function that calls itself without end".into())),
        EvalAltResult::ErrorTooManyOperations(_) => (bare, Some("a recipe only names resources; look for a loop that does not end".into())),
        EvalAltResult::ErrorTerminated(why, _) if why.is_string() => {
            (why.to_string(), Some("a recipe only names resources; look for a loop that does not end".into()))
        }
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            (format!("no property `{name}`"), Some("see the workspace's fields with `kthw help workspace`".into()))
        }
        EvalAltResult::ErrorParsing(kind, _) => wrong_syntax(kind),
        _ => (bare, Some("see docs/guides and `kthw help` for how recipes are written".into())),
    }
}

/// What the parser does not understand, and what to do about it.
fn wrong_syntax(kind: &ParseErrorType) -> (String, Option<String>) {
    match kind {
        ParseErrorType::ModuleUndefined(name) => {
            (format!("no module `{name}`"), Some("see `kthw help` for all modules; they need no `import`".into()))
        }
        ParseErrorType::VariableUndefined(name) => (
            format!("no variable `{name}`"),
            Some("declare it with `let`, or look for a typing mistake; a recipe sees `cluster` and what it declares itself".into()),
        ),
        ParseErrorType::BadInput(LexError::Runtime(text)) => (text.clone(), Some("write it as the value that you mean".into())),
        kind => (kind.to_string(), Some("mend the script here; `kthw check` shows the next problem".into())),
    }
}

/// Byte offset and length of the word at a position. Rhai counts characters; the last position it can tell is 65,535.
fn span(text: &str, position: Position) -> Option<(usize, usize)> {
    let line = position.line()?;
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let line_text = text[start..].split('\n').next().unwrap_or("");
    let column = position.position().unwrap_or(1).saturating_sub(1);
    let offset = line_text.char_indices().nth(column).map_or(line_text.len(), |(at, _)| at);
    // Rhai's place of a property is the dot before it, and that of a negative number its sign.
    let signs = line_text[offset..].chars().take_while(|c| matches!(c, '.' | '?' | '-' | ' ')).map(char::len_utf8).sum::<usize>();
    let offset = if line_text[offset + signs..].starts_with(|c: char| c.is_alphanumeric() || c == '_') { offset + signs } else { offset };
    let word = line_text[offset..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum::<usize>();
    Some((start + offset, word.max(1).min(line_text.len().saturating_sub(offset).max(1))))
}
