//! The terminal: taken over, and given back as it was, whatever happens.

use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::Notify;

use super::state::State;
use super::view;

/// The screen while it is ours. Dropped, it gives the terminal back.
pub(super) struct TakenTerminal {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: Mouse,
    is_ours: Arc<AtomicBool>,
    /// Told when a panic, in whatever thread, has taken the screen from us.
    panicked: Arc<Notify>,
}

/// Whether clicks come to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mouse {
    Taken,
    Left,
}

impl TakenTerminal {
    pub(super) fn take(mouse: Mouse) -> io::Result<Self> {
        let is_ours = Arc::new(AtomicBool::new(false));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut taken = Self { terminal, mouse, is_ours, panicked: Arc::default() };
        taken.restore_on_panic();
        taken.enter()?;
        Ok(taken)
    }

    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.is_ours.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        if self.mouse == Mouse::Taken {
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        self.clear()
    }

    pub(super) fn leave(&mut self) {
        if self.is_ours.swap(false, Ordering::Relaxed) {
            give_back();
        }
    }

    pub(super) fn draw(&mut self, state: &State) -> io::Result<()> {
        if !self.is_ours.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.terminal.draw(|frame| view::draw(state, frame.buffer_mut())).map(drop)
    }

    /// Draws every cell anew with the next frame.
    ///
    /// The library's own way asks the terminal where its cursor is, and waits
    /// for the answer: not every terminal gives one, and on a slow line it is late.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Waits for a panic, after which nothing may be drawn any more.
    pub(super) fn panicked(&self) -> impl Future<Output = ()> + 'static {
        let panicked = Arc::clone(&self.panicked);
        async move { panicked.notified().await }
    }

    /// What a panic tells must not be written over the screen, and lost with it.
    fn restore_on_panic(&self) {
        let (is_ours, panicked) = (Arc::clone(&self.is_ours), Arc::clone(&self.panicked));
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |defect| {
            if is_ours.swap(false, Ordering::Relaxed) {
                give_back();
                panicked.notify_one();
            }
            before(defect);
        }));
    }
}

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Gives the terminal back. It may be gone: then there is nobody to tell.
fn give_back() {
    let mut stdout = io::stdout();
    let _ = execute!(
        stdout,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
    let _ = stdout.flush();
}
