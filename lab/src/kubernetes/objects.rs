//! Objects: get, list, create, replace, patch, delete.
use super::{
    bookkeeping::is_same_but_for_bookkeeping,
    cluster::{Cluster, Object, key, uid},
    discovery::Resource,
    merge::{conflict, give_up, merge, merge_patch},
};
use crate::state::rfc3339;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An answer: HTTP status and object.
pub(crate) type Answer = (u16, Value);

/// Where a request points: a kind, a namespace (empty for none or all), a name (empty for the collection), a subresource.
#[derive(Debug)]
pub(crate) struct Target {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    pub part: String,
}

/// When and by whom something is changed.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub now_ms: u64,
    pub unix_s: u64,
    pub manager: &'a str,
    pub force: bool,
    pub dry_run: bool,
}

impl Target {
    fn key(&self) -> String {
        key(&self.resource.group, &self.resource.plural, &self.namespace, &self.name)
    }

    fn api_version(&self) -> String {
        if self.resource.group.is_empty() {
            self.resource.version.clone()
        } else {
            format!("{}/{}", self.resource.group, self.resource.version)
        }
    }

    fn not_found(&self) -> Answer {
        let group = if self.resource.group.is_empty() { String::new() } else { format!(".{}", self.resource.group) };
        status(404, "NotFound", &format!("{}{group} \"{}\" not found", self.resource.plural, self.name))
    }
}

/// A `Status` object for a failure.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Answer {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code }),
    )
}

/// Reads one object, or the collection.
pub(crate) fn read(cluster: &Cluster, target: &Target, labels: &str, fields: &str) -> Answer {
    if !target.name.is_empty() {
        return cluster.objects.get(&target.key()).map_or_else(|| target.not_found(), |object| (200, object.value.clone()));
    }
    let items: Vec<Value> = matching(cluster, target, labels, fields).cloned().collect();
    let kind = format!("{}List", target.resource.kind);
    (
        200,
        json!({ "kind": kind, "apiVersion": target.api_version(), "metadata": { "resourceVersion": cluster.revision.to_string() }, "items": items }),
    )
}

/// The objects of a collection that fit the selectors.
pub(crate) fn matching<'c>(cluster: &'c Cluster, target: &'c Target, labels: &'c str, fields: &'c str) -> impl Iterator<Item = &'c Value> {
    let begins = match target.namespace.as_str() {
        "" => format!("{}|{}|", target.resource.group, target.resource.plural),
        namespace => key(&target.resource.group, &target.resource.plural, namespace, ""),
    };
    cluster.beginning(begins).map(|(_, object)| &object.value).filter(move |value| {
        let fits = |(path, wanted): (&str, &str)| {
            let pointer = format!("/{}", path.replace('.', "/"));
            value.pointer(&pointer).and_then(Value::as_str) == Some(wanted)
        };
        let label = |(name, wanted): (&str, &str)| value["metadata"]["labels"][name] == wanted;
        pairs(fields).all(fits) && pairs(labels).all(label)
    })
}

fn pairs(selector: &str) -> impl Iterator<Item = (&str, &str)> {
    selector
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').map_or((part, ""), |(name, value)| (name, value.trim_start_matches('='))))
}

/// `POST`.
pub(crate) fn create(cluster: &mut Cluster, target: &mut Target, body: Value, moment: &Moment) -> Answer {
    if target.name.is_empty() {
        body["metadata"]["name"].as_str().unwrap_or_default().clone_into(&mut target.name);
    }
    if let Err(answer) = fits(cluster, target, &body) {
        return answer;
    }
    if cluster.objects.contains_key(&target.key()) {
        return status(409, "AlreadyExists", &format!("{} \"{}\" already exists", target.resource.plural, target.name));
    }
    (201, store(cluster, target, body, BTreeMap::new(), moment))
}

/// `PUT`.
pub(crate) fn replace(cluster: &mut Cluster, target: &Target, body: Value, moment: &Moment) -> Answer {
    let Some(old) = cluster.objects.get(&target.key()) else { return target.not_found() };
    if let Err(answer) = is_newest(target, old, &body) {
        return answer;
    }
    let applied = old.applied.clone();
    (200, store(cluster, target, body, applied, moment))
}

/// `PATCH` with server-side apply.
pub(crate) fn apply(cluster: &mut Cluster, target: &Target, body: &Value, moment: &Moment) -> Answer {
    if moment.manager.is_empty() {
        return status(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        );
    }
    if let Err(answer) = fits(cluster, target, body) {
        return answer;
    }
    let old = cluster.objects.get(&target.key());
    let others = || old.into_iter().flat_map(|old| &old.applied).filter(|(name, _)| *name != moment.manager);
    if !moment.force
        && let Some((other, field)) = others().find_map(|(name, theirs)| Some((name, conflict(theirs, body, "")?)))
    {
        return status(409, "Conflict", &format!("Apply failed with 1 conflict: conflict with \"{other}\": {field}"));
    }
    let code = if old.is_some() { 200 } else { 201 };
    let mut value = old.map_or_else(|| json!({}), |old| old.value.clone());
    if let Some(before) = old.and_then(|old| old.applied.get(moment.manager)) {
        give_up(&mut value, before, body);
    }
    merge(&mut value, body);
    let mut applied: BTreeMap<String, Value> = others().map(|(name, theirs)| (name.clone(), theirs.clone())).collect();
    applied.insert(moment.manager.to_owned(), body.clone());
    (code, store(cluster, target, value, applied, moment))
}

