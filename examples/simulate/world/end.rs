//! The end: faults have stopped, and all that people were promised must be so.

use scitq::domain::execution::FailureClass;
use scitq::domain::task::TaskState;
use scitq::domain::{ExecutionId, TaskId};
use scitq::server::engine::State;
use scitq::server::store::check;

use super::calendar::{Happening, SECOND};
use super::life::World;
use super::rules::Rules;

impl World {
    pub fn look_at_end(&mut self) {
        if self.now < self.plan.quiet_at + SECOND {
            return self.calm_down();
        }
        self.calendar.enter(self.now + 5 * SECOND, Happening::LookAtEnd);
        let answered = self.people.requests.iter().all(|request| request.is_answered);
        if !answered || !self.server.answers(self.now) {
            return;
        }
        // What has ended leaves the live state when its end is on disk.
        let is_done = |state: &State| {
            let mut tasks = state.tasks.iter();
            tasks.all(|(id, task)| Rules::is_blocked(state, id, task.life))
        };
        if self.engine_state().is_some_and(is_done) {
            self.is_over = true;
            self.check_end();
        } else {
            self.let_all_go_on();
        }
    }

    /// What keeps a life from its end.
    pub fn what_is_left(&self) -> String {
        let open = self.people.requests.iter().filter(|request| !request.is_answered).count();
        let mut left: Vec<String> = Vec::new();
        if open > 0 {
            left.push(format!("{open} requests are not answered"));
        }
        if let Some(state) = self.engine_state() {
            let mut tasks: Vec<_> = state
                .tasks
                .iter()
                .filter(|(_, task)| !task.life.state().is_final())
                .map(|(id, task)| format!("t{id} is {:?}", task.life))
                .collect();
            tasks.sort_unstable();
            left.extend(tasks);
        }
        left.join(", ")
    }

    /// From the database, as a person would look it up.
    fn check_end(&mut self) {
        self.tell("people", format_args!("look at what has become of their tasks"));
        match check::check(&self.server.database) {
            Ok(breaches) => {
                if let Some(breach) = breaches.first() {
                    return self.breaks(format!("the database: {breach}"));
                }
            }
            Err(error) => return self.breaks(format!("the database cannot be read: {error}")),
        }
        let Some(process) = &self.server.process else { return };
        let store = std::sync::Arc::clone(&process.store);
        let last = process.stepped.state().next.task;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let Ok(runtime) = runtime else { return };
        let mut names: Vec<String> = Vec::new();
        for number in 1..last.0 {
            let id = TaskId(number);
            let found = match runtime.block_on(store.readers.find_task(id)) {
                Ok(found) => found,
                Err(error) => return self.breaks(format!("t{id} cannot be read: {error}")),
            };
            let is_deleted = self.people.deleted.contains(&id);
            let Some(found) = found else {
                if !is_deleted && self.people.tasks.contains_key(&id) {
                    return self.breaks(format!("t{id} was acknowledged and is gone"));
                }
                continue;
            };
            if is_deleted {
                return self.breaks(format!("t{id} was deleted and is still there"));
            }
            let view = &found.view;
            let line = found.spec.command.to_string();
            if let Some(name) = &view.name {
                if names.contains(name) {
                    return self.breaks(format!("{name} was queued twice"));
                }
                names.push(name.clone());
            }
            for execution in &found.executions {
                let failure =
                    execution.outcome.as_ref().and_then(|outcome| outcome.failure.as_ref());
                let Some(failure) = failure.filter(|failure| failure.class == FailureClass::Lost)
                else {
                    continue;
                };
                let is_deleted =
                    execution.worker.is_none_or(|worker| self.deleted_workers.contains(&worker));
                if !is_deleted && !self.rules.has_cause_of_loss(execution.id) {
                    let (execution, reason) = (execution.id, failure.reason.clone());
                    return self.breaks(format!("e{execution} was lost without need: {reason}"));
                }
            }
            let executions: Vec<(ExecutionId, bool, u64)> = found
                .executions
                .iter()
                .map(|execution| {
                    let succeeded = execution.outcome.as_ref().is_some_and(|o| o.failure.is_none());
                    (execution.id, succeeded, execution.output.stdout)
                })
                .collect();
            let has_output = found.spec.output.is_some();
            let state = view.state;
            let latest = view.execution;
            if let Some(problem) =
                self.check_task(id, state, &line, latest, &executions, has_output)
            {
                return self.breaks(problem);
            }
        }
    }

    fn check_task(
        &self,
        id: TaskId,
        state: TaskState,
        line: &str,
        latest: Option<ExecutionId>,
        executions: &[(ExecutionId, bool, u64)],
        has_output: bool,
    ) -> Option<String> {
        let acknowledged = self.people.tasks.get(&id)?;
        if acknowledged != line {
            return Some(format!("t{id} is `{line}`, and `{acknowledged}` was acknowledged"));
        }
        if !state.is_final() && state != TaskState::Waiting {
            return Some(format!("t{id} is {state} at the end"));
        }
        if state != TaskState::Succeeded {
            return None;
        }
        let recorded: Vec<_> = executions.iter().filter(|(_, succeeded, _)| *succeeded).collect();
        let Some((execution, _, stored)) =
            recorded.iter().find(|(execution, ..)| Some(*execution) == latest)
        else {
            return Some(format!("t{id} succeeded, and its latest execution did not"));
        };
        let Some(seen) = self.rules.executions.get(execution) else {
            return Some(format!("e{execution} of t{id} was never seen"));
        };
        if seen.line != line {
            return Some(format!("e{execution} of t{id} has run `{}`, not `{line}`", seen.line));
        }
        let written = seen.written.unwrap_or(0);
        let kept = self.server.output.sizes(*execution).stdout;
        if (written, written) != (*stored, kept) {
            return Some(format!(
                "e{execution} of t{id} wrote {written} bytes, {stored} are recorded and {kept} kept"
            ));
        }
        if has_output { self.rules.check_uploads(id, *execution) } else { None }
    }
}
