//! What the supervisor tells of commands, and their time limits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::link::ReportEvent;
use crate::domain::execution::{Failure, FailureClass, Outcome, OutputSizes, Suspension};
use crate::domain::signal::Signal;
use crate::domain::{ExecutionId, Monotonic, Timestamp};

use super::effect::{Effect, Files, Ground};
use super::event::{CommandEnd, CommandState, Exit, NotStarted};
use super::execution::{Ending, Order, Stage, StopReason, Upload};
use super::record::Record;
use super::state::{AgentState, Link, Turn};

impl AgentState {
    /// Sets what the agent believes right by what the supervisor knows.
    pub(super) fn on_supervisor_up(
        &mut self,
        turn: &mut Turn,
        commands: &[(ExecutionId, CommandState)],
    ) {
        self.supervisor_is_up = true;
        let known: BTreeMap<ExecutionId, &CommandState> =
            commands.iter().map(|(id, state)| (*id, state)).collect();
        let held: Vec<ExecutionId> = self.executions.keys().copied().collect();
        for id in held {
            self.reconcile(turn, id, known.get(&id).copied());
        }
        for (id, state) in known {
            if !self.holds(id) && matches!(state, CommandState::Ended(_)) {
                turn.wants(Effect::ForgetCommand(id));
            }
        }
    }

