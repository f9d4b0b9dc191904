//! States on the command line: how they are named, coloured and timed.

use std::fmt::Display;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::IntoEnumIterator;

use crate::api::task::TaskView;
use crate::cli::output::Paint;
use crate::domain::Timestamp;
use crate::domain::execution::ExecutionState;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;

/// Reads a state by its name and lists the names in an error.
pub fn parser<T>() -> impl TypedValueParser<Value = T>
where
    T: IntoEnumIterator + Into<&'static str> + FromStr + Clone + Send + Sync + 'static,
    <T as FromStr>::Err: std::error::Error + Send + Sync + 'static,
{
    let names = T::iter().map(Into::<&'static str>::into);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

/// State names as the query wants them: separated by commas.
pub fn joined<T: Display>(states: &[T]) -> Option<String> {
    let names: Vec<String> = states.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// How long a task ran, or has been running, or has been in its state.
pub fn task_seconds(task: &TaskView, now: Timestamp) -> f64 {
    match (task.started_at, task.finished_at) {
        (Some(started), Some(finished)) if task.state.is_final() => finished.seconds_since(started),
        (Some(started), None) if task.state == TaskState::Running => now.seconds_since(started),
        _ if task.state.is_final() => 0.0,
        _ => now.seconds_since(task.state_since),
    }
}

pub const fn task_paint(state: TaskState) -> Paint {
    match state {
        TaskState::Succeeded => Paint::Good,
        TaskState::Failed => Paint::Bad,
        TaskState::Running | TaskState::Accepted | TaskState::Assigned => Paint::Active,
        TaskState::Waiting | TaskState::Pending | TaskState::Paused => Paint::Faint,
    }
}

pub const fn execution_paint(state: ExecutionState) -> Paint {
    match state {
        ExecutionState::Succeeded => Paint::Good,
        ExecutionState::Failed => Paint::Bad,
        ExecutionState::Running | ExecutionState::Accepted => Paint::Active,
        ExecutionState::Pending | ExecutionState::Refused => Paint::Faint,
    }
}

pub const fn worker_paint(state: WorkerState) -> Paint {
    match state {
        WorkerState::Running => Paint::Good,
        WorkerState::Failed | WorkerState::Evicted | WorkerState::Offline => Paint::Bad,
        WorkerState::Paused | WorkerState::Draining => Paint::Active,
    }
}
