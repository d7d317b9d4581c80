//! Where two runs differ.
use super::show::{outcome_in_words, short};
use crate::ui::Ui;
use kthw_engine::{Id, Result, presentable};
use kthw_store::journal::{Header, Resource, RunLog, What};
use std::collections::{BTreeMap, BTreeSet};

/// Shows it; nothing is said of what is the same.
pub fn diff(one: &RunLog, other: &RunLog, ui: &Ui) -> Result<u8> {
    let mut lines = Vec::new();
    if let (Some(one), Some(other)) = (one.header(), other.header()) {
        headers(one, other, &mut lines);
    }
    let (one, other) = (resources(one), resources(other));
    let ids: BTreeSet<&Id> = one.keys().chain(other.keys()).copied().collect();
    for id in ids {
        let (was, is) = (in_words(one.get(id)), in_words(other.get(id)));
        if was != is {
            lines.push(format!("{id}: {was} -> {is}"));
        }
    }
    if lines.is_empty() && !ui.is_json() {
        lines.push("The two runs had the same recipes and workspace, and everything in them ended alike.".into());
    }
    for line in lines {
        ui.line(&presentable(&if ui.is_json() { serde_json::json!({ "event": "difference", "text": line }).to_string() } else { line }));
    }
    Ok(0)
}

fn headers(one: &Header, other: &Header, lines: &mut Vec<String>) {
    let mut differ = |what: &str, was: &str, is: &str| {
        if was != is {
            lines.push(format!("{what}: {was} -> {is}"));
        }
    };
    differ("asked for", &one.about.verb, &other.about.verb);
    differ("by", &one.about.owner.to_string(), &other.about.owner.to_string());
    differ("kthw", &one.about.kthw, &other.about.kthw);
    differ("workspace", short(&one.about.workspace_sha256), short(&other.about.workspace_sha256));
    let stamps = |header: &Header| -> BTreeMap<String, String> {
        header.about.recipes.iter().map(|recipe| (recipe.name.clone(), format!("{} ({})", recipe.version, short(&recipe.sha256)))).collect()
    };
    let (was, is) = (stamps(one), stamps(other));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let shown = |stamps: &BTreeMap<String, String>| stamps.get(name).map_or("not there", String::as_str).to_owned();
        differ(&format!("recipe {name}"), &shown(&was), &shown(&is));
    }
}

fn resources(log: &RunLog) -> BTreeMap<&Id, &Resource> {
    log.lines
        .iter()
        .filter_map(|line| match &line.what {
            What::Resource(resource) => Some((&resource.id, resource)),
            _ => None,
        })
        .collect()
}

fn in_words(resource: Option<&&Resource>) -> String {
    resource.map_or_else(|| "nothing to do".into(), |resource| outcome_in_words(&resource.outcome))
}
