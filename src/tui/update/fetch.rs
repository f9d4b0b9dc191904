//! What to ask the server for: only what is on screen, only when it may have
//! changed, and never twice at once.

use std::time::Duration;

use strum::IntoEnumIterator;

use super::log;
use crate::domain::ExecutionId;
use crate::domain::time::Monotonic;
use crate::tui::effect::{Effect, Fetch, TaskPageQuery};
use crate::tui::query::task_query;
use crate::tui::state::{Direction, PAGE, Popup, PromptKind, Screen, Source, State, Stream};

/// Pause after which the server's own figures are read again without a reason.
const STATUS_PERIOD: Duration = Duration::from_secs(15);

/// Pause between two looks at the last lines of output.
const TAILS_PERIOD: Duration = Duration::from_secs(1);

/// Pause between two looks at the log of a job.
const LOG_PERIOD: Duration = Duration::from_millis(500);

/// Most executions whose last lines are asked for at once.
const MOST_TAILS: usize = 100;

/// Adds the requests that are due.
pub(super) fn plan(state: &mut State, effects: &mut Vec<Effect>) {
    expire(state);
    for source in Source::iter() {
        if is_wanted(state, source) && is_due(state, source) {
            ask(state, source, effects);
        }
    }
    log::plan(state, effects);
}

/// When something is to be done at the latest, even if nothing happens.
#[must_use]
pub fn wake(state: &State) -> Monotonic {
    let mut when = state.now.monotonic.after(Duration::from_secs(1));
    for source in Source::iter() {
        let feed = state.feeds.of(source);
        if feed.is_stale
            && is_wanted(state, source)
            && let Some(due) = feed.due()
        {
            when = when.min(due);
        }
    }
    when.max(state.now.monotonic.after(Duration::from_millis(1)))
}

/// Marks what no event tells of.
fn expire(state: &mut State) {
    let now = state.now.monotonic;
    state.feeds.expire(Source::JobLog, LOG_PERIOD, now);
    let period = Duration::from_secs(u64::from(state.config.period.max(1)));
    if state.connection.stream == Stream::Up {
        state.feeds.expire(Source::Status, STATUS_PERIOD, now);
        state.feeds.expire(Source::Workers, period + many(state), now);
        state.feeds.expire(Source::Samples, period * 10, now);
        state.feeds.expire(Source::Tails, TAILS_PERIOD, now);
        state.feeds.expire(Source::Detail, period * 2, now);
        // These are counted for the question, which costs the server something.
        state.feeds.expire(Source::Latest, period * 5, now);
        state.feeds.expire(Source::Flavors, period * 5, now);
        state.feeds.expire(Source::Recruiters, period, now);
    } else {
        for source in Source::iter() {
            state.feeds.expire(source, period, now);
        }
    }
}

/// What a long list of workers waits longer for its figures: it is large.
fn many(state: &State) -> Duration {
    let workers = state.workers.list.all.as_ref().map_or(0, Vec::len);
    Duration::from_millis(workers as u64 * 5)
}

fn is_wanted(state: &State, source: Source) -> bool {
    let screen = state.screen;
    match source {
        Source::Status => true,
        // Names for completion are read once, and where workers are moved.
        Source::Workers => {
            matches!(screen, Screen::Workers | Screen::Overview)
                || state.workers.list.all.is_none()
                || moves_workers(state)
        }
        Source::Batches => {
            matches!(screen, Screen::Batches | Screen::Overview) || state.batches.list.all.is_none()
        }
        Source::Tasks | Source::Tails => screen == Screen::Tasks,
        Source::Counts => screen == Screen::Tasks && state.tasks.filter.needs_counts(),
        Source::Detail => screen == Screen::Task && state.detail.task.is_some(),
        Source::Samples => matches!(state.popup, Some(Popup::Charts { .. })),
        Source::Failures => screen == Screen::Overview,
        Source::Latest => screen == Screen::Workers && state.workers.latest.is_some(),
        Source::Jobs => matches!(screen, Screen::Workers | Screen::Jobs),
        Source::Recruiters => matches!(screen, Screen::Recruiters | Screen::Batches),
        // Read once, and again while somebody chooses among them.
        Source::Flavors => {
            matches!(state.popup, Some(Popup::Recruit(_)))
                || (matches!(screen, Screen::Workers | Screen::Jobs | Screen::Recruiters)
                    && state.feeds.of(source).answered.is_none())
        }
        Source::JobLog => matches!(&state.popup, Some(Popup::JobLog(log)) if !log.is_complete),
    }
}

/// Whether it is being asked which workers go into a batch or out of it.
fn moves_workers(state: &State) -> bool {
    let Some(Popup::Prompt(prompt)) = &state.popup else { return false };
    matches!(prompt.kind, PromptKind::WorkersInto(_) | PromptKind::WorkersOutOf(_))
}

