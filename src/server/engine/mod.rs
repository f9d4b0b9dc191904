//! The engine: the one owner of the live state.
//!
//! Every change goes through [`State::apply`], which is pure: it reads no
//! clock, does no I/O, and either refuses and changes nothing, or changes the
//! state and says what has to be on disk ([`ChangeSet`]) and what is to be done
//! afterwards ([`Effect`]). `owner` is the loop around it: it hands the
//! changes to the store and delivers replies, orders and events after the
//! commit, and only then.

pub mod change;
pub mod command;
pub mod hiring;
pub mod ready;
pub mod runtimes;
pub mod service;
pub mod settle;
pub mod state;
pub mod stepped;
pub mod throughput;

mod assign;
mod batch;
mod connect;
mod delete;
mod edit;
mod engines;
mod evict;
mod expire;
mod explain;
mod faults;
mod finish;
mod hold;
mod import;
mod invariants;
mod launch;
mod orphans;
mod overdue;
mod owner;
mod recall;
mod report;
mod requirements;
mod resend;
mod rest;
mod stop;
mod task_table;
mod token;
mod track;
mod waiting;
mod worker;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use crate::domain::Now;

pub use change::ChangeSet;
pub use command::{Command, Effect, Refusal, Reply};
pub use invariants::Violation;
pub use state::State;

/// Where one command's consequences are gathered.
#[derive(Debug)]
pub struct Context<'a> {
    pub now: Now,
    /// The name under which changes are recorded.
    pub actor: &'a Arc<str>,
    pub changes: &'a mut ChangeSet,
    pub effects: &'a mut Vec<Effect>,
}

impl State {
    /// Carries out one command.
    ///
    /// # Errors
    /// A refusal. Nothing has changed then.
    pub fn apply(&mut self, context: &mut Context<'_>, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::CreateTasks(tasks) => self.create_tasks(context, tasks),
            Command::RelaunchTasks { tasks, unfit } => self.relaunch_tasks(context, &tasks, unfit),
            Command::RetryUploads { tasks, unfit, executions } => {
                self.retry_uploads(context, &tasks, unfit, executions)
            }
            Command::CancelTasks { tasks, unfit } => self.cancel_tasks(context, &tasks, unfit),
            Command::PauseTasks { tasks, unfit } => self.pause_tasks(context, &tasks, unfit),
            Command::ResumeTasks { tasks, unfit } => self.resume_tasks(context, &tasks, unfit),
            Command::SignalTasks { tasks, signal, unfit } => {
                self.signal_tasks(context, &tasks, signal, unfit)
            }
            Command::MoveTasks { tasks, batch } => self.move_tasks(context, &tasks, &batch),
            Command::EditTasks { edits, running, ended } => {
                self.edit_tasks(context, edits, running, ended)
            }
            Command::DeleteTasks { tasks, dependents, unfit } => {
                self.delete_tasks(context, &tasks, dependents, unfit)
            }
            Command::UpdateBatch { batch, update } => {
                Ok(self.update_batch(context, &batch, update))
            }
            Command::PauseBatch { batch, with } => self.pause_batch(context, &batch, with),
            Command::GoBatch { batch, with } => self.go_batch(context, &batch, with),
            Command::EndBatch { batch, signal } => self.end_batch(context, &batch, signal),
            Command::DeleteBatch { batch, how } => self.delete_batch(context, &batch, how),
            Command::UpdateWorker { worker, update } => {
                self.update_worker(context, worker, &update)
            }
            Command::DeleteWorker(worker) => self.delete_worker(context, worker),
            Command::CleanWorker { worker, what } => self.clean_worker(context, worker, what),
            Command::RestartWorker(worker) => self.restart_worker(context, worker),
            Command::AdoptOrphans { worker, executions } => {
                self.adopt_orphans(context, worker, &executions)
            }
            Command::AbandonOrphans { worker, executions } => {
                self.abandon_orphans(context, worker, &executions)
            }
            Command::CreateToken { name, role, hash, expires_at } => {
                Ok(self.create_token(context, name, role, hash, expires_at))
            }
            Command::UseTokens(used) => Ok(self.use_tokens(context, used)),
            Command::RevokeToken(token) => self.revoke_token(context, token),
            Command::Note { action, detail } => {
                track::audit(context, action, detail);
                Ok(Reply::Done)
            }
            Command::Connect(connect) => self.connect(context, &connect),
            Command::Disconnect { worker, link } => Ok(self.disconnect(context, worker, link)),
            Command::Heartbeat { worker, link, pulse } => {
                self.heartbeat(context, worker, link, pulse)
            }
            Command::Report { worker, link, reports } => {
                self.report(context, worker, link, reports)
            }
            Command::EvictWorker { worker, link, reason } => {
                self.evict_worker(context, worker, link, &reason)
            }
            Command::TimeOut(overdue) => {
                self.time_out(context, &overdue);
                Ok(Reply::Done)
            }
            Command::RegisterWorker(new) => Ok(self.register_worker(context, &new)),
            Command::Attach { worker, link } => self.attach(context, worker, link),
            Command::DescribeWorker { worker, machine } => {
                self.describe_worker(context, worker, machine)
            }
            Command::Freeze { worker, link, execution } => {
                self.freeze(context, worker, link, execution)
            }
            Command::Keep { execution, keepsake } => Ok(self.keep(context, execution, keepsake)),
            Command::ReserveExecutions(count) => Ok(self.reserve_executions(context, count)),
            Command::ImportTasks(tasks) => self.import_tasks(context, tasks),
            Command::AssignTask { task, worker } => self.assign_task(context, task, worker),
            Command::Hiring(command) => self.on_hiring(context, command),
            Command::Tick => Ok(self.on_tick(context)),
        }
    }

    fn on_tick(&mut self, context: &mut Context<'_>) -> Reply {
        self.expire(context);
        self.settle_in_time(context);
        self.reserve_workers(context);
        self.dismiss(context);
        Reply::Done
    }
}
