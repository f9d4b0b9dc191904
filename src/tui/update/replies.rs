//! Answers of the server and of the user's other programs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{batches, editor, events, log};
use crate::api::ClientError;
use crate::api::server::ServerStatus;
use crate::api::task::TaskDetail;
use crate::api::worker::WorkerView;
use crate::domain::task::TaskState;
use crate::domain::time::Monotonic;
use crate::domain::{ExecutionId, TaskId};
use crate::tui::effect::{Effect, Fetch, Reply};
use crate::tui::state::{Files, Marker, Popup, PromptKind, Source, State, Tails, ToastKind};

/// Pause between two markers of the sparkline, and how long they are kept.
const MARKERS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_hours(1));

/// Clocks that differ by fewer microseconds count as the same.
const SKEW: i64 = 2_000_000;

/// CPU figures that are kept of each worker.
const TREND: usize = 12;

/// Last lines of more executions than this are forgotten.
const MOST_TAILS: usize = 2_000;

pub(super) fn on_reply(state: &mut State, reply: Reply, effects: &mut Vec<Effect>) {
    match reply {
        Reply::Status(result) => {
            if let Some(status) = answered(state, Source::Status, result) {
                on_status(state, status);
            }
        }
        Reply::Workers(result) => {
            let asked = state.feeds.of(Source::Workers).asked;
            if let Some(mut list) = answered(state, Source::Workers, result) {
                keep_wanted(state, asked, &mut list.workers);
                on_workers(state, list.workers);
            }
        }
        Reply::Batches(result) => {
            if let Some(list) = answered(state, Source::Batches, result) {
                state.batches.list.replace(list.batches);
                let (row, height) = (state.batches.list.cursor.row, state.list_height());
                state.batches.list.move_to(row, height);
            }
        }
        Reply::TaskPage { generation, number, cursor, result } => {
            on_page(state, generation, number, cursor.as_deref(), result);
        }
        Reply::Counts { generation, result } => {
            let counts = answered(state, Source::Counts, result);
            if generation == state.tasks.generation || state.tasks.counts.is_none() {
                state.tasks.counts = counts.or_else(|| state.tasks.counts.take());
            }
        }
        Reply::Tails(result) => {
            if let Some(tails) = answered(state, Source::Tails, result) {
                on_tails(state, tails);
            }
        }
        Reply::Detail { task, result } => on_detail(state, task, result, effects),
        Reply::Spec { task, is_outside, result } => match result {
            Ok(detail) => editor::open(state, &detail, is_outside, effects),
            Err(error) => fail(state, &format!("task {task}: {}", told(&error))),
        },
        Reply::Samples { worker: of, result } => {
            let refusal = result.as_ref().err().map(ToString::to_string);
            let found = answered(state, Source::Samples, result);
            if let Some(Popup::Charts { worker, samples, error, .. }) = &mut state.popup
                && *worker == of
            {
                *error = refusal;
                *samples = found.or_else(|| samples.take());
            }
        }
        Reply::Failures(result) => {
            if let Some(failures) = answered(state, Source::Failures, result) {
                state.failures = Some(failures);
            }
        }
        Reply::Latest(result) => {
            if let Some(counts) = answered(state, Source::Latest, result)
                && let Some(latest) = &mut state.workers.latest
            {
                latest.extend(counts);
            }
        }
        Reply::Jobs(_) | Reply::Recruiters(_) | Reply::Flavors(_) | Reply::JobLog { .. } => {
            on_hiring(state, reply);
        }
        Reply::Files { task, result } => {
            if let Files::Asked(execution) = state.detail.files
                && state.detail.task == Some(task)
            {
                state.detail.files = Files::Found(execution, result);
            }
        }
        Reply::Output { request, result } => log::on_output(state, request, result),
        Reply::Found { search, result } => log::on_found(state, &search, result, effects),
        Reply::Changed(result) => on_changed(state, result),
        Reply::Edited { task, revision, text } => {
            editor::on_edited_outside(state, task, revision, text, effects);
        }
    }
}

