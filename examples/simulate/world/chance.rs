//! Chance that comes from a seed and from nothing else.

/// A row of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The row that belongs to this seed and purpose: what one purpose draws
    /// moves nothing of another.
    pub fn new(seed: u64, purpose: &[u64]) -> Self {
        let mut chance = Self(seed ^ 0x5c17_4000_0000_0000);
        for number in purpose {
            chance.0 = chance.number() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        chance
    }

    /// Any number. The constants are those of `SplitMix64`.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to and without `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.number() % if end == 0 { 1 } else { end }
    }

    pub const fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether one of so many cases is the case.
    pub const fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// Between the two, and as often near the one as near the other when both
    /// are seen as powers: mostly short, now and then long.
    pub const fn spread(&mut self, shortest: u64, longest: u64) -> u64 {
        let first = if shortest == 0 { 1 } else { shortest };
        let doublings = (longest / first).ilog2();
        let low = first << self.below(doublings as u64 + 1);
        let high = if low * 2 > longest { longest } else { low * 2 };
        self.between(low, high)
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let position = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(position)
    }
}
