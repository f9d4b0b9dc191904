//! Jobs and recruiters as lists.

use std::cmp::Ordering;

use super::list::Item;
use crate::api::hiring::{JobView, RecruiterView};
use crate::domain::filter::{Filter, Subject};
use crate::domain::{BatchName, JobId};

/// The log of a job, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLogView {
    pub job: JobId,
    pub title: String,
    pub text: String,
    /// Where to read on.
    pub next: u64,
    pub is_complete: bool,
    /// The first line on screen; none: the end is followed.
    pub first: Option<usize>,
}

impl JobLogView {
    #[must_use]
    pub fn new(job: &JobView) -> Self {
        Self {
            job: job.id,
            title: format!("Job {}: {} {}", job.id, job.action, job.target),
            text: String::new(),
            next: 0,
            is_complete: false,
            first: None,
        }
    }
}

impl Item for JobView {
    type Key = JobId;

    fn key(&self) -> JobId {
        self.id
    }

    fn fits(&self, filter: &Filter) -> bool {
        filter.fits(&Subject {
            name: &self.target,
            state: self.state.into(),
            batch: self.batch.as_str(),
            worker: &self.target,
            text: self.line.as_deref().unwrap_or_default(),
            tags: &[],
        })
    }

    fn cmp_by(&self, other: &Self, column: usize) -> Ordering {
        crate::tui::view::jobs::ORDER
            .get(column)
            .map_or(Ordering::Equal, |(_, compare)| compare(self, other))
    }
}

impl Item for RecruiterView {
    type Key = (BatchName, u32);

    fn key(&self) -> Self::Key {
        (self.batch.clone(), self.rank)
    }

    fn fits(&self, filter: &Filter) -> bool {
        filter.fits(&Subject {
            name: self.batch.as_str(),
            batch: self.batch.as_str(),
            text: &self.recruiter.flavor,
            ..Subject::default()
        })
    }

    fn cmp_by(&self, other: &Self, _: usize) -> Ordering {
        self.key().cmp(&other.key())
    }
}