/// What is told of machines that are hired.
fn on_hiring(state: &mut State, reply: Reply) {
    match reply {
        Reply::Jobs(result) => {
            if let Some(list) = answered(state, Source::Jobs, result) {
                state.jobs.replace(list.jobs);
                let (row, height) = (state.jobs.cursor.row, state.list_height());
                state.jobs.move_to(row, height);
            }
        }
        Reply::Recruiters(result) => {
            if let Some(list) = answered(state, Source::Recruiters, result) {
                state.recruiters.replace(list.recruiters);
            }
        }
        Reply::Flavors(result) => {
            if let Some(list) = answered(state, Source::Flavors, result) {
                state.flavors = list.flavors;
            }
        }
        Reply::JobLog { job, offset, result } => {
            let piece = answered(state, Source::JobLog, result);
            if let Some(Popup::JobLog(log)) = &mut state.popup
                && let Some(piece) = piece
                && (log.job, log.next) == (job, offset)
            {
                log.text.push_str(&piece.text);
                log.next = piece.next;
                log.is_complete = piece.complete;
            }
        }
        _ => {}
    }
}

fn on_detail(
    state: &mut State,
    task: TaskId,
    result: Result<TaskDetail, ClientError>,
    effects: &mut Vec<Effect>,
) {
    let refusal = result.as_ref().err().filter(|error| !error.is_transient()).cloned();
    let detail = answered(state, Source::Detail, result);
    if state.detail.task == Some(task) {
        state.detail.error = refusal.map(|error| error.to_string());
        state.detail.detail = detail.or_else(|| state.detail.detail.take());
        ask_for_files(state, effects);
    }
}

/// Looks for the outputs of a task that has put them somewhere, once for each
/// execution.
fn ask_for_files(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(detail) = &state.detail.detail else { return };
    let (Some(execution), Some(place)) = (detail.task.execution, &detail.spec.output) else {
        return;
    };
    let is_known = match &state.detail.files {
        Files::None => false,
        Files::Asked(of) | Files::Found(of, _) => *of == execution,
    };
    if detail.task.state == TaskState::Succeeded && !is_known {
        let (task, place) = (detail.task.id, place.clone());
        effects.push(Effect::Fetch(Fetch::Files { task, place }));
        state.detail.files = Files::Asked(execution);
    }
}

/// Notes that an answer is here, and gives its value.
fn answered<T>(state: &mut State, source: Source, result: Result<T, ClientError>) -> Option<T> {
    match result {
        Ok(value) => {
            state.feeds.on_answered(source, state.now.monotonic);
            events::heard(state);
            Some(value)
        }
        Err(error) => {
            state.feeds.on_failed(source, state.now.monotonic);
            on_failure(state, &error);
            None
        }
    }
}

/// A request came to nothing.
fn on_failure(state: &mut State, error: &ClientError) {
    let text = told(error);
    let is_lost = matches!(error, ClientError::Unreachable { .. } | ClientError::Lost { .. });
    if !is_lost && state.connection.failure.as_deref() != Some(&text) {
        fail(state, &text);
    }
    state.connection.failure = Some(text);
}

/// An error with its hint.
#[must_use]
pub(super) fn told(error: &ClientError) -> String {
    let hint = match error {
        ClientError::Refused { body } | ClientError::Unauthenticated { body, .. } => {
            body.hint.as_deref()
        }
        _ => None,
    };
    hint.map_or_else(|| error.to_string(), |hint| format!("{error} ({hint})"))
}

pub(super) fn fail(state: &mut State, text: &str) {
    state.toasts.tell(ToastKind::Failure, text, state.now);
}

fn on_status(state: &mut State, status: ServerStatus) {
    let skew = status.now.0.saturating_sub(state.now.wall.0);
    // Less may be the way of the answer.
    state.connection.skew = if skew.abs() < SKEW { 0 } else { skew };
    let of = |state: TaskState| status.tasks.get(&state).copied().unwrap_or(0);
    let marker = Marker {
        at: state.now.monotonic,
        succeeded: of(TaskState::Succeeded),
        failed: of(TaskState::Failed),
    };
    let is_time = state.markers.back().is_none_or(|last| marker.at.since(last.at) >= MARKERS.0);
    if is_time {
        state.markers.push_back(marker);
    }
    while state.markers.front().is_some_and(|first| marker.at.since(first.at) > MARKERS.1) {
        state.markers.pop_front();
    }
    state.server = Some(status);
}

