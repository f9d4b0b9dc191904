//! Which worker gets which task.
//!
//! Tasks come in the order of their priority and their age, workers least loaded
//! first in proportion to their size. A task that fits nowhere is passed over by
//! those that do, until it has waited long enough: then one worker takes nothing
//! else until it has room for it.

use crate::domain::batch::BatchPause;
use crate::domain::demand::Demand;
use crate::domain::execution::{ExecutionState, OutputSizes, Phase};
use crate::domain::task::{TaskEvent, TaskLife};
use crate::domain::{BatchId, Monotonic, TaskId, WorkerId};

use super::change::ExecutionRow;
use super::ready::Place;
use super::state::{Batch, Execution, State};
use super::{Context, Effect};

impl State {
    /// Gives ready tasks of a batch to its workers until one of both runs out.
    pub(super) fn assign(&mut self, context: &mut Context<'_>, batch_id: BatchId) {
        self.take_over_orphans(context);
        self.serve_reservations(context, batch_id);
        let now = context.now.monotonic;
        while let Some((task, worker)) = self.next_assignment(now, batch_id) {
            self.assign_to(context, task, worker);
        }
        if let Some(batch) = self.batches.get_mut(&batch_id).filter(|batch| batch.gives_out()) {
            batch.freed.clear();
        }
    }

    /// Gives ready tasks of all batches to their workers.
    pub(super) fn assign_all(&mut self, context: &mut Context<'_>) {
        let mut busy: Vec<BatchId> = self
            .batches
            .iter()
            .filter(|(_, batch)| !batch.ready.is_empty())
            .map(|(id, _)| *id)
            .collect();
        busy.sort_unstable();
        for batch in busy {
            self.assign(context, batch);
        }
    }

    /// Whether a task of this batch could be given to a worker now. For the check
    /// of the invariants: looks at everything.
    pub(super) fn could_assign(&self, batch: &Batch) -> bool {
        batch.gives_out()
            && self.settling.is_none()
            && batch.ready.classes().any(|(demand, _)| {
                batch.candidates.iter().any(|(_, worker)| self.worker_fits(*worker, demand))
            })
    }

    /// Reserves a worker for each task that was passed over for too long.
    pub(super) fn reserve_workers(&mut self, context: &mut Context<'_>) {
        let now = context.now.monotonic;
        let patience = self.policy.patience;
        let mut wanted: Vec<(BatchId, TaskId, Demand)> = Vec::new();
        for (id, batch) in self.batches.iter().filter(|(_, batch)| batch.gives_out()) {
            for (demand, class) in batch.ready.classes() {
                let is_due = class.stuck_since.is_some_and(|since| now.since(since) >= patience);
                let Some(task) = class.first().map(Place::task).filter(|_| is_due) else {
                    continue;
                };
                let has_one = batch.reserved.values().any(|reserved| {
                    self.tasks.get(reserved).is_some_and(|task| task.demand == demand)
                });
                if !has_one {
                    wanted.push((*id, task, demand));
                }
            }
        }
        for (batch, task, demand) in wanted {
            if let Some(worker) = self.worker_to_reserve(batch, demand) {
                self.reserve(batch, worker, task);
                self.assign(context, batch);
            }
        }
    }

    fn next_assignment(&mut self, now: Monotonic, id: BatchId) -> Option<(TaskId, WorkerId)> {
        let batch = self.batches.get(&id)?;
        if !batch.gives_out() || batch.candidates.is_empty() || self.settling.is_some() {
            return None;
        }
        if let Some((demand, class)) = batch.ready.only_class()
            && demand == Demand::default()
        {
            let (_, worker) = batch.candidates.first()?;
            return Some((class.first()?.task(), *worker));
        }
        let mut heads: Vec<(Place, Demand)> = batch
            .ready
            .classes()
            .filter_map(|(demand, class)| Some((class.first()?, demand)))
            .collect();
        heads.sort_unstable();
        let mut stuck = Vec::new();
        let mut found = None;
        for (place, demand) in heads {
            match self.worker_for(batch, demand) {
                Some(worker) => {
                    found = Some((place.task(), worker, demand));
                    break;
                }
                None => stuck.push(demand),
            }
        }
        let batch = self.batches.get_mut(&id)?;
        for demand in stuck {
            if let Some(class) = batch.ready.class_mut(demand) {
                class.stuck_since.get_or_insert(now);
            }
        }
        let (task, worker, demand) = found?;
        if let Some(class) = batch.ready.class_mut(demand) {
            class.stuck_since = None;
        }
        Some((task, worker))
    }

