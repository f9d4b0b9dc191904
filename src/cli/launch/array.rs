//! `--array`: numbered tasks.

use std::str::FromStr;

/// The variable in which each task finds its number.
pub const INDEX_VARIABLE: &str = "SCITQ_ARRAY_INDEX";

/// Most tasks of one array.
const MOST: u64 = 1_000_000;

/// `1-1000` or `0-90:10`: the numbers of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayRange {
    first: u64,
    last: u64,
    step: u64,
}

impl ArrayRange {
    pub fn indices(self) -> impl Iterator<Item = u64> {
        let Self { first, last, step } = self;
        (0..self.count())
            .map(move |position| first + position * step)
            .take_while(move |n| *n <= last)
    }

    const fn count(self) -> u64 {
        (self.last - self.first) / self.step + 1
    }
}

impl FromStr for ArrayRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write FIRST-LAST or FIRST-LAST:STEP, as in 1-1000 or 0-90:10";
        let number = |text: &str| text.parse::<u64>().map_err(|_| HOW.to_owned());
        let (range, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, last) = range.split_once('-').ok_or(HOW)?;
        let (first, last, step) = (number(first)?, number(last)?, number(step)?);
        if step == 0 {
            return Err("a step is at least 1".to_owned());
        }
        if last < first {
            return Err(format!("{first} is more than {last}"));
        }
        let range = Self { first, last, step };
        match (last - first) / step {
            more if more >= MOST => Err(format!("these are more than {MOST} tasks")),
            _ => Ok(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(text: &str) -> Result<Vec<u64>, String> {
        text.parse::<ArrayRange>().map(|range| range.indices().collect())
    }

    #[test]
    fn a_range_has_both_ends_and_may_have_a_step() {
        assert_eq!(indices("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(indices("0-9:4"), Ok(vec![0, 4, 8]));
        assert_eq!(indices("7-7"), Ok(vec![7]));
        assert_eq!(indices("18446744073709551614-18446744073709551615").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_range_is_told() {
        assert_eq!(indices("3-1"), Err("3 is more than 1".into()));
        assert_eq!(indices("1-9:0"), Err("a step is at least 1".into()));
        assert_eq!(indices("0-1000000"), Err("these are more than 1000000 tasks".into()));
        assert!(indices("0-18446744073709551615").is_err());
        for wrong in ["", "5", "a-b", "1-", "-1", "1-2:"] {
            assert!(indices(wrong).is_err(), "{wrong}");
        }
    }
}
