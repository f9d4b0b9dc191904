//! What was told lately.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::time::Monotonic;

/// So many are kept for the history.
const KEPT: usize = 500;

/// How long good news and bad news stay on screen.
const STAY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(10));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToastKind {
    Done,
    Note,
    Failure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    pub kind: ToastKind,
    pub text: String,
    pub at: Timestamp,
    until: Monotonic,
}

/// The latest one is at the end.
#[derive(Debug, Clone, Default)]
pub struct Toasts {
    kept: VecDeque<Toast>,
}

impl Toasts {
    pub fn tell(
        &mut self,
        kind: ToastKind,
        text: impl Into<String>,
        now: crate::domain::time::Now,
    ) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        let stay = if kind == ToastKind::Failure { STAY.1 } else { STAY.0 };
        let until = now.monotonic.after(stay);
        self.kept.push_back(Toast { kind, text: text.into(), at: now.wall, until });
    }

    /// The one that is on screen.
    #[must_use]
    pub fn current(&self, now: Monotonic) -> Option<&Toast> {
        self.kept.back().filter(|toast| toast.until > now)
    }

    /// Takes the current one off the screen. It stays in the history.
    pub fn dismiss(&mut self) {
        if let Some(toast) = self.kept.back_mut() {
            toast.until = Monotonic(Duration::ZERO);
        }
    }

    /// Latest first.
    pub fn history(&self) -> impl Iterator<Item = &Toast> {
        self.kept.iter().rev()
    }
}
