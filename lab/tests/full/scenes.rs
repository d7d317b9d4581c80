//! What the crash matrix is played for: something that a run does, in a world in which there is something to do.
use crate::{
    FULL, Lab, Recipes, failures,
    leaving::LEAVES,
    nodes::{asks, built},
    root, shelf,
    updates::{UPDATE, gets_updates},
};
use kthw_engine::{Graph, Plan};
use kthw_lab::{ApiToken, Grant, World};
use kthw_stdlib::{script_engine, workspace::Workspace};
use std::{fmt, path::Path, sync::Arc};

/// Something that a run does.
pub(crate) enum Scene {
    /// Running a recipe that ships: from nothing, or for a phase, from what the phases that it needs have made.
    Recipe(String),
    /// `kthw destroy` of what a recipe made.
    Removal(String),
    /// `--prune`, when the workspace names only the control plane any more.
    Pruning,
    /// A worker is declared as absent.
    Leaving,
}

impl Scene {
    /// The world in which it begins, and the workspace. A recipe that works on what is there needs a line here that makes it be there.
    pub async fn begin(&self) -> Lab {
        let name = self.to_string().replace(['/', ' '], "-");
        match self {
            Self::Recipe(recipe) => match recipe.as_str() {
                "operations/restart" => all_need_a_restart(&name).await,
                "operations/rotate-secrets" => all_is_to_be_rotated(&name).await,
                UPDATE => all_have_updates(&name).await,
                _ if recipe.starts_with("operations/") => built(&name).await,
                _ if recipe.starts_with("phases/") => all_that_it_needs(&name, recipe).await,
                _ => Lab::of(&name, workspace_for(recipe)),
            },
            Self::Removal(recipe) => {
                let lab = Lab::with(&name, workspace_that_names(recipe));
                assert_eq!(failures(&lab.apply(recipe).await), "");
                lab
            }
            Self::Pruning => only_the_control_plane_is_named(built(&name).await).await,
            Self::Leaving => built(&name).await,
        }
    }

    /// Whether it is a phase that has no effects, in which it could die.
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Recipe(recipe) if recipe.starts_with("phases/validate-"))
    }

    /// What a run would do.
    pub async fn plan(&self, lab: &Lab) -> Plan {
        match self {
            Self::Recipe(recipe) => lab.plan(recipe).await,
            Self::Removal(recipe) => lab.destruction(recipe).await,
            Self::Pruning => lab.pruning().await,
            Self::Leaving => lab.plan_text(LEAVES).await,
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipe(recipe) => f.write_str(recipe),
            Self::Removal(recipe) => write!(f, "destroy {recipe}"),
            Self::Pruning => f.write_str("prune"),
            Self::Leaving => f.write_str("a worker leaves"),
        }
    }
}

/// Every recipe that ships, by its name.
pub(crate) fn every_recipe() -> Vec<String> {
    fn recipes(folder: &Path, found: &mut Vec<String>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                _ if path.is_dir() => recipes(&path, found),
                Some(extension) if extension == "rhai" => {
                    found.push(path.strip_prefix(root().join("recipes")).unwrap().with_extension("").to_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    recipes(&root().join("recipes"), &mut found);
    found.sort();
    found
}

/// The shipped workspace that a recipe is tried on.
fn workspace_for(recipe: &str) -> &str {
    match recipe {
        "load-balancer/full" | "phases/load-balancer" | "phases/validate-edge" => "edge",
        _ => recipe.strip_suffix("/full").unwrap_or("ubuntu"),
    }
}

/// What a workspace has to say for a recipe to have something to do.
pub(crate) fn said_for(recipe: &str) -> &'static [&'static str] {
    match recipe {
        "phases/add-ons" => &["add_ons={local-path-provisioner: 0.0.30}"],
        "phases/firewall" => &["firewall={}"],
        "phases/dns" => &["dns={pihole: {url: 'https://pihole.bevz.net', version: 6, password_secret: pihole.web_password}}"],
        _ => &[],
    }
}

fn workspace_that_names(recipe: &str) -> Arc<Workspace> {
    shelf::shipped(workspace_for(recipe), said_for(recipe))
}

/// A world in which a phase is the next one: those before it have their moments in a recipe that is played from nothing.
async fn all_that_it_needs(name: &str, phase: &str) -> Lab {
    let lab = Lab::with(name, workspace_that_names(phase));
    let graph = Graph::load(&script_engine(), &Recipes, phase).unwrap();
    let (_, before) = graph.recipes().split_last().unwrap();
    for recipe in before {
        assert_eq!(failures(&lab.apply(&recipe.source.name).await), "");
    }
    lab
}

/// A cluster in which every node needs a restart, one of them of its hardware.
async fn all_need_a_restart(name: &str) -> Lab {
    let lab = built(&format!("{name}-before")).await;
    let more = Lab::changed(name, lab.world.clone(), &["nodes.wu1.cores=4"]);
    assert_eq!(failures(&more.apply(FULL).await), "");
    asks(&more, "wu2");
    asks(&more, "cu1");
    more
}

/// A cluster whose workspace wants updates, and an archive that has some: one asks for a restart.
async fn all_have_updates(name: &str) -> Lab {
    let lab = Lab::changed(name, World::default(), &["updates={policy: all}"]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    gets_updates(&lab, &["openssl", "systemd"]);
    lab
}

/// Machines whose token and key are those of the first generation, and a workspace that wants the second one.
async fn all_is_to_be_rotated(name: &str) -> Lab {
    const KEY: &str = "ssh.key_secret=ssh.private_key";
    let lab = Lab::changed(&format!("{name}-before"), World::default(), &[KEY]);
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    assert_eq!(failures(&lab.apply("operations/rotate-secrets").await), "");
    // The token has rights of its own, which its successor has to have too.
    lab.world.with_state(|state| {
        let token: &mut ApiToken = state.pve.users.get_mut("root@pam").unwrap().get_mut("kthw-ubuntu-1").unwrap();
        token.privsep = true;
        let who = "root@pam!kthw-ubuntu-1".to_owned();
        state.pve.acl.push(Grant { path: "/".into(), kind: "token".into(), who, role: "PVEAdmin".into(), propagate: true });
    });
    Lab::changed(name, lab.world.clone(), &[KEY, "rotation.generation=2"])
}

/// The same world, seen by a workspace that names no worker any more. The control plane takes their pods since the run before.
async fn only_the_control_plane_is_named(lab: Lab) -> Lab {
    let mut workspace = (*shelf::workspace(&[])).clone();
    workspace.nodes.retain(|node| node.name.as_str() == "cu1");
    let fewer = Lab::on("prune-fewer", lab.world.clone(), Arc::new(workspace), &lab.pins());
    assert_eq!(failures(&fewer.apply(FULL).await), "");
    fewer
}
