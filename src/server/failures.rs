//! Wrong tokens, counted by where they come from.
//!
//! Nobody guesses 256 random bits, so this protects no secret. It keeps a
//! script with an old token from filling the log, and makes one who tries many
//! tokens seen. A right token is taken meanwhile, also from the same address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::domain::Monotonic;

pub const WINDOW: Duration = Duration::from_mins(1);
/// So many addresses are remembered at most.
const MOST_ADDRESSES: usize = 10_000;
/// The part of an IPv6 address that one site is given: its first 64 bits.
const SITE: u128 = !0 << 64;

/// The wrong tokens of the last minute.
#[derive(Debug)]
pub struct Failures {
    /// So many may come from one address within [`WINDOW`].
    most: u32,
    counts: Mutex<FxHashMap<IpAddr, Count>>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Monotonic,
    failures: u32,
}

/// What becomes of one that showed a wrong token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is told what is wrong.
    Tell,
    /// It is the first of too many.
    Begin,
    /// It is told to wait.
    TooMany,
}

impl Failures {
    /// None yet, and so many may come.
    pub fn new(most: u32) -> Self {
        Self { most, counts: Mutex::default() }
    }

    /// Counts a wrong token.
    pub fn note(&self, address: IpAddr, now: Monotonic) -> Judgement {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |count: &Count| now.since(count.since) >= WINDOW;
        if counts.len() >= MOST_ADDRESSES {
            counts.retain(|_, count| !is_over(count));
            if counts.len() >= MOST_ADDRESSES {
                counts.clear();
            }
        }
        let fresh = Count { since: now, failures: 0 };
        let count = counts.entry(site_of(address)).or_insert(fresh);
        if is_over(count) {
            *count = fresh;
        }
        count.failures = count.failures.saturating_add(1);
        match count.failures.saturating_sub(self.most) {
            0 => Judgement::Tell,
            1 => Judgement::Begin,
            _ => Judgement::TooMany,
        }
    }
}

fn site_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SITE).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_of_one_site_wait_for_a_minute() {
        let failures = Failures::new(3);
        let at = |seconds| Monotonic(Duration::from_secs(seconds));
        let note = |address: &str, seconds| failures.note(address.parse().unwrap(), at(seconds));
        for last in 1..=3 {
            assert_eq!(note(&format!("fd00::{last:x}"), 0), Judgement::Tell);
        }
        assert_eq!(note("fd00::ffff", 59), Judgement::Begin);
        assert_eq!(note("fd00::ffff", 59), Judgement::TooMany);
        assert_eq!(note("fd00:0:0:1::1", 59), Judgement::Tell);
        assert_eq!(note("10.0.0.1", 59), Judgement::Tell);
        assert_eq!(note("fd00::ffff", 60), Judgement::Tell);
    }

    #[test]
    fn the_memory_for_addresses_has_an_end() {
        let failures = Failures::new(3);
        for number in 0..30_000_u32 {
            failures.note(std::net::Ipv4Addr::from_bits(number).into(), Monotonic(WINDOW));
        }
        assert!(failures.counts.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
