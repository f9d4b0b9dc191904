//! The log view: what to read of which stream, scrolling, search.

use crate::api::ClientError;
use crate::domain::execution::Stream;
use crate::tui::effect::{Effect, Fetch, OutputFrom, OutputReply, OutputRequest, Search};
use crate::tui::keymap::Command;
use crate::tui::state::{
    CHUNK, LogScreen, Popup, Prompt, PromptKind, Screen, Shown, Spot, State, ToastKind,
};

/// Lines from the edge of the window at which more is read.
const NEAR: usize = 200;

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    use Command as C;
    let Some(log) = &mut state.log else { return };
    match command {
        C::Follow => {
            log.follows = !log.follows;
            settle(state);
        }
        C::Streams => {
            log.shown = match log.shown {
                Shown::Both => Shown::Only(Stream::Stdout),
                Shown::Only(Stream::Stdout) => Shown::Only(Stream::Stderr),
                Shown::Only(Stream::Stderr) => Shown::Merged,
                Shown::Merged => Shown::Both,
            };
            log.add_times();
            log.merge();
            settle(state);
        }
        C::Times => {
            log.shows_times = !log.shows_times;
            log.add_times();
            settle(state);
        }
        C::Wrap => {
            log.wraps = !log.wraps;
            settle(state);
        }
        C::Search => {
            let text = log.search.clone();
            let prompt = Prompt::new(PromptKind::Search, "Search", &text);
            state.popup = Some(Popup::Prompt(prompt));
        }
        C::NextHit => search(state, Way::Forwards, effects),
        C::PreviousHit => search(state, Way::Backwards, effects),
        C::Save => {
            let task = log.task;
            let title = format!("Save stdout and stderr of task {task} in folder");
            let prompt = Prompt::new(PromptKind::Download(vec![task]), title, ".");
            state.popup = Some(Popup::Prompt(prompt));
        }
        C::Pager => effects.push(Effect::Page { execution: log.execution, stream: log.focus() }),
        _ => {}
    }
}

/// Which way a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forwards,
    Backwards,
}

/// The width at which lines break.
fn columns(log: &LogScreen, width: usize) -> Option<usize> {
    log.wraps.then_some(width.saturating_sub(log.margin()).max(1))
}

/// Keeps what is shown in its bounds, and the end in sight while following.
pub(super) fn settle(state: &mut State) {
    let (height, width) = (state.body_height(), state.columns());
    let Some(log) = &mut state.log else { return };
    let columns = columns(log, width);
    let follows = log.follows;
    if log.shown == Shown::Merged {
        let height = height.saturating_sub(1);
        if follows {
            log.scroll_merged_to_end(height, columns);
        } else {
            log.scroll_merged(0, height, columns);
        }
        return;
    }
    for (stream, height) in log.layout(height) {
        let pane = log.pane_mut(stream);
        if follows {
            pane.scroll_to_end(height, columns);
        } else {
            pane.scroll(0, height, columns);
        }
    }
}

pub(super) fn move_view(state: &mut State, command: Command, step: i64, side: usize) {
    let (height, width) = (state.body_height(), state.columns());
    let Some(log) = &mut state.log else { return };
    let columns = columns(log, width);
    let focus = log.focus();
    let height = log.layout(height).iter().find(|(s, _)| *s == focus).map_or(0, |(_, h)| *h);
    match command {
        Command::Bottom => log.follows = true,
        Command::Top => log.follows = false,
        _ if step < 0 => log.follows = false,
        _ => {}
    }
    if log.shown == Shown::Merged {
        move_merged(log, command, step, height, columns);
        return;
    }
    let pane = log.pane_mut(focus);
    match command {
        // The beginning is somewhere else: read it in place of what is held.
        Command::Top if pane.begin() > 0 => log.reopen(focus, Some((0, 0))),
        Command::Top => (pane.first, pane.sub) = (0, 0),
        Command::Bottom if pane.end() < pane.size => log.reopen(focus, None),
        Command::Bottom => pane.scroll_to_end(height, columns),
        Command::Left => pane.shift = pane.shift.saturating_sub(side),
        Command::Right => pane.shift += side,
        _ => pane.scroll(step, height, columns),
    }
}

