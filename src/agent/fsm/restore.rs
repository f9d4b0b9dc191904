//! The state that a journal describes.

use std::sync::Arc;

use crate::api::link::{Report, ReportEvent};
use crate::domain::execution::OutputSizes;
use crate::domain::{ExecutionId, Monotonic, Timestamp};

use super::effect::Files;
use super::execution::{Execution, Order, Reported, RunClock, Stage};
use super::record::{Record, ResentRecord};
use super::state::AgentState;

impl AgentState {
    /// Takes over what an agent before this one wrote down, in that order.
    /// What became of the commands since is learned from the supervisor.
    pub fn restore(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match record {
                Record::Accepted { order, at } => self.restore_order(order, at),
                Record::Changed { order } => {
                    let orphaned = self.store.as_ref() != Some(&order.store);
                    self.restored(order.execution, |held| {
                        held.order = order;
                        held.orphaned = orphaned;
                    });
                }
                Record::Started { execution, at, since_boot } => {
                    self.restored(execution, |held| {
                        held.started_at = Some(at);
                        // Else by the dates, once the supervisor has told of it.
                        if let Some(since_boot) = since_boot {
                            held.start_clock(Monotonic(since_boot));
                        }
                    });
                }
                Record::Held { execution, suspension } => {
                    self.restored(execution, |held| held.suspension = suspension);
                }
                Record::Suspended { execution, left } => {
                    self.restored(execution, |held| held.clock = Some(RunClock::Stands { left }));
                }
                Record::Resumed { execution, since_boot, .. } => {
                    self.restored(execution, |held| {
                        if let Some(since_boot) = since_boot {
                            held.resume_clock(Monotonic(since_boot));
                        }
                    });
                }
                Record::Keyed { execution, key } => {
                    self.restored(execution, |held| held.cache.key = Some(key));
                }
                Record::Resent(resent) => self.restore_resent(*resent),
                Record::Stopping { execution, reason } => {
                    self.restored(execution, |held| held.stop = held.stop.max(Some(reason)));
                }
                Record::Finished { report, files } => self.restore_report(report, files),
                Record::Gone { execution, .. } => drop(self.remove(execution)),
            }
        }
    }

    fn restore_order(&mut self, order: Arc<Order>, at: Timestamp) {
        let orphaned = self.store.as_ref() != Some(&order.store);
        let execution = Execution { orphaned, ..Execution::new(order, at, Stage::Restored) };
        self.executions.insert(execution.id(), execution);
    }

    fn restore_resent(&mut self, resent: ResentRecord) {
        let orphaned = self.store.as_ref() != Some(&resent.order.store);
        let execution = Execution { orphaned, ..Execution::resent(resent) };
        self.executions.insert(execution.id(), execution);
    }

    fn restored(&mut self, id: ExecutionId, change: impl FnOnce(&mut Execution)) {
        if let Some(held) = self.executions.get_mut(&id) {
            change(held);
        }
    }

    fn restore_report(&mut self, report: Report, files: Files) {
        let output = match &report.event {
            ReportEvent::Finished { output, .. } => *output,
            _ => OutputSizes::default(),
        };
        let reported = Box::new(Reported { report, output, files });
        self.restored(reported.report.execution, |held| held.stage = Stage::Reported(reported));
    }
}
