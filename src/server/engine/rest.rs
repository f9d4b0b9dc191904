//! Workers of the original: they have no link that stays open, and are known by
//! their ids and not by what they say in a hello.
//!
//! The server's end of such a link is in `server/v1`. It attaches itself when a
//! worker speaks that has none, and from then on speaks for it as an agent does:
//! the same heartbeats, the same reports, the same fence.

use std::sync::Arc;

use crate::domain::execution::{ExecutionState, Keepsake, Suspension};
use crate::domain::task::TaskLife;
use crate::domain::worker::{Machine, SeenState};
use crate::domain::{ExecutionId, TaskId, WorkerId};

use super::command::{Connect, NewWorker};
use super::state::{LinkId, State};
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Makes a worker that has not spoken yet. One of that name on that machine is
    /// the same one: a request that was repeated makes no second.
    pub(super) fn register_worker(&mut self, context: &mut Context<'_>, new: &NewWorker) -> Reply {
        let known = self.workers.iter().find(|(_, worker)| {
            worker.name == new.name && worker.machine.machine_id == new.machine.machine_id
        });
        if let Some((id, _)) = known {
            return Reply::Worker(*id);
        }
        let id = self.register(
            context,
            &Connect {
                link: LinkId(0),
                bound_to: None,
                new_token: None,
                name: Arc::clone(&new.name),
                machine: new.machine.clone(),
                version: new.version.clone(),
                instance: String::new(),
                settings: new.settings.clone(),
                store: None,
                held: Vec::new(),
                draining: false,
                orphans: Vec::new(),
            },
        );
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.wanted = new.wanted;
            worker.last_contact = None;
            worker.agent_lease = worker.machine.protocol.lease().or(worker.agent_lease);
        }
        self.note_engine(id);
        self.record_worker(context, id);
        Reply::Worker(id)
    }

    /// Gives a worker its link, and tells over it what it may have missed.
    pub(super) fn attach(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        link: LinkId,
    ) -> Result<Reply, Refusal> {
        let worker = self.workers.get_mut(&id).ok_or(Refusal::NoWorker(id))?;
        worker.link = Some(link);
        worker.last_heard = context.now.monotonic;
        worker.last_contact = Some(context.now.wall);
        worker.agent_lease = worker.machine.protocol.lease().or(worker.agent_lease);
        if worker.seen == SeenState::Offline {
            worker.seen = SeenState::Online;
        }
        let batch = worker.batch;
        for state in [ExecutionState::Accepted, ExecutionState::Running] {
            for execution in self.executions_of(id, state) {
                let ending = self.executions.get(&execution).and_then(|live| live.row.ending);
                if let Some(ending) = ending {
                    let verdict = ending.verdict();
                    context.effects.push(Effect::Order { worker: id, execution, verdict });
                }
                self.tell_suspension(context, execution);
            }
        }
        self.record_worker(context, id);
        self.assign(context, batch);
        Ok(Reply::Worker(id))
    }

    pub(super) fn describe_worker(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        machine: Machine,
    ) -> Result<Reply, Refusal> {
        let worker = self.workers.get_mut(&id).ok_or(Refusal::NoWorker(id))?;
        worker.machine = machine;
        let batch = worker.batch;
        self.reweigh_worker(id);
        self.note_engine(id);
        self.record_worker(context, id);
        self.assign(context, batch);
        Ok(Reply::Worker(id))
    }

    /// The fence in front of a command's start: only an execution that is still
    /// wanted, and not held back, passes.
    pub(super) fn freeze(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
        link: LinkId,
        id: ExecutionId,
    ) -> Result<Reply, Refusal> {
        let speaks = self.workers.get(&worker).ok_or(Refusal::NoWorker(worker))?;
        if speaks.link != Some(link) {
            return Err(Refusal::StaleLink);
        }
        let suspension = self.suspension_of(id);
        let execution = self.executions.get(&id).ok_or(Refusal::NotToStart(id))?;
        let task = self.tasks.get(&execution.row.task).ok_or(Refusal::NotToStart(id))?;
        let revision = task.revision;
        let may_start = execution.worker == worker
            && execution.row.state == ExecutionState::Accepted
            && execution.row.ending.is_none()
            && suspension == Suspension::No;
        if !may_start {
            return Err(Refusal::NotToStart(id));
        }
        self.hear(context, worker, link)?;
        if let Some(execution) = self.executions.get_mut(&id) {
            execution.row.revision = revision;
            self.record_execution(context, id);
        }
        Ok(Reply::Done)
    }

    /// Keeps what a worker tells of its execution, for as long as that lives.
    pub(super) fn keep(
        &mut self,
        context: &mut Context<'_>,
        id: ExecutionId,
        keepsake: Keepsake,
    ) -> Reply {
        if let Some(execution) = self.executions.get_mut(&id) {
            let kept = execution.row.keepsake.get_or_insert_default();
            kept.pid = keepsake.pid.or_else(|| kept.pid.take());
            kept.output_files = keepsake.output_files.or_else(|| kept.output_files.take());
            self.record_execution(context, id);
        }
        Reply::Done
    }

    /// Gives a task to that worker and to no other, whatever its batch and its load.
    pub(super) fn assign_task(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        worker_id: WorkerId,
    ) -> Result<Reply, Refusal> {
        let task = self.tasks.get(&id).filter(|task| !task.hidden).ok_or(Refusal::NoTask(id))?;
        if task.life != TaskLife::Pending {
            return Err(Refusal::NotPending(id, task.life.state()));
        }
        let worker = self.workers.get(&worker_id).ok_or(Refusal::NoWorker(worker_id))?;
        if !worker.takes_work() {
            return Err(Refusal::TakesNothing(Arc::clone(&worker.name)));
        }
        self.assign_to(context, id, worker_id);
        audit(context, "task.assign", format!("{id} to worker {worker_id}"));
        Ok(Reply::Tasks(vec![id]))
    }
}
