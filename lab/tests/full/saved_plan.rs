//! Plans that were kept in a file: each shipped recipe's is carried out as it is, later and by another process.
use crate::{FULL, Lab, changes, failures, nodes::asks, root, scenes::said_for};
use kthw_engine::{Asked, Recipe, Report, Result, RunOptions, SavedPlan, Verb, run, silent};
use kthw_lab::World;
use kthw_stdlib::ssh::{FirstUse, KnownHosts};
use std::{path::Path, sync::Arc, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);

/// The names of all shipped recipes.
fn shipped() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, found);
            } else {
                let name = path.strip_prefix(root().join("recipes")).unwrap().with_extension("");
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("recipes"), &mut found);
    found.sort();
    assert!(found.len() >= 11, "{found:?}");
    found
}

pub(crate) fn asked(recipe: &str) -> Asked {
    let (verb, workspace, none) = (Verb::Run, "ubuntu".into(), Vec::new);
    Asked { verb, recipe: recipe.into(), workspace, set: none(), lab: true, only: none(), nodes: none(), prune: false, max_destroy: None }
}

impl Lab {
    /// The recipe and those that it needs.
    pub(crate) fn recipes(&self, recipe: &str) -> Vec<Arc<Recipe>> {
        self.evaluated(recipe).into_iter().map(|one| one.recipe).collect()
    }

    /// What a dry run keeps in a file.
    pub(crate) async fn keep(&self, recipe: &str) -> Vec<u8> {
        self.first_use(FirstUse::Never);
        let writes = self.world.writes();
        let saved = self.plan(recipe).await.save(asked(recipe), &self.recipes(recipe), self.workspace_as_json());
        assert_eq!(self.world.writes(), writes, "{recipe}: a dry run wrote");
        saved.to_text().unwrap().into_bytes()
    }

    /// Carries out a plan as `kthw run --plan` does.
    pub(crate) async fn carry_out(&self, text: &[u8]) -> Result<Report> {
        let saved = SavedPlan::parse("plan.json", text)?;
        let recipe = saved.asked().recipe.as_str();
        saved.check_inputs(&self.recipes(recipe), &self.workspace_as_json())?;
        self.first_use(FirstUse::Never);
        let plan = self.plan(recipe).await;
        saved.check(&plan)?;
        self.first_use(FirstUse::default());
        Ok(run(plan, &self.peers, &silent(), &RunOptions::default()).await)
    }

    /// The same, with the host keys that its folder holds now.
    pub(crate) fn again_from_its_folder(mut self) -> Self {
        self.peers = self.peers_again();
        self
    }

    pub(crate) fn workspace_as_json(&self) -> serde_json::Value {
        serde_json::to_value(&*self.workspace).unwrap()
    }

    fn first_use(&self, first_use: FirstUse) {
        self.peers.get::<KnownHosts>().unwrap().set_first_use(first_use);
    }
}

#[tokio::test(start_paused = true)]
async fn the_plan_of_every_recipe_is_carried_out_by_another_process_on_another_day() {
    for recipe in shipped() {
        let lab = Lab::changed(&format!("kept-{}", recipe.replace('/', "-")), World::default(), said_for(&recipe));
        if recipe.starts_with("operations/") {
            assert_eq!(failures(&lab.apply(FULL).await), "");
            asks(&lab, "wu2");
        }
        let text = lab.again().keep(&recipe).await;
        lab.peers.clock().sleep(DAY).await;
        let report = lab.again().carry_out(&text).await.unwrap();
        assert_eq!(failures(&report), "", "{recipe}");
        assert!(report.changed() > 0 && report.skipped() + report.refused() == 0, "{recipe}: {report:?}");
        assert_eq!(changes(&lab.again().plan(&recipe).await), Vec::<String>::new(), "{recipe}");
        let moved = lab.again().carry_out(&text).await.unwrap_err().to_string();
        assert!(moved.contains("now as wanted") || moved.contains("is there now and as wanted"), "{recipe}: {moved}");

        let nothing = lab.again().keep(&recipe).await;
        assert_eq!(lab.again().carry_out(&nothing).await.unwrap().changed(), 0, "{recipe}: a plan with nothing to do");
        assert_eq!(lab.world.unknown(), Vec::<String>::new(), "{recipe}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_kthw_made_are_a_day_older_in_the_same_plan() {
    let (world, rotate) = (World::default(), "operations/rotate-secrets");
    let set = |generation: u32| {
        let generation = format!("rotation.generation={generation}");
        Lab::changed("kept-rotation", world.clone(), &["ssh.key_secret=ssh.private_key", &generation])
    };
    for recipe in ["phases/machines", rotate] {
        assert_eq!(failures(&set(1).apply(recipe).await), "");
    }
    let text = set(2).keep(rotate).await;
    assert!(String::from_utf8(text.clone()).unwrap().contains("generation 1, made on 2026-08-15"));
    set(2).peers.clock().sleep(DAY).await;
    let report = set(2).carry_out(&text).await.unwrap();
    assert_eq!((failures(&report).as_str(), report.changed()), ("", 2));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_could_not_see_everything_is_carried_out_as_far_as_it_goes() {
    // Machines that kthw did not make: a dry run trusts none of their keys, and a run does.
    let bare = Lab::changed("kept-bare", World::default(), &["proxmox=null"]);
    let again = || {
        let other = Lab::changed("kept-bare-again", bare.world.clone(), &["proxmox=null"]);
        std::fs::remove_file(other.folder.join("known_hosts")).unwrap();
        other.again_from_its_folder()
    };
    let text = again().keep("phases/kubernetes-host").await;
    assert!(String::from_utf8(text.clone()).unwrap().contains("a dry run trusts no key at first sight"));
    let lab = again();
    let report = lab.carry_out(&text).await.unwrap();
    assert_eq!(failures(&report), "");
    assert!(report.changed() > 0 && report.skipped() == 0);
    assert_eq!(changes(&lab.plan("phases/kubernetes-host").await), Vec::<String>::new());
}
