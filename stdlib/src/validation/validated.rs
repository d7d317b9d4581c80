//! A cluster or an edge that does what it is for: nothing to write, only something to look at, and to wait for.
use super::{Row, validate};
use crate::workspace::Workspace;
use kthw_engine::{Change, Field, Id, Limit, Peers, Permit, Poll, Resource, Result, wait};
use std::sync::Arc;

/// How long pods, addresses and load balancers may take to come round after what came before.
const LIMIT: Limit = Limit::minutes(5);

/// Waits until every check of a workspace finds what it should.
#[derive(Debug)]
pub struct Validated {
    id: Id,
    workspace: Arc<Workspace>,
    needs: Vec<Id>,
}

impl Validated {
    /// The workspace, under this identity; while something of `needs` is not there, there is nothing to look at.
    pub fn new(id: Id, workspace: Arc<Workspace>, needs: Vec<Id>) -> Self {
        Self { id, workspace, needs }
    }
}

impl Resource for Validated {
    type Live = Vec<Row>;
    const JUDGES: bool = true;

    fn id(&self) -> Id {
        self.id.clone()
    }

    fn needs(&self) -> Vec<Id> {
        self.needs.clone()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Vec<Row>>> {
        Ok(Some(validate(peers, &self.workspace).await))
    }

    fn diff(&self, live: Option<&Vec<Row>>) -> Change {
        match live {
            None => Change::create([Field::new("checks", "find what they should")]),
            Some(rows) => Change::between(rows.iter().map(Row::field)),
        }
    }

    async fn apply(&self, _: Option<Vec<Row>>, peers: &Peers, _: &Permit) -> Result<()> {
        let name = &self.workspace.name;
        let help = format!("`kthw validate -w {name}` shows all checks, and what to do about those that find something else");
        wait(peers, LIMIT, &format!("{name} to do what it is for"), &help, || async move {
            let wrong: Vec<String> =
                validate(peers, &self.workspace).await.iter().filter_map(Row::field).map(|field| field.to_string()).collect();
            if wrong.is_empty() { Ok(Poll::Ready(())) } else { Ok(Poll::Pending(wrong.join("; "))) }
        })
        .await
    }
}