    pub(super) fn on_started(&mut self, turn: &mut Turn, id: ExecutionId, at: Timestamp) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if !matches!(held.stage, Stage::Starting | Stage::Restored) {
            return;
        }
        // One whose agent died before it could write the start down has run for a
        // while, of which only the dates tell.
        let passed = match held.stage {
            Stage::Restored => u64::try_from(turn.now.wall.0.saturating_sub(at.0)).unwrap_or(0),
            _ => 0,
        };
        let since_boot = turn.now.monotonic.0.saturating_sub(Duration::from_micros(passed));
        if held.started_at.is_none() {
            let since_boot = Some(since_boot);
            turn.wants(Effect::Journal(Record::Started { execution: id, at, since_boot }));
        }
        held.started_at = Some(at);
        held.start_clock(Monotonic(since_boot));
        let stop = held.stop;
        self.set_stage(id, Stage::Running);
        self.report(id, at, ReportEvent::Started);
        self.control_again(turn, id);
        self.send_kept_signals(turn, id);
        let orphaned = self.executions.get(&id).is_none_or(|held| held.orphaned);
        if let Link::Up { link } = self.link
            && stop != Some(StopReason::Superseded)
            && !orphaned
        {
            turn.wants(Effect::FollowNewOutput { execution: id, link });
        }
    }

    pub(super) fn on_not_started(&mut self, turn: &mut Turn, id: ExecutionId, failure: NotStarted) {
        let Some(held) = self.executions.get(&id) else { return };
        if !matches!(held.stage, Stage::Starting) {
            return;
        }
        if held.stop == Some(StopReason::Superseded) {
            return self.forget(turn, id, Files::Remove);
        }
        let class = match failure.exit_code {
            Some(_) => FailureClass::Exit,
            None => FailureClass::Internal,
        };
        let by_person = held.stop.and_then(StopReason::by_person);
        let failure_told = by_person.unwrap_or(Failure { class, reason: failure.reason });
        let outcome = Outcome {
            failure: Some(failure_told),
            exit_code: failure.exit_code,
            signal: None,
            usage: None,
            reused: None,
        };
        let ended_at = turn.now.wall;
        self.end(
            turn,
            id,
            Ending { outcome, ended_at, upload: Upload::Done, upload_until: None, output: None },
        );
    }

    pub(super) fn on_ended(&mut self, turn: &mut Turn, id: ExecutionId, end: CommandEnd) {
        let Some(held) = self.executions.get(&id) else {
            turn.wants(Effect::ForgetCommand(id));
            return;
        };
        if held.stop == Some(StopReason::Superseded) && !held.has_ended() {
            return self.forget(turn, id, Files::Remove);
        }
        match held.stage {
            Stage::Running => {}
            // The word that it was started is on another way, or was lost.
            Stage::Starting | Stage::Restored => self.on_started(turn, id, end.started_at),
            _ => return,
        }
        let Some(held) = self.executions.get(&id) else { return };
        let is_lost = matches!(end.exit, Exit::Lost { .. } | Exit::Refused { .. });
        let is_cancelled = held.stop.and_then(StopReason::by_person).is_some();
        let upload = if held.order.spec.output.is_some() && !is_lost && !is_cancelled {
            Upload::AwaitingLeave { failing: None }
        } else {
            Upload::Done
        };
        let ended_at = end.ended_at;
        let outcome = self.with_eviction(held.stop, classify(&held.order, held.stop, end));
        self.end(turn, id, Ending { outcome, ended_at, upload, upload_until: None, output: None });
    }

    pub(super) fn on_tick(&mut self, turn: &mut Turn) {
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= turn.now.monotonic
        {
            self.set_deadline(id, None);
            self.on_deadline(turn, id);
        }
    }

    /// The final report follows when nothing is left to send.
    pub(super) fn finish_if_done(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get(&id) else { return };
        let Stage::Ending(ending) = &held.stage else { return };
        let (Upload::Done, Some(output)) = (ending.upload, ending.output) else { return };
        let files = held.files();
        let outcome = ending.outcome.clone();
        let (cached, ended_at) = (held.cache_entry(&outcome), Some(ending.ended_at));
        let event = ReportEvent::Finished { outcome, output, ended_at, cached };
        self.finish(turn, id, event, files);
    }

    fn reconcile(&mut self, turn: &mut Turn, id: ExecutionId, known: Option<&CommandState>) {
        let Some(held) = self.executions.get(&id) else { return };
        let at = turn.now.wall;
        let lost = || CommandEnd {
            exit: Exit::Lost { reason: "the supervisor of the command is gone".to_owned() },
            usage: None,
            started_at: held.started_at.unwrap_or(at),
            ended_at: at,
        };
        match (&held.stage, known) {
            (Stage::Ending(_) | Stage::Reported(_) | Stage::Downloading(_) | Stage::Ready, _) => {}
            (Stage::Restored, None) if held.started_at.is_none() => {
                self.prepare_or_drop(turn, id);
            }
            (Stage::Restored | Stage::Starting | Stage::Running, None) => {
                let end = lost();
                self.on_ended(turn, id, end);
            }
            (Stage::Running, Some(CommandState::Running { .. })) => self.control_again(turn, id),
            (_, Some(CommandState::Running { started_at })) => {
                self.on_started(turn, id, *started_at);
            }
            (_, Some(CommandState::Ended(end))) => self.on_ended(turn, id, end.clone()),
        }
    }

    /// A restored execution that was never started.
    fn prepare_or_drop(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get(&id) else { return };
        if held.stop == Some(StopReason::Superseded) {
            self.forget(turn, id, Files::Remove);
        } else if let Some(failure) = held.stop.and_then(StopReason::by_person) {
            self.finish_without_run(turn, id, failure.class, failure.reason);
        } else if held.wanted_back {
            self.give_back(turn, id);
        } else {
            // It may have been edited after the first revision was fetched.
            let is_edited = held.order.revision > 0;
            let ground = if is_edited { Ground::Edited } else { Ground::Begun };
            self.prepare(turn, id, ground);
        }
    }

    fn end(&mut self, turn: &mut Turn, id: ExecutionId, ending: Ending) {
        let (exit_code, upload) = (ending.outcome.exit_code, ending.upload);
        let is_followed =
            self.executions.get(&id).is_some_and(|held| matches!(held.stage, Stage::Running));
        self.set_stage(id, Stage::Ending(Box::new(ending)));
        if matches!(upload, Upload::AwaitingLeave { .. }) {
            self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code });
        }
        let orphaned = self.executions.get(&id).is_none_or(|held| held.orphaned);
        match self.link {
            Link::Up { .. } if is_followed && !orphaned => {
                turn.wants(Effect::FinishOutput { execution: id });
            }
            Link::Up { link } if !orphaned => {
                self.send_output(turn, id, link, OutputSizes::default());
            }
            _ => {}
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        let (order, is_suspended) = (held.order.clone(), held.is_suspended());
        match (&mut held.stage, held.stop) {
            (Stage::Downloading(_), _) => {
                turn.wants(Effect::StopTransfer(id));
                let limit = order.spec.download_timeout.unwrap_or_default();
                let reason = format!("inputs were not there after {limit} s, the download limit");
                self.finish_without_run(turn, id, FailureClass::Timeout, reason);
            }
            // It was asked to stand still, and may not have listened. What
            // stands still already is not touched by this.
            (Stage::Running, None) if is_suspended => {
                turn.wants(Effect::Signal { execution: id, signal: Signal::Stop });
            }
            (Stage::Running, None) => {
                self.note_stop(turn, id, StopReason::TimeLimit);
                self.stop_running(turn, id);
            }
            (Stage::Running, Some(_)) => {
                turn.wants(Effect::Signal { execution: id, signal: Signal::Kill });
            }
            (Stage::Ending(ending), _) => {
                if ending.upload_until.is_some_and(|until| until <= turn.now.monotonic) {
                    return self.on_upload_limit(turn, id);
                }
                if let Upload::Waiting { failing } = ending.upload {
                    ending.upload = Upload::Running { failing: Some(failing) };
                    let until = ending.upload_until;
                    self.set_deadline(id, until);
                    turn.wants(Effect::Upload(order));
                }
            }
            _ => {}
        }
    }

    /// Signals a command that shall end or stand still, perhaps not for the
    /// first time: the agent or the supervisor may have been away.
    fn control_again(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get(&id) else { return };
        let shall_stand = held.suspension == Suspension::Run;
        match held.stop {
            Some(StopReason::Superseded | StopReason::Killed) => {
                turn.wants(Effect::Signal { execution: id, signal: Signal::Kill });
            }
            Some(StopReason::Cancelled | StopReason::TimeLimit) => self.stop_running(turn, id),
            None if shall_stand => self.suspend_running(turn, id),
            None if held.is_suspended() => self.resume_running(turn, id),
            // A deadline that is set does not depend on the date.
            None if held.deadline.is_some() => {}
            None => self.set_run_deadline(turn, id),
        }
    }
}

