//! Functions that a script called by a wrong name or with wrong arguments: the one that was meant, and how it is called.
use super::nearest;
use rhai::Engine;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A function that scripts can call.
#[derive(Clone, Debug)]
struct Function {
    /// With its module: `ssh::file`.
    name: String,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Parameter {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    modules: BTreeMap<String, Metadata>,
    #[serde(default)]
    functions: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    #[serde(default)]
    params: Vec<Parameter>,
}

impl Function {
    /// `ssh::file(node, path, options)`.
    fn signature(&self) -> String {
        let names = self.parameters.iter().map(|parameter| parameter.name.as_deref().unwrap_or("_"));
        format!("{}({})", self.name, names.collect::<Vec<_>>().join(", "))
    }

    fn kinds(&self) -> Vec<String> {
        self.parameters.iter().map(|parameter| in_words(parameter.kind.as_deref().unwrap_or_default())).collect()
    }
}

/// What to say of a call that fits no function: Rhai's `signature` is `ssh::file (Node, map)`. The message, and what to do.
pub(super) fn not_found(engine: &Engine, signature: &str) -> (String, String) {
    let (name, given) = signature.split_once(" (").unwrap_or((signature, ""));
    let (name, given) = (name.trim(), given.trim_end_matches(')'));
    let given: Vec<String> = given.split(", ").filter(|kind| !kind.is_empty()).map(in_words).collect();
    let all = functions(engine);
    let same: Vec<&Function> = all.iter().filter(|function| function.name == name).collect();
    if same.is_empty() {
        let message = format!("no function `{name}` that takes ({})", given.join(", "));
        return (message, unknown(name, &all));
    }
    let closest = same.iter().min_by_key(|function| distance(&function.kinds(), &given)).expect("there is one");
    let wanted = closest.kinds();
    let what = match () {
        () if wanted.len() != given.len() => {
            let plural = if wanted.len() == 1 { "" } else { "s" };
            format!("`{name}` takes {} argument{plural}, and here are {}", wanted.len(), given.len())
        }
        () => match wanted.iter().zip(&given).position(|(wanted, given)| !fits(wanted, given)) {
            Some(at) => format!("`{name}` takes {} as its {} argument, and here is {}", a(&wanted[at]), ordinal(at), a(&given[at])),
            None => format!("`{name}` does not take ({})", given.join(", ")),
        },
    };
    (what, format!("it is called as `{}`; see `kthw help {name}`", closest.signature()))
}

fn unknown(name: &str, all: &[Function]) -> String {
    let (module, own) = name.split_once("::").map_or((None, name), |(module, own)| (Some(module), own));
    let of_module = |function: &&Function| function.name.split_once("::").map(|(module, _)| module) == module;
    let known = all.iter().filter(of_module);
    let guess = nearest(own, known.clone().map(|function| function.name.rsplit("::").next().unwrap_or_default()));
    // Without its module a function is not found either.
    let elsewhere = || all.iter().find(|function| module.is_none() && function.name.rsplit("::").next() == Some(own));
    let alike = || guess.and_then(|guess| known.clone().find(|function| function.name.rsplit("::").next() == Some(guess)));
    let meant = elsewhere().or_else(alike);
    match (meant, module) {
        (Some(meant), Some(_)) => format!("did you mean `{}`? see `kthw help {}`", meant.signature(), meant.name),
        (Some(meant), None) => format!("did you mean `{}`?", meant.signature()),
        (None, Some(module)) => format!("see `kthw help {module}` for the functions of this module and their arguments"),
        (None, None) => "see `kthw help` for all modules; a module's function is called as `module::function(…)`".into(),
    }
}

/// Every function of the engine and its modules.
fn functions(engine: &Engine) -> Vec<Function> {
    let json = engine.gen_fn_metadata_to_json(true).unwrap_or_default();
    let Ok(metadata) = serde_json::from_str::<Metadata>(&json) else { return Vec::new() };
    let named = |module: Option<&str>, described: Described| Function {
        name: module.map_or_else(|| described.name.clone(), |module| format!("{module}::{}", described.name)),
        parameters: described.params,
    };
    let of_modules = metadata.modules.into_iter().flat_map(|(module, metadata)| {
        metadata.functions.into_iter().map(move |described| named(Some(&module), described)).collect::<Vec<_>>()
    });
    of_modules.chain(metadata.functions.into_iter().map(|described| named(None, described))).collect()
}

/// How far a call is from a function: another number of arguments is further than another type.
fn distance(wanted: &[String], given: &[String]) -> usize {
    let wrong = wanted.iter().zip(given).filter(|(wanted, given)| !fits(wanted, given)).count();
    wrong + 10 * wanted.len().abs_diff(given.len())
}

fn fits(wanted: &str, given: &str) -> bool {
    wanted == given || wanted == "value" || given == "value"
}

/// Rust's and Rhai's names of a type, as people call it.
fn in_words(kind: &str) -> String {
    let bare = kind.trim().trim_start_matches('&').trim_start_matches("mut ").rsplit("::").next().unwrap_or_default();
    match bare {
        "str | ImmutableString | String" | "str" | "ImmutableString" | "String" | "string" => "text".into(),
        "INT" | "i64" | "int" => "whole number".into(),
        "FLOAT" | "f64" | "float" => "number".into(),
        "bool" => "boolean".into(),
        "Map" | "map" => "map of options".into(),
        "Array" | "array" => "list".into(),
        "Dynamic" | "?" | "" | "_" => "value".into(),
        "()" => "nothing".into(),
        other => other.into(),
    }
}

fn a(kind: &str) -> String {
    if kind == "nothing" { kind.into() } else { format!("a {kind}") }
}

fn ordinal(at: usize) -> String {
    ["first", "second", "third", "fourth", "fifth"].get(at).map_or_else(|| format!("{}th", at + 1), |word| (*word).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::{Map, Module};

    fn told(signature: &str) -> String {
        let mut module = Module::new();
        rhai::FuncRegistration::new("file")
            .with_params_info(["node: bool", "path: &str", "options: Map"])
            .set_into_module(&mut module, |_: bool, _: &str, _: Map| {});
        rhai::FuncRegistration::new("line")
            .with_params_info(["node: bool", "text: &str"])
            .set_into_module(&mut module, |_: bool, _: &str| {});
        let mut engine = Engine::new();
        engine.register_static_module("ssh", module.into());
        let (message, help) = not_found(&engine, signature);
        format!("{message}\n{help}")
    }

    #[test]
    fn a_wrong_name_gets_the_nearest_and_how_it_is_called() {
        assert_eq!(
            told("ssh::fil (bool, &str | ImmutableString | String, map)"),
            "no function `ssh::fil` that takes (boolean, text, map of options)\ndid you mean `ssh::file(node, path, options)`? see `kthw help ssh::file`"
        );
        assert!(told("leng (&str | ImmutableString | String)").contains("did you mean `len("));
        assert_eq!(told("file (bool)").lines().nth(1), Some("did you mean `ssh::file(node, path, options)`?"));
        assert!(told("ssh::xyzzy ()").ends_with("see `kthw help ssh` for the functions of this module and their arguments"));
    }

    #[test]
    fn wrong_arguments_are_named_one_by_one() {
        let called = "it is called as `ssh::file(node, path, options)`; see `kthw help ssh::file`";
        assert_eq!(told("ssh::file (bool, map)"), format!("`ssh::file` takes 3 arguments, and here are 2\n{called}"));
        assert_eq!(
            told("ssh::file (bool, i64, map)"),
            format!("`ssh::file` takes a text as its second argument, and here is a whole number\n{called}")
        );
    }
}
