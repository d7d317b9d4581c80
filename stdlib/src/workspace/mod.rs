//! A workspace: one cluster's data. Typed, strict, and what recipes see as `cluster`.

mod schema;
mod script;

pub use schema::*;
pub use script::{Cluster, Node, register};