/// `PATCH` with a merge patch, strategic or not.
pub(crate) fn patch(cluster: &mut Cluster, target: &Target, body: &Value, moment: &Moment) -> Answer {
    let Some(old) = cluster.objects.get(&target.key()) else { return target.not_found() };
    if let Err(answer) = is_newest(target, old, body) {
        return answer;
    }
    let mut value = old.value.clone();
    merge_patch(&mut value, body);
    // Without a name of its own, a client is known by its agent.
    let manager = if moment.manager.is_empty() { "unknown" } else { moment.manager };
    super::managed::note(&old.value, &mut value, manager, &target.api_version());
    let applied = old.applied.clone();
    (200, store(cluster, target, value, applied, moment))
}

/// Whoever names a version changes that one and no later one.
fn is_newest(target: &Target, old: &Object, body: &Value) -> Result<(), Answer> {
    let given = &body["metadata"]["resourceVersion"];
    if given.is_null() || *given == old.value["metadata"]["resourceVersion"] {
        return Ok(());
    }
    Err(status(
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again",
            target.resource.plural, target.name
        ),
    ))
}

/// `DELETE`.
pub(crate) fn delete(cluster: &mut Cluster, target: &Target) -> Answer {
    let Some(object) = cluster.objects.remove(&target.key()) else { return target.not_found() };
    cluster.revision += 1;
    match target.resource.plural.as_str() {
        "namespaces" => cluster.objects.retain(|_, object| object.value["metadata"]["namespace"] != target.name.as_str()),
        "customresourcedefinitions" => {
            let spec = &object.value["spec"];
            let begins =
                format!("{}|{}|", spec["group"].as_str().unwrap_or_default(), spec["names"]["plural"].as_str().unwrap_or_default());
            cluster.objects.retain(|key, _| !key.starts_with(&begins));
        }
        "nodes" => {
            cluster.members.remove(&target.name);
        }
        _ => {}
    }
    (200, object.value)
}

/// Checks that an object belongs where it is sent.
fn fits(cluster: &Cluster, target: &Target, body: &Value) -> Result<(), Answer> {
    let bad = |message: String| Err(status(400, "BadRequest", &message));
    if body["kind"] != target.resource.kind.as_str() || body["apiVersion"] != target.api_version() {
        return bad(format!("the object provided is unrecognized (must be of kind {} in {})", target.resource.kind, target.api_version()));
    }
    if body["metadata"]["name"].as_str().is_some_and(|name| name != target.name) {
        return bad("the name of the object does not match the name on the URL".into());
    }
    if !target.namespace.is_empty() && !cluster.objects.contains_key(&key("", "namespaces", "", &target.namespace)) {
        return Err(status(404, "NotFound", &format!("namespaces \"{}\" not found", target.namespace)));
    }
    let annotations = body["metadata"]["annotations"].as_object();
    let length: usize = annotations.into_iter().flatten().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if length > 256 * 1024 {
        return Err(status(
            422,
            "Invalid",
            &format!(
                "{} \"{}\" is invalid: metadata.annotations: Too long: must have at most 262144 bytes",
                target.resource.kind, target.name
            ),
        ));
    }
    Ok(())
}

/// Puts an object in the place of what was there, with the metadata that the server keeps. Nothing is kept of a dry run.
fn store(cluster: &mut Cluster, target: &Target, mut value: Value, applied: BTreeMap<String, Value>, moment: &Moment) -> Value {
    let old = cluster.objects.get(&target.key());
    let before = old.map_or(&Value::Null, |old| &old.value);
    let unchanged = old.is_some() && is_same_but_for_bookkeeping(before, &value);
    let revision = if unchanged { before["metadata"]["resourceVersion"].clone() } else { json!((cluster.revision + 1).to_string()) };
    value["kind"] = json!(target.resource.kind);
    value["apiVersion"] = json!(target.api_version());
    let generation = before["metadata"]["generation"].as_u64().unwrap_or(0) + u64::from(before["spec"] != value["spec"] || old.is_none());
    let mut managers: Vec<Value> = applied
        .keys()
        .map(|name| json!({ "manager": name, "operation": "Apply", "apiVersion": target.api_version(), "fieldsType": "FieldsV1" }))
        .collect();
    let kept = |name: &str, new: Value| if before["metadata"][name].is_null() { new } else { before["metadata"][name].clone() };
    let uid = kept("uid", json!(uid(&cluster.ca_hash, cluster.revision + 1)));
    let created = kept("creationTimestamp", json!(rfc3339(moment.unix_s)));
    let metadata = &mut value["metadata"];
    metadata["name"] = json!(target.name);
    if !target.namespace.is_empty() {
        metadata["namespace"] = json!(target.namespace);
    }
    metadata["uid"] = uid;
    metadata["creationTimestamp"] = created;
    metadata["generation"] = json!(generation);
    metadata["resourceVersion"] = revision;
    let updated = metadata["managedFields"].as_array().into_iter().flatten().filter(|entry| entry["operation"] == "Update");
    managers.extend(updated.cloned().collect::<Vec<_>>());
    if !managers.is_empty() {
        metadata["managedFields"] = json!(managers);
    }
    if target.resource.plural == "namespaces" && target.resource.group.is_empty() {
        metadata["labels"]["kubernetes.io/metadata.name"] = json!(target.name);
        value["status"] = json!({ "phase": "Active" });
    }
    if !moment.dry_run {
        let (made_ms, ended_ms) = old.map_or((moment.now_ms, None), |old| (old.made_ms, old.ended_ms));
        cluster.revision += u64::from(!unchanged);
        cluster.objects.insert(target.key(), Object { value: value.clone(), applied, made_ms, ended_ms });
    }
    value
}
