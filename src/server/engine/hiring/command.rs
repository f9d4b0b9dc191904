//! What can be asked of the engine about hiring.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::flavor::{Flavor, ProviderName};
use crate::domain::hire::{ProviderRules, Scope, Wanted};
use crate::domain::job::JobFailure;
use crate::domain::recruiter::Recruiter;
use crate::domain::worker::WorkerSettings;
use crate::domain::{BatchName, JobId, WorkerId};

/// Everything that can happen to what is hired.
#[derive(Debug, Clone)]
pub enum HiringCommand {
    /// The site's providers.
    SetProviders {
        head: Arc<str>,
        providers: Vec<(ProviderName, ProviderRules)>,
    },
    /// All that they offer.
    SetFlavors(Vec<Flavor>),
    Hire(Box<HireWorkers>),
    /// Asks the recruiters of all batches for which something has changed.
    Decide,
    /// Somebody is about to carry a job out.
    StartJob(JobId),
    /// A token with which the machine of a job joins once.
    JoinToken {
        job: JobId,
        hash: [u8; 32],
        valid_for: Duration,
    },
    /// The machine is there.
    Made {
        job: JobId,
        machine: String,
    },
    Progress {
        job: JobId,
        percent: Option<u8>,
        line: Option<Arc<str>>,
    },
    EndJob {
        job: JobId,
        end: JobEnd,
    },
    CancelJob(JobId),
    RetryJob(JobId),
    /// Jobs that have ended are forgotten.
    DeleteJobs(Vec<JobId>),
    SetRecruiter {
        batch: BatchName,
        rank: u32,
        recruiter: Box<Recruiter>,
    },
    DeleteRecruiter {
        batch: BatchName,
        rank: u32,
    },
    /// Its provider says that the machine of a worker is gone.
    Gone(WorkerId),
}

/// Workers that are wanted.
#[derive(Debug, Clone)]
pub struct HireWorkers {
    pub wanted: Wanted,
    pub scope: Scope,
    pub number: u32,
    pub settings: WorkerSettings,
}

/// How a try of a job ended.
#[derive(Debug, Clone)]
pub enum JobEnd {
    Done,
    Failed { failure: JobFailure, reason: Arc<str>, retry_after: Option<Duration> },
}
