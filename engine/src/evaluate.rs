//! Running a recipe's `declare`: pure, bounded, and with no result but the resources that it named.
use crate::{
    absent::{Absent, Presence},
    bounds::{self, Bounds, Taken, TooMuch},
    diagnostics::{RecipeError, from_rhai},
    dialect,
    id::Id,
    recipe::Recipe,
    resource::{AnyStep, Removable},
};
use miette::Diagnostic;
use rhai::{CallFnOptions, Dynamic, Engine, Position, Scope};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

/// One declared resource, and the place in the recipe that declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    pub(crate) step: AnyStep,
    pub(crate) extra_needs: Vec<Id>,
    pub(crate) position: Position,
    pub(crate) presence: Presence,
}

impl Declared {
    pub(crate) fn new(step: AnyStep, extra_needs: Vec<Id>, position: Position) -> Self {
        Self { step, extra_needs, position, presence: Presence::Present }
    }

    /// The same, to be removed.
    #[must_use]
    pub(crate) fn going(self) -> Self {
        Self { step: Arc::new(Absent(self.step)), presence: Presence::Absent, ..self }
    }

    /// The same, to be removed if it is wholly ours; otherwise it goes with what holds it, or stays.
    #[must_use]
    pub(crate) fn absent(self) -> Self {
        match self.presence {
            Presence::Present if self.step.removable() == Removable::Ours => self.going(),
            Presence::Present => Self { presence: Presence::Stays, ..self },
            _ => self,
        }
    }

    /// The resource's identity.
    pub fn id(&self) -> Id {
        self.step.id()
    }
}

/// The same declarations with everything absent that is wholly ours.
#[must_use]
pub fn all_absent(evaluated: Vec<Evaluated>) -> Vec<Evaluated> {
    let turned = |one: Evaluated| Evaluated { declared: one.declared.into_iter().map(Declared::absent).collect(), ..one };
    evaluated.into_iter().map(turned).collect()
}

/// A secret that a recipe named, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    /// The dotted path in the secrets file.
    pub name: String,
    /// The line of the recipe, from 1, in which `sops::secret` is called.
    pub line: usize,
}

/// A node that recipes use although none of them opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Path and line of the first declaration that is on it: `recipes/mine.rhai:7`.
    pub place: String,
    /// What is declared there.
    pub id: Id,
    /// The node.
    pub node: String,
}

/// The nodes on which something is declared, and which nothing opens: most likely a recipe lacks a `NEEDS`.
pub fn unopened(evaluated: &[Evaluated]) -> Vec<Unopened> {
    let declared = || evaluated.iter().flat_map(|one| one.declared.iter().map(move |declared| (&one.recipe, declared)));
    let opened: BTreeSet<&str> =
        declared().filter(|(_, declared)| declared.step.opens_node()).filter_map(|(_, declared)| declared.step.node()).collect();
    let mut seen = BTreeSet::new();
    let first = |(recipe, declared): (&Arc<Recipe>, &Declared)| {
        let node = declared.step.node().filter(|node| !opened.contains(node) && seen.insert((*node).to_owned()))?;
        let place = format!("{}:{}", recipe.source.path, declared.position.line().unwrap_or_default());
        Some(Unopened { place, id: declared.id(), node: node.to_owned() })
    };
    declared().filter_map(first).collect()
}

/// What one recipe declared.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The recipe.
    pub recipe: Arc<Recipe>,
    /// Its resources, in the order of their declaration.
    pub declared: Vec<Declared>,
    /// The secrets that it named, each place once.
    pub secrets: Vec<NamedSecret>,
}

/// Collects what host functions declare; it travels as the tag of the script call.
#[derive(Clone)]
pub(crate) struct Recorder {
    recorded: Arc<Mutex<Recorded>>,
    bounds: Bounds,
}

#[derive(Default)]
struct Recorded {
    taken: Taken,
    /// Set when it declared more than it may, with the place; reported even if the script caught the error.
    too_much: Option<(TooMuch, Position)>,
    declared: Vec<Declared>,
    secrets: Vec<NamedSecret>,
    /// The first secret that the script turned into a text, and where.
    in_text: Option<(String, Position)>,
}

