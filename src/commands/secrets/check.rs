//! `kthw secrets check`: which secrets recipes use, which of them the file lacks, and which in it nobody uses. Names only: nothing is
//! decrypted and nobody is reached.
use crate::{
    options::WorkspaceOptions,
    session::{self, Prepared},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Error, Result, nearest};
use kthw_stdlib::proxmox::SECRETS;
use miette::Diagnostic;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Check that a workspace's secrets file holds what recipes use
///
/// Exit code 1 when something is missing.
#[derive(Debug, Args)]
pub struct Check {
    /// Recipes, with everything that they need: paths such as `recipes/ubuntu/full.rhai`, or names such as `ubuntu/full`
    #[arg(value_name = "RECIPE", required = true)]
    recipes: Vec<String>,
    /// Workspace: a name below `workspaces/`, or a folder, or a file; the recipes' own when absent
    #[arg(short, long, value_name = "NAME|PATH")]
    workspace: Option<String>,
    /// Set a field of the workspace for this call, such as `machine.cores=4`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

/// One secret and everybody who uses it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Used {
    name: String,
    /// `recipe.rhai:LINE`, or kthw's own use in words.
    by: Vec<String>,
    missing: bool,
    /// For a missing one: what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// What the file of one workspace holds, compared with what is used.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Compared {
    used: Vec<Used>,
    unused: Vec<String>,
}

impl Check {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let options = WorkspaceOptions { workspace: self.workspace, set: self.set, ..WorkspaceOptions::default() };
        let mut file: Option<(String, Vec<String>)> = None;
        let mut uses = Uses::default();
        for recipe in &self.recipes {
            let prepared = session::prepare(recipe, &options)?;
            kthw_engine::check(&prepared.evaluated)?;
            let secrets = session::secrets_of(&prepared.workspace)?;
            match &file {
                Some((known, _)) if known != secrets.file() => return Err(Error::usage(SeveralFiles { recipe: recipe.clone() })),
                _ => file = Some((secrets.file().to_owned(), secrets.names())),
            }
            uses.of(&prepared);
        }
        let (file, names) = file.unwrap_or_default();
        let in_environment = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        let compared = compare(&file, &names, uses, in_environment);
        show(ui, &file, &compared);
        Ok(u8::from(compared.used.iter().any(|used| used.missing)))
    }
}

/// Who uses what.
#[derive(Debug, Default)]
struct Uses {
    by: BTreeMap<String, Vec<String>>,
    /// Whether a resource of Proxmox is declared, so that its settings are needed.
    proxmox: bool,
}

impl Uses {
    fn of(&mut self, prepared: &Prepared) {
        for evaluated in &prepared.evaluated {
            for secret in &evaluated.secrets {
                let by = self.by.entry(secret.name.clone()).or_default();
                let place = format!("{}:{}", evaluated.recipe.source.path, secret.line);
                if !by.contains(&place) {
                    by.push(place);
                }
            }
            self.proxmox |= evaluated.declared.iter().any(|declared| declared.id().kind().starts_with("proxmox."));
        }
    }
}

/// Pure. A setting of Proxmox may stand in the environment instead; whatever of them is in the file counts as used.
fn compare(file: &str, names: &[String], uses: Uses, in_environment: impl Fn(&str) -> bool) -> Compared {
    const PROXMOX: &str = "the Proxmox settings";
    let mut by = uses.by;
    let of_setting = |name: &str| names.iter().filter(|known| *known == name || known.starts_with(&format!("{name}."))).collect::<Vec<_>>();
    let there = |name: &str| {
        let variable = SECRETS.iter().find(|setting| setting.0 == name).map_or("", |setting| setting.1);
        !of_setting(name).is_empty() || in_environment(variable)
    };
    for known in SECRETS.iter().flat_map(|(name, _)| of_setting(name)) {
        by.entry(known.clone()).or_default().push(PROXMOX.into());
    }
    if uses.proxmox {
        let signed_in = there("proxmox.token") || there("proxmox.username") && there("proxmox.password");
        let lacking = [(!there("proxmox.endpoint")).then_some("proxmox.endpoint"), (!signed_in).then_some("proxmox.token")];
        for name in lacking.into_iter().flatten() {
            by.entry(name.into()).or_default().push(PROXMOX.into());
        }
    }
    let mut there = BTreeSet::new();
    let mut find = |(name, by): (String, Vec<String>)| {
        let found = kthw_sops::resolve(file, names.iter().map(String::as_str), &name);
        let help = match &found {
            Ok(Some(at)) => {
                there.insert(*at);
                None
            }
            Ok(None) => Some(advice(file, &name, names)),
            Err(ambiguous) => ambiguous.help().map(|help| help.to_string()),
        };
        Used { name, by, missing: help.is_some(), help }
    };
    let used: Vec<Used> = by.into_iter().map(&mut find).collect();
    let unused = names.iter().enumerate().filter(|(at, _)| !there.contains(at)).map(|(_, name)| name.clone()).collect();
    Compared { used, unused }
}

