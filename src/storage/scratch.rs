//! A folder for what is made on the way from storage.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The folder, which is only made when it is needed. One that nobody has given
/// goes with the last clone.
#[derive(Debug, Clone, Default)]
pub struct Scratch(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    given: Option<PathBuf>,
    own: OnceLock<PathBuf>,
}

impl Scratch {
    /// A folder of the caller's, who removes it.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self(Arc::new(Place { given: Some(folder.to_owned()), own: OnceLock::new() }))
    }

    pub(super) fn folder(&self) -> PathBuf {
        if let Some(given) = &self.0.given {
            return given.clone();
        }
        let make = || {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!("scitq-run-{}-{number}", std::process::id()))
        };
        self.0.own.get_or_init(make).clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = self.own.get() {
            // If it stays, it is in the folder for what may go.
            let _ = std::fs::remove_dir_all(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_gave_goes_with_the_last_clone() {
        let scratch = Scratch::default();
        let (other, folder) = (scratch.clone(), scratch.folder());
        std::fs::create_dir_all(&folder).unwrap();
        assert_ne!(Scratch::default().folder(), folder);
        drop(scratch);
        assert_eq!(other.folder(), folder);
        assert!(folder.exists());
        drop(other);
        assert!(!folder.exists());
        let given = tempfile::tempdir().unwrap();
        drop(Scratch::within(given.path()));
        assert!(given.path().exists());
    }
}
