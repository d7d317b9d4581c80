//! What goes wrong in a run, drawn from a seed: faults on every seam, and perhaps a process that dies.
use crate::{
    crash::Moment,
    fault::{Fault, Harm, Trigger},
    node::INIT_PHASES,
    random::Dice,
};
use kthw_stdlib::workspace::{NodeSpec, Role, Workspace};
use std::fmt;

/// What goes wrong. The same seed and nodes give the same schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// Faults, in the order in which they are tried.
    pub faults: Vec<Fault>,
    /// The effect at which the first run is killed, counted from 1.
    pub killed: Option<(u64, Moment)>,
}

impl Schedule {
    /// Draws what goes wrong in a run on the nodes of `workspace`.
    pub fn of_seed(seed: u64, workspace: &Workspace) -> Self {
        let mut dice = Dice::of_seed(seed);
        let faults = (0..=dice.below(6)).map(|_| a_fault(&mut dice, &workspace.nodes)).collect();
        let killed = dice
            .once_in(3)
            .then(|| (1 + dice.below(60), *dice.one_of(&[Moment::Unwritten, Moment::Before, Moment::Underway, Moment::After])));
        Self { seed, faults, killed }
    }

    /// How many runs may fail before one has to settle: each fault is used up by striking, and a run that goes on meets one at least.
    pub fn runs_at_most(&self) -> usize {
        let strikes: u32 = self.faults.iter().map(|fault| fault.times).sum();
        2 + usize::from(self.killed.is_some()) + usize::try_from(strikes).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            let times = if fault.times > 1 { format!(", {} times", fault.times) } else { String::new() };
            let after = if fault.after > 0 { format!(", after {} that pass", fault.after) } else { String::new() };
            writeln!(f, "  {fault}{times}{after}")?;
        }
        match self.killed {
            Some((number, moment)) => writeln!(f, "  the first run is killed {} effect {number}", moment.word()),
            None => Ok(()),
        }
    }
}

fn a_fault(dice: &mut Dice, nodes: &[NodeSpec]) -> Fault {
    // A workspace without nodes has Proxmox VE alone.
    let node = if nodes.is_empty() { String::new() } else { dice.one_of(nodes).name.to_string() };
    match dice.below(11) {
        0..3 => on_proxmox(dice),
        3 => on_task(dice),
        4 | 5 => {
            Fault::once(Trigger::Node { node }, lost(dice, &[(0, "connection refused")])).after(up_to(dice, 20)).times(1 + up_to(dice, 3))
        }
        6 => {
            let outcome = if dice.once_in(3) {
                lost(dice, &[(0, "connection refused")])
            } else {
                Harm::StopsAfter { blocks: dice.below(8) as usize }
            };
            Fault::once(Trigger::Batch { node }, outcome).after(up_to(dice, 5))
        }
        7 => on_command(dice, &node, first_control_plane(nodes)),
        8 => on_store(dice),
        _ => on_kubernetes(dice),
    }
}

/// A number from 0 to below `bound`.
fn up_to(dice: &mut Dice, bound: u32) -> u32 {
    u32::try_from(dice.below(bound.into())).unwrap_or_default()
}

/// What any request may meet; `refusals` are what the peer says when it refuses.
fn lost(dice: &mut Dice, refusals: &[(u16, &str)]) -> Harm {
    match dice.below(6) {
        0 => Harm::BrokenBefore,
        1 => Harm::BrokenAfter,
        2 => Harm::Hangs { carried_out: false },
        3 => Harm::Hangs { carried_out: true },
        _ => {
            let (status, text) = dice.one_of(refusals);
            Harm::refused(*status, text)
        }
    }
}

fn on_proxmox(dice: &mut Dice) -> Fault {
    let (method, path) = dice.one_of(&[
        ("GET", "/"),
        ("GET", "/agent/"),
        ("GET", "/cluster/resources"),
        ("GET", "/config"),
        ("GET", "/pending"),
        ("GET", "/status"),
        ("GET", "/storage"),
        ("GET", "/tasks"),
        ("POST", "/clone"),
        ("POST", "/download-url"),
        ("POST", "/qemu"),
        ("POST", "/status/start"),
        ("POST", "/template"),
        ("PUT", "/config"),
        ("PUT", "/resize"),
    ]);
    let is_read = *method == "GET";
    let refusals: &[(u16, &str)] = if is_read {
        &[(500, "Connection timed out"), (595, "No route to host"), (596, "Broken pipe"), (599, "Too many redirections")]
    } else {
        &[
            (500, "can't lock file '/var/lock/qemu-server/lock-401.conf' - got timeout"),
            (500, "close (rename) atomic file '/etc/pve/nodes/homelab/qemu-server/401.conf' failed: File exists"),
            (500, "got no worker upid"),
            (595, "No route to host"),
            (596, "Broken pipe"),
            (599, "Too many redirections"),
        ]
    };
    let outcome = lost(dice, refusals);
    let times = if is_read { 1 + up_to(dice, 5) } else { 1 + up_to(dice, 2) };
    Fault::once(Trigger::http(method, path), outcome).after(up_to(dice, 12)).times(times)
}

