//! What is made once and used by many plays: workspaces, and what recipes declare for them.
use crate::{Recipes, root};
use kthw_engine::{Evaluated, Graph, evaluate};
use kthw_stdlib::{
    Dynamic, script_engine,
    workspace::{Cluster, Workspace},
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

type Shelf<K, V> = LazyLock<Mutex<HashMap<K, V>>>;

/// By the names of what ships, and what is set.
static WORKSPACES: Shelf<(String, Vec<String>), Arc<Workspace>> = LazyLock::new(Mutex::default);
/// By recipe, and by the place of the workspace in memory, which stays there as long as it is on the shelf.
static DECLARED: Shelf<(String, usize), (Arc<Workspace>, Vec<Evaluated>)> = LazyLock::new(Mutex::default);

/// The shipped workspace for Ubuntu with these fields set.
pub(crate) fn workspace(set: &[&str]) -> Arc<Workspace> {
    shipped("ubuntu", set)
}

/// A shipped workspace with these fields set.
pub(crate) fn shipped(name: &str, set: &[&str]) -> Arc<Workspace> {
    let key = (name.to_owned(), set.iter().map(|one| (*one).to_owned()).collect());
    let mut shelf = WORKSPACES.lock().unwrap_or_else(PoisonError::into_inner);
    let load = |(name, set): &(String, Vec<String>)| {
        let text = |name: &str| std::fs::read_to_string(root().join(format!("workspaces/{name}/workspace.yaml"))).unwrap();
        // An edge is told by the workspaces of its clusters where these are reached.
        let served: &[&str] = if name == "edge" { &["ubuntu", "debian"] } else { &[] };
        let served: Vec<(String, String)> = served.iter().map(|one| ((*one).to_owned(), text(one))).collect();
        let mut workspace = Workspace::load("workspace.yaml", &text(name), set, &served).unwrap();
        kthw_lab::pin(&mut workspace);
        workspace.ssh.authorized_keys.push(kthw_lab::PUBLIC_KEY.into());
        Arc::new(workspace)
    };
    if let Some(known) = shelf.get(&key) {
        return known.clone();
    }
    let new = load(&key);
    shelf.entry(key).or_insert(new).clone()
}

/// What a recipe and the recipes that it needs declare for a workspace.
pub(crate) fn declared(recipe: &str, workspace: &Arc<Workspace>) -> Vec<Evaluated> {
    let key = (recipe.to_owned(), Arc::as_ptr(workspace).addr());
    if let Some((_, known)) = DECLARED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return known.clone();
    }
    let engine = script_engine();
    let graph = Graph::load(&engine, &Recipes, recipe).unwrap();
    let cluster = Cluster::new(workspace.clone()).unwrap();
    let new: Vec<Evaluated> = graph.recipes().iter().map(|one| evaluate(&engine, one, Dynamic::from(cluster.clone())).unwrap()).collect();
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (workspace.clone(), new.clone()));
    new
}
