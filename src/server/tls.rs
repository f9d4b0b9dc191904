//! The server's side of TLS: its certificate, made or given, and read anew
//! when the administrator has renewed it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::data_dir::{DataDir, DataDirError, write_private};
use crate::api::fingerprint::Fingerprint;
use crate::api::tls::{PROTOCOL, install_crypto};

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSettings {
    /// Made at the first start and kept in the data directory. Its fingerprint
    /// is in every token.
    OwnMade,
    /// Files in PEM form that somebody else keeps up to date.
    Files { certificate: PathBuf, key: PathBuf },
}

/// Why the server cannot speak TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read `{path}`", path = .path.display())]
    Read { path: PathBuf, source: pem::Error },
    #[error("`{path}` has no certificate in PEM form", path = .path.display())]
    NoCertificate { path: PathBuf },
    #[error("`{certificate}` and `{key}` cannot be used: {source}", certificate = .certificate.display(), key = .key.display())]
    Unusable { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("`{present}` is there and `{missing}` is not", present = .present.display(), missing = .missing.display())]
    HalfLost { present: PathBuf, missing: PathBuf },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Write(#[from] DataDirError),
    #[error("no cryptography for TLS: {0}")]
    Cryptography(#[source] rustls::Error),
}

/// The server's certificate in use.
#[derive(Debug)]
pub struct Tls {
    files: PemFiles,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    fingerprint: Option<Fingerprint>,
}

#[derive(Debug)]
struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The certificate that the next connection is shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Tls {
    /// Reads the certificate, or makes one where there is none yet.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn open(settings: &TlsSettings, data_dir: &DataDir) -> Result<Self, TlsError> {
        install_crypto();
        let files = match settings {
            TlsSettings::OwnMade => own_made(data_dir)?,
            TlsSettings::Files { certificate, key } => {
                PemFiles { certificate: certificate.clone(), key: key.clone() }
            }
        };
        let certified = files.load()?;
        let is_own = *settings == TlsSettings::OwnMade;
        let fingerprint =
            certified.cert.first().filter(|_| is_own).map(|first| Fingerprint::of(first));
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { files, current, config: Arc::new(config), fingerprint })
    }

    /// Shows the certificate that is in the files by now from the next
    /// connection on.
    ///
    /// # Errors
    /// The files cannot be used; the certificate from before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let certified = self.files.load()?;
        if let Some(fingerprint) = self.fingerprint {
            let found = certified.cert.first().map(|first| Fingerprint::of(first));
            if found != Some(fingerprint) {
                tracing::warn!("another certificate of our own counts from the next start on");
                return Ok(());
            }
        }
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(())
    }

    /// That of a certificate which nobody vouches for.
    #[must_use]
    pub const fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Speaks TLS on a connection.
    ///
    /// # Errors
    /// The other side does not, or not as we do.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl PemFiles {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Read { path, source }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(read(&self.certificate))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: self.certificate.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(read(&self.key))?;
        let Some(provider) = CryptoProvider::get_default() else {
            let missing = rustls::Error::General("none is installed".to_owned());
            return Err(TlsError::Cryptography(missing));
        };
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

/// The files of our own certificate, which are made where there are none.
fn own_made(data_dir: &DataDir) -> Result<PemFiles, TlsError> {
    let files = PemFiles { certificate: data_dir.certificate(), key: data_dir.certificate_key() };
    match (files.certificate.exists(), files.key.exists()) {
        (true, true) => Ok(files),
        (true, false) => Err(TlsError::HalfLost { present: files.certificate, missing: files.key }),
        // A key without a certificate is a first start that was cut short.
        (false, _) => {
            make(&files)?;
            Ok(files)
        }
    }
}

fn make(files: &PemFiles) -> Result<(), TlsError> {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    // A name that no certificate can have is left out: clients do not look at it.
    if machine.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        names.push(machine);
    }
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, "scitq server");
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    // The key first: a certificate in its place says that both are there.
    write_private(&files.key, key.serialize_pem().as_bytes())?;
    write_private(&files.certificate, certificate.pem().as_bytes())?;
    let fingerprint = Fingerprint::of(certificate.der()).in_hexadecimal();
    tracing::info!(%fingerprint, "made a certificate");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_certificate_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(directory.path()).unwrap();
        let first = Tls::open(&TlsSettings::OwnMade, &data_dir).unwrap().fingerprint();
        assert!(first.is_some());
        let again = Tls::open(&TlsSettings::OwnMade, &data_dir).unwrap().fingerprint();
        assert_eq!(first, again);
        fs::remove_file(data_dir.certificate_key()).unwrap();
        let error = Tls::open(&TlsSettings::OwnMade, &data_dir).unwrap_err();
        assert!(matches!(error, TlsError::HalfLost { .. }), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_old_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(directory.path()).unwrap();
        Tls::open(&TlsSettings::OwnMade, &data_dir).unwrap();
        let (certificate, key) =
            (directory.path().join("given.pem"), directory.path().join("given.key"));
        fs::copy(data_dir.certificate(), &certificate).unwrap();
        fs::copy(data_dir.certificate_key(), &key).unwrap();
        let settings = TlsSettings::Files { certificate, key: key.clone() };
        let tls = Tls::open(&settings, &data_dir).unwrap();
        assert_eq!(tls.fingerprint(), None);
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Unusable { .. })));
        fs::write(&key, "no key").unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));
        let shown = tls.current.0.read().unwrap().cert.len();
        assert_eq!(shown, 1);
    }
}
