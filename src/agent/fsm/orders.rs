//! Orders to run something, and the acknowledgements of reports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::api::link::{Report, ReportEvent, Start, Verdict};
use crate::domain::ExecutionId;
use crate::domain::execution::{FailureClass, Outcome, OutputSizes};
use crate::domain::worker::WantedState;

use super::effect::{Effect, Files, Ground};
use super::execution::{CacheState, Execution, Fetching, Known, Order, Stage, Upload};
use super::record::Record;
use super::reports::ReportKind;
use super::state::{AgentState, Turn};

impl AgentState {
    /// Takes an execution, or says why not.
    pub(super) fn on_start(&mut self, turn: &mut Turn, start: &Start) {
        let Some(store) = self.store.clone() else { return };
        if let Some(held) = self.executions.get(&start.execution) {
            if held.order.store != store || held.orphaned {
                let reason = "an execution of another database has the same id here";
                self.refuse(turn, start, FailureClass::Refused, reason.to_owned());
            }
            return;
        }
        if self.draining || self.wanted == WantedState::Draining {
            let reason = "the worker leaves after its last execution";
            return self.refuse(turn, start, FailureClass::Refused, reason.to_owned());
        }
        let spec = match serde_json::from_str(start.spec.get()) {
            Ok(spec) => spec,
            Err(error) => {
                let reason = format!("this agent does not understand the task: {error}");
                return self.refuse(turn, start, FailureClass::Internal, reason);
            }
        };
        let order = Order {
            execution: start.execution,
            task: start.task,
            attempt: start.attempt,
            revision: start.revision,
            store,
            spec,
        };
        self.accept(turn, order);
    }

    /// Begins with the downloads of an execution.
    pub(super) fn prepare(&mut self, turn: &mut Turn, id: ExecutionId, ground: Ground) {
        let Some(order) = self.executions.get(&id).map(|held| held.order.clone()) else { return };
        if let Some(held) = self.executions.get_mut(&id) {
            held.cache = CacheState::default();
        }
        self.set_stage(id, Stage::Downloading(Fetching::Present));
        self.set_download_deadline(turn, id);
        turn.wants(Effect::Prepare { order, ground });
    }

    pub(super) fn set_download_deadline(&mut self, turn: &Turn, id: ExecutionId) {
        let limit = self.executions.get(&id).and_then(|held| held.order.spec.download_timeout);
        let deadline =
            limit.map(|limit| turn.now.monotonic.after(Duration::from_secs(limit.into())));
        self.set_deadline(id, deadline);
    }

    /// The reports of that number are on the server's disk, but for those of
    /// executions with a verdict.
    pub(super) fn on_ack(
        &mut self,
        turn: &mut Turn,
        number: u64,
        verdicts: &[(ExecutionId, Verdict)],
    ) {
        let Some(batch) = self.reports.on_ack(number) else { return };
        self.lease.renew(batch.sent_at);
        self.release_unconfirmed(turn);
        let verdicts: BTreeMap<ExecutionId, Verdict> = verdicts.iter().copied().collect();
        for (id, kind) in batch.reports {
            match (verdicts.get(&id).copied(), kind) {
                (None | Some(Verdict::Keep), kind) => self.on_acknowledged(turn, id, kind),
                // Whatever was wanted of it, it has ended and that is known.
                (
                    Some(
                        Verdict::Settled | Verdict::Cancelled | Verdict::Killed | Verdict::GiveBack,
                    ),
                    ReportKind::Finished,
                ) => self.on_acknowledged(turn, id, kind),
                (Some(verdict), _) => self.on_verdict(turn, id, verdict),
            }
        }
    }

    fn accept(&mut self, turn: &mut Turn, order: Order) {
        let order = Arc::new(order);
        let id = order.execution;
        let at = turn.now.wall;
        turn.wants(Effect::Journal(Record::Accepted { order: order.clone(), at }));
        let stage = Stage::Downloading(Fetching::Present);
        self.executions.insert(id, Execution::new(order, at, stage));
        self.untold_phases.insert(id);
        self.report(id, at, ReportEvent::Accepted);
        self.prepare(turn, id, Ground::Fresh);
    }

    /// Answers an order without taking it: nothing of it is kept. Should the
    /// answer be lost with the link, the server orders again.
    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn,
        start: &Start,
        class: FailureClass,
        reason: String,
    ) {
        self.reports.push(Report {
            execution: start.execution,
            task: start.task,
            revision: start.revision,
            at: turn.now.wall,
            event: ReportEvent::Finished {
                outcome: Outcome::without_run(class, reason),
                output: OutputSizes::default(),
                ended_at: None,
                cached: None,
            },
        });
    }

    fn on_acknowledged(&mut self, turn: &mut Turn, id: ExecutionId, kind: ReportKind) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        match kind {
            ReportKind::Accepted => {
                held.known = held.known.max(Known::Accepted);
                self.refresh_startable(id);
            }
            ReportKind::Started => held.known = Known::Started,
            ReportKind::Uploading => self.on_leave(turn, id),
            ReportKind::Finished => {
                if let Stage::Reported(reported) = &held.stage {
                    let files = reported.files;
                    self.forget(turn, id, files);
                }
            }
        }
    }

    /// The server has said that this execution is the active one. If it said so
    /// long ago, to a machine that was asleep, it is asked once more.
    fn on_leave(&mut self, turn: &mut Turn, id: ExecutionId) {
        let is_fresh = self.lease.holds(turn.now.monotonic);
        let Some(held) = self.executions.get_mut(&id) else { return };
        let order = held.order.clone();
        let Stage::Ending(ending) = &mut held.stage else { return };
        let Upload::AwaitingLeave { failing } = ending.upload else { return };
        let exit_code = ending.outcome.exit_code;
        if is_fresh {
            ending.upload = Upload::Running { failing };
            let limit = order.spec.upload_timeout.map(u64::from).map(Duration::from_secs);
            let until = limit.map(|limit| turn.now.monotonic.after(limit));
            ending.upload_until = until;
            self.set_deadline(id, until);
            self.lease.cover_uploads();
            turn.wants(Effect::Upload(order));
        } else {
            self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code });
        }
    }

    /// Nothing more will happen to this execution.
    pub(super) fn forget(&mut self, turn: &mut Turn, id: ExecutionId, files: Files) {
        if self.remove(id).is_none() {
            return;
        }
        turn.wants(Effect::Journal(Record::Gone { execution: id, files }));
        turn.wants(Effect::ForgetCommand(id));
        turn.wants(Effect::Discard { execution: id, files });
    }
}
