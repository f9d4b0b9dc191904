//! The exit code of a command that awaited tasks.

use crate::api::task::TaskView;
use crate::domain::execution::FailureClass;
use crate::domain::task::TaskState;

/// A person left before the task had ended, as with any program that Ctrl-C ends.
pub const DETACHED: u8 = 130;

/// Of several awaited tasks at least one has not succeeded.
pub const SOME_FAILED: u8 = 1;

const TIME_LIMIT: u8 = 124;
const OTHER_FAILURE: u8 = 123;
const OWN_FAILURE: u8 = 125;

/// The exit codes of a command that awaits tasks, for the manual.
pub const WAITING_EXIT_CODES: [(&str, &str); 8] = [
    ("0", "The task succeeded, or all of several did"),
    ("1", "Of several tasks at least one failed"),
    ("N", "The exit code of the command of one task"),
    ("128 + N", "Signal N ended the command"),
    ("123", "It failed otherwise than by its exit code"),
    ("124", "It passed a time limit"),
    ("125", "scitq itself failed after the task was queued"),
    ("130", "Ctrl-C left the task running"),
];

/// The task's own code; 128+n for a signal, 124 for a time limit, 123 for any
/// other failure, 125 for a failure of scitq itself.
#[must_use]
pub fn code_of(task: &TaskView) -> u8 {
    if task.state == TaskState::Succeeded {
        return 0;
    }
    match task.failure {
        Some(FailureClass::Exit) => task.exit_code.map_or(OTHER_FAILURE, own_code),
        Some(FailureClass::Signal) => {
            task.signal.map_or(OTHER_FAILURE, |signal| own_code(128 + signal))
        }
        Some(FailureClass::Timeout) => TIME_LIMIT,
        Some(FailureClass::Internal) => OWN_FAILURE,
        _ => OTHER_FAILURE,
    }
}

/// A failure never looks like success, also not with a code that we cannot pass on.
fn own_code(code: i32) -> u8 {
    u8::try_from(code).ok().filter(|code| *code != 0).unwrap_or(OTHER_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::task;

    #[test]
    fn an_awaited_task_decides_the_exit_code() {
        let code = |state, failure, exit_code, signal| {
            code_of(&TaskView { state, exit_code, signal, failure, ..task(1) })
        };
        let failed = TaskState::Failed;
        assert_eq!(code(TaskState::Succeeded, None, Some(0), None), 0);
        assert_eq!(code(failed, Some(FailureClass::Exit), Some(3), None), 3);
        assert_eq!(code(failed, Some(FailureClass::Exit), Some(0), None), 123);
        assert_eq!(code(failed, Some(FailureClass::Signal), None, Some(11)), 139);
        assert_eq!(code(failed, Some(FailureClass::Timeout), None, Some(15)), 124);
        assert_eq!(code(failed, Some(FailureClass::Upload), Some(0), None), 123);
        assert_eq!(code(failed, Some(FailureClass::Cancelled), None, Some(15)), 123);
        assert_eq!(code(failed, Some(FailureClass::Internal), None, None), 125);
        assert_eq!(code(failed, None, None, None), 123);
    }
}
