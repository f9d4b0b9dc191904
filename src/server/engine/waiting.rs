//! What waits for a commit, and is told when it is on disk, or that it is not.

use std::sync::Arc;

use crate::api::event::Event;
use crate::domain::{ExecutionId, TaskId, TokenId};

use super::super::store::{CommitDone, CommitError};
use super::change::ExecutionRow;
use super::service::{Audience, LinkMessage, LinkSender, ReplySender, ResendOrder};
use super::{Refusal, Reply};

/// What waits for one commit.
#[derive(Default)]
pub(super) struct Waiting {
    pub replies: Vec<(ReplySender, Reply)>,
    pub orders: Vec<(LinkSender, LinkMessage)>,
    /// Starts whose specs were not at hand.
    pub starts: Vec<WaitingStart>,
    /// Edits of accepted executions, whose specs are in the commit.
    pub edits: Vec<(LinkSender, ExecutionId, TaskId, u32)>,
    /// Uploads that are tried once more, whose specs are in the commit.
    pub resends: Vec<(LinkSender, ExecutionId, ExecutionRow)>,
    pub events: Vec<Event>,
    pub ended: Vec<TaskId>,
    pub complete: Vec<ExecutionId>,
    pub revoked: Vec<TokenId>,
    pub jobs: Option<JobsChanged>,
}

/// Jobs were made or changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobsChanged;

/// A start whose spec is read from what has been committed.
pub(super) struct WaitingStart {
    pub sender: LinkSender,
    pub execution: ExecutionId,
    pub task: TaskId,
    pub attempt: u32,
    pub revision: u32,
}

impl Waiting {
    pub const fn is_empty(&self) -> bool {
        self.replies.is_empty()
            && self.orders.is_empty()
            && self.starts.is_empty()
            && self.edits.is_empty()
            && self.resends.is_empty()
            && self.events.is_empty()
            && self.ended.is_empty()
            && self.complete.is_empty()
            && self.revoked.is_empty()
            && self.jobs.is_none()
    }

    /// Tells everyone. Whoever has left is not told; nothing depends on it.
    pub fn deliver(self, done: &CommitDone<'_>, audience: &dyn Audience) {
        for (sender, message) in self.orders {
            let _ = sender.send(message);
        }
        for WaitingStart { sender, execution, task, attempt, revision } in self.starts {
            if let Some(spec) = done.spec(task) {
                let _ =
                    sender.send(LinkMessage::Start { execution, task, attempt, revision, spec });
            } else {
                tracing::error!(%task, "an assigned task has no spec");
            }
        }
        for (sender, execution, task, revision) in self.edits {
            if let Some(spec) = done.spec(task) {
                let _ = sender.send(LinkMessage::Edit { execution, revision, spec });
            }
        }
        for (sender, execution, row) in self.resends {
            if let Some(spec) = done.spec(row.task) {
                let order = ResendOrder { execution, row, spec };
                let _ = sender.send(LinkMessage::Resend(Box::new(order)));
            }
        }
        for (reply, answer) in self.replies {
            let _ = reply.send(Ok(answer));
        }
        if !self.revoked.is_empty() {
            audience.tokens_revoked(&self.revoked);
        }
        if !self.ended.is_empty() {
            audience.ended(&self.ended);
        }
        if !self.complete.is_empty() {
            audience.output_complete(&self.complete);
        }
        if !self.events.is_empty() {
            audience.publish(self.events);
        }
        if self.jobs.is_some() {
            audience.jobs_changed();
        }
        if !done.deleted_executions.is_empty() {
            audience.output_garbage(done.deleted_executions.clone());
        }
    }

    pub fn refuse(self, error: &CommitError) {
        let reason: Arc<str> = error.to_string().into();
        for (reply, _) in self.replies {
            let _ = reply.send(Err(Refusal::Unavailable(Arc::clone(&reason))));
        }
    }
}
