//! Jobs: what the head does at a provider.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use utoipa::ToSchema;

/// What a job is at.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobAction {
    /// A machine is being made.
    Create,
    /// It is there, and its agent is awaited.
    Deploy,
    Destroy,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobState {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl JobState {
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Why a try of a job came to nothing, and so what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobFailure {
    /// Credentials are missing, wrong or expired: not tried again.
    Authentication,
    /// The site may have no more there: that flavor rests in that region.
    Quota,
    /// The provider has none left: likewise.
    Capacity,
    /// It can never be: not tried again.
    Unsupported,
    /// It may be better the next time: tried again with growing waits.
    Transient,
    /// The job was cancelled.
    Cancelled,
}
