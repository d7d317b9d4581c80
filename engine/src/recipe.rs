//! A recipe as read from disk: its header, taken from the syntax tree without running anything, and its script.
use crate::{
    diagnostics::{RecipeError, from_rhai},
    dialect,
};
use rhai::{AST, Dynamic, Engine};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};

/// The text of a recipe and its names.
#[derive(Clone, Debug)]
pub struct Source {
    /// What `NEEDS` calls it: `phases/containerd`.
    pub name: String,
    /// What people see: `recipes/phases/containerd.rhai`.
    pub path: String,
    /// The script.
    pub text: String,
}

/// Where recipes come from.
pub trait Library {
    /// The recipe called `name`, such as `phases/containerd`.
    ///
    /// # Errors
    /// When it is there and cannot be read; the text says why.
    fn find(&self, name: &str) -> Result<Option<Source>, String>;

    /// The names of all recipes, for "did you mean".
    fn names(&self) -> Vec<String>;
}

/// The literal constants at the top of a recipe.
#[derive(Clone, Debug)]
pub struct Header {
    /// `VERSION`.
    pub version: Version,
    /// `NEEDS`: the recipes that come first.
    pub needs: Vec<Need>,
    /// `WORKSPACE`: the workspace that it is for, when none is asked for.
    pub workspace: Option<String>,
    /// `ABOUT`: one line for lists.
    pub about: Option<String>,
    /// `GATE`: whether everything in the recipes that it needs comes first, not only what its resources name.
    pub gate: bool,
}

/// One entry of `NEEDS`: `"phases/containerd@^1.2"`.
#[derive(Clone, Debug)]
pub struct Need {
    /// The recipe's name.
    pub name: String,
    /// The versions that it accepts.
    pub version: VersionReq,
    /// As written, so that an error can point at it.
    pub written: String,
}

/// Which text of a recipe a plan was made of, or a run carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeStamp {
    /// Its name.
    pub name: String,
    /// The version that it states.
    pub version: String,
    /// Lower-case hex SHA-256 of its text.
    pub sha256: String,
}

impl RecipeStamp {
    /// That of a recipe.
    pub fn of(recipe: &Recipe) -> Self {
        let (source, header) = (&recipe.source, &recipe.header);
        Self { name: source.name.clone(), version: header.version.to_string(), sha256: hex::encode(Sha256::digest(&source.text)) }
    }
}

/// A recipe that parses and whose header is in order.
#[derive(Debug)]
pub struct Recipe {
    /// Its text.
    pub source: Source,
    /// Its header.
    pub header: Header,
    /// The names that it reads with `?.`: values that a workspace need not have.
    pub optional: BTreeSet<String>,
    pub(crate) ast: AST,
    pub(crate) declares: bool,
}

const CONSTANTS: [&str; 5] = ["VERSION", "NEEDS", "WORKSPACE", "ABOUT", "GATE"];

impl Recipe {
    /// Parses a recipe and reads its header. Nothing of it is run.
    ///
    /// # Errors
    /// Syntax errors, unknown variables, and a header that is missing something or has the wrong shape.
    pub fn parse(engine: &Engine, source: Source) -> Result<Arc<Self>, RecipeError> {
        let compiled = dialect::compile(engine, &source.text);
        let mut ast = compiled.map_err(|error| from_rhai(engine, &source.path, &source.text, &error.into()))?;
        dialect::second_look(&ast, &source.path, &source.text)?;
        ast.set_source(source.path.as_str());
        let optional = dialect::optional(&ast);
        let header = header(&ast, &source)?;
        let declares = ast.iter_functions().any(|function| function.name == "declare");
        if let Some(function) = ast.iter_functions().find(|function| function.name == "declare" && function.params.len() != 1) {
            let message = format!("`declare` takes one argument, the cluster; here it takes {}", function.params.len());
            return Err(wrong(&source, message).at_text("fn declare", "here").help("write `fn declare(cluster) { … }`"));
        }
        if !declares && header.needs.is_empty() {
            let message = "this recipe does nothing: it has neither a `declare` function nor `NEEDS`";
            return Err(wrong(&source, message).help("write `fn declare(cluster) { … }`, or name recipes in `const NEEDS = [ … ];`"));
        }
        Ok(Arc::new(Self { source, header, optional, ast, declares }))
    }
}

