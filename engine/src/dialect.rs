//! Where recipes are stricter than Rhai: what would silently mean something else than it says is refused, with its place.
//!
//! What cannot be seen in the text, such as waiting in a function that only names resources, is refused when it is called.
mod captures;
mod literals;
mod optional;

use crate::diagnostics::RecipeError;
use rhai::{AST, Engine, EvalAltResult, ParseError, Position, Token};
use std::collections::BTreeSet;

/// Compiles a recipe's text.
///
/// # Errors
/// What Rhai does not understand, and literals that it would read as another value or another type than is written.
pub(crate) fn compile(engine: &Engine, text: &str) -> Result<AST, ParseError> {
    literals::within(text, || engine.compile(text))
}

/// What a text that compiles does not mean as it looks.
pub(crate) fn second_look(ast: &AST, file: &str, text: &str) -> Result<(), RecipeError> {
    captures::check(ast, file, text)
}

/// The names that a recipe takes for optional: those behind `?.`.
pub(crate) fn optional(ast: &AST) -> BTreeSet<String> {
    optional::names(ast)
}

/// What to do about a refusal of [`register`]'s functions, whose text this is.
pub(crate) fn help(refusal: &str) -> Option<&'static str> {
    NOT_HERE.iter().find(|(what, _)| refusal.starts_with(&not_here(what))).map(|(_, help)| *help)
}

/// Functions of Rhai that a recipe has no use for, and what it means instead.
const NOT_HERE: [(&str, &str); 2] = [
    ("sleep", "declare what has to be true first, and name it in `needs` of what waits for it: resources wait until they are as wanted"),
    ("timestamp", "write what may differ between runs into the workspace, under `values`"),
];

fn not_here(what: &str) -> String {
    format!("a recipe has no `{what}`: it names what should be true, and nothing happens while it does")
}

/// Teaches an engine the rules.
pub(crate) fn register(engine: &mut Engine) {
    map_tokens(engine);
    for (what, _) in NOT_HERE {
        let refuse =
            move || -> Result<(), Box<EvalAltResult>> { Err(EvalAltResult::ErrorRuntime(not_here(what).into(), Position::NONE).into()) };
        match what {
            "sleep" => {
                engine.register_fn(what, move |_: i64| refuse());
                engine.register_fn(what, move |_: f64| refuse());
            }
            _ => drop(engine.register_fn(what, refuse)),
        }
    }
}

/// Rhai reserves the word `package` for a use that it never came to; here it is what everybody calls a package: `ssh::package`.
#[allow(deprecated)] // Rhai's note that the function may change, not that it goes away.
fn map_tokens(engine: &mut Engine) {
    engine.on_parse_token(|token, position, _| match token {
        Token::Reserved(word) if *word == "package" => Token::Identifier(word),
        token => literals::checked(token, position),
    });
}

#[cfg(test)]
mod tests {
    use crate::{Recipe, Source, limits};
    use miette::Diagnostic;
    use rhai::{Dynamic, Engine};

    /// What is said of a body of `declare`, and what the caret points at; `fine` when nothing is.
    fn told(body: &str) -> String {
        let mut engine = Engine::new();
        limits(&mut engine);
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{body}\n}}\n");
        let source = Source { name: "one".into(), path: "one.rhai".into(), text };
        let told = match Recipe::parse(&engine, source) {
            Ok(recipe) => crate::evaluate(&engine, &recipe, Dynamic::UNIT).map(drop),
            Err(error) => Err(error),
        };
        let Err(error) = told else { return "fine".into() };
        let label = error.labels().and_then(|mut labels| labels.next()).expect("a place");
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{body}\n}}\n");
        format!("[{}] {error}", &text[label.offset()..label.offset() + label.len()])
    }

    #[test]
    fn a_number_is_what_it_looks_like_or_refused() {
        for fine in [
            "let x = 0;",
            "let x = 10_000;",
            "let x = 0.5;",
            "let x = 1e3;",
            "let x = 0x1F;",
            "let x = -9223372036854775807;",
            "`${007.5}`",
        ] {
            assert_eq!(told(fine), "fine", "{fine}");
        }
        assert_eq!(
            told("let x = 0100;"),
            "[0100] `0100` begins with a zero, which other languages take for octal: write `100`, `0o100`, or a text in quotes"
        );
        assert_eq!(told("let x = `${0100}`;").split(' ').next(), Some("[0100]"));
        for large in ["9223372036854775808", "18446744073709551616", "0xFFFFFFFFFFFFFFFF"] {
            let said = told(&format!("let x = {large};"));
            assert_eq!(
                said,
                format!("[{large}] `{large}` is larger than a whole number can be here (9223372036854775807): write it as a text")
            );
        }
    }

    #[test]
    fn a_shift_keeps_a_number_what_it_is() {
        assert_eq!(told("let x = 1 << 3; x >>= 62;"), "fine");
        for by in ["let n = 3; 1 << n", "let n = 3; 8 >> (n)", "let x = 1; x <<= x"] {
            assert!(told(&format!("{by};")).contains("`2 ** n`"), "{by}: {}", told(&format!("{by};")));
        }
        for by in ["1 << 63", "1 << 64", "1 >> -1", "1<<100"] {
            assert!(told(&format!("let x = {by};")).contains("a shift by "), "{by}");
        }
    }

    #[test]
    fn names_behind_a_question_mark_are_optional() {
        let text = "const VERSION = \"1.0.0\";\nfn declare(cluster) {\n\
            let a = cluster.values?.rack ?? 1; cluster.values?.team.lead; cluster.values.room?.door?[0];\n\
            for n in cluster.nodes { if n.values?.row == () { `${n.values?.slot}` } }\n}\n";
        let source = Source { name: "one".into(), path: "one.rhai".into(), text: text.into() };
        let mut engine = Engine::new();
        limits(&mut engine);
        let optional = Recipe::parse(&engine, source).unwrap().optional.clone();
        assert_eq!(optional.into_iter().collect::<Vec<_>>(), ["door", "rack", "row", "slot", "team"]);
    }

    #[test]
    fn nothing_waits_and_nothing_asks_for_the_time() {
        assert_eq!(told("sleep(10);"), "[sleep] a recipe has no `sleep`: it names what should be true, and nothing happens while it does");
        assert!(told("sleep(0.5);").starts_with("[sleep] "));
        assert!(told("let t = timestamp();").starts_with("[timestamp] "));
    }

    #[test]
    fn a_closure_that_leaves_its_loop_is_refused() {
        let shared = |body: &str| told(&format!("let fs = []; let m = #{{}};\nfor i in 0..3 {{\n{body}\n}}"));
        for leaves in
            ["fs.push(|| i);", "fs += || i;", "m.f = || i;", "fs = [|| i];", "m = #{ f: || i };", "if i > 1 { fs.push(|x| x + i); }"]
        {
            assert!(shared(leaves).starts_with("[i] the closure keeps `i` itself"), "{leaves}: {}", shared(leaves));
        }
        for stays in [
            "let own = i; fs.push(|| own);",
            "let big = [1, 2].filter(|x| x > i);",
            "fs.push([1].map(|x| x + i));",
            "let f = || i; f.call();",
        ] {
            assert_eq!(shared(stays), "fine", "{stays}");
        }
    }
}
