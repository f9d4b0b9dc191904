//! What happens when, drawn from a seed: the same seed draws the same again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use crate::harness::until;

/// A source of numbers.
#[derive(Debug)]
pub struct Chance(u64);

/// How much is done in one round.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub tasks: usize,
    pub faults: usize,
}

/// Carries out the rounds of one kind of fault: one small round as a part of all
/// tests, and as many large ones as `SCITQ_FAULTS_ROUNDS` says.
pub fn rounds(kind: &str, small: Size, large: Size, round: impl Fn(&mut Chance, Size)) {
    let asked: Option<u64> = variable("SCITQ_FAULTS_ROUNDS");
    let first = variable("SCITQ_FAULTS_SEED").unwrap_or_else(any_seed);
    let size = if asked.is_some() { large } else { small };
    let count = asked.unwrap_or(1);
    for number in 0..count {
        let seed = first.wrapping_add(number);
        let again = format!("tests/faults --rounds 1 --seed {seed} {kind}");
        eprintln!("faults: {kind}, round {} of {count}, {size:?}; again: {again}", number + 1);
        round(&mut Chance(seed), size);
    }
}

impl Chance {
    /// A number below `limit` (splitmix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// Lets a part of that time pass, so that a fault does not always come right
    /// behind what a test can see.
    pub fn pause(&mut self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).unwrap();
        pass(Duration::from_micros(self.below(micros)));
    }
}

/// The condition is that so much time has passed: how long a fault lasts.
pub fn pass(time: Duration) {
    let begun = Instant::now();
    until("time to pass", || (begun.elapsed() >= time).then_some(()));
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.into_string().ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}` and no number")))
}

/// From the hasher that the standard library seeds for each process.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000_000
}
