//! The words of one line of bash, each with what it would assign.
use super::{Values, is_name};
use crate::commands::import::text::{Problem, Text};
use std::ops::Range;

/// One word, or the sign that ends a command.
#[derive(Clone, Debug)]
pub struct Word {
    /// Its bytes.
    pub span: Range<usize>,
    /// The variable and its value, where it is an assignment.
    pub assigns: Option<(String, Result<String, String>)>,
    /// What comes after it.
    pub ends: Ends,
}

/// What ends a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Another word of the same command follows.
    Word,
    /// The command ends here: `;` or the end of the line.
    Command,
    /// Another command follows, and whether it is run depends on this one, or where its output goes does: `&&`, `|`, `>` and their like.
    Operator,
}

/// The words from `start` to the end of the line, and where the next one begins. A word may hold line endings.
pub fn line(file: &Text, start: usize, known: &Values) -> Result<(Vec<Word>, usize), Problem> {
    let mut reader = Reader { file, at: start, known: known.clone() };
    let mut words: Vec<Word> = Vec::new();
    let end = |words: &mut Vec<Word>, ends: Ends| {
        if let Some(last) = words.last_mut().filter(|last| last.ends == Ends::Word) {
            last.ends = ends;
        }
    };
    while let Some(next) = reader.peek() {
        match next {
            '\n' => {
                reader.at += 1;
                break;
            }
            ' ' | '\t' | '\r' => reader.at += 1,
            '\\' if reader.rest().starts_with("\\\n") => reader.at += 2,
            '#' => reader.at += reader.rest().find('\n').unwrap_or(reader.rest().len()),
            ';' => {
                reader.at += 1;
                end(&mut words, Ends::Command);
            }
            '<' if reader.rest().starts_with("<<") => {
                let place = reader.at..reader.at + 2;
                return Err(file.problem(
                    place.clone(),
                    (place, "its end is not looked for"),
                    "a here-document is not read",
                    "kthw runs no commands: leave the command out of a copy of the file, and write what it sets as `NAME=value` lines",
                ));
            }
            '&' | '|' | '<' | '>' | ')' => {
                reader.at += 1;
                end(&mut words, Ends::Operator);
            }
            _ => words.push(reader.word()?),
        }
    }
    end(&mut words, Ends::Command);
    Ok((words, reader.at))
}

