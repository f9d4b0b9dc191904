//! How an awaited task stands, on one line of standard error that is taken
//! away in the end.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format;
use super::output::Voice;
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
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar }
    }

    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Tells how the task stands.
    pub fn tell(&self, task: &TaskView) {
        let Some(bar) = &self.bar else { return };
        let since = SystemClock.now().wall.seconds_since(task.state_since);
        let mut text = format!("task {}: {} for {}", task.id, task.state, format::duration(since));
        if let Some(phase) = task.phase.filter(|phase| phase.to_string() != task.state.to_string())
        {
            let _ = write!(text, ", {phase}");
        }
        if let Some(worker) = &task.worker_name {
            let _ = write!(text, ", on {}", format::visible(worker));
        }
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
