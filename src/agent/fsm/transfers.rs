//! Downloads, uploads, and output on its way to the server.

use std::time::Duration;

use crate::api::link::ReportEvent;
use crate::domain::ExecutionId;
use crate::domain::execution::{Failure, FailureClass, OutputSizes};

use super::effect::{Effect, Ground};
use super::event::{Culprit, TransferFailure};
use super::execution::{Failing, Fetching, Stage, StopReason, Upload};
use super::state::{AgentState, Link, Turn};

/// The longest wait between two tries of an upload.
const MAX_UPLOAD_WAIT: Duration = Duration::from_mins(5);

impl AgentState {
    pub(super) fn on_prepared(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        result: Result<(), TransferFailure>,
    ) {
        let Some(held) = self.executions.get(&id) else { return };
        let Stage::Downloading(fetching) = held.stage else { return };
        match result {
            _ if fetching == Fetching::Former => self.prepare(turn, id, Ground::Edited),
            Ok(()) => self.set_stage(id, Stage::Ready),
            Err(failure) => {
                let class = match failure.culprit {
                    Culprit::Data => FailureClass::Download,
                    Culprit::Worker => FailureClass::Internal,
                };
                self.finish_without_run(turn, id, class, failure.reason);
            }
        }
    }

    pub(super) fn on_uploaded(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        result: Result<(), TransferFailure>,
    ) {
        let patience = self.limits.upload_patience;
        let Some(held) = self.executions.get_mut(&id) else { return };
        let Stage::Ending(ending) = &mut held.stage else { return };
        let Upload::Running { failing } = ending.upload else { return };
        let Err(failure) = result else {
            ending.upload = Upload::Done;
            self.set_deadline(id, None);
            return self.finish_if_done(turn, id);
        };
        let now = turn.now.monotonic;
        let since = failing.map_or(now, |failing| failing.since);
        let failures = failing.map_or(0, |failing| failing.failures).saturating_add(1);
        let wait = upload_wait(failures);
        if failure.transient && now.after(wait).since(since) <= patience {
            ending.upload = Upload::Waiting { failing: Failing { since, failures } };
            let due =
                ending.upload_until.map_or(now.after(wait), |until| until.min(now.after(wait)));
            self.set_deadline(id, Some(due));
            return;
        }
        self.give_up_upload(turn, id, failure.reason);
    }

    /// The outputs were not sent within the time that the task gives them.
    pub(super) fn on_upload_limit(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get(&id) else { return };
        let limit = held.order.spec.upload_timeout.unwrap_or_default();
        turn.wants(Effect::StopTransfer(id));
        let reason = format!("outputs were not sent after {limit} s, the upload limit");
        self.give_up_upload(turn, id, reason);
    }

    fn give_up_upload(&mut self, turn: &mut Turn, id: ExecutionId, why: String) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        let Stage::Ending(ending) = &mut held.stage else { return };
        ending.upload = Upload::Done;
        ending.outcome.failure = Some(match ending.outcome.failure.take() {
            // The command's own failure says more, and may be tried again.
            Some(Failure { class, reason }) => {
                Failure { class, reason: format!("{reason}; its outputs could not be sent: {why}") }
            }
            None => Failure { class: FailureClass::Upload, reason: why },
        });
        self.set_deadline(id, None);
        self.finish_if_done(turn, id);
    }

    /// When the server has not been heard of for too long, another worker may
    /// have the task, and be about to send its own outputs: ours wait, and need
    /// leave once more.
    pub(super) fn withdraw_leave(&mut self, turn: &mut Turn) {
        if !self.lease.withdraw_uploads(turn.now.monotonic) {
            return;
        }
        let ids: Vec<ExecutionId> = self.executions.keys().copied().collect();
        for id in ids {
            let Some(held) = self.executions.get_mut(&id) else { continue };
            let Stage::Ending(ending) = &mut held.stage else { continue };
            let failing = match ending.upload {
                Upload::Running { failing } => failing,
                Upload::Waiting { failing } => Some(failing),
                Upload::Done | Upload::AwaitingLeave { .. } => continue,
            };
            ending.upload = Upload::AwaitingLeave { failing };
            ending.upload_until = None;
            let exit_code = ending.outcome.exit_code;
            self.set_deadline(id, None);
            turn.wants(Effect::StopTransfer(id));
            self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code });
        }
    }

    /// Has the output sent from `have` on, if there is any.
    pub(super) fn send_output(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        link: u64,
        have: OutputSizes,
    ) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        match &mut held.stage {
            Stage::Running => {
                turn.wants(Effect::FollowOutput { execution: id, link, from: have });
            }
            Stage::Ending(ending) => {
                ending.output = None;
                turn.wants(Effect::FollowOutput { execution: id, link, from: have });
                turn.wants(Effect::FinishOutput { execution: id });
            }
            Stage::Reported(reported) => {
                let (sent, report) = (reported.output, reported.report.clone());
                if have.stdout < sent.stdout || have.stderr < sent.stderr {
                    turn.wants(Effect::FollowOutput { execution: id, link, from: have });
                    turn.wants(Effect::FinishOutput { execution: id });
                } else {
                    self.report(id, report.at, report.event);
                }
            }
            Stage::Restored | Stage::Downloading(_) | Stage::Ready | Stage::Starting => {}
        }
    }

    /// The server has less than was sent.
    pub(super) fn on_output_from(&mut self, turn: &mut Turn, id: ExecutionId, have: OutputSizes) {
        let Link::Up { link } = self.link else { return };
        let Some(held) = self.executions.get(&id) else { return };
        if !held.orphaned && held.stop != Some(StopReason::Superseded) {
            self.send_output(turn, id, link, have);
        }
    }

    pub(super) fn on_output_sent(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        link: u64,
        sizes: OutputSizes,
    ) {
        if self.link != (Link::Up { link }) {
            return;
        }
        let Some(held) = self.executions.get_mut(&id) else { return };
        match &mut held.stage {
            Stage::Ending(ending) => {
                ending.output = Some(sizes);
                self.finish_if_done(turn, id);
            }
            // The server lacked a part of it: now it can take the end.
            Stage::Reported(reported) => {
                let report = reported.report.clone();
                self.report(id, report.at, report.event);
            }
            _ => {}
        }
    }
}

/// The wait after so many failures in a row: a second at first, then doubled.
fn upload_wait(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    Duration::from_secs(1 << doublings).min(MAX_UPLOAD_WAIT)
}
