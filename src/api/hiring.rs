//! Machines that are hired, on the wire: jobs, flavors, providers, recruiters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::flavor::{Flavor, FlavorName, ProviderName, RegionName};
use crate::domain::hire::{OnEviction, Quota};
use crate::domain::job::{JobAction, JobState};
use crate::domain::recruiter::Recruiter;
use crate::domain::{BatchName, JobId, Timestamp, WorkerId};

/// Most workers in one request.
pub const MAX_NUMBER: u32 = 10_000;

/// `POST /api/v2/workers/deploy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployWorkers {
    /// The name of a flavor, or a protofilter such as `auto:cpu>=8`.
    pub flavor: String,
    /// Absent, or `auto`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Absent, or `auto`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default)]
    pub batch: BatchName,
    /// How many commands each runs at once.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub concurrency: u32,
    #[serde(default)]
    #[schema(maximum = 100_000)]
    pub prefetch: u32,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub number: u32,
}

const fn one() -> u32 {
    1
}

/// Workers whose machines are fetched, each by the job at the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployedWorkers {
    pub workers: Vec<WorkerId>,
    pub jobs: Vec<JobId>,
}

/// What the head does or did at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    pub id: JobId,
    pub action: JobAction,
    pub state: JobState,
    /// Absent once the worker is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The worker's name.
    pub target: String,
    pub batch: BatchName,
    pub provider: ProviderName,
    pub region: RegionName,
    pub flavor: FlavorName,
    /// How far it is, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<u8>,
    /// The last line of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Why it failed, or its last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub tries_left: u32,
    pub created_at: Timestamp,
    /// Since when it is in its state.
    pub since: Timestamp,
    pub created_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    pub jobs: Vec<JobView>,
}

/// `POST /api/v2/jobs/delete`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobIds {
    pub ids: Vec<JobId>,
}

/// Query of `GET /api/v2/jobs/{id}/log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadJobLog {
    /// From this byte on.
    #[serde(default)]
    pub offset: u64,
    /// Wait so long for something beyond it, 60 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u32>,
}

/// A piece of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLog {
    pub text: String,
    /// Where to read on.
    pub next: u64,
    /// Whether nothing will follow.
    pub complete: bool,
}

/// Query of `GET /api/v2/flavors`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListFlavors {
    /// The name of a flavor, or a protofilter; absent: all, bare metal and often
    /// evicted ones as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub limit: Option<u32>,
}

/// A flavor, and what can be had of it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlavorView {
    #[serde(flatten)]
    pub flavor: Flavor,
    /// How many more can be hired; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
}

/// Flavors in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlavorList {
    pub flavors: Vec<FlavorView>,
    /// How many fit, and how many are known.
    pub fitting: u64,
    pub known: u64,
    /// Why none fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_none: Option<String>,
}

/// `POST /api/v2/flavors/import`: what a provider does not tell by itself. Those that
/// were imported for the same provider before are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportFlavors {
    pub flavors: Vec<ImportedFlavor>,
}

/// One line of a price list. Of a flavor that its provider does not list, `cpu` is
/// needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedFlavor {
    pub provider: ProviderName,
    pub name: FlavorName,
    /// Absent: in all regions of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram: Option<f64>,
    /// GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// Per hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Percent an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<f64>,
}

/// A source of machines that the site has set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderView {
    pub name: ProviderName,
    pub kind: String,
    pub regions: Vec<RegionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_region: Option<String>,
    pub quotas: BTreeMap<RegionName, Quota>,
    pub on_eviction: OnEviction,
    pub idle_seconds: u64,
    pub unused_seconds: u64,
    /// Flavors that are known of it.
    pub flavors: u64,
    /// Workers that are hired there.
    pub workers: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Timestamp>,
    /// Why it cannot be used, or could not be asked the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Machines with this head's tag that no worker is known for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<OrphanMachine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrphanMachine {
    pub worker: String,
    pub region: RegionName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    pub seen_since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    pub providers: Vec<ProviderView>,
}

/// Query of `GET /api/v2/providers/{name}/script`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AskScript {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderScript {
    /// Absent: its machines need no preparation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

/// A recruiter with its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecruiterView {
    pub batch: BatchName,
    #[schema(minimum = 1)]
    pub rank: u32,
    #[serde(flatten)]
    pub recruiter: Recruiter,
    /// Workers of its batch.
    pub workers: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecruiterList {
    pub recruiters: Vec<RecruiterView>,
}

/// `GET /api/v2/batches/{name}/recruiters`: what they do now, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub batch: BatchName,
    pub pending: u64,
    pub workers: u64,
    /// What its hired machines cost in an hour, by currency.
    pub cost_per_hour: BTreeMap<String, f64>,
    /// What they have cost to date, those that are gone as well.
    pub spent: BTreeMap<String, f64>,
    pub recruiters: Vec<Reason>,
}

/// Why a recruiter hires, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    pub rank: u32,
    pub verdict: String,
    /// Workers that it takes over.
    pub recycles: Vec<String>,
    /// Flavors of which it hires one each.
    pub hires: Vec<String>,
    /// Workers that it would still like to have.
    pub missing: u64,
}

/// A hired worker's machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HireView {
    pub provider: ProviderName,
    pub region: RegionName,
    pub flavor: FlavorName,
    /// Per hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// To date.
    pub spent: f64,
    pub hired_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recruiter: Option<u32>,
}
