//! One fetch under way, for all who wait for it.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::storage::StorageError;

/// How a fetch ended; none while it has not.
pub(super) type FlightEnd = Option<Result<(), StorageError>>;

/// The interest of one task in a fetch. When the last one is dropped, the
/// fetch is cancelled: one task that is stopped takes nothing from the others.
#[derive(Debug, Clone)]
pub(super) struct Passenger {
    end: watch::Receiver<FlightEnd>,
    _interest: Arc<DropGuard>,
}

/// What the cache keeps of a fetch under way.
#[derive(Debug)]
pub(super) struct Flight {
    end: watch::Receiver<FlightEnd>,
    interest: Weak<DropGuard>,
}

impl Flight {
    /// A new fetch, its first passenger, and what the fetch itself holds.
    pub(super) fn depart() -> (Self, Passenger, watch::Sender<FlightEnd>, CancellationToken) {
        let (ended, end) = watch::channel(None);
        let cancel = CancellationToken::new();
        let interest = Arc::new(cancel.clone().drop_guard());
        let flight = Self { end: end.clone(), interest: Arc::downgrade(&interest) };
        (flight, Passenger { end, _interest: interest }, ended, cancel)
    }

    /// One more passenger, unless all have left and the fetch is being cancelled.
    pub(super) fn join(&self) -> Option<Passenger> {
        let interest = self.interest.upgrade()?;
        Some(Passenger { end: self.end.clone(), _interest: interest })
    }

    /// Tells when the fetch has let go of its files.
    pub(super) fn end(&self) -> watch::Receiver<FlightEnd> {
        self.end.clone()
    }
}

impl Passenger {
    /// How the fetch ended; none if it broke off without a word.
    pub(super) async fn arrive(mut self) -> FlightEnd {
        self.end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fetch_goes_on_as_long_as_one_wants_it() {
        let (flight, first, ended, cancel) = Flight::depart();
        let second = flight.join().unwrap();
        drop(first);
        assert!(!cancel.is_cancelled());
        let third = flight.join().unwrap();
        drop(third);
        ended.send(Some(Ok(()))).unwrap();
        assert!(matches!(second.arrive().await, Some(Ok(()))));
    }

    #[tokio::test]
    async fn a_fetch_that_nobody_wants_is_cancelled_and_cannot_be_joined() {
        let (flight, first, ended, cancel) = Flight::depart();
        drop(first);
        assert!(cancel.is_cancelled());
        assert!(flight.join().is_none());
        drop(ended);
        assert!(flight.end().wait_for(Option::is_some).await.is_err());
    }
}
