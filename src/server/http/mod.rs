//! The HTTP edge: routes of `/api/v2`, who may use them, and how errors are told.
//!
//! One file per resource. A handler checks what came in, asks the engine or the
//! database, and shapes the reply; it decides nothing.

mod audit;
mod backup;
mod batches;
mod describe;
pub(super) mod error;
mod events;
mod executions;
mod flavors;
pub(super) mod gate;
mod glance;
mod imports;
pub(super) mod jobs;
mod link;
mod link_session;
mod listener;
mod metrics;
mod openapi;
mod output;
pub(super) mod recruiters;
mod request;
mod site_storage;
pub(super) mod specs;
mod status;
mod task_changes;
mod task_list;
mod task_story;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod ui;
mod waits;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::domain::Timestamp;
use crate::domain::time::Clock;

use super::auth::{Secret, TokenTable};
use super::config::PlainTokens;
use super::data_dir::DataDir;
use super::disk::{Growth, LeastFree};
use super::engine::service::Engine;
use super::engine::state::{LinkId, Policy};
use super::events::EventHub;
use super::failures::Failures;
use super::hiring::HiringService;
use super::output::OutputStore;
use super::retention::Retention;
use super::store::Store;
use super::tls::Tls;
use super::trust::Trust;
use super::v1::V1;

pub use glance::{Samples, keep_samples};
pub use listener::serve;
pub use metrics::Counts;
pub use openapi::document as openapi_document;
pub use waits::Waits;

/// What every handler can reach.
#[derive(Debug)]
pub struct App {
    pub engine: Engine,
    pub hiring: Arc<HiringService>,
    pub store: Arc<Store>,
    pub output: OutputStore,
    pub events: Arc<EventHub>,
    pub waits: Arc<Waits>,
    pub tokens: Arc<TokenTable>,
    pub trust: Trust,
    pub failures: Failures,
    pub tls: Option<Arc<Tls>>,
    pub plain_tokens: PlainTokens,
    /// Held by the one who takes a backup.
    pub backup_turn: Arc<tokio::sync::Mutex<()>>,
    /// None: clients of the original are not served.
    pub v1: Option<V1>,
    pub retention: Retention,
    pub growth: Growth,
    pub least_free: LeastFree,
    pub counts: Arc<Counts>,
    pub clock: Arc<dyn Clock>,
    pub data_dir: Arc<DataDir>,
    pub policy: Policy,
    pub started_at: Timestamp,
    pub samples: Samples,
    /// Turns true when the server stops: whoever waits answers with what there is.
    pub stopping: watch::Receiver<bool>,
    pub next_link: AtomicU64,
}

impl App {
    /// Resolves when the server stops.
    pub(super) async fn stop_asked(&self) {
        let mut stopping = self.stopping.clone();
        // When the sender is gone the server has stopped.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Bytes that the database and the kept output take.
    pub(super) fn used_bytes(&self) -> u64 {
        self.store.size().saturating_add(self.output.total_bytes())
    }

    /// A new token in clear, for the one who is to have it: with the fingerprint
    /// of our certificate where nobody else vouches for that.
    pub fn handed_out(&self, secret: &Secret) -> String {
        match self.tls.as_ref().and_then(|tls| tls.fingerprint()) {
            Some(fingerprint) => fingerprint.in_token(secret.expose()),
            None => secret.expose().to_owned(),
        }
    }

    pub(super) fn next_link_id(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }
}