fn wrong(source: &Source, message: impl std::fmt::Display) -> RecipeError {
    RecipeError::new("kthw::recipe::header", message, &source.path, &source.text)
}

fn header(ast: &AST, source: &Source) -> Result<Header, RecipeError> {
    let constants: Vec<(String, Dynamic)> =
        ast.iter_literal_variables(true, false).map(|(name, _, value)| (name.to_owned(), value)).collect();
    for (name, _) in &constants {
        if let Some(known) = crate::diagnostics::nearest(name, CONSTANTS).filter(|known| known != name) {
            return Err(wrong(source, format!("unknown header constant `{name}`"))
                .at_text(name, "here")
                .help(format!("did you mean `{known}`?")));
        }
    }
    let literal = |name: &str| match constants.iter().find(|(known, _)| known == name) {
        None if source.text.lines().any(|line| line.starts_with(&format!("const {name}"))) => {
            Err(wrong(source, format!("`{name}` is not a literal"))
                .at_text(&format!("const {name}"), "here")
                .help("a header is read without running the script; write the value out"))
        }
        found => Ok(found.map(|(_, value)| value.clone())),
    };
    let shape = |name: &str, found: &str, wanted: &str, example: &str| {
        wrong(source, format!("`{name}` is a {found}, not a {wanted}"))
            .at_text(name, "here")
            .help(format!("write `const {name} = {example};`"))
    };
    let text = |name: &str| match literal(name)?.map(Dynamic::into_string).transpose() {
        Ok(text) => Ok(text),
        Err(found) => Err(shape(name, found, "string", "\"…\"")),
    };
    let gate = match literal("GATE")?.map(|value| value.as_bool()).transpose() {
        Ok(gate) => gate.unwrap_or_default(),
        Err(found) => return Err(shape("GATE", found, "boolean", "true")),
    };
    let Some(version) = text("VERSION")? else {
        return Err(wrong(source, "the recipe has no `VERSION`").help("put `const VERSION = \"1.0.0\";` at its top"));
    };
    let version = Version::parse(&version).map_err(|error| {
        wrong(source, format!("`VERSION` is not a semantic version: {error}"))
            .at_text(&format!("\"{version}\""), "here")
            .help("write it as `1.0.0`")
    })?;
    Ok(Header { version, needs: needs(&constants, source)?, workspace: text("WORKSPACE")?, about: text("ABOUT")?, gate })
}

fn needs(constants: &[(String, Dynamic)], source: &Source) -> Result<Vec<Need>, RecipeError> {
    let Some((_, value)) = constants.iter().find(|(name, _)| name == "NEEDS") else {
        if source.text.lines().any(|line| line.starts_with("const NEEDS")) {
            return Err(wrong(source, "`NEEDS` is not a literal")
                .at_text("const NEEDS", "here")
                .help("a header is read without running the script; write the list out"));
        }
        return Ok(Vec::new());
    };
    let shape = || {
        wrong(source, "`NEEDS` is not a list of strings").at_text("NEEDS", "here").help("write `const NEEDS = [\"phases/containerd@1\"];`")
    };
    let list = value.clone().into_array().map_err(|_| shape())?;
    list.into_iter().map(|item| item.into_string().map_err(|_| shape()).and_then(|written| need(written, source))).collect()
}

fn need(written: String, source: &Source) -> Result<Need, RecipeError> {
    let (name, version) = written.split_once('@').unwrap_or((&written, "*"));
    let version = VersionReq::parse(version).map_err(|error| {
        wrong(source, format!("`{version}` is not a version requirement: {error}"))
            .at_text(&format!("\"{written}\""), "here")
            .help("write `\"name@1\"` or `\"name@^1.2\"`")
    })?;
    Ok(Need { name: name.to_owned(), version, written })
}
