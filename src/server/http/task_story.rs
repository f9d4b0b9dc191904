//! What is told of one task beside its figures: what it waits for, and how
//! long each part of its way took.

use crate::api::execution::ExecutionView;
use crate::api::task::{PhaseSpan, RelatedTask, TaskPhase, TaskView};
use crate::domain::task::{TaskState, Until};
use crate::domain::{TaskId, Timestamp};

/// Tasks that are named one by one.
const NAMED: usize = 10;

/// What a waiting task waits for. None when all of it is done: it is on its way.
pub(super) fn why_waiting(
    requirements: &[RelatedTask],
    deleted: &[(TaskId, Option<TaskState>)],
) -> Option<String> {
    let unmet = requirements.iter().filter(|required| !is_met(required));
    let mut names: Vec<(TaskId, String)> = unmet
        .map(|required| {
            let RelatedTask { id, state, until, .. } = required;
            let end = if *until == Until::End { ", to end" } else { "" };
            (*id, format!("{id} ({state}{end})"))
        })
        .collect();
    // One that was deleted while it ran still counts when it succeeds.
    names.extend(deleted.iter().map(|(id, state)| match state {
        None => (*id, format!("{id} (deleted)")),
        Some(state) => (*id, format!("{id} (deleted, {state})")),
    }));
    names.sort_unstable();
    let is_lost = requirements
        .iter()
        .any(|required| required.state == TaskState::Failed && required.until == Until::Success)
        || deleted.iter().any(|(_, state)| state.is_none());
    let blocked = if is_lost { "blocked: " } else { "" };
    let more = names.len().saturating_sub(NAMED);
    let first: Vec<&str> = names.iter().take(NAMED).map(|(_, name)| name.as_str()).collect();
    let first = first.join(", ");
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    match names.len() {
        0 => None,
        1 => Some(format!("{blocked}waits for task {first}")),
        _ => Some(format!("{blocked}waits for tasks {first}{tail}")),
    }
}

/// The way of the present attempt, or of the last one when the task has ended.
pub(super) fn phases(
    task: &TaskView,
    pending_since: Timestamp,
    requirements: &[RelatedTask],
    executions: &[ExecutionView],
) -> Vec<PhaseSpan> {
    let latest =
        executions.first().filter(|latest| task.state.is_final() || !latest.state.is_final());
    let Some(latest) = latest else { return before_any_worker(task, pending_since) };
    let before = executions.get(1).and_then(|execution| execution.finished_at);
    let queued = match before {
        // It was pending and given to a worker within one commit.
        Some(before) if pending_since < before => latest.assigned_at,
        Some(_) => pending_since,
        None => {
            let met = requirements.iter().filter(|required| is_met(required));
            let met = met.map(|required| required.state_since).max();
            // Requirements may have run again since.
            let met = met.filter(|met| *met <= latest.assigned_at);
            pending_since.max(met.unwrap_or(task.created_at)).max(task.created_at)
        }
    };
    let queued = queued.min(latest.assigned_at);
    let waited = before.is_none() && !requirements.is_empty() && task.created_at < queued;
    let steps = [
        (TaskPhase::Waiting, waited.then_some(task.created_at)),
        (TaskPhase::Queued, Some(queued)),
        (TaskPhase::Assigned, Some(latest.assigned_at)),
        (TaskPhase::Downloading, latest.accepted_at),
        (TaskPhase::Ready, latest.ready_at),
        (TaskPhase::Running, latest.started_at),
        (TaskPhase::Uploading, latest.ended_at),
    ];
    let begun: Vec<(TaskPhase, Timestamp)> =
        steps.into_iter().filter_map(|(phase, from)| Some((phase, from?))).collect();
    in_order(&begun, latest.finished_at)
}

/// A task that no worker has, or had.
fn before_any_worker(task: &TaskView, pending_since: Timestamp) -> Vec<PhaseSpan> {
    let now = (task.state_since, None);
    let (phase, (from, until)) = match task.state {
        TaskState::Waiting => (TaskPhase::Waiting, now),
        state if state.is_final() => {
            (TaskPhase::Queued, (pending_since.max(task.created_at), Some(task.state_since)))
        }
        _ => (TaskPhase::Queued, now),
    };
    vec![PhaseSpan { phase, from, until }]
}

/// Each phase until the next. Dates come from two machines, whose clocks may
/// differ: none ends before it began.
fn in_order(begun: &[(TaskPhase, Timestamp)], end: Option<Timestamp>) -> Vec<PhaseSpan> {
    let mut spans: Vec<PhaseSpan> = Vec::with_capacity(begun.len());
    for (phase, from) in begun {
        let from = spans.last().map_or(*from, |last| last.from.max(*from));
        if let Some(last) = spans.last_mut() {
            last.until = Some(from);
        }
        spans.push(PhaseSpan { phase: *phase, from, until: None });
    }
    if let Some(last) = spans.last_mut() {
        last.until = end.map(|end| end.max(last.from));
    }
    spans
}

