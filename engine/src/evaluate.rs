//! Running a recipe's `declare`: pure, bounded, and with nothing to show for it but the resources that it named.
use crate::{
    absent::{Absent, Presence},
    diagnostics::{RecipeError, from_rhai},
    id::Id,
    recipe::Recipe,
    resource::{AnyStep, Removable},
};
use rhai::{CallFnOptions, Dynamic, Engine, Position, Scope};
use std::sync::{Arc, Mutex};

/// One declared resource and where in which recipe that was.
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

    /// The same, to be removed if it is wholly ours; anything else goes with what holds it, or stays.
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
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    declared: Vec<Declared>,
    secrets: Vec<NamedSecret>,
    /// The first secret that the script made a text of, and where.
    in_text: Option<(String, Position)>,
}

impl Recorder {
    pub(crate) fn push(&self, declared: Declared) {
        self.0.lock().expect("no script panics while recording").declared.push(declared);
    }

    pub(crate) fn note(&self, secret: NamedSecret) {
        let secrets = &mut self.0.lock().expect("no script panics while recording").secrets;
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }

    pub(crate) fn note_text(&self, name: &str, position: Position) {
        self.0.lock().expect("no script panics while recording").in_text.get_or_insert((name.to_owned(), position));
    }

    fn take(&self) -> Recorded {
        std::mem::take(&mut self.0.lock().expect("no script panics while recording"))
    }
}

/// Sandboxes an engine: typos are errors, and a script's time, depth and memory are bounded.
pub fn limits(engine: &mut Engine) {
    engine
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .disable_symbol("eval")
        .disable_symbol("import")
        .set_max_operations(10_000_000)
        .set_max_call_levels(32)
        .set_max_expr_depths(64, 32)
        .set_max_string_size(1 << 20)
        .set_max_array_size(10_000)
        .set_max_map_size(10_000);
    engine.on_print(|_| {}).on_debug(|_, _, _| {});
}

/// Evaluates a recipe: calls its `declare(argument)`, if it has one, and returns what that declared.
///
/// # Errors
/// Whatever the script throws or Rhai reports, with the place in the script.
pub fn evaluate(engine: &Engine, recipe: &Arc<Recipe>, argument: Dynamic) -> Result<Evaluated, RecipeError> {
    let recorder = Recorder::default();
    if recipe.declares {
        let options = CallFnOptions::new().with_tag(Dynamic::from(recorder.clone())).eval_ast(false);
        let _ = engine
            .call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &recipe.ast, "declare", (argument,))
            .map_err(|error| from_rhai(&recipe.source.path, &recipe.source.text, &error))?;
    }
    let Recorded { declared, secrets, in_text } = recorder.take();
    if let Some((name, position)) = in_text {
        // Rhai prints whatever it can while it makes a text, so this could not end the script there and then.
        let message = format!("the secret `{name}` cannot become a text");
        let error = RecipeError::new("kthw::recipe", message, &recipe.source.path, &recipe.source.text).at(position, "here");
        return Err(error.help(
            "a script never sees a secret's value: pass it whole, as an option that takes a secret, and let the file hold the whole text that \
             you need",
        ));
    }
    Ok(Evaluated { recipe: recipe.clone(), declared, secrets })
}
