//! `kthw validate`: whether a cluster or an edge does what it is for, as a table.
use crate::{
    options::WorkspaceOptions,
    session,
    ui::{Ui, table},
};
use clap::Args;
use kthw_engine::{Result, presentable};
use kthw_stdlib::validation::{Found, Row, validate};
use serde_json::json;

/// Show whether a cluster or an edge does what it is for, and change nothing
///
/// Of a cluster: its nodes, control planes, certificates, pods and addresses, and what its nodes reach. Of an edge: the checker, the clusters behind it,
/// and its ports. Ends with 1 if something is not as it should be. Recipes have the same as their last phase.
#[derive(Debug, Args)]
pub struct Validate {
    #[command(flatten)]
    workspace: WorkspaceOptions,
}

impl Validate {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        let target = session::connect_workspace(&workspace, &self.workspace)?;
        target.never_trust_at_first_sight()?;
        let rows = validate(target.peers(), &workspace.workspace).await;
        target.save()?;
        target.tell_unplayed(ui);
        if ui.is_json() {
            rows.iter().for_each(|row| ui.line(&as_json(row)));
        } else {
            in_words(ui, &rows);
        }
        Ok(u8::from(rows.iter().any(Row::is_wrong)))
    }
}

fn as_json(row: &Row) -> String {
    let (result, found, next) = match &row.found {
        Found::Well(found) => ("well", found, None),
        Found::Wrong { seen, next } => ("wrong", seen, next.as_deref()),
        Found::NotTried(why) => ("not_tried", why, None),
    };
    let took_ms = u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX);
    let (found, next) = (presentable(found), next.map(presentable));
    json!({ "event": "check", "check": row.what, "want": row.want, "result": result, "found": found, "next": next, "took_ms": took_ms })
        .to_string()
}

/// The table, what to do about each wrong row, and the numbers.
fn in_words(ui: &Ui, rows: &[Row]) {
    let line = |row: &Row| {
        let (sign, found) = match &row.found {
            Found::Well(found) => ("ok", presentable(found).into_owned()),
            Found::Wrong { seen, .. } => ("WRONG", format!("{}; should be: {}", presentable(seen), row.want)),
            Found::NotTried(why) => ("-", format!("not tried: {}", presentable(why))),
        };
        [sign.to_owned(), row.what.clone(), format!("{} ms", row.took.as_millis()), found]
    };
    ui.line(&table(rows.iter().map(line).collect()));
    let mut told: Vec<&str> = Vec::new();
    for row in rows {
        if let Found::Wrong { next: Some(next), .. } = &row.found
            && !told.contains(&next.as_str())
        {
            ui.line(&format!("\n{}: {}", row.what, presentable(next)));
            told.push(next);
        }
    }
    let count = |fits: fn(&Found) -> bool| rows.iter().filter(|row| fits(&row.found)).count();
    let (well, wrong) = (count(|found| matches!(found, Found::Well(_))), count(|found| matches!(found, Found::Wrong { .. })));
    ui.line(&format!("\n{well} ok, {wrong} wrong, {} not tried.", rows.len() - well - wrong));
}