fn is_due(state: &State, source: Source) -> bool {
    let feed = state.feeds.of(source);
    if source == Source::Tasks && has_missing_page(state) {
        // A page that is scrolled to does not wait.
        return true;
    }
    feed.is_stale && feed.due().is_some_and(|due| due <= state.now.monotonic)
}

fn ask(state: &mut State, source: Source, effects: &mut Vec<Effect>) {
    let fetch = match source {
        Source::Status => Fetch::Status,
        Source::Workers => Fetch::Workers,
        Source::Batches => Fetch::Batches,
        Source::Tasks => {
            ask_pages(state, effects);
            return;
        }
        Source::Counts => Fetch::Counts {
            generation: state.tasks.generation,
            // The tabs want all states, also those that the filter leaves out.
            query: Box::new(TaskPageQuery(task_query(&state.tasks.filter.with_state(None)))),
        },
        Source::Tails => {
            let executions = executions_on_screen(state);
            if executions.is_empty() {
                state.feeds.of_mut(Source::Tails).is_stale = false;
                return;
            }
            Fetch::Tails { executions }
        }
        Source::Detail => {
            let Some(task) = state.detail.task else { return };
            Fetch::Detail { task }
        }
        Source::Samples => {
            let Some(Popup::Charts { worker, .. }) = &state.popup else { return };
            Fetch::Samples { worker: *worker }
        }
        Source::Jobs => Fetch::Jobs,
        Source::Recruiters => Fetch::Recruiters,
        Source::Flavors => Fetch::Flavors,
        Source::JobLog => {
            let Some(Popup::JobLog(log)) = &state.popup else { return };
            Fetch::JobLog { job: log.job, offset: log.next }
        }
        Source::Failures => Fetch::Failures,
        Source::Latest => {
            let rows = state.workers.list.rows().skip(state.workers.list.cursor.first);
            let workers = rows.take(state.list_height()).map(|worker| worker.id).collect();
            Fetch::Latest { workers }
        }
    };
    state.feeds.on_asked(source, state.now.monotonic);
    effects.push(Effect::Fetch(fetch));
}

/// Pages on screen and the one behind them.
fn pages_on_screen(state: &State) -> Vec<usize> {
    state.tasks.walk.pages_of(state.tasks.cursor.first, state.list_height() * 2)
}

fn has_missing_page(state: &State) -> bool {
    let has_rows = |number: &usize| {
        state.tasks.walk.pages.get(*number).is_some_and(|page| page.rows.is_some())
    };
    pages_on_screen(state)
        .iter()
        .any(|number| !has_rows(number) && !state.tasks.asked.contains(number))
}

fn ask_pages(state: &mut State, effects: &mut Vec<Effect>) {
    let feed = state.feeds.of(Source::Tasks);
    let is_refresh = feed.is_stale && feed.due().is_some_and(|due| due <= state.now.monotonic);
    let on_screen = state.tasks.walk.pages_of(state.tasks.cursor.first, state.list_height());
    for number in pages_on_screen(state) {
        let Some(page) = state.tasks.walk.pages.get(number) else { continue };
        let is_wanted = page.rows.is_none() || (is_refresh && on_screen.contains(&number));
        if !is_wanted || state.tasks.asked.contains(&number) {
            continue;
        }
        let cursor = page.cursor.clone();
        let mut query = task_query(&state.tasks.filter);
        query.list.sort = state.tasks.sort;
        query.list.reverse =
            state.tasks.is_reversed != (state.tasks.walk.direction == Direction::FromBottom);
        query.list.cursor.clone_from(&cursor);
        query.list.limit = Some(PAGE);
        effects.push(Effect::Fetch(Fetch::TaskPage {
            generation: state.tasks.generation,
            number,
            cursor,
            query: Box::new(TaskPageQuery(query)),
        }));
        state.tasks.asked.insert(number);
    }
    if is_refresh {
        state.feeds.on_asked(Source::Tasks, state.now.monotonic);
        if state.tasks.asked.is_empty() {
            state.feeds.on_answered(Source::Tasks, state.now.monotonic);
        }
    }
}

/// Executions on screen whose output may have grown.
fn executions_on_screen(state: &State) -> Vec<(ExecutionId, bool)> {
    let is_open = |id: &ExecutionId| state.tasks.tails.get(id).is_none_or(|tails| !tails.is_final);
    state
        .tasks
        .visible(state.list_height())
        .iter()
        .filter_map(|(_, task)| {
            task.and_then(|task| Some((task.execution?, task.state.is_final())))
        })
        .filter(|(id, _)| is_open(id))
        .take(MOST_TAILS)
        .collect()
}