fn advice(file: &str, name: &str, names: &[String]) -> String {
    let below: Vec<&str> = names.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{name}."))).collect();
    let variable = SECRETS.iter().find(|setting| setting.0 == name);
    if !below.is_empty() {
        return format!("it is a group; name one of its secrets: {}", below.join(", "));
    }
    if !std::path::Path::new(file).is_file() {
        return format!("there is no such file yet: `kthw secrets edit {file}` makes it; put `{name}` into it");
    }
    match (variable, nearest(name, names.iter().map(String::as_str))) {
        (Some((_, variable)), _) => format!("add it with `kthw secrets set {name} --file {file}`, or set {variable}"),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("add it with `kthw secrets set {name} --file {file}`"),
    }
}

fn show(ui: &Ui, file: &str, compared: &Compared) {
    if ui.is_json() {
        let mut event = serde_json::json!({ "event": "secrets_checked", "file": file });
        event["used"] = serde_json::json!(compared.used);
        event["unused"] = serde_json::json!(compared.unused);
        ui.line(&event.to_string());
        return;
    }
    let missing = compared.used.iter().filter(|used| used.missing).count();
    for used in &compared.used {
        let word = if used.missing { "missing" } else { "used   " };
        ui.line(&format!("{word}  {}  ({})", used.name, used.by.join(", ")));
        if let Some(help) = &used.help {
            ui.line(&format!("         {help}"));
        }
    }
    for name in &compared.unused {
        ui.line(&format!("unused   {name}"));
    }
    ui.line(&format!("{file}: {} used, {missing} missing, {} unused.", compared.used.len() - missing, compared.unused.len()));
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("recipe {recipe} is for another workspace than those before it")]
#[diagnostic(code(kthw::secrets::several_files), help("name one workspace with `-w`, or check them one by one"))]
struct SeveralFiles {
    recipe: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], uses: &[(&str, &str)], proxmox: bool, variables: &[&str], expected: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let by = uses.iter().map(|(name, by)| ((*name).to_owned(), vec![(*by).to_owned()])).collect();
        let compared = compare("s.yaml", &names, Uses { by, proxmox }, |variable| variables.contains(&variable));
        let used = compared.used.iter().map(|used| format!("{} {}", if used.missing { "missing" } else { "used" }, used.name));
        let shown: Vec<String> = used.chain(compared.unused.iter().map(|name| format!("unused {name}"))).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_used_missing_and_unused_is_told_by_names_alone() {
        check(&["a.b", "c"], &[("a.b", "r:1"), ("d", "r:2")], false, &[], &["used a.b", "missing d", "unused c"]);
        check(&["a.b"], &[("a", "r:1")], false, &[], &["missing a", "unused a.b"]);
    }

    #[test]
    fn settings_of_proxmox_count_as_used_and_are_needed_by_its_resources() {
        let all = ["proxmox.endpoint.0", "proxmox.endpoint.1", "proxmox.username", "proxmox.password"];
        let used = ["used proxmox.endpoint.0", "used proxmox.endpoint.1", "used proxmox.password", "used proxmox.username"];
        check(&all, &[], true, &[], &used);
        check(&[], &[], false, &[], &[]);
        check(&[], &[], true, &[], &["missing proxmox.endpoint", "missing proxmox.token"]);
        check(&[], &[], true, &["PROXMOX_VE_ENDPOINT", "PROXMOX_VE_API_TOKEN"], &[]);
        check(
            &["proxmox.endpoint", "proxmox.username"],
            &[],
            true,
            &["PROXMOX_VE_PASSWORD"],
            &["used proxmox.endpoint", "used proxmox.username"],
        );
    }
}
