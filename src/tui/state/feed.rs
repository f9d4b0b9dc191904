//! When to ask the server for what: at once when something changed, but never
//! a second time before the first answer is here, and not much more often than
//! the link can carry.

use std::time::Duration;

use crate::domain::time::Monotonic;

/// Something that is read from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumIter)]
pub enum Source {
    Status,
    Workers,
    Batches,
    /// The pages of tasks that are on screen.
    Tasks,
    /// How many tasks of each state fit the filter.
    Counts,
    /// Last lines of output of the tasks on screen.
    Tails,
    Detail,
    Samples,
    /// The last failures, for the overview.
    Failures,
    /// Tasks whose latest execution is on a worker, for the workers on screen.
    Latest,
    Jobs,
    Recruiters,
    Flavors,
    /// The log of the job that is looked at.
    JobLog,
}

/// What is known of one source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Feed {
    /// It has changed since it was last asked for, or was never asked for.
    pub is_stale: bool,
    /// When the request that is under way was sent.
    pub asked: Option<Monotonic>,
    /// When the last answer came, and how long it took.
    pub answered: Option<(Monotonic, Duration)>,
}

/// All sources.
#[derive(Debug, Clone, Default)]
pub struct Feeds {
    feeds: [Feed; 14],
}

/// Least pause between two requests for the same thing.
const PAUSE: Duration = Duration::from_millis(100);

/// The same after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Feed {
    /// When it may be asked for again.
    #[must_use]
    pub fn due(&self) -> Option<Monotonic> {
        match (self.asked, self.answered) {
            (Some(_), _) => None,
            (None, Some((when, took))) => Some(when.after(PAUSE.max(took * 2))),
            (None, None) => Some(Monotonic(Duration::ZERO)),
        }
    }
}

impl Feeds {
    #[must_use]
    pub fn of(&self, source: Source) -> &Feed {
        &self.feeds[source as usize]
    }

    pub fn of_mut(&mut self, source: Source) -> &mut Feed {
        &mut self.feeds[source as usize]
    }

    pub fn mark(&mut self, source: Source) {
        self.of_mut(source).is_stale = true;
    }

    /// Everything is to be read anew.
    pub fn mark_all(&mut self) {
        for feed in &mut self.feeds {
            feed.is_stale = true;
        }
    }

    /// It is asked for now.
    pub fn on_asked(&mut self, source: Source, now: Monotonic) {
        let feed = self.of_mut(source);
        feed.is_stale = false;
        feed.asked = Some(now);
    }

    /// The answer is here, or will not come.
    pub fn on_answered(&mut self, source: Source, now: Monotonic) {
        let feed = self.of_mut(source);
        let took = feed.asked.take().map_or(Duration::ZERO, |asked| now.since(asked));
        feed.answered = Some((now, took));
    }

    /// The request came to nothing: it is sent again, in a while.
    pub fn on_failed(&mut self, source: Source, now: Monotonic) {
        let feed = self.of_mut(source);
        feed.asked = None;
        feed.answered = Some((now, PAUSE_AFTER_FAILURE / 2));
        feed.is_stale = true;
    }

    /// The server is there again: nothing waits because it was not.
    pub fn forgive(&mut self) {
        for feed in &mut self.feeds {
            feed.answered = None;
            feed.is_stale = true;
        }
    }

    /// It is to be read again when the last answer is older than this.
    pub fn expire(&mut self, source: Source, period: Duration, now: Monotonic) {
        let feed = self.of_mut(source);
        let is_old = feed.answered.is_none_or(|(when, _)| now.since(when) >= period);
        feed.is_stale |= is_old && feed.asked.is_none();
    }
}