impl Recorder {
    fn new(bounds: Bounds) -> Self {
        Self { recorded: Arc::default(), bounds }
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("no script panics while recording")
    }

    pub(crate) fn push(&self, declared: Declared) -> Result<(), TooMuch> {
        let (id, position) = (declared.id(), declared.position);
        let text = declared.extra_needs.iter().chain([&id]).map(|id| size_of::<Id>() + id.kind().len() + id.name().len()).sum();
        self.count(1, text, position)?;
        self.recorded().declared.push(declared);
        Ok(())
    }

    /// Counts what a resource will hold.
    pub(crate) fn count(&self, resources: usize, text: usize, position: Position) -> Result<(), TooMuch> {
        let mut recorded = self.recorded();
        let counted = recorded.taken.add(resources, text, &self.bounds);
        counted.inspect_err(|too_much| _ = recorded.too_much.get_or_insert_with(|| (too_much.clone(), position)))
    }

    pub(crate) fn note(&self, secret: NamedSecret) {
        let secrets = &mut self.recorded().secrets;
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }

    pub(crate) fn note_text(&self, name: &str, position: Position) {
        self.recorded().in_text.get_or_insert((name.to_owned(), position));
    }

    fn take(&self) -> Recorded {
        std::mem::take(&mut self.recorded())
    }
}

/// Sandboxes an engine: typos are errors, and a script's time, depth and memory are bounded.
pub fn limits(engine: &mut Engine) {
    engine
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .disable_symbol("eval")
        .disable_symbol("import")
        .set_max_call_levels(32)
        .set_max_expr_depths(64, 32)
        .set_max_variables(256)
        .set_max_string_size(1 << 20)
        .set_max_map_size(10_000);
    engine.on_print(|_| {}).on_debug(|_, _, _| {});
    dialect::register(engine);
    limits_for(engine, 0);
    bounds::watch_time(engine);
}

/// Lets recipes loop over this many nodes: each may cost a few thousand operations, and be an item of a list.
pub fn limits_for(engine: &mut Engine, nodes: usize) {
    engine.set_max_operations(10_000_000 + 5_000 * nodes as u64).set_max_array_size(10_000 + 2 * nodes);
}

/// Evaluates a recipe: calls its `declare(argument)`, if it has one, and returns what that declared.
///
/// # Errors
/// Whatever the script throws or Rhai reports, with the place in the script.
pub fn evaluate(engine: &Engine, recipe: &Arc<Recipe>, argument: Dynamic) -> Result<Evaluated, RecipeError> {
    evaluate_within(bounds::SHIPPED, engine, recipe, argument)
}

