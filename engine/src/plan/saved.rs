//! A plan in a file: what was asked for, what it was made of, and every resource with what would change. It is carried out as it is, or not.
use super::Plan;
use crate::{
    error::{Error, Result},
    recipe::{Recipe, RecipeStamp},
};
use errors::{ChangedByHand, NotAPlan, NotJson, OtherForm, TooLarge};
use moved::{Facts, Moved};
use resource::SavedResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

mod errors;
mod inputs;
mod moved;
mod resource;

/// The form of the file; it moves when a kthw cannot read what an older one wrote.
const FORM: u32 = 1;

/// A plan that was kept. It holds what a person may see, and no secret; contents of files longer than 4 KiB are held as their digests.
///
/// Its digest shows that it was changed by accident, not who made it: whoever may change the file may make the digest anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The form of this file, see [`FORM`].
    kthw_plan: u32,
    /// The version of kthw that made it.
    kthw: String,
    /// Of everything else in it.
    digest: String,
    asked: Asked,
    workspace: Value,
    recipes: Vec<RecipeStamp>,
    resources: Vec<SavedResource>,
    /// What people call the file that it was read from.
    #[serde(skip)]
    label: String,
}

/// What was asked for when a plan was made. With the same words it is made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Whether the recipe is made so, or taken back.
    pub verb: Verb,
    /// The recipe: a path or a name, as it was typed.
    pub recipe: String,
    /// The workspace: a name, a folder or a file, as it was typed or as the recipe names it.
    pub workspace: String,
    /// The fields of the workspace that were set for this call: `machine.cores=4`.
    pub set: Vec<String>,
    /// Whether its world is the lab.
    pub lab: bool,
    /// The phases and resources that were chosen, as in [`Choice`](super::Choice).
    pub only: Vec<String>,
    /// The nodes that were chosen.
    pub nodes: Vec<String>,
    /// Whether machines go that the workspace made and does not name any more.
    pub prune: bool,
    /// How many resources may be removed at most, where that was said.
    pub max_destroy: Option<usize>,
}

/// The command that a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `kthw run`.
    Run,
    /// `kthw destroy`.
    Destroy,
}

impl Plan {
    /// The plan as it is kept in a file: made of these recipes and this workspace, whose fields are given with what was set in it.
    pub fn save(&self, asked: Asked, recipes: &[Arc<Recipe>], workspace: Value) -> SavedPlan {
        let mut saved = SavedPlan {
            kthw_plan: FORM,
            kthw: env!("CARGO_PKG_VERSION").into(),
            digest: String::new(),
            asked,
            workspace,
            recipes: recipes.iter().map(|recipe| RecipeStamp::of(recipe)).collect(),
            resources: self.resources(),
            label: String::new(),
        };
        saved.digest = saved.own_digest();
        saved
    }

    /// Lower-case hex SHA-256 of what would change, resource by resource and field by field: what two plans are compared by. Reasons are no
    /// part of it, for they may tell times.
    pub fn digest(&self) -> String {
        // One after the other: a plan may hold very many.
        digest_of(self.planned.iter().map(|planned| json(&SavedResource::from(planned).facts())))
    }

    fn resources(&self) -> Vec<SavedResource> {
        self.planned.iter().map(SavedResource::from).collect()
    }
}

impl SavedPlan {
    /// The largest file that is read or written, in bytes: room for the plan of tens of thousands of machines.
    pub const LARGEST_BYTES: usize = 512 << 20;

    /// Reads a plan back. The file is known to people as `label`.
    ///
    /// # Errors
    /// A text that is too large, is not JSON, is no plan of kthw, has a form of another kthw, or was changed after it was made.
    pub fn parse(label: &str, text: &[u8]) -> Result<Self> {
        let label = label.to_owned();
        if text.len() > Self::LARGEST_BYTES {
            return Err(Error::usage(TooLarge::read(label)));
        }
        let head: Head = match serde_json::from_slice(text) {
            Ok(head) => head,
            Err(error) if error.is_data() => return Err(Error::usage(NotAPlan { label })),
            Err(source) => return Err(Error::usage(NotJson { label, source })),
        };
        let Some(form) = head.kthw_plan else { return Err(Error::usage(NotAPlan { label })) };
        if form != FORM {
            return Err(Error::usage(OtherForm { label, form, kthw: head.kthw }));
        }
        let mut plan: Self = match serde_json::from_slice(text) {
            Ok(plan) => plan,
            Err(error) => return Err(Error::usage(ChangedByHand { label, why: error.to_string() })),
        };
        if plan.digest != plan.own_digest() {
            return Err(Error::usage(ChangedByHand { label, why: "its digest is another one".into() }));
        }
        plan.label = label;
        Ok(plan)
    }

    /// The text of its file.
    ///
    /// # Errors
    /// When it is larger than what is read back.
    pub fn to_text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).expect("texts, numbers and lists become JSON") + "\n";
        if text.len() > Self::LARGEST_BYTES { Err(Error::usage(TooLarge::written())) } else { Ok(text) }
    }

    /// What was asked for when it was made.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Checks that recipes and workspace are still those that it was made of.
    ///
    /// # Errors
    /// When one of them is another one, with each difference.
    pub fn check_inputs(&self, recipes: &[Arc<Recipe>], workspace: &Value) -> Result<()> {
        let recipes: Vec<RecipeStamp> = recipes.iter().map(|recipe| RecipeStamp::of(recipe)).collect();
        let mut moved = inputs::recipes(&self.recipes, &recipes);
        moved.extend(inputs::workspace(&self.workspace, workspace));
        self.refuse_if(Facts { told: moved, following: 0 })
    }

    /// Checks that `now`, which was made of the same recipes and workspace, would do what this plan would do: no more and no less.
    ///
    /// # Errors
    /// When it would not, with each fact that moved.
    pub fn check(&self, now: &Plan) -> Result<()> {
        self.refuse_if(moved::between(&self.resources, now))
    }

    fn refuse_if(&self, facts: Facts) -> Result<()> {
        if facts.told.is_empty() && facts.following == 0 { Ok(()) } else { Err(Error::refused(Moved::new(&self.label, facts, &self.kthw))) }
    }

    fn own_digest(&self) -> String {
        let head = json(&(self.kthw_plan, &self.kthw, &self.asked, &self.workspace, &self.recipes));
        digest_of(std::iter::once(head).chain(self.resources.iter().map(json)))
    }
}

/// What tells what a file is, whatever else is in it.
#[derive(Deserialize)]
struct Head {
    kthw_plan: Option<u32>,
    kthw: Option<String>,
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts, numbers and lists become JSON")
}

/// Of JSON values, which need nothing between them to be told apart.
fn digest_of(values: impl Iterator<Item = Vec<u8>>) -> String {
    let mut digest = Sha256::new();
    values.for_each(|value| digest.update(value));
    hex::encode(digest.finalize())
}
