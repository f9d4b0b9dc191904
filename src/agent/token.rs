//! The token that is bound to this worker, on disk and in use.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::fsm::Secret;
use crate::api::fingerprint::{Fingerprint, TokenParts};

/// The tokens with which an agent may dial.
#[derive(Debug)]
pub struct Tokens {
    bound: Option<Secret>,
    configured: Option<Secret>,
}

impl Tokens {
    /// The token in the workdir, which the server has bound to this worker,
    /// goes before the one that the agent was started with.
    pub const fn new(bound: Option<Secret>, configured: Option<Secret>) -> Self {
        Self { bound, configured }
    }

    /// The one to dial with.
    pub fn current(&self) -> Option<&Secret> {
        self.bound.as_ref().or(self.configured.as_ref())
    }

    /// The certificate that the server must show. One that the agent was started
    /// with counts also for a token which the server gave before it had any.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let named = |token: &Secret| TokenParts::of(&token.0).ok()?.fingerprint;
        let mut tokens = [&self.bound, &self.configured].into_iter().flatten();
        tokens.find_map(named)
    }

    /// The server gave this one.
    pub fn bind(&mut self, token: Secret) {
        self.bound = Some(token);
    }

    /// The server does not take the current one. Says whether another is left.
    pub fn refused(&mut self) -> bool {
        let has_other = self.bound.is_some() && self.configured.is_some();
        if has_other {
            self.bound = None;
        }
        has_other
    }
}

/// Reads the bound token at `path`; a missing file has none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret(text.trim().to_owned())).filter(|token| !token.0.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps the bound token at `path`, for the agent's user alone.
///
/// # Errors
/// The file cannot be written; the old one stays.
pub fn write(path: &Path, token: &Secret) -> io::Result<()> {
    replace(path, token.0.as_bytes())
}

/// Puts a whole new file in the place of the old one, readable by its owner only.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn a_token_is_kept_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.token");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, &secret("first")).unwrap();
        write(&path, &secret("second")).unwrap();
        assert_eq!(read(&path).unwrap(), Some(secret("second")));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_refused_bound_token_leaves_the_one_to_join_with() {
        let mut tokens = Tokens::new(Some(secret("bound")), Some(secret("join")));
        assert_eq!(tokens.current(), Some(&secret("bound")));
        assert!(tokens.refused());
        assert_eq!(tokens.current(), Some(&secret("join")));
        assert!(!tokens.refused());
        tokens.bind(secret("new"));
        assert_eq!(tokens.current(), Some(&secret("new")));
        assert!(!Tokens::new(Some(secret("bound")), None).refused());
    }
}
