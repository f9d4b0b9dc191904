//! What a link travels on: a connection in plain, within TLS, or by way of SSH.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::api::client::{ClientError, ServerAddress, identity};
use crate::api::fingerprint::Fingerprint;
use crate::api::ssh::Tunnel;
use crate::api::tls::{self, Identity, TlsError};

/// A connection of whatever kind.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carrier for S {}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum CarrierError {
    #[error(transparent)]
    Identity(#[from] ClientError),
    #[error("{}", innermost(.0))]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Connect(#[from] io::Error),
}

/// Connects to the server, which must show this certificate if one is named.
pub(super) async fn connect(
    server: &ServerAddress,
    tunnel: Option<&Tunnel>,
    fingerprint: Option<Fingerprint>,
) -> Result<Box<dyn Carrier>, CarrierError> {
    let identity = identity(server, fingerprint)?;
    if let Some(tunnel) = tunnel {
        return Ok(Box::new(UnixStream::connect(tunnel.socket()).await?));
    }
    let stream = TcpStream::connect((server.host(), server.port())).await?;
    stream.set_nodelay(true)?;
    Ok(match identity {
        Identity::Plain => Box::new(stream),
        identity => Box::new(tls::encrypt(stream, server.host(), identity).await?),
    })
}

/// The first cause, which is what a person can do something about.
fn innermost(error: &TlsError) -> String {
    if let Some(problem) = tls::identity_problem(error) {
        return problem;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
