//! Sending edited tasks: what has to be allowed before, and what is told after.

use clap::Args;

use crate::api::ErrorCode;
use crate::api::task::{
    ChangedTasks, EditEnded, EditRunning, EditTask, EditTasks, TaskDetail, TaskView,
};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;
use crate::domain::TaskId;
use crate::domain::execution::Phase;
use crate::domain::task::{TaskSpec, TaskState};

/// What becomes of tasks that run and of those that have ended.
#[derive(Debug, Clone, Copy, Args)]
pub struct EditOptions {
    /// End the commands that run, and run their tasks again as edited
    #[arg(long)]
    restart_running: bool,
    /// Only save the edit of tasks that have ended: they do not run again by it
    #[arg(long)]
    no_run: bool,
}

/// A task and what it shall be.
#[derive(Debug, Clone)]
pub struct Edited {
    pub task: TaskView,
    pub old: TaskSpec,
    pub new: TaskSpec,
}

impl Edited {
    /// The task with a new specification; none where that is the old one.
    pub fn unless_same(detail: TaskDetail, new: TaskSpec) -> Option<Self> {
        let TaskDetail { task, spec: old, .. } = detail;
        (old != new).then_some(Self { task, old, new })
    }
}

/// Whether the task's command has been started and has not ended.
#[must_use]
pub fn runs(task: &TaskView) -> bool {
    let has_begun = matches!(task.phase, Some(Phase::Running | Phase::Uploading));
    task.state == TaskState::Running || (task.state == TaskState::Paused && has_begun)
}

impl EditOptions {
    /// # Errors
    /// Some of the tasks run, and nobody said that they may be ended.
    pub fn check(self, edits: &[Edited]) -> Result<(), CliError> {
        let running: Vec<TaskId> =
            edits.iter().filter(|edit| runs(&edit.task)).map(|edit| edit.task.id).collect();
        if self.restart_running || running.is_empty() {
            return Ok(());
        }
        let message = match running.as_slice() {
            [id] => format!("task {id} runs, and cannot be edited meanwhile"),
            ids => format!("{} of the tasks run, and cannot be edited meanwhile", ids.len()),
        };
        Err(CliError::refused(message)
            .hint("add --restart-running to end the command and run it again as edited"))
    }

    /// What the edit does with tasks beside changing them, for a question.
    #[must_use]
    pub fn consequences(self, edits: &[Edited]) -> String {
        let running = edits.iter().filter(|edit| runs(&edit.task)).count();
        let ended = edits.iter().filter(|edit| edit.task.state.is_final()).count();
        let mut parts = Vec::new();
        if running > 0 {
            parts.push(format!("{running} running restarted"));
        }
        if ended > 0 {
            let what = if self.no_run { "saved only" } else { "run again" };
            parts.push(format!("{ended} ended {what}"));
        }
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }

    /// Sends the edits: all are made, or none.
    ///
    /// # Errors
    /// The server refused; with a hint where somebody else was faster.
    pub async fn send(
        self,
        session: &Session,
        edits: Vec<Edited>,
    ) -> Result<ChangedTasks, CliError> {
        let edit = |edited: Edited| EditTask {
            id: edited.task.id,
            spec: edited.new,
            revision: Some(edited.task.revision),
        };
        let request = EditTasks {
            edits: edits.into_iter().map(edit).collect(),
            running: if self.restart_running { EditRunning::Restart } else { EditRunning::Refuse },
            ended: if self.no_run { EditEnded::Keep } else { EditEnded::Run },
        };
        session.client.edit_tasks(&request).await.map_err(|error| {
            let is_conflict = error.is_refused_as(ErrorCode::Conflict);
            let told = session.explain(error);
            if is_conflict && told.hints().is_empty() {
                return told.hint("look at it again and repeat the edit: nothing was changed");
            }
            told
        })
    }
}

/// How a question names tasks that are edited.
#[must_use]
pub fn describe(edits: &[Edited]) -> String {
    match edits {
        [one] => format!("task {}", one.task.id),
        several => format::counted(several.len() as u64, "task", "tasks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::task;

    fn edited(state: TaskState, phase: Option<Phase>) -> Edited {
        let spec: TaskSpec = serde_json::from_str(r#"{"command": "true"}"#).unwrap();
        let task = TaskView { state, phase, ..task(1) };
        Edited { task, old: spec.clone(), new: spec }
    }

    #[test]
    fn what_runs_is_edited_only_when_it_may_be_ended() {
        let edits = [
            edited(TaskState::Running, None),
            edited(TaskState::Paused, Some(Phase::Running)),
            edited(TaskState::Paused, Some(Phase::Ready)),
            edited(TaskState::Failed, None),
        ];
        let careful = EditOptions { restart_running: false, no_run: false };
        let error = careful.check(&edits).unwrap_err();
        assert_eq!(error.to_string(), "2 of the tasks run, and cannot be edited meanwhile");
        assert_eq!(careful.check(&edits[2..]), Ok(()));
        let bold = EditOptions { restart_running: true, no_run: true };
        assert_eq!(bold.check(&edits), Ok(()));
        assert_eq!(bold.consequences(&edits), " (2 running restarted, 1 ended saved only)");
        assert_eq!(careful.consequences(&edits[2..3]), "");
    }
}
