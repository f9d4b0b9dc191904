//! The loop: what happens goes in, frames and effects come out.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream, KeyEventKind};
use futures_util::StreamExt;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::{Config, Memory};
use super::effect::{Action, Effect, Reply, StreamNews};
use super::effects::{Hands, follow_events};
use super::keymap::{Key, Keymap};
use super::outside::{self, Programs};
use super::state::{Access, Setup, State};
use super::terminal::{Mouse, TakenTerminal};
use super::theme::Theme;
use super::update::{update, wake};
use super::view;
use crate::api::event::FollowEvents;
use crate::api::{Client, ClientError};
use crate::clock::SystemClock;
use crate::domain::time::Clock;

/// Least pause between two frames that no key asked for.
const FRAME: Duration = Duration::from_millis(33);

/// How long one frame of `--once` waits for the server.
const ONCE: Duration = Duration::from_secs(20);

/// How the terminal UI is started.
#[derive(Debug, Clone)]
pub struct Options {
    pub access: Access,
    pub config: Config,
    pub keymap: Keymap,
    pub theme: Theme,
    pub memory: Memory,
    /// Where the memory is kept.
    pub memory_file: Option<PathBuf>,
    pub programs: Programs,
    /// Columns and lines of a single frame.
    pub size: (u16, u16),
}

/// Why the terminal UI ended on its own.
#[derive(Debug, Error)]
pub enum TuiError {
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server did not answer in time")]
    Silent,
    #[error("a part of the terminal UI has failed, as told above")]
    Defect,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    ByUser,
    /// By a signal of this number.
    BySignal(i32),
}

/// Signals that end us, and the one that says that we were stopped.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    go_on: Signal,
}

/// What goes on after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Quit,
}

struct Loop {
    client: Client,
    state: State,
    hands: Hands,
    actions: UnboundedReceiver<Action>,
    terminal: TakenTerminal,
    input: Option<EventStream>,
    programs: Programs,
    follow: watch::Sender<FollowEvents>,
}

/// Shows the server until the user has had enough.
///
/// # Errors
/// The terminal cannot be used.
pub async fn run(client: Client, options: Options) -> Result<Ended, TuiError> {
    let mut signals = Signals::new()?;
    let (sender, actions) = mpsc::unbounded_channel();
    let (follow, wanted) = watch::channel(FollowEvents::default());
    let events = tokio::spawn(follow_events(client.clone(), wanted, sender.clone()));
    let mouse = if options.config.mouse { Mouse::Taken } else { Mouse::Left };
    let terminal = TakenTerminal::take(mouse)?;
    let size = terminal.size()?;
    let memory_file = options.memory_file.clone();
    let programs = options.programs.clone();
    let state = State::new(setup(&client, options, size));
    let hands = Hands::new(client.clone(), sender);
    let input = Some(EventStream::new());
    let mut whole = Loop { client, state, hands, actions, terminal, input, programs, follow };
    let ended = whole.go_round(&mut signals).await;
    events.abort();
    whole.terminal.leave();
    if let Some(path) = memory_file {
        remember(&path, &whole.state.memory());
    }
    ended
}

