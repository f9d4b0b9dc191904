//! What can go wrong between a client and its server.

use std::error::Error as _;

use thiserror::Error;

use crate::api::fingerprint::DamagedToken;
use crate::api::{ErrorBody, ErrorCode, tls};

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// No connection could be made: the request was not sent.
    #[error("cannot reach scitq at {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// Who answers there is not the server that the token, or an authority, speaks of.
    #[error("what answers at {address} is not to be trusted: {cause}")]
    Untrusted { address: String, cause: String },
    /// The token names a certificate, and the address is one in plain.
    #[error(
        "the token is for an encrypted connection, and everybody on the way to {address} could read it"
    )]
    Exposed { address: String },
    /// The connection was lost before the answer was here: a change may have
    /// been made, or not.
    #[error("lost the connection to scitq at {address}: {cause}")]
    Lost { address: String, cause: String },
    /// The server wants a token, or does not know this one.
    #[error("scitq at {address} does not let you in: {}", body.message)]
    Unauthenticated { address: String, body: ErrorBody },
    /// The server understood and said no.
    #[error("{}", body.message)]
    Refused { body: ErrorBody },
    /// What answers is no scitq server of this version.
    #[error("{address} does not answer as scitq does: {reason}")]
    Protocol { address: String, reason: String },
    /// The token cannot be sent in a header.
    #[error("the access token has characters that no token has")]
    BadToken,
    #[error(transparent)]
    DamagedToken(#[from] DamagedToken),
    #[error("cannot speak TLS with {address}: {cause}")]
    NoTls { address: String, cause: String },
    /// A change needs a random key.
    #[error("the system gives no random numbers: {cause}")]
    NoKey { cause: String },
}

impl ClientError {
    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused { body } => matches!(body.code, ErrorCode::Unavailable),
            Self::Untrusted { .. }
            | Self::Exposed { .. }
            | Self::Unauthenticated { .. }
            | Self::Protocol { .. }
            | Self::BadToken
            | Self::DamagedToken(_)
            | Self::NoTls { .. }
            | Self::NoKey { .. } => false,
        }
    }

    /// Whether the server refused for this reason.
    #[must_use]
    pub fn is_refused_as(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused { body } if body.code == code)
    }

    /// Sorts what the HTTP library tells into our kinds.
    pub(super) fn from_transport(address: String, error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Protocol { address, reason: innermost(error) };
        }
        let cause =
            if error.is_timeout() { "no answer in time".to_owned() } else { innermost(error) };
        if let Some(cause) = tls::identity_problem(error).filter(|_| error.is_connect()) {
            Self::Untrusted { address, cause }
        } else if error.is_connect() {
            Self::Unreachable { address, cause }
        } else {
            Self::Lost { address, cause }
        }
    }
}

/// The first cause of an error, without the number of the system's error.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    let plain = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = plain.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
