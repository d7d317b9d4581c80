//! Choosing a part of a plan: phases, resources, nodes.
use super::{Plan, Planned};
use crate::{
    change::Change,
    diagnostics::nearest,
    error::{Error, Result},
    id::Id,
};
use std::collections::HashSet;

/// Which part of a plan a run may change.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Phases (`phases/system`) or resources (`proxmox.vm/cu1`); any other word selects the resources whose identity begins with it (`ssh.file/`).
    pub only: Vec<String>,
    /// Nodes: what is on them, and the machine of that name.
    pub nodes: Vec<String>,
}

impl Choice {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        self.only.is_empty() && self.nodes.is_empty()
    }
}

impl Plan {
    /// Leaves only the changes of what was chosen.
    ///
    /// # Errors
    /// A word that matches nothing; a chosen resource that needs one which is left out and does not exist yet.
    pub fn only(mut self, choice: &Choice) -> Result<Self> {
        let mut chosen = vec![false; self.planned.len()];
        for word in &choice.only {
            let fits = self.fitting(word);
            if fits.is_empty() {
                return Err(Error::usage(FitsNothing { word: word.clone(), help: self.suggest(word) }));
            }
            fits.into_iter().for_each(|position| chosen[position] = true);
        }
        for node in &choice.nodes {
            let fits: Vec<usize> = (0..self.planned.len()).filter(|position| belongs_to(&self.planned[*position], node)).collect();
            if fits.is_empty() {
                return Err(Error::usage(NoNode { node: node.clone(), help: self.suggest_node(node) }));
            }
            fits.into_iter().for_each(|position| chosen[position] = true);
        }
        self.check_needs(&chosen)?;
        let any_unknown = self.planned.iter().zip(&chosen).any(|(planned, chosen)| *chosen && matches!(planned.change, Change::Unknown(_)));
        for (planned, _) in self.planned.iter_mut().zip(&chosen).filter(|(_, chosen)| !**chosen) {
            self.left_out += usize::from(planned.chosen);
            planned.change = Change::None;
            planned.chosen = false;
            planned.hides = false;
        }
        // A chosen resource may be unknown because of one that is left out.
        if !any_unknown {
            let chosen: HashSet<&Id> = self.planned.iter().filter(|planned| planned.chosen).map(|planned| &planned.id).collect();
            self.failures.retain(|(id, _)| chosen.contains(id));
        }
        Ok(self)
    }

    /// Checks that everything chosen can be done: what it needs is chosen too, or exists. What could not be looked at may exist.
    fn check_needs(&self, chosen: &[bool]) -> Result<()> {
        let mut seen = vec![false; chosen.len()];
        for position in (0..chosen.len()).filter(|position| chosen[*position]) {
            let mut below = vec![position];
            while let Some(at) = below.pop() {
                for need in self.order.items[at].needs.iter().copied().filter(|need| !chosen[*need]) {
                    let Planned { id, change, hides, .. } = &self.planned[need];
                    let lacks = match change {
                        Change::Unknown(_) if std::mem::replace(&mut seen[need], true) => continue,
                        Change::Unknown(_) => {
                            below.push(need);
                            continue;
                        }
                        Change::Create(_) if *hides => "does not exist yet",
                        Change::Refused(_) if *hides => "is refused",
                        _ if *hides => "is not ready yet",
                        _ => continue,
                    };
                    return Err(Error::usage(LeftOut { id: self.planned[position].id.clone(), need: id.clone(), lacks }));
                }
            }
        }
        self.check_above(chosen)
    }

    /// Whether nothing that was chosen to go is taken from under something that is to go too and was left out.
    fn check_above(&self, chosen: &[bool]) -> Result<()> {
        let goes = |one: usize| self.planned[one].change == Change::Delete;
        for above in (0..chosen.len()).filter(|above| !chosen[*above] && goes(*above)) {
            if let Some(below) = self.order.items[above].needs.iter().copied().find(|below| chosen[*below] && goes(*below)) {
                let (id, above) = (self.planned[below].id.clone(), self.planned[above].id.clone());
                return Err(Error::usage(StandsOnIt { id, above }));
            }
        }
        Ok(())
    }

    /// An exact name wins over one that only begins with it: `proxmox.vm/wu1` is not `proxmox.vm/wu10`.
    fn fitting(&self, word: &str) -> Vec<usize> {
        let all = |fits: &dyn Fn(&Planned) -> bool| -> Vec<usize> {
            (0..self.planned.len()).filter(|position| fits(&self.planned[*position])).collect()
        };
        let exact = all(&|planned| planned.phase == word || planned.id.to_string() == word);
        if !exact.is_empty() || word.is_empty() {
            return exact;
        }
        all(&|planned| planned.id.to_string().starts_with(word))
    }

    fn suggest(&self, word: &str) -> String {
        let ids: Vec<String> = self.planned.iter().map(|planned| planned.id.to_string()).collect();
        let known = ids.iter().map(String::as_str).chain(self.planned.iter().map(|planned| planned.phase.as_str()));
        nearest(word, known).map_or_else(
            || "the plan without `--only` lists both".into(),
            |known| format!("did you mean `{known}`? A node is chosen with `--node`"),
        )
    }

    fn suggest_node(&self, node: &str) -> String {
        let mut known: Vec<&str> = self.order.nodes.iter().map(|members| members.node.as_str()).collect();
        known.sort_unstable();
        nearest(node, known.iter().copied())
            .map_or_else(|| format!("there are: {}", known.join(", ")), |known| format!("did you mean `{known}`?"))
    }
}

fn belongs_to(planned: &Planned, node: &str) -> bool {
    planned.node.as_deref() == Some(node) || planned.id.name().split('/').next() == Some(node)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no phase of this run is called `{word}`, and no resource begins with it")]
#[diagnostic(code(kthw::plan::fits_nothing), help("{help}"))]
struct FitsNothing {
    word: String,
    help: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nothing in this run is on a node called `{node}`")]
#[diagnostic(code(kthw::plan::no_node), help("{help}"))]
struct NoNode {
    node: String,
    help: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{id} needs {need}, which {lacks} and is left out")]
#[diagnostic(code(kthw::plan::left_out), help("add `--only {need}`, or run without `--only`"))]
struct LeftOut {
    id: Id,
    need: Id,
    lacks: &'static str,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{id} is to be removed, and {above}, which stands on it, is left out")]
#[diagnostic(code(kthw::plan::stands_on_it), help("add `--only {above}`, or run without `--only`"))]
struct StandsOnIt {
    id: Id,
    above: Id,
}
