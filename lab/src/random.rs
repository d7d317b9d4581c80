//! Random numbers of the lab: those of a world, which everything made up in it comes from, and those that choose what happens.
use crate::world::World;
use kthw_engine::Random;

/// The random numbers of a world: its seed's, and each time others.
#[derive(Clone, Debug)]
pub struct LabRandom(pub(crate) World);

impl Random for LabRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let state = &mut *self.0.lock();
        for piece in bytes.chunks_mut(32) {
            let digits = hex::decode(state.made_up("random bytes")).unwrap_or_default();
            piece.copy_from_slice(&digits[..piece.len()]);
        }
    }
}

/// A sequence of numbers that depends on its seed alone (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed.
    pub fn of_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    /// One of some.
    ///
    /// # Panics
    /// When there are none.
    pub fn one_of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[usize::try_from(self.below(some.len() as u64)).unwrap_or_default()]
    }

    /// Whether something happens that happens once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_has_the_random_numbers_of_its_seed_and_never_the_same_twice() {
        let drawn = |world: &World| {
            let mut bytes = [0; 40];
            world.random().fill(&mut bytes);
            bytes
        };
        let (one, same, other) = (World::of_seed(7), World::of_seed(7), World::of_seed(8));
        let first = drawn(&one);
        assert_eq!(first, drawn(&same));
        assert_ne!(first, drawn(&other));
        assert_ne!(first, drawn(&one));
        assert_ne!(first[..8], first[32..]);
    }

    #[test]
    fn a_sequence_is_the_published_one() {
        // The first numbers of splitmix64 for the seed 1234567, from its test vectors.
        let mut dice = Dice::of_seed(1_234_567);
        assert_eq!([dice.next(), dice.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
