//! Outputs that are sent once more, of an execution whose upload has failed
//! and whose files were kept.

use std::sync::Arc;

use crate::api::link::{ReportEvent, Resend};
use crate::domain::execution::FailureClass;

use super::effect::Effect;
use super::execution::{Ending, Execution, Known, Order, Stage, Upload};
use super::record::{Record, ResentRecord};
use super::state::{AgentState, Turn};

impl AgentState {
    pub(super) fn on_resend(&mut self, turn: &mut Turn, resend: Resend) {
        let Some(store) = self.store.clone() else { return };
        let Resend { start, outcome, accepted_at, started_at, ended_at, output } = resend;
        let id = start.execution;
        if let Some(held) = self.executions.get(&id) {
            if held.order.store != store || held.orphaned {
                let reason = "an execution of another database has the same id here";
                self.refuse(turn, &start, FailureClass::Upload, reason.to_owned());
            }
            return;
        }
        let spec = match serde_json::from_str(start.spec.get()) {
            Ok(spec) => spec,
            Err(error) => {
                let reason = format!("this agent does not understand the task: {error}");
                return self.refuse(turn, &start, FailureClass::Upload, reason);
            }
        };
        let order = Arc::new(Order {
            execution: id,
            task: start.task,
            attempt: start.attempt,
            revision: start.revision,
            store,
            spec,
        });
        let record = ResentRecord { order, accepted_at, started_at, ended_at, outcome, output };
        turn.wants(Effect::Journal(Record::Resent(Box::new(record.clone()))));
        let exit_code = record.outcome.exit_code;
        self.executions.insert(id, Execution::resent(record));
        self.untold_phases.insert(id);
        self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code });
    }
}

impl Execution {
    /// One that has nothing left to do but to send what it made.
    pub(super) fn resent(resent: ResentRecord) -> Self {
        let ResentRecord { order, accepted_at, started_at, ended_at, outcome, output } = resent;
        let upload = Upload::AwaitingLeave { failing: None };
        let (upload_until, output) = (None, Some(output));
        let ending = Ending { outcome, ended_at, upload, upload_until, output };
        let stage = Stage::Ending(Box::new(ending));
        Self {
            started_at: Some(started_at),
            known: Known::Started,
            ..Self::new(order, accepted_at, stage)
        }
    }
}