fn classify(order: &Order, stop: Option<StopReason>, end: CommandEnd) -> Outcome {
    let (exit_code, signal) = match end.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::OutOfMemory { code, signal } => (code, signal),
        Exit::Refused { exit_code, .. } => (exit_code, None),
        Exit::Signal { number, .. } => (None, Some(number)),
        Exit::Lost { .. } => (None, None),
    };
    let failure = match (stop, end.exit) {
        (Some(reason @ (StopReason::Cancelled | StopReason::Killed)), _) => reason.by_person(),
        (_, Exit::Lost { reason }) => Some(Failure { class: FailureClass::Lost, reason }),
        (_, Exit::Refused { exit_code, reason }) => {
            let class = exit_code.map_or(FailureClass::Internal, |_| FailureClass::Exit);
            Some(Failure { class, reason })
        }
        (Some(StopReason::TimeLimit), _) => {
            let limit = order.spec.run_timeout.unwrap_or_default();
            let reason = format!("still running after {limit} s, the run limit");
            Some(Failure { class: FailureClass::Timeout, reason })
        }
        (_, Exit::Code(0)) => None,
        (_, Exit::Code(code)) => Some(Failure {
            class: FailureClass::Exit,
            reason: format!("the command ended with exit code {code}"),
        }),
        (_, Exit::OutOfMemory { .. }) => {
            let reason = "the command used more memory than it may".to_owned();
            Some(Failure { class: FailureClass::Oom, reason })
        }
        (_, Exit::Signal { number, out_of_memory }) => {
            let hint = if out_of_memory { ", perhaps out of memory" } else { "" };
            let reason = format!("the command was ended by signal {number}{hint}");
            Some(Failure { class: FailureClass::Signal, reason })
        }
    };
    Outcome { failure, exit_code, signal, usage: end.usage, reused: None }
}