/// One frame as text, when everything for it is here.
///
/// # Errors
/// The server does not answer.
pub async fn once(client: Client, options: Options) -> Result<String, TuiError> {
    let (sender, mut actions) = mpsc::unbounded_channel();
    let size = options.size;
    let mut state = State::new(setup(&client, options, size));
    let status = client.server_status().await?;
    let hands = Hands::new(client, sender.clone());
    // Nobody listens to events for one frame: it is all read now.
    let _ = sender.send(Action::Reply(Box::new(Reply::Status(Ok(status)))));
    let _ = sender.send(Action::Stream(StreamNews::Up));
    let deadline = Instant::now() + ONCE;
    let mut open = 0_usize;
    loop {
        let action = match actions.try_recv() {
            Ok(action) => action,
            Err(_) if open == 0 => break,
            Err(_) => match tokio::time::timeout_at(deadline, actions.recv()).await {
                Ok(Some(action)) => action,
                _ => return Err(TuiError::Silent),
            },
        };
        if matches!(action, Action::Reply(_)) {
            open = open.saturating_sub(1);
        }
        for effect in update(&mut state, SystemClock.now(), action) {
            if let Effect::Fetch(fetch) = effect
                && !matches!(&fetch, super::effect::Fetch::Output(_))
            {
                open += 1;
                hands.fetch(fetch);
            }
        }
    }
    if let Some(failure) = state.connection.failure.take() {
        state.toasts.tell(super::state::ToastKind::Failure, failure, state.now);
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    view::draw(&state, &mut buffer);
    Ok(text_of(&buffer))
}

/// A frame as lines of text, without colours.
#[must_use]
pub(super) fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut skip = 0;
        for x in buffer.area.left()..buffer.area.right() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = super::text::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn setup(client: &Client, options: Options, size: (u16, u16)) -> Setup {
    Setup {
        address: client.address().to_string(),
        now: SystemClock.now(),
        zone: TimeZone::system(),
        size,
        access: options.access,
        config: options.config,
        keymap: options.keymap,
        theme: options.theme,
        memory: options.memory,
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }
}

impl Loop {
    async fn go_round(&mut self, signals: &mut Signals) -> Result<Ended, TuiError> {
        let mut last_frame = Instant::now();
        let panicked = self.terminal.panicked();
        tokio::pin!(panicked);
        if self.take(Action::Tick).await? == Next::Quit {
            return Ok(Ended::ByUser);
        }
        self.terminal.draw(&self.state)?;
        loop {
            let now = SystemClock.now();
            let pause = wake(&self.state).since(now.monotonic);
            let mut is_urgent = false;
            let action = tokio::select! {
                event = next_event(&mut self.input) => {
                    is_urgent = true;
                    match event {
                        Some(Ok(event)) => action_of(event),
                        // The terminal is gone.
                        Some(Err(_)) | None => return Ok(Ended::BySignal(1)),
                    }
                }
                action = self.actions.recv() => action,
                () = &mut panicked => return Err(TuiError::Defect),
                () = tokio::time::sleep(pause) => Some(Action::Tick),
                _ = signals.terminate.recv() => return Ok(Ended::BySignal(15)),
                _ = signals.hang_up.recv() => return Ok(Ended::BySignal(1)),
                _ = signals.interrupt.recv() => return Ok(Ended::BySignal(2)),
                _ = signals.go_on.recv() => {
                    self.terminal.enter()?;
                    is_urgent = true;
                    Some(Action::Tick)
                }
            };
            if let Some(action) = action
                && self.take(action).await? == Next::Quit
            {
                return Ok(Ended::ByUser);
            }
            // A burst of news is one frame.
            if !is_urgent {
                let next_frame = last_frame + FRAME;
                tokio::time::sleep_until(next_frame.min(Instant::now() + FRAME)).await;
            }
            while let Ok(action) = self.actions.try_recv() {
                if self.take(action).await? == Next::Quit {
                    return Ok(Ended::ByUser);
                }
            }
            self.terminal.draw(&self.state)?;
            last_frame = Instant::now();
        }
    }

    /// Lets one action change the state, and does what follows from it.
    async fn take(&mut self, action: Action) -> Result<Next, TuiError> {
        let effects = update(&mut self.state, SystemClock.now(), action);
        for effect in effects {
            if self.carry_out(effect).await? == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Go)
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<Next, TuiError> {
        match effect {
            Effect::Quit => return Ok(Next::Quit),
            Effect::Fetch(fetch) => self.hands.fetch(fetch),
            Effect::Change(change) => self.hands.change(change),
            Effect::SearchOutput { search } => self.hands.search(search),
            Effect::Download { tasks, directory } => self.hands.download(tasks, directory),
            Effect::CancelFollow => self.hands.cancel_follow(),
            Effect::Follow(wanted) => {
                let _ = self.follow.send(wanted);
            }
            Effect::Redraw => self.terminal.clear()?,
            Effect::Suspend => {
                self.give_terminal_away();
                outside::stop_here();
                self.take_terminal_back()?;
            }
            Effect::EditOutside { task, revision, text } => {
                self.give_terminal_away();
                let text = outside::edit(&self.programs, task, &text);
                self.take_terminal_back()?;
                self.hands.tell(Reply::Edited { task, revision, text });
            }
            Effect::Page { execution, stream } => {
                self.give_terminal_away();
                let shown = outside::page(&self.client, &self.programs, execution, stream).await;
                self.take_terminal_back()?;
                if let Err(reason) = shown {
                    self.hands.tell(Reply::Changed(Err(reason)));
                }
            }
            Effect::Shell { host } => {
                self.give_terminal_away();
                let ran = outside::shell(&host);
                self.take_terminal_back()?;
                if let Err(reason) = ran {
                    self.hands.tell(Reply::Changed(Err(reason)));
                }
            }
        }
        Ok(Next::Go)
    }

    /// Nothing of ours reads keys while another program has the terminal.
    fn give_terminal_away(&mut self) {
        self.input = None;
        self.terminal.leave();
    }

    fn take_terminal_back(&mut self) -> io::Result<()> {
        self.terminal.enter()?;
        self.input = Some(EventStream::new());
        self.state.size = self.terminal.size()?;
        Ok(())
    }
}

async fn next_event(input: &mut Option<EventStream>) -> Option<io::Result<TerminalEvent>> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

fn action_of(event: TerminalEvent) -> Option<Action> {
    match event {
        TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => {
            Some(Action::Key(Key::of(key), key))
        }
        TerminalEvent::Mouse(mouse) => Some(Action::Mouse(mouse)),
        TerminalEvent::Paste(text) => Some(Action::Paste(text)),
        TerminalEvent::Resize(width, height) => Some(Action::Resize(width, height)),
        _ => None,
    }
}

/// Writes down what is worth remembering. Where that cannot be, the next time
/// begins as the first one.
fn remember(path: &std::path::Path, memory: &Memory) {
    let Ok(text) = serde_json::to_string_pretty(memory) else { return };
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = std::fs::write(path, text);
}
