//! The other nodes of a cluster: while one of them is away or about to go, no further one is taken.
use super::{
    super::{client::Client, error::in_words},
    Cordon, NodeState,
    cordon::nodes,
};
use crate::kubernetes::error::ReadObject;
use kthw_engine::{Error, Result};
use miette::Diagnostic;
use serde_json::Value;

/// Checks that no other node than `node` carries our mark or is not Ready: a run that died may have left it so.
///
/// # Errors
/// When there is one, or the server cannot be reached or refuses.
pub(crate) async fn all_others_are_there(client: &Client, node: &str) -> Result<()> {
    let unread = |error| Error::peer(ReadObject { what: "the nodes of the cluster".into(), reason: in_words(&error) });
    let found = client.list(&nodes(), "").await.map_err(unread)?;
    let objects: Vec<Value> = found.into_iter().filter_map(|object| serde_json::to_value(object).ok()).collect();
    let away = away(&objects, node);
    match away.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(OthersAreAway { node: node.to_owned(), away: away.join(", ") })),
    }
}

/// The nodes other than `node` that are away or about to go, and how that shows.
fn away(objects: &[Value], node: &str) -> Vec<String> {
    let of = |object: &Value| {
        let (name, state) = (object["metadata"]["name"].as_str()?, NodeState::of(object));
        match state.cordon {
            _ if name == node => None,
            Cordon::Ours(purpose) => Some(format!("{name} is cordoned by kthw for {}", purpose.as_str())),
            _ if !state.live.ready => Some(format!("{name} is not Ready")),
            _ => None,
        }
    };
    objects.iter().filter_map(of).collect()
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} is not taken from the cluster while another node is away: {away}")]
#[diagnostic(
    code(kthw::kubernetes::others_are_away),
    help(
        "bring those back, or finish what was begun on them (`--node NAME` does one by itself); `kubectl delete node NAME` takes out one that is gone \
         for good; `kubectl uncordon NAME` and `kubectl annotate node NAME {mark}-` give up what kthw began", mark = super::CORDONED
    )
)]
struct OthersAreAway {
    node: String,
    away: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_node_that_is_cordoned_by_us_or_not_ready_is_away() {
        let node = |name: &str, mark: Option<&str>, ready: &str| {
            let annotations = mark.map_or(json!({}), |mark| json!({ super::super::CORDONED: mark }));
            json!({ "metadata": { "name": name, "annotations": annotations }, "spec": { "unschedulable": mark.is_some() },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        let all = [
            node("a", None, "True"),
            node("b", Some("a restart"), "True"),
            node("c", Some("its removal"), "True"),
            node("d", Some("x"), "True"),
            node("e", None, "Unknown"),
        ];
        let said = ["b is cordoned by kthw for a restart", "c is cordoned by kthw for its removal", "e is not Ready"];
        assert_eq!(away(&all, "a"), said);
        assert_eq!(away(&all, "b"), said[1..]);
    }
}
