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
pub mod runtimes;
pub mod service;
pub mod state;

mod assign;
mod connect;
mod expire;
mod explain;
mod finish;
mod invariants;
mod launch;
mod owner;
mod report;
mod track;
mod waiting;
mod worker;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use crate::domain::Now;

use connect::Pulse;

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
            Command::RelaunchTasks(tasks) => self.relaunch_tasks(context, &tasks),
            Command::CancelTasks(tasks) => self.cancel_tasks(context, &tasks),
            Command::DeleteTasks { tasks, dependents } => {
                self.delete_tasks(context, &tasks, dependents)
            }
            Command::UpdateWorker { worker, update } => {
                self.update_worker(context, worker, &update)
            }
            Command::DeleteWorker(worker) => self.delete_worker(context, worker),
            Command::CreateToken { name, role, hash } => {
                Ok(self.create_token(context, name, role, hash))
            }
            Command::RevokeToken(token) => self.revoke_token(context, token),
            Command::Connect(connect) => self.connect(context, &connect),
            Command::Disconnect { worker, link } => Ok(self.disconnect(context, worker, link)),
            Command::Heartbeat { worker, link, stats, phases, draining } => {
                self.heartbeat(context, worker, link, Pulse { stats, phases, draining })
            }
            Command::Report { worker, link, reports } => {
                self.report(context, worker, link, reports)
            }
            Command::Tick => {
                self.expire(context);
                Ok(Reply::Done)
            }
        }
    }
}
