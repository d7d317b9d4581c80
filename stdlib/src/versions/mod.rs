//! Which versions go together, as upstream says, and which way leads from one set of versions to another.
//!
//! One file per component or family holds its rows, each with the page that it comes from. `rules.rs` makes distances of them, [`check`] says what
//! of a set is not right, and [`way`] gives the steps. A fact that could not be read upstream says so where it stands, and refuses nothing.
//!
//! A new version is one row. What a row may not do is make two Kubernetes versions beside each other share no release of a component: a test in
//! `calico.rs` looks for that.

pub mod add_ons;
pub mod calico;
mod check;
mod component;
pub mod containerd;
pub mod etcd;
mod hub;
pub mod kubernetes;
mod line;
mod mind;
mod minor;
mod nearest;
mod rules;
mod set;
pub mod systems;
mod track;
mod walk;
mod way;

pub use check::{Problem, check};
pub use component::Component;
pub use line::{Line, Needs};
pub use mind::{GONE, Gone, Mind, flag_gone_since, gate_gone_since, gone};
pub use minor::Minor;
pub use nearest::nearest;
pub use rules::{Party, known_lines};
pub use semver::Version;
pub use set::Set;
pub use systems::System;
pub use way::{NoWay, Purpose, Step, target, way};

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod way_tests;
