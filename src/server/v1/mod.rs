//! The REST API of the original, for its clients and its workers.
//!
//! A thin adapter: it reads the old shapes, asks the same engine and the same
//! database as everything else, and prints the old shapes. It decides nothing
//! and keeps nothing, but for one thing: the ends of the links of old workers
//! ([`session`]), which have no connection that stays open. All that is odd
//! about the old clients is in here: bodies of GET requests, dates without a
//! zone, states as numbers, no word but `message` in an error.
//!
//! Two oddities decide how errors are told. A client that is answered 403 sleeps
//! and repeats for ever, so none is. And one that has no reply at all keeps its
//! request and repeats it, while one that is answered with an error drops it: so
//! while changes cannot be stored, the connection is closed.

mod batches;
mod body;
mod error;
mod executions;
mod filter;
mod gate;
mod output;
mod print;
mod recruiters;
mod report;
mod routes;
mod session;
mod stats;
mod task_changes;
mod task_spec;
mod tasks;
mod watch;
mod worker_changes;
mod worker_tasks;
mod workers;

use crate::domain::ExecutionId;

use super::config::V1Settings;
use session::Sessions;

pub use routes::router;
pub use watch::keep_watch;

/// Appends to the outputs of so many executions at once do not wait for each other.
const OUTPUT_LOCKS: usize = 64;

/// What is kept between the requests of old clients.
#[derive(Debug)]
pub struct V1 {
    settings: V1Settings,
    sessions: Sessions,
    /// An old worker sends text without its place in the stream: pieces are put one
    /// behind the other.
    output: Vec<tokio::sync::Mutex<()>>,
}

impl V1 {
    #[must_use]
    pub fn new(settings: V1Settings) -> Self {
        let output = (0..OUTPUT_LOCKS).map(|_| tokio::sync::Mutex::new(())).collect();
        Self { settings, sessions: Sessions::default(), output }
    }

    fn output_lock(&self, execution: ExecutionId) -> Option<&tokio::sync::Mutex<()>> {
        let place = usize::try_from(execution.0).unwrap_or(usize::MAX) % OUTPUT_LOCKS;
        self.output.get(place)
    }
}
