//! What a host function does when a recipe calls it: parse the options, record a resource, return its identity.
use crate::{
    bounds::{TooMuch, text_in},
    diagnostics::{BadOption, Thrown},
    error::Error,
    evaluate::{Declared, NamedSecret, Recorder},
    id::Id,
    resource::{AnyStep, General, NodeResource, OnNode, Removable, Resource},
    secret::SecretRef,
    secret_option,
};
use miette::Diagnostic;
use rhai::{Dynamic, EvalAltResult, Map, NativeCallContext};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The result of a host function. Spelled as an alias so that generated definitions show only `T`.
pub type Rhai<T> = Result<T, Box<EvalAltResult>>;

/// Ends the script with a diagnostic that keeps its type, help and the place of the call.
///
/// # Errors
/// Always.
pub fn throw<T>(cx: &NativeCallContext, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Rhai<T> {
    throw_error(cx, Error::recipe(diagnostic))
}

fn throw_error<T>(cx: &NativeCallContext, error: Error) -> Rhai<T> {
    Err(EvalAltResult::ErrorRuntime(Dynamic::from(Thrown(Arc::new(error))), cx.call_position()).into())
}

/// The last argument of a host function: the options map, parsed into `T`, and the identities under `needs`.
#[derive(Debug)]
pub struct Options<T> {
    /// The parsed options.
    pub spec: T,
    /// The options that every such function has.
    pub common: Common,
}

/// The options of every function that declares something.
#[derive(Clone, Debug)]
pub struct Common {
    /// Identities given as `needs: [...]`.
    pub needs: Vec<Id>,
    /// False for what is to be removed: `present: false`.
    pub present: bool,
}

impl From<Vec<Id>> for Common {
    fn from(needs: Vec<Id>) -> Self {
        Self { needs, present: true }
    }
}

impl<T: DeserializeOwned> Options<T> {
    /// Parses `map` for the function `name`, such as `ssh::file`.
    ///
    /// # Errors
    /// An unknown or missing option or a wrong type, with the place of the call and the nearest option's name.
    pub fn parse(cx: &NativeCallContext, name: &'static str, mut map: Map) -> Rhai<Self> {
        count_text(cx, map.iter().map(|(key, value)| key.len() + text_in(value)).sum())?;
        let mut needs = Vec::new();
        if let Some(wanted) = map.remove("needs") {
            let list = wanted.clone().into_array().unwrap_or_else(|_| vec![wanted]);
            for item in list {
                match item.clone().try_cast::<Id>() {
                    Some(id) => needs.push(id),
                    None => {
                        return throw(
                            cx,
                            BadOption::new(
                                name,
                                format!("`needs` takes identities that other functions returned, not {}", item.type_name()),
                            ),
                        );
                    }
                }
            }
        }
        let present = match map.remove("present").map(|given| (given.as_bool(), given)) {
            None => true,
            Some((Ok(present), _)) => present,
            Some((Err(found), _)) => return throw(cx, BadOption::new(name, format!("`present` is true or false, not {found}"))),
        };
        let spelled = match secret_option::for_serde(&map) {
            Ok(spelled) => spelled,
            Err(message) => return throw(cx, BadOption::new(name, message)),
        };
        match rhai::serde::from_dynamic::<T>(&spelled.into()) {
            Ok(spec) => Ok(Self { spec, common: Common { needs, present } }),
            Err(error) => {
                let error = error.to_string();
                let plain = || error.trim_start_matches("Syntax error: ").trim_end_matches(" (position 0)").to_owned();
                let message = secret_option::misplaced::<T>(&map, &error).unwrap_or_else(plain);
                throw(cx, BadOption::new(name, beside_needs(&map, message)))
            }
        }
    }
}

/// `needs` and `present` are options of every function; serde does not know them, and does not list them beside an unknown one.
fn beside_needs(options: &Map, message: String) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    if !unknown.is_some_and(|name| options.contains_key(name)) {
        return message;
    }
    match message.strip_suffix(", there are no fields") {
        Some(head) => format!("{head}, expected `needs` or `present`"),
        None if message.contains(", expected one of `") => format!("{message}, `needs`, `present`"),
        None => match message.split_once(", expected ") {
            Some((head, known)) => format!("{head}, expected one of {}, `needs`, `present`", known.replace(" or ", ", ")),
            None => message,
        },
    }
}

