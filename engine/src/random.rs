//! Random numbers that enter the world: the system's in a run, the seed's in the lab.

/// Makes random bytes. What only this process sees, such as a mark in a conversation, does not need it.
pub trait Random: Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The system's own random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has random numbers");
    }
}