struct Reader<'a> {
    file: &'a Text,
    at: usize,
    /// What was set before, with what this line sets.
    known: Values,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.file.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn word(&mut self) -> Result<Word, Problem> {
        let start = self.at;
        let name = self.rest().split_once('=').map(|(name, _)| name.to_owned());
        let plain = name.clone().filter(|name| is_name(name));
        let odd = name.as_deref().and_then(odd_assignment);
        // A problem of an assignment shows its name alone: its value may be a secret.
        let shown = start..start + plain.as_ref().or(name.as_ref().filter(|_| odd.is_some())).map_or(0, |name| name.len() + 1);
        if plain.is_some() || odd.is_some() {
            self.at = shown.end;
        }
        let mut value = self.value(&shown, plain.is_some() || odd.is_some())?;
        let name = match (plain, odd) {
            (Some(name), _) => Some(name),
            (None, Some((name, why))) => {
                value = Err(why.into());
                Some(name)
            }
            (None, None) => None,
        };
        let assigns = name.map(|name| {
            self.known.insert(name.clone(), value.clone());
            (name, value)
        });
        Ok(Word { span: start..self.at, assigns, ends: Ends::Word })
    }

    /// Reads to the end of the word: its value, or why that is not known.
    fn value(&mut self, shown: &Range<usize>, assigns: bool) -> Result<Result<String, String>, Problem> {
        let begin = self.at;
        let mut value = String::new();
        let mut why: Option<String> = None;
        let mut not_known = |reason: String| {
            why.get_or_insert(reason);
        };
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | ')' => break,
                '(' if assigns && self.at == begin => {
                    self.enclosed(shown, "(")?;
                    not_known("it is an array".into());
                }
                // A function's name, or something else that no assignment has: the word ends behind it.
                '(' => {
                    while matches!(self.peek(), Some('(' | ')')) {
                        self.at += 1;
                    }
                    break;
                }
                '\\' => {
                    self.at += 1;
                    value.extend(self.next().filter(|escaped| *escaped != '\n'));
                }
                '\'' => value += &self.single(shown)?,
                '"' => self.double(shown, &mut value, &mut not_known)?,
                '`' => {
                    self.back_quoted(shown)?;
                    not_known("it runs a command: `…`".into());
                }
                '$' => self.dollar(shown, &mut value, &mut not_known, true)?,
                '~' if self.at == begin || value.ends_with(':') => {
                    self.at += 1;
                    not_known("`~` is the home folder of whoever runs bash".into());
                }
                other => {
                    self.at += other.len_utf8();
                    value.push(other);
                }
            }
        }
        Ok(why.map_or(Ok(value), Err))
    }

    /// A text in single quotes.
    fn single(&mut self, shown: &Range<usize>) -> Result<String, Problem> {
        self.at += 1;
        let length = self.rest().find('\'').ok_or_else(|| self.open(shown, "a quote"))?;
        let text = self.rest()[..length].to_owned();
        self.at += length + 1;
        Ok(text)
    }

    /// A text in double quotes.
    fn double(&mut self, shown: &Range<usize>, value: &mut String, not_known: &mut impl FnMut(String)) -> Result<(), Problem> {
        self.at += 1;
        loop {
            match self.peek().ok_or_else(|| self.open(shown, "a quote"))? {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(escaped @ ('$' | '`' | '"' | '\\')) => value.push(escaped),
                        Some(other) => value.extend(['\\', other]),
                    }
                }
                '`' => {
                    self.back_quoted(shown)?;
                    not_known("it runs a command: `…`".into());
                }
                '$' => self.dollar(shown, value, not_known, false)?,
                other => {
                    self.at += other.len_utf8();
                    value.push(other);
                }
            }
        }
    }

    /// What a `$` stands for.
    fn dollar(
        &mut self,
        shown: &Range<usize>,
        value: &mut String,
        not_known: &mut impl FnMut(String),
        unquoted: bool,
    ) -> Result<(), Problem> {
        self.at += 1;
        match self.peek() {
            Some('(') => {
                self.enclosed(shown, "$(")?;
                not_known("it runs a command: `$(…)`".into());
            }
            Some('{') => {
                let length = self.rest().find('}').ok_or_else(|| self.open(shown, "a `${`"))?;
                let name = self.rest()[1..length].to_owned();
                self.at += length + 1;
                match is_name(&name) {
                    true => self.refer(&name, value, not_known),
                    false => not_known("`${…}` has more in it than a name".into()),
                }
            }
            Some(quote @ ('\'' | '"')) if unquoted => {
                self.skip_quoted(shown, quote)?;
                not_known(format!("`${quote}…{quote}` is read by bash alone"));
            }
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                let length = self.rest().find(|other: char| !other.is_ascii_alphanumeric() && other != '_').unwrap_or(self.rest().len());
                let name = self.rest()[..length].to_owned();
                self.at += length;
                self.refer(&name, value, not_known);
            }
            Some(special) if special.is_ascii_digit() || "@*#?-$!".contains(special) => {
                self.at += 1;
                not_known(format!("`${special}` is not a variable of a file"));
            }
            _ => value.push('$'),
        }
        Ok(())
    }

    fn refer(&self, name: &str, value: &mut String, not_known: &mut impl FnMut(String)) {
        match self.known.get(name) {
            Some(Ok(known)) => value.push_str(known),
            Some(Err(_)) => not_known(format!("it refers to {name}, which is not known itself")),
            None => not_known(format!("it refers to {name}, which no file sets before it")),
        }
    }

    /// Goes behind the parenthesis that closes the one here.
    fn enclosed(&mut self, shown: &Range<usize>, sign: &str) -> Result<(), Problem> {
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or_else(|| self.open(shown, &format!("a `{sign}`")))? {
                '(' => depth += 1,
                ')' if depth == 1 => {
                    self.at += 1;
                    return Ok(());
                }
                ')' => depth -= 1,
                '\\' => {
                    self.at += 1;
                }
                quote @ ('\'' | '"') => {
                    self.skip_quoted(shown, quote)?;
                    continue;
                }
                _ => {}
            }
            self.next();
        }
    }

    fn back_quoted(&mut self, shown: &Range<usize>) -> Result<(), Problem> {
        self.skip_quoted(shown, '`')
    }

    /// Goes behind the quote that closes the one here, other than one behind a backslash.
    fn skip_quoted(&mut self, shown: &Range<usize>, quote: char) -> Result<(), Problem> {
        self.at += 1;
        loop {
            match self.next().ok_or_else(|| self.open(shown, "a quote"))? {
                '\\' if quote != '\'' => {
                    self.next();
                }
                found if found == quote => return Ok(()),
                _ => {}
            }
        }
    }

    fn open(&self, shown: &Range<usize>, what: &str) -> Problem {
        let message = format!("{what} is open to the end of the file");
        self.file.problem(shown.clone(), (shown.clone(), "in this word"), message, "close it in a copy of the file")
    }
}

/// An assignment that is not a plain one, and why its value is not known.
fn odd_assignment(before: &str) -> Option<(String, &'static str)> {
    if let Some(name) = before.strip_suffix('+').filter(|name| is_name(name)) {
        return Some((name.into(), "it adds to what was there before"));
    }
    let (name, index) = before.split_once('[')?;
    (is_name(name) && index.ends_with(']') && !index.contains(char::is_whitespace)).then(|| (name.into(), "it is an item of an array"))
}
