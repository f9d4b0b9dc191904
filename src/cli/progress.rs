//! How awaited tasks stand, on one line of standard error that is taken
//! away in the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dialoguer::console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::format;
use super::output::Voice;
use super::session;
use crate::api::client::Notice;
use crate::api::task::TaskView;
use crate::clock::SystemClock;
use crate::domain::Clock;
use crate::domain::task::TaskState;

/// A line that changes; none where nobody sees it.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing before there is something to tell.
    #[must_use]
    pub fn new(voice: Voice) -> Self {
        let bar = voice.shows_progress().then(|| {
            let bar = ProgressBar::with_draw_target(
                None,
                ProgressDrawTarget::term_like(Box::new(Narrow(Term::stderr()))),
            );
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar }
    }

    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Does something that writes to the terminal, without the line.
    pub fn without<T>(&self, action: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(action),
            None => action(),
        }
    }

    /// Tells that the server is waited for, without spoiling the line.
    #[must_use]
    pub fn notice(&self, voice: Voice) -> Notice {
        let line = Self { bar: self.bar.clone() };
        Arc::new(move |error| line.without(|| session::tell_outage(voice, error)))
    }

    /// Takes the line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Tells how the task stands.
    pub fn tell(&self, task: &TaskView) {
        if !self.is_shown() {
            return;
        }
        let since = SystemClock.now().wall.seconds_since(task.state_since);
        let mut text = format!("task {}: {} for {}", task.id, task.state, format::duration(since));
        if let Some(phase) = task.phase.filter(|phase| phase.to_string() != task.state.to_string())
        {
            let _ = write!(text, ", {phase}");
        }
        if let Some(worker) = &task.worker_name {
            let _ = write!(text, ", on {}", format::visible(worker));
        }
        self.tell_text(text);
    }

    /// Tells anything.
    pub fn tell_text(&self, text: String) {
        let Some(bar) = &self.bar else { return };
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// Tells how much of a whole is done, with a bar.
    pub fn tell_part(&self, done: u64, whole: u64, text: String) {
        let Some(bar) = &self.bar else { return };
        if bar.length().is_none() {
            let template = "{spinner} [{bar:30}] {percent:>3}% {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
        }
        // What was fetched twice counts once.
        bar.set_length(whole);
        bar.set_position(done.min(whole));
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// Tells how many of several tasks are in which state.
    pub fn tell_many(&self, states: &BTreeMap<TaskState, u64>) {
        let Some(bar) = &self.bar else { return };
        if bar.length().is_none() {
            let template = "{spinner} [{bar:30}] {pos}/{len}, {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
        }
        let ended = states.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count);
        bar.set_length(states.values().sum());
        bar.set_position(ended.sum());
        bar.set_message(counts(states));
        bar.enable_steady_tick(Duration::from_millis(120));
    }
}

/// `4 failed, 16 running, 980 pending`: all but those that succeeded.
fn counts(states: &BTreeMap<TaskState, u64>) -> String {
    let order = [TaskState::Failed, TaskState::Paused, TaskState::Running, TaskState::Accepted];
    let rest = [TaskState::Assigned, TaskState::Pending, TaskState::Waiting];
    let shown = order.into_iter().chain(rest).filter_map(|state| {
        let count = states.get(&state).copied().filter(|count| *count > 0)?;
        Some(format!("{count} {state}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// How many of many are done, on one line of standard error; none where nobody
/// sees it. It goes away when it is dropped.
#[derive(Debug)]
pub struct Counter {
    bar: Option<ProgressBar>,
}

impl Counter {
    #[must_use]
    pub fn new(voice: Voice, whole: usize, things: &'static str) -> Self {
        let bar = voice.shows_progress().then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(whole as u64),
                ProgressDrawTarget::term_like(Box::new(Narrow(Term::stderr()))),
            );
            let template =
                format!("{{wide_bar}} {{human_pos}} of {{human_len}} {things}, {{eta}} left");
            let style = ProgressStyle::with_template(&template);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    /// So many more are done.
    pub fn advance(&self, count: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(count as u64);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The terminal, a little narrower: the line must not reach the margin, or
/// what the terminal echoes of Ctrl-C wraps, and the line cannot be taken away.
#[derive(Debug)]
struct Narrow(Term);

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        const ROOM: u16 = 4;
        self.0.size().1.saturating_sub(ROOM)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_look_is_counted_first() {
        let states = [TaskState::Pending, TaskState::Failed, TaskState::Succeeded];
        let states = states.into_iter().zip([980, 4, 16]).collect();
        assert_eq!(counts(&states), "4 failed, 980 pending");
    }
}
