//! What people read in the agent's log of all that happens to it.

use crate::agent::fsm::Event;
use crate::api::link::{Down, SiteStorage, Verdict, Welcome};
use crate::storage::Remotes;

use super::hands::Hands;

impl Hands {
    /// What people read of an event, and what it means for transfers.
    pub(super) fn note_event(&mut self, event: &Event) {
        match event {
            Event::Prepared { execution, .. } | Event::Uploaded { execution, .. } => {
                self.on_transfer_over(*execution);
            }
            Event::LinkDown { .. } => self.inquiries.on_link(None),
            Event::Frame { link, frame: Down::Welcome(welcome) } => {
                self.inquiries.on_link(Some(*link));
                learn(welcome.storage.as_ref());
                self.notice_welcome(welcome);
            }
            Event::Frame { frame: Down::HeartbeatAck { storage, .. }, .. } => {
                learn(storage.as_ref());
            }
            Event::Frame { frame: Down::Cached { execution, found }, .. } => {
                self.inquiries.on_found(*execution, found.clone());
            }
            Event::Frame { frame, .. } => Self::notice_frame(frame),
            Event::Started { execution, .. } => tracing::debug!(%execution, "started"),
            Event::Ended { execution, end } => {
                tracing::debug!(%execution, exit = ?end.exit, "ended");
            }
            Event::NotStarted { execution, failure } => {
                tracing::debug!(%execution, reason = %failure.reason, "not started");
            }
            Event::SupervisorDown => tracing::error!("lost the supervisor of the commands"),
            _ => {}
        }
    }

    fn notice_frame(frame: &Down) {
        match frame {
            Down::Start(start) => tracing::debug!(execution = %start.execution, "ordered"),
            Down::Order { execution, verdict } => {
                tracing::info!(%execution, ?verdict, "the server decided");
            }
            Down::Settings { settings, wanted, lost_after_seconds } => {
                tracing::info!(
                    ?settings, %wanted, lost_after_seconds, "the settings were changed"
                );
            }
            Down::Suspend { execution, suspension } => {
                tracing::info!(%execution, ?suspension, "held back as the server wants");
            }
            Down::Edit(edit) => {
                let (execution, revision) = (edit.execution, edit.revision);
                tracing::info!(%execution, revision, "the task was edited");
            }
            Down::Adopt { executions } => tracing::info!(?executions, "adopted by the server"),
            Down::Abandon { executions } => {
                tracing::warn!(?executions, "ending what nobody wants any more");
            }
            Down::Clean { what } => tracing::info!(?what, "cleaning as the server wants"),
            Down::Restart => tracing::info!("restarting as the server wants; commands run on"),
            Down::Resend(resend) => {
                tracing::info!(execution = %resend.start.execution, "sending its outputs once more");
            }
            _ => {}
        }
    }

    fn notice_welcome(&self, welcome: &Welcome) {
        let (worker, store) = (&welcome.worker, &welcome.store);
        tracing::info!(%worker, %store, "welcomed by the server");
        for (execution, verdict) in &welcome.verdicts {
            match verdict {
                Verdict::Unknown => {
                    tracing::warn!(%execution, "the server does not know it: it runs on unreported");
                }
                verdict => tracing::debug!(%execution, ?verdict, "the server decided"),
            }
        }
        if welcome.known && welcome.settings != self.identity.settings {
            let settings = &welcome.settings;
            tracing::info!(?settings, "the server knows this worker: its settings count");
        }
    }
}

/// Lets transfers find the storage that the server tells of. It is nowhere but
/// in memory.
fn learn(storage: Option<&SiteStorage>) {
    let Some(SiteStorage(text)) = storage else { return };
    match Remotes::default().learn(text) {
        Ok(()) => tracing::info!("the server has told of the site's storage"),
        Err(error) => tracing::error!(%error, "cannot understand the site's storage"),
    }
}
