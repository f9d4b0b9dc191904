//! Where the work on a job is told: its log, and its progress in the engine.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::logs::JobLogs;
use super::provider::Journal;
use crate::domain::JobId;
use crate::server::engine::Command;
use crate::server::engine::hiring::HiringCommand;
use crate::server::engine::service::Engine;

/// The journal of one job.
#[derive(Debug)]
pub struct JobJournal {
    id: JobId,
    engine: Engine,
    logs: JobLogs,
    cancelled: CancellationToken,
    /// What no line may show.
    secrets: Mutex<Vec<String>>,
}

impl JobJournal {
    #[must_use]
    pub fn new(id: JobId, engine: &Engine, logs: &JobLogs, cancelled: CancellationToken) -> Self {
        Self {
            id,
            engine: engine.clone(),
            logs: logs.clone(),
            cancelled,
            secrets: Mutex::default(),
        }
    }

    /// From now on this is not shown, also where a provider's own words have it.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    /// The text with its secrets taken out.
    #[must_use]
    pub fn without_secrets(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(secret)"))
    }

    fn note(&self, percent: Option<u8>, line: Option<String>) {
        let line = line.map(Into::into);
        let command = HiringCommand::Progress { job: self.id, percent, line };
        // It is only to be seen, and seen again with the next one.
        drop(self.engine.submit(&"server".into(), Command::Hiring(command)));
    }
}

impl Journal for JobJournal {
    fn progress(&self, percent: u8) {
        self.note(Some(percent), None);
    }

    fn line(&self, text: &str) {
        let text = self.without_secrets(text);
        self.logs.append(self.id, &text);
        let last = text.lines().next_back().unwrap_or_default().to_owned();
        self.note(None, Some(last));
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.cancelled.cancelled())
    }
}
