//! The fingerprint of a server's certificate, and tokens that carry one.
//!
//! A server that made its own certificate (`serve --tls self`) hands out tokens
//! of the form `SECRET.FINGERPRINT`. Whoever has the token then knows the
//! server's certificate without an authority that vouches for it, and talks to
//! no other. Only the secret is ever sent.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What is between a token's secret and the fingerprint.
const MARK: char = '.';

/// SHA-256 of a certificate in DER form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is damaged: what follows its last `.` is no fingerprint of a certificate")]
pub struct DamagedToken;

/// A token taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenParts<'a> {
    /// What is sent to the server.
    pub secret: &'a str,
    /// The certificate that the server must show.
    pub fingerprint: Option<Fingerprint>,
}

impl Fingerprint {
    /// That of a certificate in DER form.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// In pairs of hexadecimal digits with colons, as other programs show it.
    #[must_use]
    pub fn in_hexadecimal(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// A token whose holder knows this certificate.
    #[must_use]
    pub fn in_token(self, secret: &str) -> String {
        format!("{secret}{MARK}{self}")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = DamagedToken;

    fn from_str(text: &str) -> Result<Self, DamagedToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| DamagedToken)?;
        Ok(Self(bytes.try_into().map_err(|_| DamagedToken)?))
    }
}

impl<'a> TokenParts<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It has the mark and no fingerprint behind it: a part of it was lost, and
    /// without that part it would be sent to any server.
    pub fn of(token: &'a str) -> Result<Self, DamagedToken> {
        match token.split_once(MARK) {
            None => Ok(Self { secret: token, fingerprint: None }),
            Some((secret, rest)) => Ok(Self { secret, fingerprint: Some(rest.parse()?) }),
        }
    }
}

impl fmt::Debug for TokenParts<'_> {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenParts").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The secret in a token, whatever follows it.
#[must_use]
pub fn secret_of(token: &str) -> &str {
    token.split(MARK).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_the_fingerprint_behind_its_secret() {
        let fingerprint = Fingerprint::of(b"abc");
        // FIPS 180-2, appendix B.1.
        assert!(fingerprint.in_hexadecimal().starts_with("BA:78:16:BF:8F:01:CF:EA:"));
        let token = fingerprint.in_token("scitq_x");
        let parts = TokenParts::of(&token).unwrap();
        assert_eq!((parts.secret, parts.fingerprint), ("scitq_x", Some(fingerprint)));
        assert_eq!(secret_of(&token), "scitq_x");
        assert!(!format!("{parts:?}").contains("scitq_x"));
    }

    #[test]
    fn a_token_without_one_is_all_secret() {
        let parts = TokenParts::of("scitq_x").unwrap();
        assert_eq!((parts.secret, parts.fingerprint), ("scitq_x", None));
    }

    #[test]
    fn a_token_that_lost_a_part_of_its_fingerprint_is_no_token() {
        let token = Fingerprint::of(b"abc").in_token("scitq_x");
        let mut lost = token.as_str();
        while let Some((end, _)) = lost.char_indices().next_back().filter(|(_, c)| *c != MARK) {
            lost = lost.get(..end).unwrap();
            assert_eq!(TokenParts::of(lost), Err(DamagedToken), "{lost}");
        }
    }
}