fn move_merged(
    log: &mut LogScreen,
    command: Command,
    step: i64,
    height: usize,
    columns: Option<usize>,
) {
    match command {
        Command::Top | Command::Bottom => {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let pane = log.pane(stream);
                if command == Command::Top && pane.begin() > 0 {
                    log.reopen(stream, Some((0, 0)));
                } else if command == Command::Bottom && pane.end() < pane.size {
                    log.reopen(stream, None);
                }
            }
            log.merge();
            if command == Command::Top {
                log.go_to_merged(Spot::default());
            } else {
                log.scroll_merged_to_end(height, columns);
            }
        }
        Command::Left | Command::Right => {}
        _ => log.scroll_merged(step, height, columns),
    }
}

/// Whether a window has to reach further: back, or on.
fn needs_more(log: &LogScreen, stream: Stream, height: usize) -> (bool, bool) {
    if log.shown == Shown::Merged {
        let spot = log.merged.spot.line;
        let is_near_end = spot + height + NEAR > log.merged.order.len();
        return (
            spot < NEAR && log.short_at_begin() == Some(stream),
            is_near_end && log.short_at_end() == Some(stream),
        );
    }
    let pane = log.pane(stream);
    (pane.first < NEAR, pane.first + height + NEAR > pane.lines.len())
}

/// Adds the requests for what is missing around what is on screen.
pub(super) fn plan(state: &mut State, effects: &mut Vec<Effect>) {
    if state.screen != Screen::Output {
        return;
    }
    let height = state.body_height();
    let Some(log) = &mut state.log else { return };
    let execution = log.execution;
    let with_times = log.wants_times();
    for (stream, height) in log.layout(height) {
        let (back, on) = needs_more(log, stream, height);
        let pane = log.pane_mut(stream);
        let epoch = pane.epoch;
        let mut request = |from, limit| {
            let request = OutputRequest { execution, stream, from, limit, with_times, epoch };
            effects.push(Effect::Fetch(Fetch::Output(request)));
        };
        if !pane.is_loaded {
            if !pane.is_reading && pane.error.is_none() {
                pane.is_reading = true;
                let from = pane.goal.map_or(OutputFrom::End, |(read, _)| OutputFrom::Offset(read));
                request(from, CHUNK);
            }
            continue;
        }
        let (begin, end) = (pane.begin(), pane.end());
        if end >= pane.size && !pane.is_complete && !pane.is_following && pane.error.is_none() {
            pane.is_following = true;
            request(OutputFrom::Follow(end), CHUNK);
        }
        if pane.is_reading || pane.error.is_some() {
            continue;
        }
        if begin > 0 && back {
            pane.is_reading = true;
            let from = begin.saturating_sub(CHUNK);
            request(OutputFrom::Offset(from), begin - from);
        } else if end < pane.size && on {
            pane.is_reading = true;
            request(OutputFrom::Offset(end), CHUNK);
        }
    }
}

pub(super) fn on_output(
    state: &mut State,
    request: OutputRequest,
    result: Result<OutputReply, ClientError>,
) {
    let height = state.body_height();
    let Some(log) = &mut state.log else { return };
    if log.execution != request.execution {
        return;
    }
    let height =
        log.layout(height).iter().find(|(s, _)| *s == request.stream).map_or(0, |(_, h)| *h);
    let pane = log.pane_mut(request.stream);
    if pane.epoch != request.epoch {
        return;
    }
    match result {
        Ok(reply) => {
            pane.take(request.from, &reply);
            if let Some((_, show)) = pane.goal.take() {
                pane.show_offset(show, height);
            }
            log.merge();
            super::events::heard(state);
        }
        Err(error) => {
            pane.is_following = false;
            pane.is_reading = false;
            if error.is_transient() {
                // Asked again as soon as the server is there.
                state.connection.failure = Some(error.to_string());
            } else {
                pane.error = Some(error.to_string());
            }
        }
    }
    settle(state);
}