/// Records a resource and returns its identity. `common.needs` adds to what the resource itself needs.
///
/// # Errors
/// When called outside the evaluation of a recipe, or for something absent that cannot be removed.
pub fn declare(cx: &NativeCallContext, resource: impl Resource, common: impl Into<Common>) -> Rhai<Id> {
    record(cx, Arc::new(General(resource)), common.into())
}

/// Records a resource on a node and returns its identity.
///
/// # Errors
/// As [`declare`].
pub fn declare_on_node(cx: &NativeCallContext, resource: impl NodeResource, common: impl Into<Common>) -> Rhai<Id> {
    record(cx, Arc::new(OnNode(resource)), common.into())
}

/// Notes that the recipe names a secret, for the list of secrets that it uses ([`Evaluated::secrets`](crate::Evaluated::secrets)).
pub fn note_secret(cx: &NativeCallContext, secret: &SecretRef) {
    if let (Some(recorder), Some(line)) = (recorder(cx), cx.call_position().line()) {
        recorder.note(NamedSecret { name: secret.name.clone(), line });
    }
}

/// Counts bytes of text that a resource will hold and that are not in its options.
///
/// # Errors
/// When the recipe has declared more than it may.
pub fn count_text(cx: &NativeCallContext, bytes: usize) -> Rhai<()> {
    match recorder(cx) {
        Some(recorder) => recorder.count(0, bytes, cx.call_position()).or_else(|too_much: TooMuch| throw(cx, too_much)),
        None => Ok(()),
    }
}

fn recorder(cx: &NativeCallContext) -> Option<Recorder> {
    cx.tag().and_then(|tag| tag.clone().try_cast::<Recorder>())
}

/// What a secret becomes in a text: a placeholder with its name. If no option refuses that text, the recipe is refused at the end of its
/// evaluation.
pub fn secret_as_text(cx: &NativeCallContext, secret: &SecretRef) -> String {
    if let Some(recorder) = recorder(cx) {
        recorder.note_text(&secret.name, cx.call_position());
    }
    secret.in_text()
}

fn record(cx: &NativeCallContext, step: AnyStep, common: Common) -> Rhai<Id> {
    let Some(recorder) = recorder(cx) else {
        return throw(cx, NoRecorder);
    };
    let id = step.id();
    if !common.present && step.removable() == Removable::No {
        return throw(cx, NotRemovable { kind: id.kind().to_owned() });
    }
    let declared = Declared::new(step, common.needs, cx.call_position());
    match recorder.push(if common.present { declared } else { declared.going() }) {
        Ok(()) => Ok(id),
        Err(too_much) => throw(cx, too_much),
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("this function declares a resource and can only be called from a recipe's `declare`")]
#[diagnostic(code(kthw::recipe::outside_declare), help("move the call into `fn declare(cluster) {{ … }}`"))]
struct NoRecorder;

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("a `{kind}` cannot be removed by itself, so it cannot be declared with `present: false`")]
#[diagnostic(code(kthw::recipe::not_removable), help("leave the declaration out; what it made stays until what holds it goes"))]
struct NotRemovable {
    kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_is_listed_beside_the_options_of_a_function() {
        let options = Map::from_iter([("neds".into(), Dynamic::UNIT)]);
        for (serde, told) in [
            ("unknown field `neds`, there are no fields", "unknown field `neds`, expected `needs` or `present`"),
            ("unknown field `neds`, expected `mode`", "unknown field `neds`, expected one of `mode`, `needs`, `present`"),
            (
                "unknown field `neds`, expected `mode` or `owner`",
                "unknown field `neds`, expected one of `mode`, `owner`, `needs`, `present`",
            ),
            (
                "unknown field `neds`, expected one of `a`, `b`, `c`",
                "unknown field `neds`, expected one of `a`, `b`, `c`, `needs`, `present`",
            ),
            ("unknown field `inner`, expected `mode`", "unknown field `inner`, expected `mode`"),
            ("missing field `mode`", "missing field `mode`"),
        ] {
            assert_eq!(beside_needs(&options, serde.into()), told);
        }
    }
}
