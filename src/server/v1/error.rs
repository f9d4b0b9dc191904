//! Errors as old clients read them: a status and `message`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::error::ErrorCode;

use super::super::engine::Refusal;
use super::super::http::error::{ApiError, HangUp};
use super::super::output::OutputError;
use super::super::store::StoreError;

/// An error on its way to an old client.
#[derive(Debug)]
pub enum V1Error {
    Told {
        status: StatusCode,
        message: String,
    },
    /// The connection is closed: the client shall try again.
    HangUp,
}

pub type V1Result<T> = Result<T, V1Error>;

impl V1Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Told { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::Told { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Told { status: StatusCode::CONFLICT, message: message.into() }
    }

    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::Told { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        let message = "Internal Server Error".to_owned();
        Self::Told { status: StatusCode::INTERNAL_SERVER_ERROR, message }
    }
}

impl IntoResponse for V1Error {
    fn into_response(self) -> Response {
        match self {
            Self::Told { status, message } => {
                (status, Json(json!({ "message": message }))).into_response()
            }
            Self::HangUp => {
                let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
                response.extensions_mut().insert(HangUp);
                response
            }
        }
    }
}

impl From<Refusal> for V1Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(_) | Refusal::NoRoom(_) => Self::HangUp,
            Refusal::NoTask(id) => Self::not_found(format!("Task {id} doesn't exist")),
            Refusal::NoWorker(id) => Self::not_found(format!("Worker {id} doesn't exist")),
            Refusal::NoBatch(_) | Refusal::NoRecruiter { .. } => {
                Self::not_found(refusal.to_string())
            }
            Refusal::Circle { .. } | Refusal::ManyRequirements { .. } => {
                Self::invalid(refusal.to_string())
            }
            // Old clients read one text.
            Refusal::NoMachine { message, hint } => Self::conflict(format!("{message}: {hint}")),
            other => Self::conflict(other.to_string()),
        }
    }
}

impl From<ApiError> for V1Error {
    fn from(error: ApiError) -> Self {
        match error.code {
            ErrorCode::Unavailable => Self::HangUp,
            ErrorCode::Invalid => Self::invalid(error.message),
            ErrorCode::NotFound => Self::not_found(error.message),
            ErrorCode::Conflict | ErrorCode::Superseded => Self::conflict(error.message),
            // An old client that is answered 403 repeats its request for ever.
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => {
                Self::unauthenticated(error.message)
            }
            ErrorCode::Internal => Self::internal(&error.message),
        }
    }
}

impl From<StoreError> for V1Error {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<OutputError> for V1Error {
    /// The disk may take it later.
    fn from(error: OutputError) -> Self {
        tracing::error!(%error, "output cannot be stored or read");
        Self::HangUp
    }
}
