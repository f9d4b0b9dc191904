//! What can go wrong with a remote, whatever its protocol.

use std::io;
use std::time::Duration;

/// Why a remote did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteError {
    pub kind: RemoteErrorKind,
    /// In the words of the remote or the library, without secrets.
    pub message: String,
    /// How long the remote asked us to wait.
    pub retry_after: Option<Duration>,
}

/// What it means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteErrorKind {
    NotFound,
    /// Wrong credentials, or no permission.
    Denied,
    /// The protocol or this server cannot do it.
    Unsupported,
    /// What is there is not what was listed.
    Changed,
    /// May go well a little later.
    Temporary,
    /// Goes wrong again.
    Lasting,
}

pub(super) type Result<T> = std::result::Result<T, RemoteError>;

impl RemoteError {
    pub(super) fn new(kind: RemoteErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    pub(super) fn temporary(message: impl Into<String>) -> Self {
        Self::new(RemoteErrorKind::Temporary, message)
    }

    pub(super) fn lasting(message: impl Into<String>) -> Self {
        Self::new(RemoteErrorKind::Lasting, message)
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(RemoteErrorKind::Unsupported, message)
    }

    pub(super) fn changed() -> Self {
        Self::new(RemoteErrorKind::Changed, "it changed since it was listed")
    }

    pub(super) fn ended_early() -> Self {
        Self::temporary("the data ended early")
    }

    /// From a network connection.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::temporary(error.to_string())
    }

    /// Replaces what must not be seen.
    pub(super) fn without(mut self, secrets: &[String]) -> Self {
        for secret in secrets.iter().filter(|secret| secret.len() > 2) {
            self.message = self.message.replace(secret.as_str(), "***");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out() {
        let error = RemoteError::lasting("GET http://localhost/?sig=sesame failed: sesame");
        let error = error.without(&["sesame".to_owned(), String::new(), "t".to_owned()]);
        assert_eq!(error.message, "GET http://localhost/?sig=*** failed: ***");
    }
}