fn evaluate_within(bounds: Bounds, engine: &Engine, recipe: &Arc<Recipe>, argument: Dynamic) -> Result<Evaluated, RecipeError> {
    let recorder = Recorder::new(bounds);
    if recipe.declares {
        let options = CallFnOptions::new().with_tag(Dynamic::from(recorder.clone())).eval_ast(false);
        let call = || engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &recipe.ast, "declare", (argument,));
        let _ = bounds::within(bounds.time, call).map_err(|error| from_rhai(engine, &recipe.source.path, &recipe.source.text, &error))?;
    }
    let Recorded { declared, secrets, in_text, too_much, .. } = recorder.take();
    if let Some((too_much, position)) = too_much {
        let error = RecipeError::new("kthw::recipe", &too_much, &recipe.source.path, &recipe.source.text).at(position, "here");
        return Err(error.help(too_much.help().map(|help| help.to_string()).unwrap_or_default()));
    }
    if let Some((name, position)) = in_text {
        // Rhai swallows errors while it builds a text, so the script could not be ended at that point.
        let message = format!("the secret `{name}` cannot become a text");
        let error = RecipeError::new("kthw::recipe", message, &recipe.source.path, &recipe.source.text).at(position, "here");
        return Err(error.help(
            "a script never sees a secret's value: pass it whole, as an option that takes a secret, and let the file hold the whole text that \
             you need",
        ));
    }
    Ok(Evaluated { recipe: recipe.clone(), declared, secrets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Change, Options, Peers, Permit, Resource, Rhai, Source,
        declare::{count_text, declare},
    };
    use rhai::{Map, Module, NativeCallContext};
    use std::time::Duration;

    #[derive(Debug)]
    struct Note(String);

    impl Resource for Note {
        type Live = ();
        fn id(&self) -> Id {
            Id::new("note", &self.0)
        }
        async fn read(&self, _: &Peers) -> crate::Result<Option<()>> {
            Ok(None)
        }
        fn diff(&self, _: Option<&()>) -> Change {
            Change::None
        }
        async fn apply(&self, _: Option<()>, _: &Peers, _: &Permit) -> crate::Result<()> {
            Ok(())
        }
    }

    #[derive(serde::Deserialize)]
    struct Text {
        #[allow(dead_code)] // What counts is that it is taken from the options.
        text: Option<String>,
    }

    fn note(cx: NativeCallContext<'_>, name: &str, options: Map) -> Rhai<Id> {
        let Options::<Text> { common, .. } = Options::parse(&cx, "tiny::note", options)?;
        declare(&cx, Note(name.into()), common)
    }

    /// Evaluates a body of `declare` within small bounds; the error, and where it points.
    fn told(body: &str) -> String {
        let bounds = Bounds { time: Duration::from_millis(200), resources: 20, text: 1 << 20 };
        let mut engine = Engine::new();
        limits(&mut engine);
        // The clock is to end the loop below, not the number of its operations.
        engine.set_max_operations(0);
        let mut module = Module::new();
        module.set_native_fn("note", note);
        module.set_native_fn("beside", |cx: NativeCallContext<'_>, text: &str| count_text(&cx, text.len()));
        engine.register_static_module("tiny", module.into());
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{body}\n}}\n");
        let recipe = Recipe::parse(&engine, Source { name: "one".into(), path: "one.rhai".into(), text }).unwrap();
        match evaluate_within(bounds, &engine, &recipe, Dynamic::UNIT) {
            Ok(evaluated) => format!("{} declared", evaluated.declared.len()),
            Err(error) => {
                let label = error.labels().and_then(|mut labels| labels.next()).expect("a place");
                format!("{error} | {}", &recipe.source.text[label.offset()..].lines().next().unwrap_or_default())
            }
        }
    }

    #[test]
    fn a_recipe_declares_no_more_than_it_may() {
        assert_eq!(told("for n in 0..20 { tiny::note(`${n}`, #{}); }"), "20 declared");
        let resources = "this recipe declares more than 20 resources | note(`${n}`, #{}); }";
        assert_eq!(told("for n in 0..21 {\n tiny::note(`${n}`, #{}); }"), resources);
    }

    #[test]
    fn text_in_options_beside_them_and_in_identities_is_counted() {
        let half = "let half = \"x\"; for n in 0..19 { half += half; }\n";
        assert_eq!(told(&format!("{half} tiny::note(\"a\", #{{ text: half }});")), "1 declared");
        for line in [
            "note(`${n}`, #{ text: half });",
            "note(`${n}`, #{ needs: [], list: [1, half] });",
            "note(`${half}${n}`, #{});",
            "beside(half);",
        ] {
            let message = told(&format!("{half} for n in 0..3 {{\ntiny::{line}\n}}"));
            assert_eq!(message, format!("this recipe declares more than 1 MiB of text | {line}"));
        }
    }

    #[test]
    fn catching_the_error_does_not_help() {
        let message = told("for n in 0..50 {\ntry { tiny::note(`${n}`, #{}); } catch { }\n}");
        assert_eq!(message, "this recipe declares more than 20 resources | note(`${n}`, #{}); } catch { }");
    }

    #[test]
    fn a_recipe_that_spins_is_ended_by_the_clock() {
        assert_eq!(
            told("let n = 0;\nloop {\ntry { n += 1; } catch { }\n}").split(" | ").next(),
            Some("the recipe was not evaluated within 0.2 s")
        );
    }

    #[test]
    fn a_large_workspace_may_take_more_operations_and_longer_lists() {
        let (mut small, mut large) = (Engine::new(), Engine::new());
        limits(&mut small);
        limits(&mut large);
        limits_for(&mut large, 20_000);
        let list = "let list = []; for n in 0..20000 { list.push(n); } list.len()";
        assert!(small.eval::<i64>(list).is_err());
        assert_eq!(large.eval::<i64>(list).ok(), Some(20_000));
    }
}
