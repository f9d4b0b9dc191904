//! How long the commands of a batch have run: enough of it to tell a mean, a
//! median and a percentile, in a size that does not grow with the tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::batch::Runtime;

/// Each class of run times reaches a tenth further than the one before, so its
/// middle is within 5 % of all that is in it.
const GROWTH: f64 = 1.1;
/// All that is shorter is in the first class, seconds.
const SHORTEST: f64 = 0.001;

/// A histogram of run times with classes that grow with what they hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Runtimes {
    #[serde(default)]
    count: u64,
    /// Seconds, of all together.
    #[serde(default)]
    sum: f64,
    #[serde(default)]
    minimum: f64,
    #[serde(default)]
    maximum: f64,
    /// Only classes with something in them.
    #[serde(default)]
    classes: BTreeMap<u16, u64>,
}

impl Runtimes {
    /// Adds one run.
    pub fn add(&mut self, seconds: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { return };
        self.minimum = if self.count == 0 { seconds } else { self.minimum.min(seconds) };
        self.maximum = self.maximum.max(seconds);
        self.count += 1;
        self.sum += seconds;
        *self.classes.entry(class_of(seconds)).or_default() += 1;
    }

    /// The figures for people, once there is something to tell.
    #[must_use]
    pub fn figures(&self) -> Option<Runtime> {
        if self.count == 0 {
            return None;
        }
        Some(Runtime {
            count: self.count,
            mean: self.sum / as_float(self.count),
            minimum: self.minimum,
            maximum: self.maximum,
            median: self.quantile(1, 2),
            percentile_95: self.quantile(95, 100),
        })
    }

    /// The run time that `numerator` of `denominator` runs did not exceed.
    fn quantile(&self, numerator: u64, denominator: u64) -> f64 {
        let rank = (self.count * numerator).div_ceil(denominator).max(1);
        let mut seen = 0;
        for (class, count) in &self.classes {
            seen += count;
            if seen >= rank {
                return middle_of(*class).clamp(self.minimum, self.maximum);
            }
        }
        self.maximum
    }
}

fn class_of(seconds: f64) -> u16 {
    let class = ((seconds / SHORTEST).ln() / GROWTH.ln()).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the class of the longest time that there is, some hundreds"
    )]
    let class = class.clamp(0.0, f64::from(u16::MAX)) as u16;
    class
}

fn middle_of(class: u16) -> f64 {
    SHORTEST * GROWTH.powi(i32::from(class)) / GROWTH.sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!(Runtimes::default().figures(), None);
        assert_eq!(serde_json::from_str::<Runtimes>("{}").unwrap(), Runtimes::default());
    }

    #[test]
    fn one_run_is_all_of_its_figures() {
        let mut runtimes = Runtimes::default();
        runtimes.add(12.5);
        let figures = runtimes.figures().unwrap();
        assert_eq!((figures.count, figures.mean, figures.median), (1, 12.5, 12.5));
        assert_eq!((figures.minimum, figures.maximum, figures.percentile_95), (12.5, 12.5, 12.5));
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_five_percent(
            mut seconds in prop::collection::vec(0.01..1e7_f64, 1..200),
        ) {
            let mut runtimes = Runtimes::default();
            for one in &seconds {
                runtimes.add(*one);
            }
            seconds.sort_by(f64::total_cmp);
            let figures = runtimes.figures().unwrap();
            let exact = |numerator: usize, denominator: usize| {
                seconds[(seconds.len() * numerator).div_ceil(denominator).max(1) - 1]
            };
            for (told, exact) in
                [(figures.median, exact(1, 2)), (figures.percentile_95, exact(95, 100))]
            {
                prop_assert!((told / exact - 1.0).abs() < 0.051, "{told} for {exact}");
            }
        }
    }
}
