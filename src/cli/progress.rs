//! How an awaited task stands, on one line of standard error that is taken
//! away in the end.

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
