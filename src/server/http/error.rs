//! Errors as replies: a closed set of codes, a message and a hint for people,
//! and a request id. Causes that are the server's own are logged, not sent.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::error::{ErrorBody, ErrorCode};

use super::super::engine::Refusal;
use super::super::output::OutputError;
use super::super::store::StoreError;

/// Longest message, bytes.
const MAX_MESSAGE: usize = 2_000;

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
    pub hint: Option<String>,
    /// Instead of the usual one of that code.
    pub status: Option<StatusCode>,
}

/// Set on a reply that is not to be sent: the connection is closed instead. Clients
/// of the original repeat a request that had no reply, and give up one that is
/// answered with an error.
#[derive(Debug, Clone, Copy)]
pub struct HangUp;

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, status: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sends it under a status that is more particular than that of its code.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// What is sent of it.
    pub fn body(self) -> ErrorBody {
        ErrorBody {
            code: self.code,
            message: shortened(self.message),
            hint: self.hint,
            request_id: super::gate::current_request_id(),
        }
    }

    /// A failure of the server itself. The cause is for the log only.
    fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(ErrorCode::Internal, "the server failed to carry out the request")
            .hint("the server's log has the cause")
    }
}

/// Values that are named in a message may be long; their beginning will do.
fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let usual = StatusCode::from_u16(self.code.status());
        let status = self.status.unwrap_or(usual.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        (status, Json(self.body())).into_response()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NoTask(_)
            | Refusal::NoWorker(_)
            | Refusal::NoToken(_)
            | Refusal::NoBatch(_)
            | Refusal::NoJob(_)
            | Refusal::NoRecruiter { .. }
            | Refusal::NoOrphan { .. } => Self::not_found(message),
            Refusal::TaskEnded(..) => Self::new(ErrorCode::Conflict, message)
                .hint("to run it again: scitq manage task relaunch"),
            Refusal::NoFailedUpload(_) | Refusal::FilesAreGone(_) => {
                Self::new(ErrorCode::Conflict, message)
                    .hint("to run it again: scitq manage task relaunch")
            }
            Refusal::NotRunning(..) => Self::new(ErrorCode::Conflict, message)
                .hint("to end a task that does not run: scitq manage task cancel"),
            Refusal::Runs(_) => Self::new(ErrorCode::Conflict, message)
                .hint("an edit of it has to end the command and run it anew"),
            Refusal::EditedSince { .. } => Self::new(ErrorCode::Conflict, message)
                .hint("read it again, and edit what is there now"),
            Refusal::Circle { .. } | Refusal::ManyRequirements { .. } => Self::invalid(message),
            Refusal::HasDependents { .. } => Self::new(ErrorCode::Conflict, message)
                .hint("delete them as well with --cascade, or leave them blocked with --detach"),
            Refusal::OtherWorker { .. } => Self::new(ErrorCode::Forbidden, message),
            Refusal::AlreadyConnected(_)
            | Refusal::StaleLink
            | Refusal::NotPending(..)
            | Refusal::TakesNothing(_)
            | Refusal::NotToStart(_)
            | Refusal::NotPaused(..)
            | Refusal::AlreadyPaused(_)
            | Refusal::NotConnected(_) => Self::new(ErrorCode::Conflict, message),
            Refusal::NoMachine { hint, .. } => {
                Self::new(ErrorCode::Conflict, message).hint(hint.to_string())
            }
            Refusal::JobEnded(..) => Self::new(ErrorCode::Conflict, message)
                .hint("scitq manage job list shows what is under way"),
            Refusal::JobLives(..) => {
                Self::new(ErrorCode::Conflict, message).hint("to end it: scitq manage job cancel")
            }
            Refusal::NoMachineOf(_) => Self::new(ErrorCode::Conflict, message)
                .hint("there is nothing left to be done for it: scitq manage job delete"),
            Refusal::KeyReused => Self::new(ErrorCode::Conflict, message)
                .hint("send each new request with a new idempotency key"),
            Refusal::NoRoom(_) => Self::new(ErrorCode::Unavailable, message).hint(
                "nothing has changed; `scitq manage task prune` makes room, or give the server's \
                 data a larger disk",
            ),
            Refusal::Unavailable(_) => Self::new(ErrorCode::Unavailable, message)
                .hint("nothing has changed; try again later"),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<OutputError> for ApiError {
    fn from(error: OutputError) -> Self {
        Self::internal(&error)
    }
}