const fn is_met(required: &RelatedTask) -> bool {
    match required.until {
        Until::Success => matches!(required.state, TaskState::Succeeded),
        Until::End => required.state.is_final(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(id: u64, state: TaskState, until: Until) -> RelatedTask {
        RelatedTask { id: TaskId(id), state, until, state_since: Timestamp(20) }
    }

    #[test]
    fn a_waiting_task_says_for_what() {
        let needs = |state| required(1, state, Until::Success);
        let ends = |state| required(2, state, Until::End);
        let why = |requirements: &[RelatedTask]| why_waiting(requirements, &[]);
        assert_eq!(why(&[needs(TaskState::Running)]).unwrap(), "waits for task 1 (running)");
        assert_eq!(why(&[needs(TaskState::Failed)]).unwrap(), "blocked: waits for task 1 (failed)");
        assert_eq!(
            why(&[ends(TaskState::Running), needs(TaskState::Pending)]).unwrap(),
            "waits for tasks 1 (pending), 2 (running, to end)"
        );
        assert_eq!(why(&[ends(TaskState::Failed), needs(TaskState::Succeeded)]), None);
        let deleted = [(TaskId(3), Some(TaskState::Running)), (TaskId(4), None)];
        assert_eq!(
            why_waiting(&[], &deleted).unwrap(),
            "blocked: waits for tasks 3 (deleted, running), 4 (deleted)"
        );
        let many: Vec<_> =
            (1..=12).map(|id| required(id, TaskState::Pending, Until::Success)).collect();
        assert!(why(&many).unwrap().ends_with("10 (pending) and 2 more"));
    }

    fn task(state: &str, state_since: i64) -> TaskView {
        serde_json::from_value(serde_json::json!({
            "id": 1, "batch": "b", "state": state, "command": "true", "attempts": 1,
            "created_at": Timestamp(10), "state_since": Timestamp(state_since), "priority": 0,
            "revision": 0, "created_by": "test"
        }))
        .unwrap()
    }

    fn execution(state: &str, dates: [i64; 6]) -> ExecutionView {
        let [assigned, accepted, ready, started, ended, finished] =
            dates.map(|date| (date > 0).then_some(Timestamp(date)));
        serde_json::from_value(serde_json::json!({
            "id": 1, "task": 1, "attempt": 1, "worker_name": "w", "state": state,
            "assigned_at": assigned, "accepted_at": accepted, "ready_at": ready,
            "started_at": started, "ended_at": ended, "finished_at": finished,
            "output": {"stdout": 0, "stderr": 0}
        }))
        .unwrap()
    }

    fn told(spans: &[PhaseSpan]) -> String {
        let until = |span: &PhaseSpan| span.until.map_or(String::new(), |date| date.0.to_string());
        let words = spans.iter().map(|s| format!("{} {}-{}", s.phase, s.from.0, until(s)));
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn phases_follow_each_other_without_a_gap() {
        let whole = execution("succeeded", [30, 31, 32, 40, 50, 60]);
        assert_eq!(
            told(&phases(&task("succeeded", 60), Timestamp(10), &[], std::slice::from_ref(&whole))),
            "queued 10-30, assigned 30-31, downloading 31-32, ready 32-40, running 40-50, uploading 50-60"
        );
        let needs = [required(7, TaskState::Succeeded, Until::Success)];
        let begun = execution("running", [30, 31, 0, 40, 0, 0]);
        assert_eq!(
            told(&phases(&task("running", 40), Timestamp(10), &needs, &[begun])),
            "waiting 10-20, queued 20-30, assigned 30-31, downloading 31-40, running 40-"
        );
        let again = execution("running", [70, 71, 0, 65, 0, 0]);
        assert_eq!(
            told(&phases(
                &task("running", 40),
                Timestamp(61),
                &[],
                &[again.clone(), whole.clone()]
            )),
            "queued 61-70, assigned 70-71, downloading 71-71, running 71-"
        );
        // Failed, queued again and given away at once.
        assert_eq!(
            told(&phases(&task("running", 40), Timestamp(10), &[], &[again, whole.clone()])),
            "queued 70-70, assigned 70-71, downloading 71-71, running 71-"
        );
        assert_eq!(told(&phases(&task("pending", 61), Timestamp(61), &[], &[whole])), "queued 61-");
        assert_eq!(told(&phases(&task("waiting", 10), Timestamp(10), &[], &[])), "waiting 10-");
        assert_eq!(told(&phases(&task("failed", 15), Timestamp(12), &[], &[])), "queued 12-15");
    }
}
