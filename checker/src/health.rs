//! When a server counts as sick or well (rise and fall), and which ones get connections. Pure.

/// What one server's answers come to so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    well: bool,
    /// How many answers in a row said the other thing.
    against: u32,
}

impl Health {
    /// A server that counts as well or sick until its answers say otherwise.
    pub fn new(well: bool) -> Self {
        Self { well, against: 0 }
    }

    /// Whether it counts as well.
    pub fn is_well(self) -> bool {
        self.well
    }

    /// Takes one answer in, and says whether it turned the server: `rise` good ones in a row make a sick one well, `fall` bad ones in a row
    /// make a well one sick.
    pub fn hear(&mut self, good: bool, rise: u32, fall: u32) -> bool {
        if good == self.well {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let turns = self.against >= if good { rise } else { fall };
        if turns {
            *self = Self::new(good);
        }
        turns
    }
}

/// Which servers of one upstream get new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// One for each server, in their order.
    pub takes_part: Vec<bool>,
    /// No server is well, so all of them take part: the check may be what is wrong, and some answer is better than none.
    pub panic: bool,
}

impl Rotation {
    /// The rotation of servers that count as well or not.
    pub fn of(well: &[bool]) -> Self {
        let panic = !well.contains(&true);
        Self { takes_part: well.iter().map(|well| *well || panic).collect(), panic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers and what they come to: `+` well, `-` sick.
    fn plays(answers: &str, begins_well: bool, rise: u32, fall: u32) -> String {
        let mut health = Health::new(begins_well);
        let mut step = |answer: char| {
            health.hear(answer == '+', rise, fall);
            if health.is_well() { '+' } else { '-' }
        };
        answers.chars().map(&mut step).collect()
    }

    #[test]
    fn a_server_turns_after_as_many_answers_in_a_row() {
        for (answers, begins_well, rise, fall, expected) in [
            ("+++", true, 3, 2, "+++"),
            ("--", true, 3, 2, "+-"),
            ("-+-+-", true, 3, 2, "+++++"),
            ("--+++", true, 3, 2, "+---+"),
            ("++-+++", false, 3, 2, "-----+"),
            ("-+-+", true, 1, 1, "-+-+"),
            ("+", false, 1, 9, "+"),
        ] {
            assert_eq!(plays(answers, begins_well, rise, fall), expected, "{answers} rise {rise} fall {fall}");
        }
    }

    #[test]
    fn the_last_one_stays_and_if_none_is_well_all_do() {
        for (well, takes_part, panic) in [
            (&[true, true][..], &[true, true][..], false),
            (&[true, false], &[true, false], false),
            (&[false, false], &[true, true], true),
            (&[false], &[true], true),
        ] {
            assert_eq!(Rotation::of(well), Rotation { takes_part: takes_part.into(), panic }, "{well:?}");
        }
    }

    /// Numbers that look random and are the same every time (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
    struct Drawn(u64);

    impl Drawn {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ (mixed >> 31)) % limit
        }
    }

    /// Says it another way: whether the newest `limit` answers since the last turn all say the other thing.
    fn turned(since_turn: &[bool], well: bool, rise: u32, fall: u32) -> bool {
        let limit = if well { fall } else { rise } as usize;
        since_turn.len() >= limit && since_turn[since_turn.len() - limit..].iter().all(|answer| *answer != well)
    }

    #[test]
    fn whatever_the_answers_somebody_takes_part_and_nobody_turns_early_or_late() {
        for seed in 0..2_000 {
            let mut drawn = Drawn(seed);
            let servers = 1 + drawn.below(5) as usize;
            let (rise, fall) = (1 + drawn.below(4) as u32, 1 + drawn.below(4) as u32);
            // From nearly always sick to nearly always well.
            let goodness = drawn.below(11);
            let mut all: Vec<(Health, Vec<bool>)> = (0..servers).map(|_| (Health::new(drawn.below(2) == 0), Vec::new())).collect();
            for _ in 0..200 {
                let (health, since_turn) = &mut all[drawn.below(servers as u64) as usize];
                let (was_well, answer) = (health.is_well(), drawn.below(10) < goodness);
                since_turn.push(answer);
                let expected = turned(since_turn, was_well, rise, fall);
                assert_eq!(health.hear(answer, rise, fall), expected, "seed {seed}");
                assert_eq!(health.is_well(), was_well != expected, "seed {seed}");
                if expected {
                    since_turn.clear();
                }
                let well: Vec<bool> = all.iter().map(|(health, _)| health.is_well()).collect();
                let rotation = Rotation::of(&well);
                assert!(rotation.takes_part.contains(&true), "seed {seed}: all are out");
                let sick_inside = rotation.takes_part.iter().zip(&well).any(|(takes_part, well)| *takes_part && !well);
                assert_eq!(sick_inside, rotation.panic, "seed {seed}: a sick one takes part only in panic mode");
            }
        }
    }
}
