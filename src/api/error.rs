//! How the server tells an error.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoStaticStr};
use utoipa::ToSchema;

/// The closed set of error codes.
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
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ErrorCode {
    /// The request cannot be understood (400).
    Invalid,
    /// No token, or none that is known (401).
    Unauthenticated,
    /// The token's role does not allow it (403).
    Forbidden,
    /// No such object or route (404).
    NotFound,
    /// The object's state does not allow it (409).
    Conflict,
    /// The execution is no longer its task's active one (410).
    Superseded,
    /// Cannot be done at the moment: try later (503).
    Unavailable,
    /// A defect of the server (500). The log has the cause under the request id.
    Internal,
}

impl ErrorCode {
    /// The HTTP status under which it is sent.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Superseded => 410,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// The body of every reply that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub code: ErrorCode,
    /// What, where, which value.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Finds the request in the server's log.
    #[serde(default)]
    pub request_id: String,
}
