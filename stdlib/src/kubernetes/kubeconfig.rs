//! The cluster's kubeconfig for people: fetched from the first control plane, named after the workspace, merged only on request.
use crate::workspace::{Role, Workspace};
use kthw_engine::{Error, Peers, Result};
use serde_json::{Map, Value};

/// The administrator's kubeconfig, with cluster and context named after the workspace and the user `<workspace>-admin`. It holds what an
/// [`AdminConf`](super::AdminConf) does, whatever else the node's file may say.
///
/// # Errors
/// When the control plane cannot be reached, has no kubeconfig yet, or one that is not used.
pub async fn fetch(workspace: &Workspace, peers: &Peers) -> Result<String> {
    let Some(node) = workspace.with_role(Role::ControlPlane).next() else {
        return Err(Error::usage(NoKubeconfig { node: workspace.name.clone(), why: "the workspace has no control plane".into() }));
    };
    write(&super::admin_conf(peers.nodes(), &node.name).await?.named(&workspace.name))
}

/// Puts the entries of `own` into `existing`, in place of entries with the same names. Everything else stays, also the current
/// context; without an existing file, `own` is the result.
///
/// # Errors
/// When one of the two is no kubeconfig.
pub fn merge(existing: Option<&str>, own: &str) -> Result<String> {
    let Some(existing) = existing.filter(|text| !text.trim().is_empty()) else { return Ok(own.to_owned()) };
    let (mut merged, own) = (parse(existing)?, parse(own)?);
    let before = merged.clone();
    for list in ["clusters", "contexts", "users"] {
        let ours = own[list].as_array().cloned().unwrap_or_default();
        let mut entries = merged[list].as_array().cloned().unwrap_or_default();
        for entry in ours {
            match entries.iter_mut().find(|known| known["name"] == entry["name"]) {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        merged[list] = Value::Array(entries);
    }
    if merged == before { Ok(existing.to_owned()) } else { write(&merged) }
}

pub(super) fn parse(text: &str) -> Result<Value> {
    // The parser's message is left out: it quotes the text, and a kubeconfig holds keys.
    let parsed: Map<String, Value> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|location| format!(" (line {})", location.line())).unwrap_or_default();
        Error::usage(Unreadable { why: format!("it is not YAML, or no map{line}") })
    })?;
    if parsed.get("kind").is_some_and(|kind| kind == "Config") {
        return Ok(Value::Object(parsed));
    }
    Err(Error::usage(Unreadable { why: "its kind is not `Config`".into() }))
}

pub(super) fn write(config: &Value) -> Result<String> {
    serde_saphyr::to_string(config).map_err(|error| Error::usage(Unreadable { why: error.to_string() }))
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no kubeconfig to fetch from {node}: {why}")]
#[diagnostic(code(kthw::kubeconfig::none), help("the cluster has to be built first: `kthw run`"))]
struct NoKubeconfig {
    node: String,
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("this is not a kubeconfig: {why}")]
#[diagnostic(code(kthw::kubeconfig::unreadable), help("name another file with `--merge --into FILE`; nothing was written"))]
struct Unreadable {
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: kubernetes\n  cluster: {server: https://cu1:6443}\ncontexts:\n- name: kubernetes-admin@kubernetes\n  context: {cluster: kubernetes, user: kubernetes-admin}\ncurrent-context: kubernetes-admin@kubernetes\nusers:\n- name: kubernetes-admin\n  user: {client-key-data: QQ==}\n";

    fn names(config: &str) -> Vec<String> {
        let config = parse(config).unwrap();
        let list = |list: &str| {
            config[list].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        [list("clusters"), list("contexts"), list("users"), vec![config["current-context"].as_str().unwrap().into()]].concat()
    }

    #[test]
    fn merging_replaces_our_entries_and_leaves_the_rest_and_the_current_context() {
        let own = ADMIN
            .replace("kubernetes-admin@kubernetes", "ubuntu")
            .replace("kubernetes-admin", "ubuntu-admin")
            .replace("kubernetes", "ubuntu");
        let merged = merge(Some(ADMIN), &own).unwrap();
        assert_eq!(names(&merged)[6], "kubernetes-admin@kubernetes");
        assert_eq!(names(&merged)[..2], ["kubernetes", "ubuntu"]);
        assert_eq!(merge(Some(&merged), &own).unwrap(), merged, "merging twice changes nothing");
        assert_eq!(merge(None, &own).unwrap(), own);
        assert!(merge(Some("a: 1\n"), &own).is_err());
        for broken in ["a: 1\ntoken: [s3cret-s3cret\n", "s3cret-s3cret\n", "token: *s3cret-s3cret\n"] {
            let why = merge(Some(broken), &own).unwrap_err().to_string();
            assert!(why.starts_with("this is not a kubeconfig: it is not YAML, or no map") && !why.contains("s3cret"), "{why}");
        }
    }
}
