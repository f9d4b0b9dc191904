//! Who is calling, and what they may do.
//!
//! A token's secret is 256 random bits, of which the server stores only the
//! SHA-256. A slow password hash would add nothing: it makes guessing costly
//! where secrets are short, and these cannot be guessed.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::trust::Trust;
use crate::api::fingerprint::secret_of;
use crate::api::token::Role;
use crate::domain::{Timestamp, TokenId, WorkerId};

/// How each secret begins, so that people and scanners recognise one.
const SECRET_PREFIX: &str = "scitq_";

/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// The alphabet of base64url (RFC 4648, section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token in clear. It is never logged: it has no `Display`, and its `Debug`
/// does not tell it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is stored of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// One who was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// None for one who came from a trusted address.
    pub token: Option<TokenId>,
    /// The name that is recorded with every change.
    pub name: String,
    pub role: Role,
    /// The worker that the token speaks for.
    pub worker: Option<WorkerId>,
}

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// See tasks, workers, batches and output.
    Read,
    /// Queue and change tasks, workers and batches.
    Change,
    /// See, make and revoke tokens.
    Administer,
    /// Open an agent's link. What may be said on it is decided there.
    JoinWorker,
}

/// Why one was not recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("a token is needed (`Authorization: Bearer <token>`)")]
    Missing,
    #[error("the `Authorization` header is not of the form `Bearer <token>`")]
    Malformed,
    #[error("the token is not known here: it was revoked, or belongs to another server")]
    Unknown,
    #[error("the token has expired")]
    Expired,
}

/// All valid tokens, by their hashes.
///
/// Looking a caller up takes a time that depends on the caller's hash, and that
/// is harmless: the caller chooses a secret, not its SHA-256, so what timing
/// tells about stored hashes brings no guess closer to a secret.
#[derive(Debug, Default)]
pub struct TokenTable {
    tokens: RwLock<FxHashMap<TokenHash, Entry>>,
}

/// One token.
#[derive(Debug)]
struct Entry {
    principal: Arc<Principal>,
    /// None: never.
    expires_at: Option<Timestamp>,
    /// Microseconds since 1970; 0: never.
    last_used: AtomicI64,
    /// The use that was written down last.
    written: AtomicI64,
}

/// The life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenLife {
    /// None: it does not end.
    pub expires_at: Option<Timestamp>,
    /// None: never.
    pub last_used_at: Option<Timestamp>,
}

impl Secret {
    /// Draws a new secret.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{SECRET_PREFIX}{}", base64url(&bytes))))
    }

    /// The secret in clear, for the one who is to have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl TokenHash {
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl Principal {
    #[must_use]
    pub const fn may(&self, need: Need) -> bool {
        allows(self.role, need)
    }
}

impl TokenTable {
    /// Makes a token valid, for ever.
    pub fn insert(&self, hash: TokenHash, principal: Principal) {
        self.insert_with(hash, principal, TokenLife::default());
    }

    /// Makes a token valid as long as it lives.
    pub fn insert_with(&self, hash: TokenHash, principal: Principal, life: TokenLife) {
        let used = life.last_used_at.map_or(0, |at| at.0);
        let entry = Entry {
            principal: Arc::new(principal),
            expires_at: life.expires_at,
            last_used: AtomicI64::new(used),
            written: AtomicI64::new(used),
        };
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(hash, entry);
    }

    /// When each token was last used, of those that were used at all.
    #[must_use]
    pub fn last_uses(&self) -> FxHashMap<TokenId, Timestamp> {
        self.collect_uses(|entry| entry.last_used.load(Ordering::Relaxed))
    }

    /// The same of those whose last use was not written down yet, which counts as
    /// done from now on.
    #[must_use]
    pub fn uses_to_write(&self) -> FxHashMap<TokenId, Timestamp> {
        self.collect_uses(|entry| {
            let used = entry.last_used.load(Ordering::Relaxed);
            if entry.written.swap(used, Ordering::Relaxed) == used { 0 } else { used }
        })
    }

    fn collect_uses(&self, use_of: impl Fn(&Entry) -> i64) -> FxHashMap<TokenId, Timestamp> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let uses = tokens.values().filter_map(|entry| {
            let used = Some(use_of(entry)).filter(|used| *used > 0)?;
            Some((entry.principal.token?, Timestamp(used)))
        });
        uses.collect()
    }

    /// Makes a token invalid from now on. Answers whether it was valid.
    pub fn remove(&self, token: TokenId) -> bool {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let before = tokens.len();
        tokens.retain(|_, entry| entry.principal.token != Some(token));
        tokens.len() < before
    }

    /// Whose token this is, with or without a certificate's fingerprint in it.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<Arc<Principal>> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&TokenHash::of(secret_of(token))).map(|entry| Arc::clone(&entry.principal))
    }

    fn find_living(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, AuthError> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let entry = tokens.get(&TokenHash::of(secret_of(token))).ok_or(AuthError::Unknown)?;
        if entry.expires_at.is_some_and(|end| end <= now) {
            return Err(AuthError::Expired);
        }
        entry.last_used.store(now.0, Ordering::Relaxed);
        Ok(Arc::clone(&entry.principal))
    }

    /// Who sends a request with this `Authorization` header from this address.
    /// A wrong token is refused also where none would have been needed: who
    /// shows one means to be that one.
    ///
    /// # Errors
    /// There is no token that is valid, and the address is not trusted.
    pub fn authenticate(
        &self,
        trust: &Trust,
        authorization: Option<&str>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        let Some(header) = authorization else {
            return trust.principal(address).map(Arc::new).ok_or(AuthError::Missing);
        };
        let secret = bearer(header).ok_or(AuthError::Malformed)?;
        self.find_living(secret, now)
    }
}

