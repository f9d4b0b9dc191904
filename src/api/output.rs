//! Reading the output of an execution:
//! `GET /api/v2/executions/{id}/output/{stdout|stderr}`.
//!
//! The reply's body are the bytes of the stream from `offset` on, as many as
//! one reply carries; the headers say how to go on.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::Timestamp;

/// Header: the offset in the stream of the body's first byte.
pub const OFFSET_HEADER: &str = "scitq-offset";
/// Header: length of the stream so far, dropped bytes included.
pub const SIZE_HEADER: &str = "scitq-size";
/// Header: `true` once the execution has ended, so that no byte will follow `scitq-size`.
pub const COMPLETE_HEADER: &str = "scitq-complete";

/// Most bytes in one reply.
pub const MAX_READ: u64 = 4 << 20;

/// Most moments in one reply.
pub const MAX_TIMES: usize = 10_000;

/// Longest wait for new bytes, seconds.
pub const MAX_WAIT: u32 = 60;

/// Query of an output read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadOutput {
    /// First byte that is wanted.
    #[serde(default)]
    pub offset: u64,
    /// At most this many bytes; 4 MiB at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When there is no byte at `offset` yet, wait so many seconds for one; 60 at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(maximum = 60)]
    pub wait_seconds: Option<u32>,
}

/// Query of `GET /api/v2/executions/{id}/output/{stdout|stderr}/times`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadTimes {
    /// First byte whose time is wanted.
    #[serde(default)]
    pub offset: u64,
    /// For so many bytes; 4 MiB at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// When bytes of a stream came to the server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OutputTimes {
    /// In order, 10,000 at the most. The first may lie before the offset that
    /// was asked for. Output of before there were times has none.
    pub times: Vec<OutputTime>,
}

/// The bytes from this offset up to the next one came within a tenth of a
/// second of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputTime {
    pub offset: u64,
    pub at: Timestamp,
}
