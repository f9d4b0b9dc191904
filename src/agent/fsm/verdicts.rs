//! The server's verdicts on executions, and the end without a run.

use crate::api::link::{Report, ReportEvent, Verdict};
use crate::domain::ExecutionId;
use crate::domain::execution::{FailureClass, Outcome, OutputSizes};
use crate::domain::signal::Signal;

use super::effect::{Effect, Files};
use super::execution::{Execution, Reported, Stage, StopReason, Upload};
use super::record::Record;
use super::state::{AgentState, Link, Turn};

impl AgentState {
    pub(super) fn on_verdict(&mut self, turn: &mut Turn, id: ExecutionId, verdict: Verdict) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        let is_other = Some(&held.order.store) != self.store.as_ref();
        if is_other || held.stop == Some(StopReason::Superseded) {
            return;
        }
        match verdict {
            Verdict::Keep => self.on_keep(turn, id),
            Verdict::Superseded => self.on_superseded(turn, id),
            Verdict::Cancelled => self.on_ended_by_person(turn, id, StopReason::Cancelled),
            Verdict::Killed => self.on_ended_by_person(turn, id, StopReason::Killed),
            Verdict::Settled if held.has_ended() => {
                let files = held.files();
                self.drop_ended(turn, id, files);
            }
            Verdict::GiveBack => self.on_give_back(turn, id),
            // A command that runs while its end is recorded contradicts the
            // books. Only a plain word ends a command: it runs on, unreported.
            Verdict::Settled | Verdict::Unknown => {
                held.orphaned = true;
                self.reports.withdraw(id);
                self.refresh_startable(id);
                turn.wants(Effect::StopOutput(id));
            }
        }
    }

    /// An execution ends without its command having been started.
    pub(super) fn finish_without_run(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        class: FailureClass,
        reason: impl Into<String>,
    ) {
        let outcome = Outcome::without_run(class, reason);
        let event = ReportEvent::Finished {
            outcome,
            output: OutputSizes::default(),
            ended_at: None,
            cached: None,
        };
        self.finish(turn, id, event, Files::Remove);
    }

    /// Writes the final report down and sends it.
    pub(super) fn finish(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        event: ReportEvent,
        files: Files,
    ) {
        let Some(held) = self.executions.get(&id) else { return };
        let at = turn.now.wall;
        let (task, revision) = (held.order.task, held.order.revision);
        let report = Report { execution: id, task, revision, at, event: event.clone() };
        let output = match &event {
            ReportEvent::Finished { output, .. } => *output,
            _ => OutputSizes::default(),
        };
        turn.wants(Effect::Journal(Record::Finished { report: report.clone(), files }));
        self.set_stage(id, Stage::Reported(Box::new(Reported { report, output, files })));
        self.report(id, at, event);
    }

    /// The server may have come to know an orphan.
    fn on_keep(&mut self, turn: &mut Turn, id: ExecutionId) {
        let orphaned = self.executions.get(&id).is_some_and(|held| held.orphaned);
        if let (true, Link::Up { link }) = (orphaned, self.link) {
            self.resume(turn, id, link, OutputSizes::default());
        }
    }

    /// Another execution has taken over: what runs is killed, nothing is told.
    pub(super) fn on_superseded(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if !held.holds_slot() && !matches!(held.stage, Stage::Restored) {
            return self.drop_ended(turn, id, Files::Remove);
        }
        let is_running = matches!(held.stage, Stage::Running);
        held.stop = Some(StopReason::Superseded);
        self.reports.withdraw(id);
        self.set_deadline(id, None);
        turn.wants(Effect::Journal(Record::Stopping {
            execution: id,
            reason: StopReason::Superseded,
        }));
        turn.wants(Effect::StopOutput(id));
        if is_running {
            turn.wants(Effect::Signal { execution: id, signal: Signal::Kill });
        }
    }

    /// Forgets an execution that has no process.
    fn drop_ended(&mut self, turn: &mut Turn, id: ExecutionId, files: Files) {
        turn.wants(Effect::StopTransfer(id));
        turn.wants(Effect::StopOutput(id));
        self.forget(turn, id, files);
    }

    /// A person ended it, in whatever phase it is.
    fn on_ended_by_person(&mut self, turn: &mut Turn, id: ExecutionId, reason: StopReason) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if held.stop >= Some(reason) {
            return;
        }
        let Some(failure) = reason.by_person() else { return };
        match &mut held.stage {
            Stage::Downloading(_) | Stage::Ready => {
                turn.wants(Effect::StopTransfer(id));
                self.finish_without_run(turn, id, failure.class, failure.reason);
            }
            // Of a restored one the supervisor tells soon whether it runs.
            Stage::Restored | Stage::Starting => self.note_stop(turn, id, reason),
            Stage::Running => {
                self.note_stop(turn, id, reason);
                if reason == StopReason::Killed {
                    self.set_deadline(id, None);
                    turn.wants(Effect::Signal { execution: id, signal: Signal::Kill });
                } else {
                    self.stop_running(turn, id);
                }
            }
            Stage::Ending(ending) => {
                ending.outcome.failure = Some(failure);
                if ending.upload != Upload::Done {
                    ending.upload = Upload::Done;
                    turn.wants(Effect::StopTransfer(id));
                }
                self.set_deadline(id, None);
                self.note_stop(turn, id, reason);
                self.finish_if_done(turn, id);
            }
            Stage::Reported(_) => {}
        }
    }

    /// The server wants it for another worker, if it has not been started.
    fn on_give_back(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        match held.stage {
            Stage::Downloading(_) | Stage::Ready => self.give_back(turn, id),
            Stage::Restored => held.wanted_back = true,
            _ => {}
        }
    }

    pub(super) fn give_back(&mut self, turn: &mut Turn, id: ExecutionId) {
        turn.wants(Effect::StopTransfer(id));
        let reason = "given back before it was started";
        self.finish_without_run(turn, id, FailureClass::Refused, reason);
    }

    /// Remembers why a command shall end, also over a restart of the agent.
    pub(super) fn note_stop(&mut self, turn: &mut Turn, id: ExecutionId, reason: StopReason) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        held.stop = held.stop.max(Some(reason));
        turn.wants(Effect::Journal(Record::Stopping { execution: id, reason }));
        self.refresh_startable(id);
    }

    /// Asks a running command to end, and sets the moment for the last means. A
    /// suspended one has to go on to hear of it.
    pub(super) fn stop_running(&mut self, turn: &mut Turn, id: ExecutionId) {
        let kill_at = turn.now.monotonic.after(self.limits.stop_grace);
        self.set_deadline(id, Some(kill_at));
        turn.wants(Effect::Signal { execution: id, signal: Signal::Term });
        if self.executions.get(&id).is_some_and(Execution::is_suspended) {
            turn.wants(Effect::Signal { execution: id, signal: Signal::Cont });
        }
    }
}
