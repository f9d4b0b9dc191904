//! What happened, for people to read.

use std::fmt;

use super::calendar::{Moment, SECOND};

/// The story of one life.
#[derive(Debug, Default)]
pub struct Trace {
    is_kept: bool,
    lines: Vec<String>,
    /// Changes with every line, kept or not.
    pub digest: u64,
}

impl Trace {
    pub fn kept() -> Self {
        Self { is_kept: true, ..Self::default() }
    }

    /// Adds a line. The text is only made where somebody will read it.
    pub fn tell(&mut self, now: Moment, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        self.digest = (self.digest ^ now).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        if self.is_kept {
            let (seconds, rest) = (now / SECOND, now % SECOND / 1_000);
            self.lines.push(format!("{seconds:>6}.{rest:03}  {who:<10} {what}"));
        }
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}
