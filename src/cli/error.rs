//! What the command line tells when something goes wrong: an error, its
//! causes, hints, and the exit code.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::api::{ClientError, ErrorCode};

/// What kind of error it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server refused, or a person said no.
    Refused,
    /// The command line cannot be understood.
    Usage,
    /// Nobody reads our standard output any more.
    StdoutClosed,
    /// No scitq server answers.
    Unreachable,
    /// A defect of scitq.
    Internal,
    /// It may well work later.
    TryLater,
    /// A setting is wrong.
    Configuration,
    /// A task was awaited, and scitq, not the task, failed.
    Waiting,
}

/// An error with all that a person needs to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    kind: ErrorKind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    code: Option<ErrorCode>,
    request_id: Option<String>,
}

/// The error as the one object that `--json` prints.
#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    caused_by: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hints: &'a [String],
    exit_code: u8,
    /// The server's error code, where the server refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ErrorDocument<'a> {
    error: ErrorObject<'a>,
}

/// The exit codes of every command, for the manual.
pub const EXIT_CODES: [(&str, &str); 8] = [
    ("0", "Done"),
    ("1", "Refused by the server or a person, or an awaited task failed"),
    ("2", "The command line cannot be understood"),
    ("3", "Standard output was closed"),
    ("69", "The server cannot be reached"),
    ("70", "A defect of scitq"),
    ("75", "It may work later"),
    ("78", "A setting is wrong"),
];

impl ErrorKind {
    /// The exit code, as [`EXIT_CODES`] lists them.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::StdoutClosed => 3,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::TryLater => 75,
            Self::Configuration => 78,
            Self::Waiting => 125,
        }
    }
}

impl CliError {
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            code: None,
            request_id: None,
        }
    }

    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    #[must_use]
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An error of another room, with its sources as causes.
    #[must_use]
    pub fn of(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        let told = Self::new(kind, error.to_string());
        match error.source() {
            Some(source) => told.caused_by(source),
            None => told,
        }
    }

    /// Adds an error and all its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.causes.push(error.to_string());
            cause = error.source();
        }
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error, with the place where it is.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error, but met while a task was awaited.
    #[must_use]
    pub fn while_waiting(mut self) -> Self {
        if self.kind != ErrorKind::StdoutClosed {
            self.kind = ErrorKind::Waiting;
        }
        self
    }

    /// What a failed write to our standard output means.
    #[must_use]
    pub fn from_stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(ErrorKind::StdoutClosed, "standard output was closed");
        }
        Self::internal("cannot write to standard output").caused_by(error)
    }

    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server's error code, where the server refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        self.code
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The error as one JSON object on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = ErrorDocument {
            error: ErrorObject {
                message: &self.message,
                caused_by: &self.causes,
                hints: &self.hints,
                exit_code: self.kind.exit_code(),
                code: self.code,
                request_id: self.request_id.as_deref(),
            },
        };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Unreachable { address, .. } => unreachable(&address, message),
            ClientError::Untrusted { .. } => Self::new(ErrorKind::Unreachable, message).hint(
                "nothing was sent; a token names the certificate of its server, and a new one is \
                 made by `scitq manage token create` there",
            ),
            ClientError::Exposed { address } => Self::configuration(message)
                .hint(format!("write {}", address.replacen("http:", "https:", 1))),
            ClientError::DamagedToken(_) => {
                Self::configuration(message).hint("copy the whole of it")
            }
            ClientError::NoTls { .. } | ClientError::BadToken => Self::configuration(message),
            ClientError::Lost { .. } => Self::new(ErrorKind::Unreachable, message).hint(
                "a change that was under way may have been made or not: look before you repeat it",
            ),
            ClientError::Unauthenticated { body, .. } => Self {
                code: Some(body.code),
                hints: body.hint.into_iter().collect(),
                ..Self::refused(message)
            },
            ClientError::Refused { body } => {
                let kind = match body.code {
                    ErrorCode::Unavailable => ErrorKind::TryLater,
                    ErrorCode::Internal => ErrorKind::Internal,
                    _ => ErrorKind::Refused,
                };
                let wants_log = matches!(body.code, ErrorCode::Internal);
                let log_hint = format!("the server's log has the cause under {}", body.request_id);
                let unknown = (body.code == ErrorCode::NotFound && body.hint.is_none())
                    .then(|| hint_of_unknown(&body.message))
                    .flatten();
                let hints =
                    body.hint.into_iter().chain(wants_log.then_some(log_hint)).chain(unknown);
                Self {
                    hints: hints.collect(),
                    code: Some(body.code),
                    request_id: Some(body.request_id).filter(|id| !id.is_empty()),
                    ..Self::new(kind, message)
                }
            }
            ClientError::Protocol { .. } => Self::new(ErrorKind::Unreachable, message)
                .hint("something else listens there, or a scitq of another version"),
            ClientError::NoKey { .. } => Self::internal(message),
        }
    }
}

/// Where to look for what is not there, by the object that the server names first.
fn hint_of_unknown(message: &str) -> Option<String> {
    let object = message.split(' ').next()?;
    let is_listed = ["task", "worker", "batch", "execution", "token", "job"].contains(&object);
    is_listed.then(|| format!("`scitq manage {object} list` shows what there is"))
}

fn unreachable(address: &str, message: String) -> CliError {
    if address.starts_with("ssh:") {
        let path = address.trim_start_matches("ssh://");
        let host = path.split(['/', ':']).next().unwrap_or_default();
        return CliError::new(ErrorKind::Unreachable, message).hint(format!(
            "`ssh {host}` shows what ssh has to say, and asks what it wants to know"
        ));
    }
    let error = CliError::new(ErrorKind::Unreachable, message);
    let names_port = address.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let error = if names_port {
        error
    } else {
        let port = if address.starts_with("https:") { 443 } else { 80 };
        error.hint(format!(
            "`{address}` is port {port}, and scitq listens on 5000 unless told otherwise"
        ))
    };
    error
        .hint("start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_exit_code_of_the_manual() {
        let refusal = |code| {
            let body = crate::api::ErrorBody {
                code,
                message: "no".into(),
                hint: None,
                request_id: "r1".into(),
            };
            CliError::from(ClientError::Refused { body }).kind().exit_code()
        };
        assert_eq!(refusal(ErrorCode::NotFound), 1);
        assert_eq!(refusal(ErrorCode::Unavailable), 75);
        assert_eq!(refusal(ErrorCode::Internal), 70);
        let lost = ClientError::Lost { address: "http://head".into(), cause: "reset".into() };
        assert_eq!(CliError::from(lost.clone()).kind().exit_code(), 69);
        assert_eq!(CliError::from(lost).while_waiting().kind().exit_code(), 125);
    }

    #[test]
    fn an_error_is_one_json_object() {
        let error = CliError::refused("task 7 is not there")
            .caused_by(&io::Error::other("why"))
            .hint("look again");
        assert_eq!(
            error.to_json(),
            r#"{"error":{"message":"task 7 is not there","caused_by":["why"],"hints":["look again"],"exit_code":1}}"#
        );
    }
}
