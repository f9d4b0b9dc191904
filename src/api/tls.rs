//! The client's side of TLS, with ring as its cryptography.
//!
//! A server shows who it is by a certificate that an authority vouches for,
//! or by the very certificate whose fingerprint is in our token ([`pinned`]).

mod pinned;

use std::error::Error;
use std::sync::{Arc, Once};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fingerprint::Fingerprint;

pub use pinned::OtherCertificate;

static INSTALLED: Once = Once::new();

/// The protocol that is spoken within TLS.
pub const PROTOCOL: &[u8] = b"http/1.1";

/// What makes a server the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Nothing: no TLS will be spoken.
    Plain,
    /// A certificate that this machine's authorities vouch for.
    Vouched,
    /// This certificate.
    Pinned(Fingerprint),
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate authorities of this machine cannot be used")]
    Authorities(#[source] rustls::Error),
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    #[error("no encrypted connection")]
    Handshake(#[source] std::io::Error),
}

/// Sees to it that TLS has its cryptography. To be called before the first
/// HTTP client is made; every further call does nothing.
pub fn install_crypto() {
    INSTALLED.call_once(|| {
        // An error means that somebody else has installed one, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// How a client speaks TLS with a server of that identity.
///
/// # Errors
/// This machine's certificate authorities cannot be read.
pub fn client_config(identity: Identity) -> Result<ClientConfig, TlsError> {
    install_crypto();
    let builder = ClientConfig::builder();
    let mut config = match identity {
        // Reading a machine's certificates takes longer than a request that is not
        // encrypted.
        Identity::Plain => {
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
        Identity::Vouched => {
            builder.with_platform_verifier().map_err(TlsError::Authorities)?.with_no_client_auth()
        }
        Identity::Pinned(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned::Pinned::new(fingerprint)))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// What is wrong with the certificate that the other side showed, where that is
/// the cause of an error, and not a network that does not carry.
#[must_use]
pub fn identity_problem(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                Some(other.0.to_string())
            }
            rustls::Error::InvalidCertificate(problem) => {
                Some(format!("its certificate is not valid here ({problem:?})"))
            }
            _ => None,
        };
    }
    // The standard library's error hides the one within from its sources.
    let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match within {
        Some(inner) => identity_problem(inner),
        None => identity_problem(error.source()?),
    }
}

/// Speaks TLS on a connection to that host.
///
/// # Errors
/// The other side is not who it should be, or speaks no TLS.
pub async fn encrypt<S>(stream: S, host: &str, identity: Identity) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = client_config(identity)?;
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(TlsError::Handshake)
}