    /// The least loaded worker with room for what a task asks. Where there was
    /// none before, only those are looked at that have more room now.
    fn worker_for(&self, batch: &Batch, demand: Demand) -> Option<WorkerId> {
        if demand == Demand::default() {
            return batch.candidates.first().map(|(_, worker)| *worker);
        }
        let is_stuck = batch
            .ready
            .classes()
            .any(|(other, class)| other == demand && class.stuck_since.is_some());
        if is_stuck {
            let mut freed = batch.freed.iter().copied();
            return freed.find(|worker| {
                self.workers.get(worker).is_some_and(|worker| worker.candidate_key.is_some())
                    && self.worker_fits(*worker, demand)
            });
        }
        let mut candidates = batch.candidates.iter().map(|(_, worker)| *worker);
        candidates.find(|worker| self.worker_fits(*worker, demand))
    }

    fn worker_fits(&self, worker: WorkerId, demand: Demand) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.fits(demand))
            && self.has_engine_for(worker, demand)
    }

    /// The worker that is nearest to having room for this.
    fn worker_to_reserve(&self, batch: BatchId, demand: Demand) -> Option<WorkerId> {
        let batch = self.batches.get(&batch)?;
        batch
            .workers
            .iter()
            .filter_map(|id| Some((id, self.workers.get(id)?)))
            .filter(|(_, worker)| worker.takes_work() && worker.reserved_for.is_none())
            .filter(|(id, _)| self.has_engine_for(**id, demand))
            .filter_map(|(id, worker)| {
                let needed = worker.slots_for(demand)?;
                let room = i64::from(worker.settings.concurrency)
                    + i64::from(worker.settings.prefetch)
                    - i64::from(worker.held);
                Some((i64::from(needed) - room, *id))
            })
            .min()
            .map(|(_, id)| id)
    }

    fn reserve(&mut self, batch: BatchId, worker: WorkerId, task: TaskId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.reserved_for = Some(task);
        }
        if let Some(batch) = self.batches.get_mut(&batch) {
            batch.reserved.insert(worker, task);
        }
        self.rank_worker(worker);
    }

    /// Ends a worker's reservation, if it has one.
    pub(super) fn release_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.reserved_for.take().is_some()
            && let Some(batch) = self.batches.get_mut(&worker.batch)
        {
            batch.reserved.remove(&id);
        }
        self.rank_worker(id);
    }

    /// Gives reserved workers their task once it fits, and frees those whose task
    /// needs them no longer or who cannot take it any more.
    fn serve_reservations(&mut self, context: &mut Context<'_>, batch_id: BatchId) {
        let Some(batch) = self.batches.get(&batch_id) else { return };
        if batch.reserved.is_empty() {
            return;
        }
        let gives_out = batch.gives_out();
        for (worker_id, task_id) in batch.reserved.clone() {
            let task = self.tasks.get(&task_id).filter(|task| {
                task.life == TaskLife::Pending && task.batch == batch_id && !task.hidden
            });
            let demand = task.map(|task| task.demand);
            let worker = self.workers.get(&worker_id);
            let takes = worker.is_some_and(|worker| {
                worker.takes_work()
                    && demand.is_some_and(|demand| {
                        worker.slots_for(demand).is_some() && self.has_engine_for(worker_id, demand)
                    })
            });
            let (Some(demand), true) = (demand, takes && gives_out) else {
                self.release_worker(worker_id);
                continue;
            };
            if self.worker_fits(worker_id, demand) {
                self.release_worker(worker_id);
                if let Some(class) =
                    self.batches.get_mut(&batch_id).and_then(|batch| batch.ready.class_mut(demand))
                {
                    class.stuck_since = None;
                }
                self.assign_to(context, task_id, worker_id);
            }
        }
    }

    pub(super) fn assign_to(
        &mut self,
        context: &mut Context<'_>,
        task_id: TaskId,
        worker_id: WorkerId,
    ) {
        let slots = self.slots_of(task_id, worker_id);
        let (Some(task), Some(worker)) =
            (self.tasks.get_mut(&task_id), self.workers.get(&worker_id))
        else {
            return;
        };
        let id = self.next.execution;
        self.next.execution = id.next();
        task.execution = Some(id);
        task.attempts += 1;
        let (attempt, revision) = (task.attempts, task.revision);
        let execution = Execution {
            row: ExecutionRow {
                task: task_id,
                attempt,
                revision,
                worker: Some(worker_id),
                worker_name: worker.name.clone(),
                state: ExecutionState::Pending,
                ending: None,
                assigned_at: context.now.wall,
                accepted_at: None,
                ready_at: None,
                started_at: None,
                ended_at: None,
                finished_at: None,
                outcome: None,
                output: OutputSizes::default(),
                keepsake: None,
            },
            worker: worker_id,
            phase: Phase::Downloading,
            transfer: None,
            ready_at: None,
            slots,
        };
        self.record_next_ids(context);
        self.attach_execution(id, execution);
        self.record_execution(context, id);
        self.move_task(context, task_id, TaskEvent::Assign(id), None);
        context.effects.push(Effect::Start {
            worker: worker_id,
            execution: id,
            task: task_id,
            attempt,
            revision,
        });
    }
}

impl Batch {
    /// Whether its tasks are given to workers.
    pub(super) const fn gives_out(&self) -> bool {
        matches!(self.pause, BatchPause::No) && !self.deleted
    }
}
