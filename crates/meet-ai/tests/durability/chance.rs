//! Chance that can be repeated: a seed that every story prints.

use std::{
    hash::{BuildHasher as _, RandomState},
    io::Write as _,
};

/// A small generator of numbers; the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins with `MEET_AI_SEED`, or with a seed of its own, and prints it.
    pub(crate) fn of(story: &str) -> Self {
        let given = std::env::var("MEET_AI_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(story));
        println!("{story}: MEET_AI_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub(crate) fn one_of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// Chance of its own for somebody who runs beside.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }
}

/// Whether the stories are to be long.
pub(crate) fn soaks() -> bool {
    std::env::var("MEET_AI_SOAK").is_ok_and(|value| value == "1")
}

/// Says why a story is not told here; where nothing may be skipped, it fails.
pub(crate) fn skip(why: &str) {
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{why}, and CI may skip nothing");
    let thread = std::thread::current();
    // The harness captures what is printed; a story that was not told must not look like one that was.
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("a story"));
}