pub(super) fn begin_search(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
    if let Some(log) = &mut state.log {
        text.clone_into(&mut log.search);
        let focus = log.focus();
        log.pane_mut(focus).hit = None;
        log.merged.hit = None;
        search(state, Way::Forwards, effects);
    }
}

fn search(state: &mut State, way: Way, effects: &mut Vec<Effect>) {
    let Some(log) = &mut state.log else { return };
    if log.search.is_empty() || log.is_searching {
        return;
    }
    if log.shown == Shown::Merged {
        search_merged(state, way);
        return;
    }
    let focus = log.focus();
    let pane = log.pane(focus);
    let on_screen = pane.lines.get(pane.first).map_or(0, |line| line.offset);
    let from = match (way, pane.hit) {
        (Way::Forwards, Some(hit)) => hit + 1,
        (Way::Backwards, Some(hit)) => hit,
        (_, None) => on_screen,
    };
    effects.push(Effect::SearchOutput {
        search: Search {
            execution: log.execution,
            stream: focus,
            needle: log.search.clone(),
            from,
            is_backwards: way == Way::Backwards,
        },
    });
    log.is_searching = true;
}

/// Looks through what is held of both streams: the whole of them has no order.
fn search_merged(state: &mut State, way: Way) {
    let height = state.body_height();
    let Some(log) = &mut state.log else { return };
    let needle = log.search.to_lowercase();
    let has_it = |position: &usize| {
        log.merged_line(*position).is_some_and(|(_, line)| {
            line.pieces.iter().any(|piece| piece.text.to_lowercase().contains(&needle))
        })
    };
    let count = log.merged.order.len();
    let found = match (way, log.merged.hit) {
        (Way::Forwards, Some(hit)) => (hit + 1..count).find(has_it),
        (Way::Forwards, None) => (log.merged.spot.line..count).find(has_it),
        (Way::Backwards, Some(hit)) => (0..hit).rfind(has_it),
        (Way::Backwards, None) => (0..log.merged.spot.line).rfind(has_it),
    };
    if let Some(hit) = found {
        log.follows = false;
        log.go_to_merged(Spot { line: hit.saturating_sub(height / 3), row: 0 });
        log.merged.hit = Some(hit);
    } else {
        let text = format!(
            "`{}` is not in what is held of both streams there; tab shows one, which is searched whole",
            log.search
        );
        state.toasts.tell(ToastKind::Note, text, state.now);
    }
}

pub(super) fn on_found(
    state: &mut State,
    search: &Search,
    result: Result<Option<u64>, ClientError>,
    _effects: &mut Vec<Effect>,
) {
    let height = state.body_height();
    let Some(log) = &mut state.log else { return };
    log.is_searching = false;
    if log.execution != search.execution {
        return;
    }
    let told = match result {
        Ok(Some(offset)) => {
            log.follows = false;
            let height =
                log.layout(height).iter().find(|(s, _)| *s == search.stream).map_or(0, |(_, h)| *h);
            let pane = log.pane_mut(search.stream);
            if (pane.begin()..pane.end()).contains(&offset) {
                pane.show_offset(offset, height);
            } else {
                // A window around the hit; its lines begin a little before.
                let read = offset.saturating_sub(CHUNK / 8);
                log.reopen(search.stream, Some((read, offset)));
            }
            log.pane_mut(search.stream).hit = Some(offset);
            return;
        }
        Ok(None) if search.is_backwards => {
            format!("`{}` is not before this place", search.needle)
        }
        Ok(None) => format!("`{}` is not behind this place", search.needle),
        Err(error) => error.to_string(),
    };
    state.toasts.tell(ToastKind::Note, told, state.now);
}
