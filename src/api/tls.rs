//! The cryptography of TLS: ring, for the whole process.

use std::sync::Once;

static INSTALLED: Once = Once::new();

/// Sees to it that TLS has its cryptography. To be called before the first
/// HTTP client is made; every further call does nothing.
pub fn install_crypto() {
    INSTALLED.call_once(|| {
        // An error means that somebody else has installed one, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
