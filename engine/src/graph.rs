//! The graph of recipes: what a recipe needs, in the order in which it is needed.
use crate::{
    diagnostics::{RecipeError, nearest},
    recipe::{Library, Need, Recipe},
};
use rhai::Engine;
use std::{collections::BTreeMap, sync::Arc};

/// What can go wrong while a recipe and everything that it needs are loaded.
pub type GraphError = Box<RecipeError>;

/// All recipes of a run, each after the recipes that it needs.
#[derive(Debug)]
pub struct Graph {
    recipes: Vec<Arc<Recipe>>,
}

impl Graph {
    /// Loads `root` and, before it, everything that it needs. No script runs.
    ///
    /// # Errors
    /// A recipe that is missing, has a wrong header or the wrong version, or needs itself; with both places.
    pub fn load(engine: &Engine, library: &dyn Library, root: &str) -> Result<Self, GraphError> {
        let source = match library.find(root) {
            Ok(Some(source)) => source,
            Ok(None) => return Err(Box::new(missing_root(library, root))),
            Err(why) => {
                return Err(Box::new(RecipeError::new(
                    "kthw::recipe::unreadable",
                    format!("cannot read recipe `{root}`: {why}"),
                    root,
                    "",
                )));
            }
        };
        let mut loading = Loading { engine, library, done: BTreeMap::new(), path: Vec::new(), order: Vec::new() };
        let recipe = Recipe::parse(engine, source)?;
        loading.visit(recipe)?;
        Ok(Self { recipes: loading.order })
    }

    /// The recipes, needed ones first; the last is the one that was asked for.
    pub fn recipes(&self) -> &[Arc<Recipe>] {
        &self.recipes
    }

    /// The recipe that was asked for.
    pub fn root(&self) -> &Arc<Recipe> {
        self.recipes.last().expect("a graph holds at least its root")
    }

    /// Graphviz text of the graph: an arrow from a recipe to each one that it needs.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph recipes {\n  rankdir = LR;\n");
        for recipe in &self.recipes {
            dot += &format!("  {:?} [label={:?}];\n", recipe.source.name, format!("{}\n{}", recipe.source.name, recipe.header.version));
            for need in &recipe.header.needs {
                dot += &format!("  {:?} -> {:?};\n", recipe.source.name, need.name);
            }
        }
        dot + "}\n"
    }
}

fn missing_root(library: &dyn Library, root: &str) -> RecipeError {
    let names = library.names();
    let help = match nearest(root, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known recipes: {}", names.join(", ")),
    };
    RecipeError::new("kthw::recipe::missing", format!("no recipe `{root}`"), root, "").help(help)
}

struct Loading<'a> {
    engine: &'a Engine,
    library: &'a dyn Library,
    done: BTreeMap<String, Arc<Recipe>>,
    path: Vec<Arc<Recipe>>,
    order: Vec<Arc<Recipe>>,
}

impl Loading<'_> {
    fn visit(&mut self, recipe: Arc<Recipe>) -> Result<(), GraphError> {
        self.path.push(recipe.clone());
        for need in &recipe.header.needs {
            if let Some(begin) = self.path.iter().position(|above| above.source.name == need.name) {
                return Err(Box::new(cycle(&self.path[begin..], need)));
            }
            let needed = match self.done.get(&need.name) {
                Some(done) => done.clone(),
                None => {
                    let needed = self.parse(&recipe, need)?;
                    self.visit(needed.clone())?;
                    needed
                }
            };
            if !need.version.matches(&needed.header.version) {
                return Err(Box::new(wrong_version(&recipe, need, &needed)));
            }
        }
        self.path.pop();
        self.done.insert(recipe.source.name.clone(), recipe.clone());
        self.order.push(recipe);
        Ok(())
    }

    fn parse(&self, by: &Recipe, need: &Need) -> Result<Arc<Recipe>, GraphError> {
        match self.library.find(&need.name) {
            Ok(Some(source)) => Ok(Recipe::parse(self.engine, source)?),
            Ok(None) => {
                let names = self.library.names();
                let guess = nearest(&need.name, names.iter().map(String::as_str));
                let help = guess
                    .map_or_else(|| "names are paths below `recipes/` without `.rhai`".into(), |name| format!("did you mean `{name}`?"));
                Err(Box::new(pointing(by, need, "kthw::recipe::missing", format!("no recipe `{}`", need.name), "needed here").help(help)))
            }
            Err(why) => Err(Box::new(pointing(
                by,
                need,
                "kthw::recipe::unreadable",
                format!("cannot read recipe `{}`: {why}", need.name),
                "needed here",
            ))),
        }
    }
}

fn pointing(recipe: &Recipe, need: &Need, code: &'static str, message: String, label: &str) -> RecipeError {
    RecipeError::new(code, message, &recipe.source.path, &recipe.source.text).at_text(&format!("\"{}\"", need.written), label)
}

fn cycle(path: &[Arc<Recipe>], closing: &Need) -> RecipeError {
    let names: Vec<&str> = path.iter().map(|recipe| recipe.source.name.as_str()).chain([closing.name.as_str()]).collect();
    let last = path.last().expect("a cycle has at least one recipe");
    let mut error = pointing(
        last,
        closing,
        "kthw::recipe::cycle",
        format!("recipes need each other: {}", names.join(" -> ")),
        "which closes the circle",
    )
    .help("take one of these needs away; what both want belongs in a third recipe");
    for (recipe, next) in path.iter().zip(path.iter().skip(1)) {
        if let Some(need) = recipe.header.needs.iter().find(|need| need.name == next.source.name) {
            error = error.related(pointing(
                recipe,
                need,
                "kthw::recipe::cycle",
                format!("`{}` needs `{}`", recipe.source.name, next.source.name),
                "here",
            ));
        }
    }
    error
}

fn wrong_version(by: &Recipe, need: &Need, found: &Recipe) -> RecipeError {
    let message = format!("`{}` is version {}, but `{}` is asked for", need.name, found.header.version, need.version);
    pointing(by, need, "kthw::recipe::version", message, "asked for here")
        .help("ask for the version that there is, or bring the recipe that fits")
        .related(
            RecipeError::new("kthw::recipe::version", format!("`{}` says", need.name), &found.source.path, &found.source.text)
                .at_text("VERSION", "its version"),
        )
}
