//! The engine on a tiny world: plans, runs, and everything that may happen between the two.
#![allow(clippy::unwrap_used, missing_docs)]

mod absent;
mod converge;
mod door;
mod limits;
mod openers;
mod order;
mod pace;
mod planning;
mod recovery;
mod saved;
mod settling;
mod tiny;
mod told;
mod trouble;
mod turns;
