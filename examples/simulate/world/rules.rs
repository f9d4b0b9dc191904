//! What must hold beyond the invariants of the engine, seen by somebody who sees
//! all machines at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scitq::agent::fsm::Exit;
use scitq::domain::execution::Suspension;
use scitq::domain::task::{Hold, TaskLife};
use scitq::domain::{ExecutionId, Monotonic, TaskId, WorkerId};
use scitq::server::engine::State;

use super::calendar::{AgentNumber, Moment, SECOND};

/// Watches executions.
#[derive(Debug, Default)]
pub struct Rules {
    pub executions: BTreeMap<ExecutionId, Seen>,
    by_task: BTreeMap<TaskId, Vec<ExecutionId>>,
    /// Those that the engine has as live.
    live: BTreeSet<ExecutionId>,
    last_heard: BTreeMap<WorkerId, Monotonic>,
    /// Workers by name, as the last server had them.
    workers: BTreeMap<String, WorkerId>,
    next: Option<ExecutionId>,
    /// What agents were told to hold back, until their tasks went on.
    held: BTreeMap<ExecutionId, Suspension>,
}

/// One execution.
#[derive(Debug, Clone)]
pub struct Seen {
    pub task: TaskId,
    worker: WorkerId,
    assigned_at: Moment,
    /// When the engine was done with it, and whether its worker had been silent
    /// for longer than the time to loss.
    ended: Option<(Moment, Silent)>,
    pub starts: u32,
    runs: bool,
    pub line: String,
    pub exit: Option<Exit>,
    pub written: Option<u64>,
    pub uploaded_at: Option<Moment>,
    is_forgiven: bool,
    /// Something went wrong that may cost an execution.
    may_be_lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silent {
    ForLong,
    No,
}

/// When a machine was asleep.
type Slept = Option<(Moment, Moment)>;

impl Rules {
    /// Notes what the engine decided, and says what a reader would like to know.
    /// `awake`: for how long the server could have heard of its workers.
    pub fn note_engine(
        &mut self,
        now: Moment,
        (clock, awake): (Monotonic, Duration),
        state: &State,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        self.forget_undone(state);
        let first = self.next.map_or(1, |next| next.0);
        for number in first..state.next.execution.0 {
            let id = ExecutionId(number);
            let Some(execution) = state.executions.get(&id) else { continue };
            let task = execution.row.task;
            notes.push(format!("assigns t{task} to {} as e{id}", execution.row.worker_name));
            self.by_task.entry(task).or_default().push(id);
            self.live.insert(id);
            self.executions.insert(id, Seen::new(task, execution.worker, now));
        }
        self.next = Some(state.next.execution);
        let ended: Vec<ExecutionId> =
            self.live.iter().copied().filter(|id| !state.executions.contains_key(id)).collect();
        for id in ended {
            self.live.remove(&id);
            self.held.remove(&id);
            let Some(seen) = self.executions.get_mut(&id) else { continue };
            let worker = state.workers.get(&seen.worker);
            let limit = worker.and_then(|worker| state.lost_after(worker.batch));
            let heard = self.last_heard.get(&seen.worker);
            let silent = match (heard, limit) {
                (Some(heard), Some(limit)) if clock.since(*heard).min(awake) > limit => {
                    Silent::ForLong
                }
                _ => Silent::No,
            };
            if silent == Silent::ForLong {
                notes.push(format!("has heard nothing of the worker of e{id} for too long"));
            }
            seen.ended = Some((now, silent));
        }
        self.held.retain(|id, _| {
            let task = state.executions.get(id).and_then(|live| state.tasks.get(&live.row.task));
            task.is_some_and(|task| task.hold == Hold::Person && task.life.is_paused())
        });
        for (id, worker) in &state.workers {
            self.last_heard.insert(*id, worker.last_heard);
            self.workers.insert(worker.name.to_string(), *id);
        }
        notes
    }

    /// What was not on disk when a server died or a commit failed has never been.
    fn forget_undone(&mut self, state: &State) {
        if self.next.is_some_and(|next| next > state.next.execution) {
            self.next = Some(state.next.execution);
            let undone = self.executions.split_off(&state.next.execution);
            for (id, seen) in undone {
                self.live.remove(&id);
                if let Some(others) = self.by_task.get_mut(&seen.task) {
                    others.retain(|other| *other != id);
                }
            }
        }
        // Ends that were not on disk are none.
        for (id, execution) in &state.executions {
            if let Some(seen) = self.executions.get_mut(id)
                && seen.ended.is_some()
                && execution.row.task == seen.task
            {
                seen.ended = None;
                self.live.insert(*id);
            }
        }
    }

    /// An agent was told how far to hold an execution back.
    pub fn note_suspension(&mut self, execution: ExecutionId, suspension: Suspension) {
        if suspension == Suspension::No {
            self.held.remove(&execution);
        } else {
            self.held.insert(execution, suspension);
        }
    }

    /// An agent decides to start a command.
    pub fn on_decision(&self, id: ExecutionId) -> Option<String> {
        let suspension = self.held.get(&id)?;
        Some(format!("e{id} shall be started although it is held back ({suspension:?})"))
    }

