//! Secrets among the options of a host function: passed on by name, and never as part of a text.
use crate::secret::SecretRef;
use rhai::{Dynamic, Map};
use serde::de::DeserializeOwned;

/// `options` with each [`SecretRef`] as the map that serde reads it from.
///
/// # Errors
/// The option whose text was made from a secret, in words.
pub(crate) fn for_serde(options: &Map) -> Result<Map, String> {
    options.iter().map(|(key, value)| Ok((key.clone(), for_serde_one(key, value)?))).collect()
}

fn for_serde_one(option: &str, value: &Dynamic) -> Result<Dynamic, String> {
    if let Some(secret) = value.clone().try_cast::<SecretRef>() {
        return Ok(Map::from_iter([("$secret".into(), secret.name.into())]).into());
    }
    if let Ok(text) = value.as_immutable_string_ref()
        && let Some(name) = SecretRef::named_in(&text)
    {
        return Err(format!(
            "`{option}` holds the name of the secret `{name}` as text, not its value; pass the secret whole, as an option that takes one"
        ));
    }
    if let Ok(items) = value.as_array_ref() {
        return Ok(Dynamic::from_array(items.iter().map(|item| for_serde_one(option, item)).collect::<Result<_, _>>()?));
    }
    if let Ok(map) = value.as_map_ref() {
        return Ok(Dynamic::from_map(
            map.iter().map(|(key, value)| Ok((key.clone(), for_serde_one(option, value)?))).collect::<Result<_, String>>()?,
        ));
    }
    Ok(value.clone())
}

/// The option that was given a secret and takes none, in words: with any text in its place, `T` could be read.
pub(crate) fn misplaced<T: DeserializeOwned>(options: &Map, error: &str) -> Option<String> {
    options.iter().find_map(|(key, value)| {
        let secret = value.clone().try_cast::<SecretRef>()?;
        let mut without = for_serde(options).ok()?;
        without.insert(key.clone(), "text".into());
        let helped = rhai::serde::from_dynamic::<T>(&without.into()).map_or_else(|other| other.to_string() != error, |_| true);
        helped.then(|| format!("`{key}` got the secret `{}`, and takes none", secret.name))
    })
}
