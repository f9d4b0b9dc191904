//! Machines that are hired: which, how many, for how long. Decided here, purely;
//! `server/hiring` carries it out and tells what came of it.

mod choose;
mod command;
mod cost;
mod dismiss;
mod hands;
mod hire;
mod jobs;
mod recruit;
mod refuse;

pub(in crate::server::engine) use hire::TO_BE;

pub use choose::{Offer, Usage};
pub use command::{HireWorkers, HiringCommand, JobEnd};
pub use cost::Amounts;
pub use recruit::{Advice, Verdict};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::flavor::{Flavor, FlavorName, ProviderName, RegionName};
use crate::domain::hire::{ProviderRules, Scope, Wanted};
use crate::domain::job::{JobAction, JobState};
use crate::domain::recruiter::Recruiter;
use crate::domain::worker::WorkerSettings;
use crate::domain::{BatchId, JobId, Monotonic, Timestamp, TokenId, WorkerId};

/// All of the live state that is about hiring.
#[derive(Debug, Default)]
pub struct Hiring {
    pub market: Market,
    pub jobs: BTreeMap<JobId, Job>,
    pub recruiters: BTreeMap<(BatchId, u32), Recruiter>,
    /// Tokens with which hired machines join once, and until when they hold.
    pub join_tokens: BTreeMap<TokenId, Timestamp>,
    /// Since when a hired worker has had nothing to do.
    pub idle_since: BTreeMap<WorkerId, Monotonic>,
    /// Batches whose recruiters are to be asked.
    pub(in crate::server::engine) unasked: BTreeSet<BatchId>,
    /// Batches that want more workers than they could get.
    pub(super) hungry: BTreeSet<BatchId>,
}

/// What can be hired, and by which rules. Comes from the site's settings and from its
/// providers, and is not in the database.
#[derive(Debug, Default)]
pub struct Market {
    /// How the names of hired workers begin.
    pub head: Arc<str>,
    pub providers: BTreeMap<ProviderName, ProviderRules>,
    /// In the order in which they are taken.
    pub flavors: Arc<Vec<Flavor>>,
    /// What was refused lately, and until when it rests.
    pub resting: FxHashMap<Spot, Rest>,
}

/// Where something rests; the whole provider where no region and no flavor is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spot {
    pub provider: ProviderName,
    pub place: Option<(RegionName, FlavorName)>,
}

#[derive(Debug, Clone)]
pub struct Rest {
    pub until: Monotonic,
    pub reason: Arc<str>,
}

/// What the head does or did at a provider.
#[derive(Debug, Clone)]
pub struct Job {
    pub row: JobRow,
    /// How far it is, percent.
    pub progress: Option<u8>,
    /// The last line of its log.
    pub line: Option<Arc<str>>,
    /// When it is tried again.
    pub not_before: Option<Monotonic>,
    pub failed_tries: u32,
}

/// By what a machine is looked for, also when another one has to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrder {
    pub wanted: Wanted,
    #[serde(default)]
    pub scope: Scope,
    pub settings: WorkerSettings,
    /// The rank of the recruiter that hires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recruiter: Option<u32>,
}

/// A job as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    pub action: JobAction,
    pub state: JobState,
    /// None once the worker is gone.
    pub worker: Option<WorkerId>,
    pub worker_name: Arc<str>,
    pub order: JobOrder,
    pub provider: ProviderName,
    pub region: RegionName,
    pub flavor: FlavorName,
    pub tries_left: u32,
    /// Somebody wants it to end.
    pub cancelled: bool,
    /// Why the last try came to nothing.
    pub reason: Option<Arc<str>>,
    pub created_at: Timestamp,
    /// Since when it is in its state.
    pub since: Timestamp,
    pub created_by: Arc<str>,
}

/// How long what was refused for lack of room rests.
pub(super) const REST: Duration = Duration::from_mins(10);
/// Tries of a job.
pub(super) const TRIES: u32 = 3;
/// Jobs that are kept once they have ended.
pub(super) const KEPT_JOBS: usize = 1000;

impl Job {
    fn new(row: JobRow) -> Self {
        Self { row, progress: None, line: None, not_before: None, failed_tries: 0 }
    }

    /// One that the database has. What ran when the server ended runs again: each of
    /// its steps skips what is done.
    #[must_use]
    pub fn restored(mut row: JobRow) -> Self {
        if row.state == JobState::Running {
            row.state = JobState::Pending;
        }
        Self::new(row)
    }
}

impl Hiring {
    /// The job that is under way for a worker.
    #[must_use]
    pub fn job_of(&self, worker: WorkerId) -> Option<(JobId, &Job)> {
        let mut live = self.jobs.iter().rev();
        live.find(|(_, job)| job.row.worker == Some(worker) && !job.row.state.is_final())
            .map(|(id, job)| (*id, job))
    }

    /// Whether a recruiter may decide otherwise than before.
    #[must_use]
    pub fn wants_to_decide(&self) -> bool {
        !self.unasked.is_empty()
    }

    /// Notes that the recruiters of a batch may decide otherwise now.
    pub(super) fn ask(&mut self, batch: BatchId) {
        let mut own = self.recruiters.range((batch, 0)..=(batch, u32::MAX));
        if own.next().is_some() {
            self.unasked.insert(batch);
        }
    }

    /// All of them.
    pub(super) fn ask_all(&mut self) {
        self.unasked.extend(self.recruiters.keys().map(|(batch, _)| *batch));
    }
}
