//! What agents report of their executions.
//!
//! Every report may come twice, and from an agent that does not know yet that
//! its execution was given to another: only the live execution of its own
//! worker is heard, all else gets a verdict and changes nothing.

use crate::api::cache::CacheEntry;
use crate::api::link::{Report, ReportEvent, Verdict};
use crate::domain::execution::{ExecutionState, Outcome, Phase};
use crate::domain::task::TaskEvent;
use crate::domain::{ExecutionId, WorkerId};

use super::change::{CachedRow, Ending};
use super::command::Received;
use super::state::{LinkId, State};
use super::{Context, Refusal, Reply};

impl State {
    pub(super) fn report(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
        link: LinkId,
        reports: Vec<Received>,
    ) -> Result<Reply, Refusal> {
        self.hear(context, worker, link)?;
        let mut verdicts = Vec::new();
        for received in reports {
            let id = received.report.execution;
            let verdict = self.on_report(context, worker, received);
            if verdict != Verdict::Keep {
                verdicts.push((id, verdict));
            }
        }
        Ok(Reply::Reported(verdicts))
    }

    fn on_report(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
        received: Received,
    ) -> Verdict {
        let Received { report, output } = received;
        let id = report.execution;
        let owned = self.executions.get(&id).is_some_and(|execution| {
            execution.worker == worker && execution.row.task == report.task
        });
        if !owned {
            return self
                .verdict_on_stranger(id, matches!(report.event, ReportEvent::Finished { .. }));
        }
        self.note_revision(context, id, report.revision);
        match report.event {
            ReportEvent::Accepted => self.on_accepted(context, &report),
            ReportEvent::Started => self.on_started(context, &report),
            ReportEvent::Uploading { .. } => self.on_uploading(context, &report),
            ReportEvent::Finished { outcome, ended_at, cached, .. } => {
                self.note_cached(context, id, &outcome, cached);
                self.on_accepted(context, &Report { event: ReportEvent::Accepted, ..report });
                if let Some(execution) = self.executions.get_mut(&id) {
                    execution.row.output = output;
                    execution.row.ended_at = execution.row.ended_at.or(ended_at);
                }
                self.finish_execution(context, id, outcome);
                return Verdict::Settled;
            }
        }
        self.verdict_on_live(id)
    }

    /// What becomes of an execution that is live on this server.
    pub(super) fn verdict_on_live(&self, id: ExecutionId) -> Verdict {
        match self.executions.get(&id) {
            Some(execution) => execution.row.ending.map_or(Verdict::Keep, Ending::verdict),
            None => Verdict::Keep,
        }
    }

    /// What becomes of an execution that is not live here, or not that worker's.
    pub(super) fn verdict_on_stranger(&self, id: ExecutionId, ended: bool) -> Verdict {
        if id >= self.next.execution {
            Verdict::Unknown
        } else if ended {
            Verdict::Settled
        } else {
            Verdict::Superseded
        }
    }

    /// Keeps what others may take over, of an execution that ended well.
    fn note_cached(
        &self,
        context: &mut Context<'_>,
        id: ExecutionId,
        outcome: &Outcome,
        cached: Option<Box<CacheEntry>>,
    ) {
        let is_ended = self.executions.get(&id).is_none_or(|live| live.row.ending.is_some());
        if let Some(entry) = cached
            && outcome.failure.is_none()
            && !is_ended
            && let Ok(files) = serde_json::to_string(&entry.files)
        {
            let CacheEntry { key, output, .. } = *entry;
            context.changes.cached.push(CachedRow { execution: id, key, output, files });
        }
    }

    /// Notes by which revision of the specification the agent goes.
    fn note_revision(&mut self, context: &mut Context<'_>, id: ExecutionId, revision: u32) {
        if let Some(execution) = self.executions.get_mut(&id)
            && execution.row.revision < revision
        {
            execution.row.revision = revision;
            self.record_execution(context, id);
        }
    }

    /// A command that was started by a specification that was edited since is
    /// ended, and run anew.
    pub(super) fn end_if_outdated(&mut self, context: &mut Context<'_>, id: ExecutionId) {
        let Some(execution) = self.executions.get(&id) else { return };
        let task = self.tasks.get(&execution.row.task);
        let outdated = task.is_some_and(|task| execution.row.revision < task.revision);
        if outdated && execution.row.ending.is_none() {
            self.end_execution(context, id, Ending::Relaunch);
        }
    }

    fn on_accepted(&mut self, context: &mut Context<'_>, report: &Report) {
        let id = report.execution;
        let Some(execution) = self.executions.get_mut(&id) else { return };
        if execution.row.state != ExecutionState::Pending {
            return;
        }
        execution.row.state = ExecutionState::Accepted;
        execution.row.accepted_at = Some(report.at);
        let task = execution.row.task;
        self.record_execution(context, id);
        self.move_task(context, task, TaskEvent::Accept(id), None);
    }

    fn on_started(&mut self, context: &mut Context<'_>, report: &Report) {
        let id = report.execution;
        let Some(execution) = self.executions.get_mut(&id) else { return };
        if execution.row.state == ExecutionState::Running {
            return;
        }
        execution.row.state = ExecutionState::Running;
        execution.row.accepted_at = execution.row.accepted_at.or(Some(report.at));
        // One is of this machine's clock, the other of the worker's: in order, whatever those say.
        execution.row.ready_at = execution.ready_at.map(|date| date.min(report.at));
        execution.row.started_at = Some(report.at);
        let task = execution.row.task;
        self.set_phase(id, Phase::Running);
        self.record_execution(context, id);
        self.move_task(context, task, TaskEvent::Start(id), None);
        self.hold_if_paused(context, task);
        self.end_if_outdated(context, id);
    }

    fn on_uploading(&mut self, context: &mut Context<'_>, report: &Report) {
        self.on_started(context, report);
        let id = report.execution;
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.row.ended_at = execution.row.ended_at.or(Some(report.at));
        self.set_phase(id, Phase::Uploading);
        self.record_execution(context, id);
        if let Some(execution) = self.executions.get(&id)
            && let Some(worker) = self.workers.get(&execution.worker)
        {
            self.assign(context, worker.batch);
        }
    }
}
