//! The machines of a cluster.
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Machines by node name; the control planes among them are found without a look at every worker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Member>")]
pub struct Members {
    by_name: BTreeMap<String, Member>,
    control_planes: BTreeSet<String>,
}

/// A machine in a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The machine's key.
    pub machine: String,
    /// Whether it runs an API server.
    pub control_plane: bool,
    /// When it joined, in virtual milliseconds.
    pub joined_ms: u64,
    /// When its kubelet was last seen.
    pub seen_ms: u64,
}

impl Members {
    /// Adds a machine; one of that name that was there before is not a member any more.
    pub fn insert(&mut self, name: &str, member: Member) {
        if member.control_plane {
            self.control_planes.insert(name.to_owned());
        } else {
            self.control_planes.remove(name);
        }
        self.by_name.insert(name.to_owned(), member);
    }

    /// The machine of a node.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name)
    }

    /// Notes that the kubelet of a node was seen.
    pub(crate) fn seen(&mut self, name: &str, now_ms: u64) {
        if let Some(member) = self.by_name.get_mut(name) {
            member.seen_ms = member.seen_ms.max(now_ms);
        }
    }

    /// Takes a node out.
    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
        self.control_planes.remove(name);
    }

    /// Takes out whatever node a machine is.
    pub fn remove_machine(&mut self, machine: &str) {
        let names: Vec<String> =
            self.by_name.iter().filter(|(_, member)| member.machine == machine).map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.remove(name));
    }

    /// Those that run an API server, in the order of their names.
    pub fn control_planes(&self) -> impl Iterator<Item = &Member> {
        self.control_planes.iter().filter_map(|name| self.by_name.get(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl From<BTreeMap<String, Member>> for Members {
    fn from(by_name: BTreeMap<String, Member>) -> Self {
        let control_planes = by_name.iter().filter(|(_, member)| member.control_plane).map(|(name, _)| name.clone()).collect();
        Self { by_name, control_planes }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_name.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_planes_are_known_after_every_change_and_after_saving() {
        let member = |machine: &str, control_plane| Member { machine: machine.into(), control_plane, joined_ms: 0, seen_ms: 0 };
        let planes = |members: &Members| members.control_planes().map(|member| member.machine.clone()).collect::<Vec<_>>();
        let mut members = Members::default();
        members.insert("cu1", member("vm/1", true));
        members.insert("cu2", member("vm/2", true));
        members.insert("wu1", member("vm/3", false));
        assert_eq!(planes(&members), ["vm/1", "vm/2"]);
        let saved: Members = serde_json::from_str(&serde_json::to_string(&members).unwrap()).unwrap();
        assert_eq!((planes(&saved), saved.len()), (vec!["vm/1".to_owned(), "vm/2".to_owned()], 3));
        members.insert("cu1", member("vm/4", false));
        members.remove_machine("vm/2");
        assert_eq!((planes(&members), members.len()), (vec![], 2));
    }
}