/// Whether a role allows something.
#[must_use]
pub const fn allows(role: Role, need: Need) -> bool {
    match role {
        Role::Admin => true,
        Role::User => matches!(need, Need::Read | Need::Change),
        Role::Agent => matches!(need, Need::JoinWorker),
        Role::Read => matches!(need, Need::Read),
    }
}

/// The token of an `Authorization` header (RFC 6750; the scheme's case does not
/// matter).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for digit in 0..=group.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(id: u64, role: Role) -> Principal {
        Principal { token: Some(TokenId(id)), name: format!("t{id}"), role, worker: None }
    }

    #[test]
    fn who_may_do_what() {
        use Need::{Administer, Change, JoinWorker, Read};
        let table = [
            (Role::Admin, [true, true, true, true]),
            (Role::User, [true, true, false, false]),
            (Role::Agent, [false, false, false, true]),
            (Role::Read, [true, false, false, false]),
        ];
        for (role, expected) in table {
            let found = [Read, Change, Administer, JoinWorker].map(|need| allows(role, need));
            assert_eq!(found, expected, "{role}");
        }
    }

    #[test]
    fn secrets_differ_and_are_not_shown() {
        let secret = Secret::generate().unwrap();
        let other = Secret::generate().unwrap();
        assert_ne!(secret, other);
        let digits = secret.expose().strip_prefix("scitq_").unwrap();
        assert_eq!(digits.len(), 43);
        assert!(digits.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "Secret(…) TokenHash(…)");
        assert_eq!(secret.hash(), TokenHash::of(secret.expose()));
    }

    #[test]
    fn base64url_is_that_of_the_standard() {
        // RFC 4648, section 10, and the two digits in which base64url differs.
        let cases: [(&[u8], &str); 6] = [
            (b"", ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff], "-_8"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64url(bytes), text);
        }
    }

    #[test]
    fn the_hash_of_a_secret_is_its_sha256() {
        // FIPS 180-2, appendix B.1. Stored hashes depend on it.
        let TokenHash(hash) = TokenHash::of("abc");
        assert_eq!(hash[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
    }

    #[test]
    fn headers_and_addresses() {
        let table = TokenTable::default();
        table.insert(TokenHash::of("scitq_good"), principal(1, Role::Read));
        let trust = Trust::new(["10.0.0.0/8".parse().unwrap()]);
        let inside = "10.0.0.1";
        let outside = "192.168.0.1";
        let cases = [
            (Some("Bearer scitq_good"), outside, Ok("t1")),
            (Some("Bearer scitq_good"), inside, Ok("t1")),
            (Some("bearer  scitq_good "), outside, Ok("t1")),
            (Some("Bearer scitq_bad"), outside, Err(AuthError::Unknown)),
            (Some("Bearer scitq_bad"), inside, Err(AuthError::Unknown)),
            (Some("Bearer "), inside, Err(AuthError::Malformed)),
            (Some("scitq_good"), inside, Err(AuthError::Malformed)),
            (Some("Basic scitq_good"), inside, Err(AuthError::Malformed)),
            (Some(""), inside, Err(AuthError::Malformed)),
            (None, inside, Ok("trusted:10.0.0.1")),
            (None, outside, Err(AuthError::Missing)),
        ];
        for (header, address, expected) in cases {
            let found = table.authenticate(&trust, header, address.parse().unwrap(), Timestamp(9));
            let found = found.as_ref().map(|principal| principal.name.as_str());
            assert_eq!(found, expected.as_ref().copied(), "{header:?} from {address}");
        }
    }

    #[test]
    fn a_token_ends_at_its_end_and_remembers_its_last_use() {
        let table = TokenTable::default();
        let life = TokenLife { expires_at: Some(Timestamp(100)), last_used_at: None };
        table.insert_with(TokenHash::of("a"), principal(1, Role::User), life);
        let ask = |now| {
            let address = "10.0.0.1".parse().unwrap();
            let found =
                table.authenticate(&Trust::default(), Some("Bearer a"), address, Timestamp(now));
            found.map(|principal| principal.name.clone())
        };
        assert!(table.last_uses().is_empty());
        assert_eq!(ask(99), Ok("t1".to_owned()));
        assert_eq!(ask(100), Err(AuthError::Expired));
        let used: FxHashMap<TokenId, Timestamp> =
            [(TokenId(1), Timestamp(99))].into_iter().collect();
        assert_eq!(table.last_uses(), used);
        assert_eq!(table.uses_to_write(), used);
        assert!(table.uses_to_write().is_empty());
    }

    #[test]
    fn a_revoked_token_is_no_longer_known() {
        let table = TokenTable::default();
        table.insert(TokenHash::of("a"), principal(1, Role::User));
        table.insert(TokenHash::of("b"), principal(2, Role::User));
        assert!(table.remove(TokenId(1)));
        assert!(!table.remove(TokenId(1)));
        assert_eq!(table.find("a"), None);
        assert_eq!(table.find("b").as_deref(), Some(&principal(2, Role::User)));
    }
}
