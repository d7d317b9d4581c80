//! What others made of the kinds that an add-on defines: it would go with the definitions.
use super::{
    client::{At, Client},
    compare::APPLIED,
    document::Tier,
    error::{ReadObject, in_words, is_not_found},
    objects::LiveObjects,
};
use kthw_engine::{Error, Result};
use kube::{api::ApiResource, api::DynamicObject, core::GroupVersionKind};
use serde_json::Value;

/// The objects, such as `IPAddressPool metallb-system/lan`, that neither kthw nor a controller made. What a controller makes has an owner, which
/// goes too.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub async fn of(client: &Client, live: &LiveObjects) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (_, definition) in live.there().filter(|(document, _)| document.tier() == Tier::Definition) {
        let Some(resource) = defined(definition) else { continue };
        let kind = resource.kind.clone();
        let objects = match client.list(&At { resource, namespace: None }, "").await {
            Ok(objects) => objects,
            Err(error) if is_not_found(&error) => continue,
            Err(error) => return Err(Error::peer(ReadObject { what: format!("the objects of kind {kind}"), reason: in_words(&error) })),
        };
        found.extend(objects.iter().filter(|object| !has_maker(object)).map(|object| called(&kind, object)));
    }
    Ok(found)
}

/// The kind that a definition brings, in the first version that is served.
fn defined(definition: &Value) -> Option<ApiResource> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let version = spec["versions"].as_array()?.iter().find(|version| version["served"] == true)?;
    let kind = GroupVersionKind { group: text(&spec["group"])?, version: text(&version["name"])?, kind: text(&spec["names"]["kind"])? };
    Some(ApiResource::from_gvk_with_plural(&kind, spec["names"]["plural"].as_str()?))
}

fn has_maker(object: &DynamicObject) -> bool {
    let applied = object.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(APPLIED));
    applied || object.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
}

fn called(kind: &str, object: &DynamicObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match &object.metadata.namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