    /// A command starts.
    pub fn on_start(
        &mut self,
        now: Moment,
        agent: AgentNumber,
        id: ExecutionId,
        line: &str,
        slept: Slept,
    ) -> Option<String> {
        let Some(seen) = self.executions.get_mut(&id) else {
            return Some(format!("agent {agent} starts e{id}, which no server has made"));
        };
        seen.starts += 1;
        if seen.runs {
            return Some(format!("e{id} is started while it runs"));
        }
        if seen.starts > 1 && !seen.is_forgiven {
            return Some(format!("e{id} is started a second time"));
        }
        seen.runs = true;
        line.clone_into(&mut seen.line);
        let task = seen.task;
        if let Some(at) = seen.is_late(now, slept) {
            let seconds = (now - at) / SECOND;
            return Some(format!("e{id} is started {seconds} s after the server was done with it"));
        }
        for other in self.by_task.get(&task).into_iter().flatten().filter(|other| **other != id) {
            let Some(other_seen) = self.executions.get(other) else { continue };
            let older = if *other < id { other_seen } else { self.executions.get(&id)? };
            if other_seen.runs && !older.was_silent() {
                return Some(format!("e{id} and e{other} of t{task} run at once"));
            }
        }
        None
    }

    pub fn on_end(&mut self, id: ExecutionId, exit: &Exit, written: u64) {
        if let Some(seen) = self.executions.get_mut(&id) {
            seen.runs = false;
            seen.exit = Some(exit.clone());
            seen.may_be_lost |= matches!(exit, Exit::Lost { .. });
            seen.written = Some(written);
        }
    }

    /// After a crash of its machine an agent may know nothing of a start.
    pub fn forgive_second_start(&mut self, id: ExecutionId) {
        if let Some(seen) = self.executions.get_mut(&id) {
            seen.is_forgiven = true;
        }
    }

    /// Something goes wrong that may cost a worker what it has.
    pub fn excuse_losses(&mut self, worker: &str) {
        let Some(worker) = self.workers.get(worker).copied() else { return };
        for id in &self.live {
            if let Some(seen) = self.executions.get_mut(id).filter(|seen| seen.worker == worker) {
                seen.may_be_lost = true;
            }
        }
    }

    /// Whether there was a reason to take an execution for lost.
    pub fn has_cause_of_loss(&self, id: ExecutionId) -> bool {
        let seen = self.executions.get(&id);
        seen.is_some_and(|seen| seen.may_be_lost || seen.is_forgiven || seen.was_silent())
    }

    /// All of its output has been sent.
    pub fn on_upload(&mut self, now: Moment, id: ExecutionId, slept: Slept) -> Option<String> {
        let seen = self.executions.get_mut(&id)?;
        seen.uploaded_at = Some(now);
        if let Some(at) = seen.is_late(now, slept) {
            let seconds = (now - at) / SECOND;
            return Some(format!("e{id} uploads {seconds} s after the server was done with it"));
        }
        None
    }

    /// Whether that task holds at the end what its recorded execution has sent.
    pub fn check_uploads(&self, task: TaskId, recorded: ExecutionId) -> Option<String> {
        let own = self.executions.get(&recorded)?.uploaded_at;
        let Some(own) = own else {
            return Some(format!("e{recorded} of t{task} succeeded and has uploaded nothing"));
        };
        for other in self.by_task.get(&task)?.iter().filter(|other| **other != recorded) {
            let seen = self.executions.get(other)?;
            if seen.uploaded_at.is_some_and(|at| at > own) && !seen.was_silent() {
                return Some(format!("e{other} of t{task} uploads after e{recorded}"));
            }
        }
        None
    }

    /// Whether a task can go no further by itself.
    pub fn is_blocked(state: &State, id: TaskId, life: TaskLife) -> bool {
        matches!(life, TaskLife::Waiting { .. })
            && state.requirements.get(&id).is_some_and(|required| {
                required.iter().any(|required| {
                    state.tasks.get(&required.task).is_none_or(|task| {
                        task.life.state().is_final()
                            || Self::is_blocked(state, required.task, task.life)
                    })
                })
            })
    }
}

impl Seen {
    const fn new(task: TaskId, worker: WorkerId, now: Moment) -> Self {
        Self {
            task,
            worker,
            assigned_at: now,
            ended: None,
            starts: 0,
            runs: false,
            line: String::new(),
            exit: None,
            written: None,
            uploaded_at: None,
            is_forgiven: false,
            may_be_lost: false,
        }
    }

    fn was_silent(&self) -> bool {
        matches!(self.ended, Some((_, Silent::ForLong)))
    }

    /// Since when the engine was done with it. A machine that was asleep in
    /// between could not know.
    fn is_late(&self, now: Moment, slept: Slept) -> Option<Moment> {
        let (at, silent) = self.ended?;
        let was_asleep = slept.is_some_and(|(from, until)| {
            from >= self.assigned_at && from < now && until + SECOND >= at
        });
        (silent == Silent::No || !was_asleep).then_some(at)
    }
}
