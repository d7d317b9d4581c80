//! Variables that bash would set when it read a file, as far as that is known without running anything.
//!
//! Read are assignments as people write them into such files: words, quotes, `export`, comments, and `$NAME` or `${NAME}` of what was set before
//! (<https://www.gnu.org/software/bash/manual/bash.html#Shell-Parameters>). Everything else is named and not guessed.
use super::text::{Problem, Text};
use std::{collections::BTreeMap, ops::Range};

mod words;

use words::{Ends, Word};

/// What was set, by name; why it is not known, where it is not.
pub type Values = BTreeMap<String, Result<String, String>>;

/// One assignment.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Its value, or why that is not known.
    pub value: Result<String, String>,
    /// The bytes of the whole assignment.
    pub span: Range<usize>,
}

impl Assignment {
    /// The bytes of its value.
    pub fn value_span(&self) -> Range<usize> {
        self.span.start + self.name.len() + 1..self.span.end
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Read {
    /// Its assignments, in order.
    pub assignments: Vec<Assignment>,
    /// Commands that were not run: the line, and what stands there.
    pub commands: Vec<(usize, String)>,
}

/// Words that begin what only bash can follow: whether the lines below it are run depends on more than the file.
const COMPOUND: &[&str] = &["if", "for", "while", "until", "case", "select", "function", "{", "time", "!"];

/// Reads a file of which nothing is run. `known` holds what other files set before, and then what this one sets too.
///
/// # Errors
/// [`Problem`] where the rest of the file cannot be understood: an open quote, a here-document, `if` and its like.
pub fn read(file: &Text, known: &mut Values) -> Result<Read, Problem> {
    let mut read = Read::default();
    let mut at = 0;
    while at < file.text.len() {
        let (words, end) = words::line(file, at, known)?;
        at = end;
        take(file, words, known, &mut read)?;
    }
    Ok(read)
}

/// One line of commands: what `;`, `&&`, `||` and their like join.
fn take(file: &Text, words: Vec<Word>, known: &mut Values, read: &mut Read) -> Result<(), Problem> {
    let is_plain = words.iter().all(|word| matches!(word.ends, Ends::Word | Ends::Command));
    for command in words.split_inclusive(|word| word.ends != Ends::Word) {
        let Some(first) = command.first() else { continue };
        let text = &file.text[first.span.clone()];
        if COMPOUND.contains(&text) || text.ends_with("()") || text.starts_with('(') {
            return Err(file.problem(
                first.span.clone(),
                (first.span.clone(), "from here on"),
                "what follows depends on more than this file says",
                "kthw runs no scripts: write the values that it sets as plain `NAME=value` lines into a copy of the file",
            ));
        }
        let is_export = matches!(text, "export" | "readonly");
        let assigns = command
            .iter()
            .skip(usize::from(is_export))
            .all(|word| word.assigns.is_some() || is_export && is_name(&file.text[word.span.clone()]));
        if !assigns {
            read.commands.push((file.line(first.span.start), in_words(file, command)));
        }
        // What stands before a command is set for that command alone.
        for word in command.iter().filter(|_| assigns || !is_plain) {
            let Some((name, value)) = word.assigns.clone() else { continue };
            let value = if is_plain { value } else { Err("it is set by a command line, which is not run".into()) };
            known.insert(name.clone(), value.clone());
            read.assignments.push(Assignment { name, value, span: word.span.clone() });
        }
    }
    Ok(())
}

/// Programs whose names are told. Any other word may be a part of a secret that lacks its quotes.
const TOLD: &[&str] =
    &[".", "source", "set", "shopt", "eval", "unset", "declare", "typeset", "local", "read", "echo", "printf", "cd", "test", "["];

fn in_words(file: &Text, command: &[Word]) -> String {
    if let Some((name, _)) = command.first().and_then(|first| first.assigns.as_ref()) {
        return format!("{name} is set for one command alone; a value with blanks needs quotes");
    }
    let program = command.first().map(|first| &file.text[first.span.clone()]).filter(|program| TOLD.contains(program));
    program.map_or_else(|| "a command".into(), |program| format!("`{program}`"))
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use miette::Diagnostic;

    fn file(text: &str) -> Text {
        Text { name: "x.env".into(), text: text.into() }
    }

    fn check(text: &str, expected: Expect) {
        let mut known = Values::from([("EARLIER".into(), Ok("before".into()))]);
        let read = read(&file(text), &mut known).unwrap();
        let mut shown = String::new();
        for one in &read.assignments {
            let value = one.value.as_ref().map_or_else(|why| format!("not known: {why}"), |value| format!("{value:?}"));
            shown += &format!("{} = {value}\n", one.name);
        }
        read.commands.iter().for_each(|(line, program)| shown += &format!("line {line}: {program}\n"));
        expected.assert_eq(&shown);
    }

    #[test]
    fn assignments_are_read_as_bash_reads_them() {
        check(
            "# a comment\nA=1\n  B=two # behind it\nC=a#b\nexport D='single $A' E=\"double $A ${B}\"\nF=\nG=\"\" ; H=un\"quo\"'ted'\nI=a\\ b\nJ=\"a \\\"b\\\" \\$A \\x\"\nK=one\\\ntwo\nL=\"two\nlines\"\nM=$EARLIER/x\nN=https://a.b/c?d=e\nO=$ P=5$\nA=again\nQ=$A\nreadonly R=6\nexport A\n",
            expect![[r#"
                A = "1"
                B = "two"
                C = "a#b"
                D = "single $A"
                E = "double 1 two"
                F = ""
                G = ""
                H = "unquoted"
                I = "a b"
                J = "a \"b\" $A \\x"
                K = "onetwo"
                L = "two\nlines"
                M = "before/x"
                N = "https://a.b/c?d=e"
                O = "$"
                P = "5$"
                A = "again"
                Q = "again"
                R = "6"
            "#]],
        );
    }

    #[test]
    fn what_takes_bash_is_named_and_not_guessed() {
        check(
            "A=$(hostname -f | tr ')' x)\nB=`date`\nC=(one two\n three)\nD=$HOME/x\nE=~/x\nF=${A:-x}\nG=\"is $A\"\nH+=more\nI[0]=x\nJ=$'a\\n'\nK=$((1+2))\nL=$1\nsource other.env secret\nset -a\n[ -n \"$X\" ] && M=1\nN=1 program O=2\nP=\"$(\"quoted )\" x)\"\nQ=ok\n",
            expect![[r#"
                A = not known: it runs a command: `$(…)`
                B = not known: it runs a command: `…`
                C = not known: it is an array
                D = not known: it refers to HOME, which no file sets before it
                E = not known: `~` is the home folder of whoever runs bash
                F = not known: `${…}` has more in it than a name
                G = not known: it refers to A, which is not known itself
                H = not known: it adds to what was there before
                I = not known: it is an item of an array
                J = not known: `$'…'` is read by bash alone
                K = not known: it runs a command: `$(…)`
                L = not known: `$1` is not a variable of a file
                M = not known: it is set by a command line, which is not run
                P = not known: it runs a command: `$(…)`
                Q = "ok"
                line 14: `source`
                line 15: `set`
                line 16: `[`
                line 17: N is set for one command alone; a value with blanks needs quotes
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_followed_ends_the_reading_with_its_place_and_no_values() {
        for (text, place, message) in [
            ("A=1\nTOKEN=\"abc\n", "TOKEN=", "a quote is open to the end of the file"),
            ("TOKEN='abc", "TOKEN=", "a quote is open to the end of the file"),
            ("TOKEN=$(abc", "TOKEN=", "a `$(` is open to the end of the file"),
            ("TOKEN=(abc", "TOKEN=", "a `(` is open to the end of the file"),
            ("cat <<EOF\nTOKEN=abc\nEOF\n", "<<", "a here-document is not read"),
            ("if true; then\nTOKEN=abc\nfi\n", "if", "what follows depends on more than this file says"),
            ("f() {\nTOKEN=abc\n}\n", "f()", "what follows depends on more than this file says"),
        ] {
            let problem = read(&file(text), &mut Values::new()).unwrap_err();
            let label = problem.labels().unwrap().next().unwrap();
            let source = problem.source_code().unwrap().read_span(label.inner(), 0, 0).unwrap();
            assert_eq!((std::str::from_utf8(source.data()).unwrap(), problem.to_string().as_str()), (place, message), "{text:?}");
            let all = problem.source_code().unwrap().read_span(label.inner(), 9, 9).unwrap();
            assert!(!std::str::from_utf8(all.data()).unwrap().contains("abc"), "{text:?}");
        }
    }
}
