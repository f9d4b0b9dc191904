//! The server's events: what is on screen changes at once, and is read again
//! for what the event does not tell.

use crate::api::event::{Event, FollowEvents};
use crate::domain::TaskId;
use crate::domain::task::TaskState;
use crate::tui::effect::{Effect, StreamNews};
use crate::tui::query::task_query;
use crate::tui::state::{Screen, Source, State, Stream};

pub(super) fn on_stream(state: &mut State, news: StreamNews) {
    match news {
        StreamNews::Up => {
            state.connection.stream = Stream::Up;
            heard(state);
            state.feeds.forgive();
        }
        StreamNews::Events(events) => {
            heard(state);
            for event in events {
                on_event(state, &event);
            }
        }
        StreamNews::Down(error) => {
            state.connection.stream = Stream::Down;
            state.connection.failure = Some(error.to_string());
            state.feeds.mark_all();
        }
    }
}

/// Has the server send only what concerns the screen: a list of one batch has
/// no use for the rest of a busy server's news.
pub(super) fn plan(state: &mut State, effects: &mut Vec<Effect>) {
    let is_narrow = state.screen == Screen::Tasks;
    let batch = is_narrow.then(|| task_query(&state.tasks.filter).list.batch).flatten();
    let wanted = FollowEvents { batch, ..FollowEvents::default() };
    if wanted != state.connection.follows {
        state.connection.follows = wanted.clone();
        effects.push(Effect::Follow(wanted));
    }
}

/// The server lives.
pub(super) fn heard(state: &mut State) {
    state.connection.heard = Some(state.now.monotonic);
    state.connection.failure = None;
}

fn on_event(state: &mut State, event: &Event) {
    let wall = state.wall();
    match *event {
        Event::Task { id, state: task_state, execution, .. } => {
            on_task(state, id);
            if let Some(task) = state.tasks.walk.find_mut(id) {
                if task.state != task_state {
                    task.state = task_state;
                    task.state_since = wall;
                    task.phase = None;
                }
                if execution.is_some() && task.execution != execution {
                    task.execution = execution;
                    task.started_at = None;
                    task.finished_at = None;
                }
            }
            if task_state == TaskState::Failed {
                state.feeds.mark(Source::Failures);
            }
        }
        Event::TaskDeleted { id, .. } => on_task(state, id),
        Event::Worker { id, state: worker_state, .. } => {
            mark(state, &[Source::Status, Source::Workers, Source::Batches]);
            let rows = state.workers.list.all.iter_mut().flatten();
            for worker in rows.filter(|worker| worker.id == id) {
                worker.state = worker_state;
            }
        }
        Event::WorkerDeleted { .. } => {
            mark(state, &[Source::Status, Source::Workers, Source::Batches]);
        }
        Event::Batch { .. } => mark(state, &[Source::Status, Source::Batches, Source::Detail]),
        Event::BatchDeleted { .. } => {
            mark(
                state,
                &[
                    Source::Status,
                    Source::Workers,
                    Source::Batches,
                    Source::Tasks,
                    Source::Counts,
                    Source::Detail,
                    Source::Failures,
                ],
            );
        }
        Event::Job { .. } | Event::JobDeleted { .. } => {
            mark(state, &[Source::Jobs, Source::JobLog]);
        }
        Event::Reset => state.feeds.mark_all(),
    }
}

fn on_task(state: &mut State, id: TaskId) {
    mark(
        state,
        &[
            Source::Status,
            Source::Workers,
            Source::Batches,
            Source::Tasks,
            Source::Counts,
            Source::Tails,
        ],
    );
    if state.detail.task == Some(id)
        || state
            .detail
            .detail
            .as_ref()
            .is_some_and(|detail| detail.requirements.iter().any(|required| required.id == id))
    {
        state.feeds.mark(Source::Detail);
    }
}

fn mark(state: &mut State, sources: &[Source]) {
    for source in sources {
        state.feeds.mark(*source);
    }
}
