//! What a command needs of the database: ended tasks that it names come into the
//! live state for as long as it takes, and batches that it names as required
//! become the tasks in them.

use rustc_hash::FxHashSet;

use crate::domain::task::{TaskLife, Until};
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId};

use super::super::store::StoreError;
use super::change::ExecutionRow;
use super::command::NewTask;
use super::owner::Owner;
use super::state::Requirement;
use super::{Command, Refusal};

/// Requirements that one request may add, over all of its tasks.
const MOST_REQUIREMENTS: usize = 1_000_000;

impl Owner {
    /// Makes a command complete, and brings what it names into the live state.
    pub(super) fn recall(&mut self, command: &mut Command) -> Result<(), Refusal> {
        self.resolve_batches(command)?;
        let named = self.tasks_named_by(command)?;
        let with_requirements =
            matches!(command, Command::RelaunchTasks { .. } | Command::EditTasks { .. });
        let deleted = self.deleted_lately();
        for id in &named {
            self.recall_one(*id, &deleted)?;
        }
        if let Command::RetryUploads { executions, .. } = command {
            *executions = self.latest_executions(&named)?;
        }
        for id in named {
            if with_requirements {
                for required in self.state.requirements.get(&id).cloned().unwrap_or_default() {
                    self.recall_one(required.task, &deleted)?;
                }
            }
        }
        Ok(())
    }

    /// The latest executions of tasks, as far as they have ended.
    fn latest_executions(
        &self,
        tasks: &[TaskId],
    ) -> Result<Vec<(ExecutionId, ExecutionRow)>, Refusal> {
        let mut found = Vec::new();
        for task in tasks {
            let Some(id) = self.state.tasks.get(task).and_then(|task| task.execution) else {
                continue;
            };
            let row = match self.open.executions.get(&id) {
                Some(row) => Some(row.clone()),
                None => self.outside.reader.find_execution(id).map_err(unreadable)?,
            };
            found.extend(row.filter(|row| row.finished_at.is_some()).map(|row| (id, row)));
        }
        Ok(found)
    }

    fn tasks_named_by(&self, command: &Command) -> Result<Vec<TaskId>, Refusal> {
        let required = |new: &NewTask| -> Vec<TaskId> {
            new.after.iter().map(|required| required.task).collect()
        };
        Ok(match command {
            Command::CreateTasks(tasks) => tasks.iter().flat_map(required).collect(),
            Command::ImportTasks(tasks) => {
                tasks.iter().flat_map(|import| required(&import.new)).collect()
            }
            Command::EditTasks { edits, .. } => edits
                .iter()
                .flat_map(|edit| {
                    let mut named = required(&edit.new);
                    named.push(edit.id);
                    named
                })
                .collect(),
            Command::RelaunchTasks { tasks, .. }
            | Command::RetryUploads { tasks, .. }
            | Command::CancelTasks { tasks, .. }
            | Command::PauseTasks { tasks, .. }
            | Command::ResumeTasks { tasks, .. }
            | Command::SignalTasks { tasks, .. }
            | Command::MoveTasks { tasks, .. }
            | Command::DeleteTasks { tasks, .. } => tasks.clone(),
            Command::DeleteBatch { batch, .. } => match self.state.batch_ids.get(batch) {
                Some(id) => self.outside.reader.list_required_of_batch(*id).map_err(unreadable)?,
                None => Vec::new(),
            },
            Command::AdoptOrphans { worker, .. } => {
                let worker = self.state.workers.get(worker);
                worker.map_or_else(Vec::new, |worker| {
                    worker.orphans.iter().map(|orphan| orphan.task).collect()
                })
            }
            _ => Vec::new(),
        })
    }

    /// Puts the tasks of required batches, as they are now, among the required ones.
    fn resolve_batches(&self, command: &mut Command) -> Result<(), Refusal> {
        let mut count = 0;
        let mut known: Vec<(BatchName, Vec<Requirement>)> = Vec::new();
        let news: Vec<&mut NewTask> = match command {
            Command::CreateTasks(tasks) => tasks.iter_mut().collect(),
            Command::EditTasks { edits, .. } => {
                edits.iter_mut().map(|edit| &mut edit.new).collect()
            }
            _ => return Ok(()),
        };
        for new in news {
            for name in std::mem::take(&mut new.after_batch) {
                if !known.iter().any(|(other, _)| *other == name) {
                    known.push((name.clone(), self.tasks_in_batch(&name)?));
                }
                let found = known.iter().find(|(other, _)| *other == name);
                new.after.extend(found.iter().flat_map(|(_, tasks)| tasks.iter().copied()));
            }
            count += new.after.len();
            if count > MOST_REQUIREMENTS {
                return Err(Refusal::ManyRequirements { count, most: MOST_REQUIREMENTS });
            }
        }
        Ok(())
    }

    /// All tasks of a batch that have not succeeded: the others are met for good.
    fn tasks_in_batch(&self, name: &BatchName) -> Result<Vec<Requirement>, Refusal> {
        let id = *self.state.batch_ids.get(name).ok_or_else(|| Refusal::NoBatch(name.clone()))?;
        let deleted = self.deleted_lately();
        let on_disk: Vec<TaskId> = self.outside.reader.list_failed(id).map_err(unreadable)?;
        let on_disk = on_disk
            .into_iter()
            .filter(|task| !deleted.contains(task) && !self.state.tasks.contains_key(task));
        let live = self.state.tasks.iter().filter(|(_, task)| {
            task.batch == id && !task.hidden && !matches!(task.life, TaskLife::Succeeded)
        });
        let mut tasks: Vec<TaskId> = live.map(|(id, _)| id).chain(on_disk).collect();
        tasks.sort_unstable();
        Ok(tasks.into_iter().map(|task| Requirement { task, until: Until::Success }).collect())
    }

    /// Tasks whose deletion is not on disk yet: they are still found there, and
    /// must stay away.
    fn deleted_lately(&self) -> FxHashSet<TaskId> {
        let mut deleted = self.deleting.clone();
        deleted.extend(self.open.deleted_tasks.iter().map(|task| task.id));
        deleted
    }

    /// Brings one ended task in, if it is not there.
    fn recall_one(&mut self, id: TaskId, deleted: &FxHashSet<TaskId>) -> Result<(), Refusal> {
        if self.state.tasks.contains_key(&id) || deleted.contains(&id) {
            return Ok(());
        }
        let found = self.outside.reader.find_task(id).map_err(unreadable)?;
        if let Some(found) = found
            && found.task.life.state().is_final()
            && self.is_there(found.task.batch)
        {
            self.state.recall_task(id, found.task, found.requirements);
            self.open.ended_tasks.push(id);
        }
        Ok(())
    }

    fn is_there(&self, batch: BatchId) -> bool {
        self.state.batches.get(&batch).is_some_and(|batch| !batch.deleted)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err calls")]
fn unreadable(error: StoreError) -> Refusal {
    tracing::error!(%error, "cannot read what a command names");
    Refusal::Unavailable(error.to_string().into())
}
