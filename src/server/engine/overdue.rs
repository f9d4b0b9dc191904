//! Time limits of commands whose agents cannot enforce them.
//!
//! An agent that lives ends its commands in time, whether it can be heard or
//! not. One that is gone does not, and where its worker is never counted as
//! lost, or only much later, its tasks would run for ever.

use std::time::Duration;

use crate::api::link::Verdict;
use crate::domain::execution::{ExecutionState, FailureClass, Outcome, Phase};
use crate::domain::task::TaskLife;
use crate::domain::{ExecutionId, Monotonic};

use super::owner::Owner;
use super::state::State;
use super::{Command, Context, Effect};

/// What an agent gets beyond the limit itself, to end a command and to say so.
/// It gives the command 10 seconds to end by itself.
const GRACE: Duration = Duration::from_mins(1);

/// So many limits are read from the database at one look.
const MOST_READ: usize = 1_000;

impl State {
    /// Commands that ran when their workers were last heard, with the time that
    /// has passed since. A silence that is longer than a limit says that the
    /// limit has passed, however often the command was suspended before.
    pub(super) fn running_in_silence(&self, now: Monotonic) -> Vec<(ExecutionId, Duration)> {
        if self.suspects_the_network(now) {
            return Vec::new();
        }
        let silent = self.workers.values().filter_map(|worker| {
            let silence = now.since(worker.last_heard);
            (silence > self.policy.offline_after.max(GRACE)).then_some((worker, silence))
        });
        silent
            .flat_map(|(worker, silence)| worker.executions.iter().map(move |id| (*id, silence)))
            .filter(|(id, _)| self.runs(*id))
            .collect()
    }

    /// Ends executions that run for longer than they may.
    pub(super) fn time_out(&mut self, context: &mut Context<'_>, overdue: &[(ExecutionId, u32)]) {
        for (id, limit) in overdue {
            let Some(worker) = self.executions.get(id).map(|execution| execution.worker) else {
                continue;
            };
            if !self.runs(*id) {
                continue;
            }
            let verdict = Verdict::Superseded;
            context.effects.push(Effect::Order { worker, execution: *id, verdict });
            let reason = format!("its worker was silent for longer than {limit} s, the run limit");
            let outcome = Outcome::without_run(FailureClass::Timeout, reason);
            self.finish_execution(context, *id, outcome);
        }
    }

    /// Whether its command ran when it was last heard of.
    fn runs(&self, id: ExecutionId) -> bool {
        self.executions.get(&id).is_some_and(|execution| {
            let life = self.tasks.get(&execution.row.task).map(|task| task.life);
            execution.row.state == ExecutionState::Running
                && execution.phase == Phase::Running
                && life == Some(TaskLife::Running(id))
        })
    }
}

impl Owner {
    /// Ends what is overdue.
    pub(super) fn look_at_limits(&mut self) {
        let silent = self.state.running_in_silence(self.outside.clock.now().monotonic);
        if silent.is_empty() {
            self.run_limits.clear();
            return;
        }
        let mut overdue = Vec::new();
        let mut read = 0;
        for (id, silence) in silent {
            let limit = match self.run_limits.get(&id) {
                Some(limit) => *limit,
                None if read == MOST_READ => continue,
                None => {
                    read += 1;
                    let limit = self.outside.reader.run_limit(id).unwrap_or_else(|error| {
                        tracing::error!(%error, execution = %id, "cannot read a time limit");
                        None
                    });
                    self.run_limits.insert(id, limit);
                    limit
                }
            };
            if let Some(limit) = limit
                && silence > Duration::from_secs(limit.into()) + GRACE
            {
                overdue.push((id, limit));
            }
        }
        if !overdue.is_empty() {
            // This refuses nothing.
            let _ = self.apply(&"server".into(), Command::TimeOut(overdue), None);
        }
    }
}
