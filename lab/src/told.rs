//! Faults in words.
use crate::fault::{Fault, Harm, Trigger};
use std::fmt;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on {}: it {}", self.on, self.outcome)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { method, path_contains } => write!(f, "a {method} of Proxmox VE with {path_contains}"),
            Self::Task { kind } => write!(f, "a task {kind} of Proxmox VE"),
            Self::Command { node, begins } => write!(f, "`{}` on {node}", begins.join(" ")),
            Self::Node { node } => write!(f, "a round trip to {node}"),
            Self::Login { node } => write!(f, "a new login on {node}"),
            Self::Batch { node } => write!(f, "a batch of changes on {node}"),
            Self::Network { node, to } => write!(f, "connections of {node} to {to}"),
            Self::Secrets => f.write_str("writing the secrets file"),
            Self::Store { writes: true } => f.write_str("writing the store"),
            Self::Store { writes: false } => f.write_str("reading the store"),
            Self::Kubernetes { method, path_contains } => write!(f, "a {method} of the Kubernetes API with {path_contains}"),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, text } => write!(f, "is refused with {status}, {text}"),
            Self::BrokenBefore => f.write_str("breaks the connection before anything is done"),
            Self::BrokenAfter => f.write_str("breaks the connection after everything was done"),
            Self::Hangs { carried_out: false } => f.write_str("never answers, and does nothing"),
            Self::Hangs { carried_out: true } => f.write_str("never answers, and does everything"),
            Self::StopsAfter { blocks } => write!(f, "stops after {blocks} blocks"),
            Self::Dies { during } => write!(f, "is killed in {during}"),
            Self::TaskStops { exit } => write!(f, "is interrupted ({exit}) and leaves what it had half made"),
            Self::TaskEnds { exit } => write!(f, "fails: {exit}"),
        }
    }
}