/// A list that was asked for before a change was made does not undo it.
fn keep_wanted(state: &mut State, asked: Option<Monotonic>, workers: &mut [WorkerView]) {
    if state.workers.answered.is_some_and(|answered| asked.is_some_and(|asked| asked >= answered)) {
        state.workers.wanted.clear();
    }
    for worker in workers {
        if let Some(wanted) = state.workers.wanted.get(&worker.id) {
            (worker.concurrency, worker.prefetch) = *wanted;
        }
    }
}

fn on_workers(state: &mut State, workers: Vec<WorkerView>) {
    let trends = &mut state.workers.trends;
    trends.retain(|id, _| workers.iter().any(|worker| worker.id == *id));
    for worker in &workers {
        if let Some(stats) = &worker.stats {
            let trend = trends.entry(worker.id).or_default();
            trend.push_back(stats.cpu_user_percent + stats.cpu_iowait_percent);
            while trend.len() > TREND {
                trend.pop_front();
            }
        }
    }
    state.workers.list.replace(workers);
    let (row, height) = (state.workers.list.cursor.row, state.list_height());
    state.workers.list.move_to(row, height);
    renew_completion(state);
}

/// Workers that may be moved are those that the latest list has elsewhere.
fn renew_completion(state: &mut State) {
    let Some(Popup::Prompt(prompt)) = &state.popup else { return };
    let PromptKind::WorkersInto(batch) = &prompt.kind else { return };
    let known = batches::workers_elsewhere(state, batch);
    if let Some(Popup::Prompt(prompt)) = &mut state.popup
        && prompt.chosen.is_none()
    {
        prompt.known = known;
    }
}

fn on_page(
    state: &mut State,
    generation: u64,
    number: usize,
    cursor: Option<&str>,
    result: Result<(Vec<crate::api::task::TaskView>, Option<String>), ClientError>,
) {
    if generation == state.tasks.generation {
        state.tasks.asked.remove(&number);
    }
    let page = if state.tasks.asked.is_empty() {
        answered(state, Source::Tasks, result)
    } else {
        result.ok()
    };
    let Some((rows, next)) = page else { return };
    if generation != state.tasks.generation {
        state.feeds.mark(Source::Tasks);
        return;
    }
    for task in &rows {
        // A task that runs again has an output of its own.
        if !task.state.is_final()
            && let Some(tails) = task.execution.and_then(|id| state.tasks.tails.get_mut(&id))
        {
            tails.is_final = false;
        }
    }
    state.tasks.walk.take(number, cursor, rows, next);
    state.tasks.follow_selected(state.list_height());
    state.feeds.mark(Source::Tails);
}

fn on_tails(state: &mut State, tails: BTreeMap<ExecutionId, Tails>) {
    if state.tasks.tails.len() > MOST_TAILS {
        state.tasks.tails.clear();
    }
    state.tasks.tails.extend(tails);
}

fn on_changed(state: &mut State, result: Result<String, String>) {
    match result {
        Ok(text) => state.toasts.tell(ToastKind::Done, text, state.now),
        Err(text) => fail(state, &text),
    }
    state.workers.answered = Some(state.now.monotonic);
    state.feeds.mark_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::tui::testing;

    fn status(now: Timestamp) -> ServerStatus {
        serde_json::from_value(serde_json::json!({
            "version": "2.0.0", "store": "s", "epoch": 0, "started_at": now, "now": now,
            "tasks": {}, "workers": {}, "batches": 0, "database_bytes": 0, "output_bytes": 0,
            "disk_free_bytes": 0
        }))
        .unwrap()
    }

    #[test]
    fn clocks_on_screen_go_by_the_time_of_the_server() {
        let mut state = testing::state(80, 24);
        let here = state.now.wall;
        on_status(&mut state, status(Timestamp(here.0 + 3_600_000_000)));
        assert_eq!(state.wall(), Timestamp(here.0 + 3_600_000_000));
        on_status(&mut state, status(Timestamp(here.0 + 300_000)));
        assert_eq!(state.wall(), here, "an answer takes its time");
    }
}
