//! Which actions make sense here and now. Dispatch, key bar and help ask the
//! same question.

use crate::api::task::TaskView;
use crate::domain::task::TaskState;
use crate::tui::keymap::Command;
use crate::tui::state::{Access, Screen, State};

/// Whether an action can be done at the moment.
#[must_use]
pub fn is_available(command: Command, state: &State) -> bool {
    if is_change(command, state.screen) && state.access == Access::ReadOnly {
        return false;
    }
    match state.screen {
        // All of nothing can be marked.
        Screen::Tasks if !state.tasks.marks.is_empty() && state.task_total() != Some(0) => true,
        Screen::Tasks => {
            state.tasks.current().map_or(!needs_row(command), |task| fits(command, task))
        }
        Screen::Task => match &state.detail.detail {
            Some(detail) => fits(command, &detail.task),
            None => !needs_row(command),
        },
        Screen::Workers => !needs_row(command) || !state.workers.list.is_empty(),
        Screen::Batches => !needs_row(command) || !state.batches.list.is_empty(),
        Screen::Jobs => !needs_row(command) || !state.jobs.is_empty(),
        Screen::Recruiters => !needs_row(command),
        Screen::Overview | Screen::Output => true,
    }
}

/// Whether an action changes something on the server.
const fn is_change(command: Command, screen: Screen) -> bool {
    use Command as C;
    match command {
        C::Relaunch
        | C::Edit
        | C::EditOutside
        | C::Pause
        | C::PauseWithTasks
        | C::Resume
        | C::ResumeWithTasks
        | C::Stop
        | C::Kill
        | C::Signal
        | C::Cancel
        | C::Move
        | C::Delete
        | C::MoreConcurrency
        | C::LessConcurrency
        | C::SetConcurrency
        | C::MorePrefetch
        | C::LessPrefetch
        | C::SetPrefetch
        | C::EditBatch
        | C::Clean
        | C::DropCache
        | C::Restart
        | C::Recruit
        | C::RetryFailed
        | C::MoveWorkersIn
        | C::MoveWorkersOut
        | C::RetryJob => true,
        // On the workers' screen this key is a shell on another machine.
        C::Shell => matches!(screen, Screen::Workers),
        _ => false,
    }
}

/// Whether an action is about the row under the cursor.
const fn needs_row(command: Command) -> bool {
    use Command as C;
    is_change(command, Screen::Workers) && !matches!(command, C::Recruit)
        || matches!(
            command,
            C::Open | C::Output | C::Download | C::Mark | C::Range | C::OpenTasks | C::Charts
        )
}

/// Whether an action applies to this task.
fn fits(command: Command, task: &TaskView) -> bool {
    use Command as C;
    let state = task.state;
    match command {
        C::Pause => !state.is_final() && state != TaskState::Paused,
        C::Resume => state == TaskState::Paused,
        C::Stop | C::Kill => state.may_be_active() && task.execution.is_some(),
        C::Signal => matches!(state, TaskState::Running | TaskState::Paused),
        C::Cancel => !state.is_final(),
        C::Output | C::Download => task.execution.is_some(),
        _ => true,
    }
}
