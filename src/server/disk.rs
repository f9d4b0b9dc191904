//! Whether there is room for more, and for how long.
//!
//! New tasks are refused before the disk is full: what is under way then has the
//! rest to end in, and no commit fails.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::Monotonic;

use super::http::App;

/// Below so much free disk no new task is taken, percent of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastFree(pub u8);

/// Pause between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause between two samples of what the data take, and how many are kept: a week.
const SAMPLES: (Duration, usize) = (Duration::from_mins(10), 1_008);
/// The shortest time from which it is told how the data grow.
const SHORTEST: Duration = Duration::from_mins(10);
const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// The disk on which the data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that this user can still write.
    pub free: u64,
    /// Bytes of it all.
    pub total: u64,
}

/// How much the data have taken at some times.
#[derive(Debug, Default)]
pub struct Growth(Mutex<VecDeque<(Monotonic, u64)>>);

impl Disk {
    /// The one that `path` is on.
    ///
    /// # Errors
    /// The file system does not answer.
    pub fn of(path: &Path) -> io::Result<Self> {
        let figures = rustix::fs::statvfs(path)?;
        Ok(Self {
            free: figures.f_bavail.saturating_mul(figures.f_frsize),
            total: figures.f_blocks.saturating_mul(figures.f_frsize),
        })
    }

    /// Why no new task is taken, if none is.
    #[must_use]
    pub fn shortage(self, least: LeastFree) -> Option<String> {
        (self.free < self.least(least)).then(|| {
            format!(
                "the disk is full but for {} MiB of {} MiB, less than {} %",
                self.free >> 20,
                self.total >> 20,
                least.0
            )
        })
    }

    fn least(self, least: LeastFree) -> u64 {
        self.total / 100 * u64::from(least.0)
    }
}

impl Growth {
    /// Notes how much the data take now.
    pub fn note(&self, now: Monotonic, used: u64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.back().is_some_and(|(last, _)| now.since(*last) < SAMPLES.0) {
            return;
        }
        samples.push_back((now, used));
        while samples.len() > SAMPLES.1 {
            samples.pop_front();
        }
    }

    /// Whole days until no new task is taken, if the data grow as they did in the
    /// last week. None while they do not grow, and for the first ten minutes.
    pub fn days_left(
        &self,
        now: Monotonic,
        used: u64,
        (disk, least): (Disk, LeastFree),
    ) -> Option<u64> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = *samples.front()?;
        let time = now.since(since);
        let grown = used.checked_sub(before).filter(|grown| *grown > 0)?;
        if time < SHORTEST {
            return None;
        }
        let left = disk.free.saturating_sub(disk.least(least));
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no last digit")]
        let days = left as f64 * time.as_secs_f64() / (grown as f64 * SECONDS_OF_A_DAY);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is no less than zero, and what is too large becomes the largest"
        )]
        Some(days as u64)
    }
}

/// Looks at the disk again and again, and has new tasks refused while it is
/// nearly full. Ends with the server.
pub async fn keep_watch(app: Arc<App>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop_asked() => return,
        }
        app.growth.note(app.clock.now().monotonic, app.used_bytes());
        // What cannot be measured is not refused: a commit that fails is.
        let Ok(disk) = Disk::of(app.data_dir.path()) else { continue };
        let shortage = disk.shortage(app.least_free);
        match (&shortage, app.engine.shortage()) {
            (Some(reason), None) => tracing::warn!("new tasks are refused: {reason}"),
            (None, Some(_)) => tracing::info!("new tasks are taken again"),
            _ => {}
        }
        app.engine.set_shortage(shortage.map(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn below_a_twentieth_nothing_new_is_taken() {
        assert_eq!(Disk { free: 50 << 20, total: 1_000 << 20 }.shortage(LeastFree(5)), None);
        let reason = Disk { free: 49 << 20, total: 1_000 << 20 }.shortage(LeastFree(5));
        assert_eq!(
            reason.as_deref(),
            Some("the disk is full but for 49 MiB of 1000 MiB, less than 5 %")
        );
    }

    #[test]
    fn days_are_counted_at_the_pace_of_the_past() {
        let growth = Growth::default();
        let disk = (Disk { free: 150, total: 1_000 }, LeastFree(5));
        assert_eq!(growth.days_left(at(0), 10, disk), None);
        growth.note(at(0), 10);
        growth.note(at(1), 11);
        assert_eq!(growth.days_left(at(599), 20, disk), None);
        assert_eq!(growth.days_left(at(DAY), 10, disk), None);
        assert_eq!(growth.days_left(at(DAY), 5, disk), None);
        assert_eq!(growth.days_left(at(DAY), 20, disk), Some(10));
        assert_eq!(growth.days_left(at(2 * DAY), 20, disk), Some(20));
    }

    #[test]
    fn a_week_is_remembered() {
        let growth = Growth::default();
        for sample in 0..2_000 {
            growth.note(at(sample * 600), sample);
        }
        let samples = growth.0.lock().unwrap();
        assert_eq!((samples.len(), samples.front().unwrap().1), (1_008, 992));
    }
}
