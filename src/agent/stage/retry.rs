//! Trying again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::StageError;

/// How often, and after which waits, something is tried again that may pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub tries: u32,
    /// Wait after the first try; three times as long after each further one.
    pub first_wait: Duration,
}

impl Retry {
    /// Waits of 1, 3, 9, 27 and 81 s: two minutes, in which a file server
    /// restarts.
    pub(super) const STANDARD: Self = Self { tries: 6, first_wait: Duration::from_secs(1) };

    /// Runs `attempt` until it goes well, fails in a way that stays, or the
    /// tries are used up. A cancellation ends the waits, too.
    pub(super) async fn run<T, F: Future<Output = Result<T, StageError>>>(
        self,
        cancel: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StageError> {
        let mut wait = self.first_wait;
        let mut tries_left = self.tries;
        loop {
            tries_left = tries_left.saturating_sub(1);
            match attempt().await {
                Err(error) if error.is_transient() && tries_left > 0 => {
                    tracing::warn!(%error, ?wait, tries_left, "trying again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = cancel.cancelled() => return Err(error),
                    }
                    wait = wait.saturating_mul(3);
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::io::Errno;

    use crate::storage::StorageError;

    use super::*;

    const IMPATIENT: Retry = Retry { tries: 3, first_wait: Duration::ZERO };

    fn failure(errno: Errno) -> StageError {
        let uri = "file:///a".parse().unwrap();
        StorageError::io(&uri, "read", Path::new("/a"))(errno.into()).into()
    }

    async fn count_tries(
        cancel: &CancellationToken,
        retry: Retry,
        outcomes: &[Errno],
    ) -> (usize, bool) {
        let mut tries = 0;
        let result = retry
            .run(cancel, || {
                tries += 1;
                let outcome = outcomes.get(tries - 1).map_or(Ok(()), |errno| Err(failure(*errno)));
                std::future::ready(outcome)
            })
            .await;
        (tries, result.is_ok())
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        let cancel = CancellationToken::new();
        assert_eq!(count_tries(&cancel, IMPATIENT, &[]).await, (1, true));
        assert_eq!(count_tries(&cancel, IMPATIENT, &[Errno::IO, Errno::STALE]).await, (3, true));
        assert_eq!(count_tries(&cancel, IMPATIENT, &[Errno::IO; 5]).await, (3, false));
        assert_eq!(count_tries(&cancel, IMPATIENT, &[Errno::ACCESS]).await, (1, false));
    }

    #[tokio::test]
    async fn a_cancellation_ends_the_wait() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let patient = Retry { tries: 3, first_wait: Duration::from_hours(1) };
        assert_eq!(count_tries(&cancel, patient, &[Errno::IO; 5]).await, (1, false));
    }
}
