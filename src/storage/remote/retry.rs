//! Trying again what may go well a little later.

use std::time::Duration;

use super::error::{RemoteError, RemoteErrorKind, Result};
use super::net::LONGEST_WAIT;

/// How often one operation is tried, and how long the first wait is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub tries: u32,
    /// Three times as long after each further try.
    pub first_wait: Duration,
}

impl Default for Patience {
    /// Waits of 0.5, 1.5, 4.5 and 13.5 s.
    fn default() -> Self {
        Self { tries: 5, first_wait: Duration::from_millis(500) }
    }
}

impl Patience {
    /// Runs `attempt` until it goes well, fails in a way that stays, or the
    /// tries are used up. A server that says how long to wait is obeyed.
    pub(super) async fn run<T, F: Future<Output = Result<T>>>(
        self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let mut wait = self.first_wait;
        let mut tries_left = self.tries;
        loop {
            tries_left = tries_left.saturating_sub(1);
            let error = match attempt().await {
                Err(error) if is_worth_a_try(&error) && tries_left > 0 => error,
                result => return result,
            };
            let asked = error.retry_after.unwrap_or(wait).max(wait);
            tracing::debug!(error = error.message, wait = ?asked, "trying again");
            tokio::time::sleep(asked).await;
            wait = wait.saturating_mul(3);
        }
    }
}

fn is_worth_a_try(error: &RemoteError) -> bool {
    error.kind == RemoteErrorKind::Temporary
        && error.retry_after.is_none_or(|wait| wait <= LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_given_the_time_that_it_asks_for() {
        let patience = Patience { tries: 3, first_wait: Duration::from_secs(1) };
        let tries = Cell::new(0);
        let start = tokio::time::Instant::now();
        let result: Result<()> = patience
            .run(|| {
                tries.set(tries.get() + 1);
                let mut error = RemoteError::temporary("busy");
                error.retry_after = (tries.get() == 1).then_some(Duration::from_secs(50));
                std::future::ready(Err(error))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.get(), 3);
        assert_eq!(start.elapsed(), Duration::from_secs(53));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_is_not_tried_again() {
        let tries = Cell::new(0);
        let result: Result<()> = Patience::default()
            .run(|| {
                tries.set(tries.get() + 1);
                std::future::ready(Err(RemoteError::lasting("no")))
            })
            .await;
        assert_eq!((result.unwrap_err().kind, tries.get()), (RemoteErrorKind::Lasting, 1));
    }
}