fn on_task(dice: &mut Dice) -> Fault {
    let kind = dice.one_of(&["download", "qmclone", "qmconfig", "qmcreate", "qmstart", "qmtemplate", "resize"]);
    let fault = match dice.below(3) {
        // An interrupted clone stays locked until a person takes the lock away, which no run does.
        0 if !matches!(*kind, "qmclone" | "qmcreate") => Fault::task_stops(kind, "received interrupt"),
        1 => Fault::task(kind, "unexpected status"),
        _ => Fault::task(kind, "can't lock file '/var/lock/qemu-server/lock-401.conf' - got timeout"),
    };
    fault.after(up_to(dice, 3))
}

/// The node on which a cluster begins; any other where there is none.
fn first_control_plane(nodes: &[NodeSpec]) -> &str {
    let first = nodes.iter().find(|node| node.role == Role::ControlPlane).or(nodes.first());
    first.map_or("", |node| node.name.as_str())
}

fn on_command(dice: &mut Dice, node: &str, first: &str) -> Fault {
    const PLACE: &[&str] = &["apt-get", "install", "-y", "--allow-change-held-packages", "--no-download"];
    let fault = match dice.below(10) {
        0 => Fault::command(node, &["apt-get", "install"], 100, "E: Failed to fetch http://archive.ubuntu.com/ubuntu/  404  Not Found"),
        1 => Fault::command(
            node,
            &["apt-get", "update"],
            100,
            "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)",
        ),
        2 | 3 => Fault::dies(node, PLACE, "configure"),
        4 | 5 => Fault::dies(first, &["kubeadm", "init", "--config"], dice.one_of::<&str>(INIT_PHASES)),
        6 => Fault::command(
            node,
            &["kubeadm", "join"],
            1,
            "error execution phase preflight: couldn't validate the identity of the API Server",
        ),
        7 => Fault::command(node, &["systemctl"], 1, "Failed to restart containerd.service: Connection timed out"),
        8 => Fault::command(node, &["sysctl"], 255, "sysctl: setting key: Device or resource busy"),
        _ => Fault::command(first, &["kubeadm", "token"], 1, "timed out waiting for the condition"),
    };
    fault.after(up_to(dice, 3))
}

fn on_store(dice: &mut Dice) -> Fault {
    let writes = !dice.once_in(4);
    let outcome = lost(dice, &[(503, "Service Unavailable: please reduce your request rate"), (500, "No space left on device")]);
    Fault::once(Trigger::Store { writes }, outcome).after(up_to(dice, 40)).times(1 + up_to(dice, 4))
}

fn on_kubernetes(dice: &mut Dice) -> Fault {
    let (method, path) = dice.one_of(&[
        ("DELETE", "/"),
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/nodes/"),
        ("GET", "/installations/"),
        ("PATCH", "/"),
        ("PATCH", "/customresourcedefinitions/"),
        ("PATCH", "/installations/"),
    ]);
    let outcome = lost(
        dice,
        &[
            (403, "forbidden: User \"kubernetes-admin\" cannot do this"),
            (429, "too many requests, please try again later"),
            (500, "etcdserver: request timed out"),
            (503, "the server is currently unable to handle the request"),
            (504, "the server was unable to return a response in the time allotted"),
        ],
    );
    Fault::once(Trigger::kubernetes(method, path), outcome).after(up_to(dice, 15)).times(1 + up_to(dice, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn workspace() -> Workspace {
        let text = include_str!("../../workspaces/ubuntu/workspace.yaml");
        Workspace::load("workspace.yaml", text, &[], &[]).expect("the shipped workspace")
    }

    #[test]
    fn a_seed_gives_the_same_faults_each_time_and_seeds_give_every_kind() {
        let workspace = workspace();
        let drawn: Vec<Schedule> = (0..300).map(|seed| Schedule::of_seed(seed, &workspace)).collect();
        assert_eq!(drawn[17], Schedule::of_seed(17, &workspace));
        let words = |outcome: &Harm| format!("{outcome:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
        let seams = |on: &Trigger| format!("{on:?}").split(' ').next().unwrap_or_default().to_owned();
        let all = || drawn.iter().flat_map(|schedule| &schedule.faults);
        let outcomes: BTreeSet<String> = all().map(|fault| words(&fault.outcome)).collect();
        assert_eq!(
            outcomes.into_iter().collect::<Vec<_>>(),
            ["BrokenAfter", "BrokenBefore", "Dies", "Hangs", "Refused", "StopsAfter", "TaskEnds", "TaskStops"]
        );
        let seams: BTreeSet<String> = all().map(|fault| seams(&fault.on)).collect();
        assert_eq!(seams.into_iter().collect::<Vec<_>>(), ["Batch", "Command", "Http", "Kubernetes", "Node", "Store", "Task"]);
        let killed = drawn.iter().filter(|schedule| schedule.killed.is_some()).count();
        assert!((60..140).contains(&killed), "{killed}");
    }
}
