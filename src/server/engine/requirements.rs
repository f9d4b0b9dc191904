//! What tasks wait for: other tasks, until those have succeeded or have ended.

use rustc_hash::FxHashSet;

use crate::domain::TaskId;
use crate::domain::task::{TaskEvent, TaskLife, TaskState};

use super::state::{Requirement, State};
use super::{Context, Refusal};

impl State {
    /// Puts requirements into the order and the form in which they are kept: of
    /// two on the same task the stricter one holds.
    pub(super) fn tidy_requirements(mut requirements: Vec<Requirement>) -> Vec<Requirement> {
        requirements.sort_unstable();
        requirements.dedup_by_key(|required| required.task);
        requirements
    }

    /// All of them exist. Those that have ended must have been loaded.
    pub(super) fn check_requirements_exist(
        &self,
        requirements: &[Requirement],
    ) -> Result<(), Refusal> {
        for required in requirements {
            if self.tasks.get(&required.task).is_none_or(|task| task.hidden) {
                return Err(Refusal::NoTask(required.task));
            }
        }
        Ok(())
    }

    /// A task must not wait for itself, by however many steps.
    pub(super) fn check_no_circle(
        &self,
        id: TaskId,
        requirements: &[Requirement],
    ) -> Result<(), Refusal> {
        let mut seen = FxHashSet::default();
        let mut open: Vec<(TaskId, TaskId)> =
            requirements.iter().map(|required| (required.task, required.task)).collect();
        while let Some((task, by)) = open.pop() {
            if task == id {
                return Err(Refusal::Circle { task: id, by });
            }
            let waits = self.tasks.get(&task).is_some_and(|task| !task.life.state().is_final());
            if waits && seen.insert(task) {
                let further = self.requirements.get(&task).map(Vec::as_slice).unwrap_or_default();
                open.extend(further.iter().map(|required| (required.task, by)));
            }
        }
        Ok(())
    }

    /// How many of these are not met. Tasks that have ended must have been loaded.
    pub(super) fn count_unmet(&self, requirements: &[Requirement]) -> u32 {
        let unmet = requirements.iter().filter(|required| {
            let task = self.tasks.get(&required.task);
            task.is_none_or(|task| !required.is_met_by(task.life.state()))
        });
        u32::try_from(unmet.count()).unwrap_or(u32::MAX)
    }

    /// The tasks that wait and require that one, oldest first.
    pub(super) fn waiting_dependents(&self, id: TaskId) -> Vec<TaskId> {
        let waits = |other: &TaskId| {
            self.tasks.get(other).is_some_and(|task| {
                !task.hidden
                    && (matches!(task.life, TaskLife::Waiting { .. } | TaskLife::Held { .. })
                        || self.waits_after_end.contains_key(other))
            })
        };
        self.dependents
            .get(&id)
            .map(|others| others.iter().copied().filter(waits).collect())
            .unwrap_or_default()
    }

    /// Releases the tasks that waited for one to come into this final state.
    pub(super) fn release_dependents(
        &mut self,
        context: &mut Context<'_>,
        ended: TaskId,
        state: TaskState,
    ) {
        for id in self.met_by(ended, state) {
            if let Some(unmet) = self.waits_after_end.get_mut(&id) {
                *unmet = unmet.saturating_sub(1);
                continue;
            }
            self.move_task(context, id, TaskEvent::RequirementMet, None);
            if let Some(task) = self.tasks.get(&id) {
                self.assign(context, task.batch);
            }
        }
    }

    /// Makes the tasks wait again that one in this final state had released, and
    /// that have not begun to wait for a worker.
    pub(super) fn reopen_requirement(
        &mut self,
        context: &mut Context<'_>,
        ended: TaskId,
        state: TaskState,
    ) {
        for id in self.met_by(ended, state) {
            match self.waits_after_end.get_mut(&id) {
                Some(unmet) => *unmet += 1,
                None => {
                    self.move_task(context, id, TaskEvent::RequirementReopened, None);
                }
            }
        }
    }

    /// Forgets the requirements on a task in this final state that it met: it
    /// goes, and they stay met.
    pub(super) fn drop_met_requirements(&mut self, id: TaskId, state: TaskState) {
        let Some(others) = self.dependents.remove(&id) else { return };
        let mut still = std::collections::BTreeSet::new();
        for dependent in others {
            let Some(requirements) = self.requirements.get_mut(&dependent) else { continue };
            requirements.retain(|required| required.task != id || !required.is_met_by(state));
            if requirements.iter().any(|required| required.task == id) {
                still.insert(dependent);
            }
            if requirements.is_empty() {
                self.requirements.remove(&dependent);
            }
        }
        if !still.is_empty() {
            self.dependents.insert(id, still);
        }
    }

    /// The waiting tasks whose requirement on that task is met by that state.
    fn met_by(&self, ended: TaskId, state: TaskState) -> Vec<TaskId> {
        let mut waiting = self.waiting_dependents(ended);
        waiting.retain(|id| {
            let requirements = self.requirements.get(id).map(Vec::as_slice).unwrap_or_default();
            requirements.iter().any(|required| required.task == ended && required.is_met_by(state))
        });
        waiting
    }
}
