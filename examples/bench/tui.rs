//! The terminal UI over a long queue: from a key to the frame that shows it,
//! with everything but the terminal itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use scitq::clock::SystemClock;
use scitq::domain::time::Clock;
use scitq::tui::config::{Config, Memory};
use scitq::tui::effect::{Action, Effect, StreamNews};
use scitq::tui::effects::Hands;
use scitq::tui::keymap::{Key, Keymap};
use scitq::tui::state::{Access, Screen, Setup, State};
use scitq::tui::theme::Theme;
use scitq::tui::update::update;
use scitq::tui::view;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::queue::fill;
use super::scene::Scene;
use super::table::{Table, millis, percentiles};

/// The screen on which is drawn.
const SIZE: (u16, u16) = (200, 60);

/// An answer later than this is none.
const PATIENCE: Duration = Duration::from_mins(1);

/// One who looks at the server.
struct Watcher {
    state: State,
    hands: Hands,
    actions: UnboundedReceiver<Action>,
    open: usize,
    /// How long each frame took, with the change of the state before it.
    frames: Vec<Duration>,
}

pub async fn measure(program: &Path, tasks: u64, table: &mut Table) -> anyhow::Result<()> {
    let scene = Scene::start(program, None).await?;
    fill(&scene, tasks).await?;
    let mut watcher = Watcher::new(&scene)?;
    watcher.act(Action::Stream(StreamNews::Up));
    let first = watcher.first_frame().await?;
    let what = format!("terminal UI, {tasks} tasks: first frame after first reply (budget 100 ms)");
    table.alone(what, millis(first));
    watcher.settle().await?;
    let mut told = |what: &str, watcher: &mut Watcher| {
        let (frames, _) = percentiles(std::mem::take(&mut watcher.frames));
        table.alone(format!("terminal UI, {tasks} tasks: a frame while {what}"), frames);
    };
    told("the first page comes", &mut watcher);
    for _ in 0..500 {
        watcher.press(KeyCode::Down);
        watcher.take_ready();
    }
    watcher.settle().await?;
    told("scrolling", &mut watcher);
    for _ in 0..100 {
        watcher.press(KeyCode::PageDown);
        watcher.settle().await?;
    }
    told("paging", &mut watcher);
    let jump = watcher.time(KeyCode::Char('G')).await?;
    let filter = watcher.type_in("/name:*777\r").await?;
    let sort = watcher.type_in(":sort name\r").await?;
    let pattern = watcher.type_in(":sort id\r").await?
        + watcher.type_in(":filter /sample-.*77$/ !name:*777\r").await?;
    told("jumping, filtering and sorting", &mut watcher);
    table.alone(
        format!("terminal UI, {tasks} tasks: filter by a pattern, with its answer and counts"),
        millis(pattern),
    );
    table.alone(format!("terminal UI, {tasks} tasks: to the end, with its answer"), millis(jump));
    table.alone(
        format!("terminal UI, {tasks} tasks: filter by name, with its answer"),
        millis(filter),
    );
    table.alone(format!("terminal UI, {tasks} tasks: sort by name, with its answer"), millis(sort));
    drop(watcher);
    super::watch::measure(&scene, program, tasks, table).await
}

impl Watcher {
    fn new(scene: &Scene) -> anyhow::Result<Self> {
        let (sender, actions) = mpsc::unbounded_channel();
        let setup = Setup {
            address: scene.address.clone(),
            now: SystemClock.now(),
            zone: jiff::tz::TimeZone::UTC,
            size: SIZE,
            access: Access::ReadOnly,
            config: Config::default(),
            keymap: Keymap::new(&BTreeMap::new())?,
            theme: Theme::default(),
            memory: Memory { screen: Screen::Tasks, ..Memory::default() },
        };
        let hands = Hands::new(scene.client.clone(), sender);
        let state = State::new(setup);
        Ok(Self { state, hands, actions, open: 0, frames: Vec::new() })
    }

    /// One action and the frame after it.
    fn act(&mut self, action: Action) {
        let start = Instant::now();
        let effects = update(&mut self.state, SystemClock.now(), action);
        let mut buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        view::draw(&self.state, &mut buffer);
        self.frames.push(start.elapsed());
        for effect in effects {
            if let Effect::Fetch(fetch) = effect {
                self.open += 1;
                self.hands.fetch(fetch);
            }
        }
    }

    fn press(&mut self, code: KeyCode) {
        let event = KeyEvent::from(code);
        self.act(Action::Key(Key::of(event), event));
    }

    fn answer(&mut self, action: Action) {
        self.open -= 1;
        self.act(action);
    }

    fn take_ready(&mut self) {
        while let Ok(action) = self.actions.try_recv() {
            self.answer(action);
        }
    }

    /// From the first answer to the frame that shows it.
    async fn first_frame(&mut self) -> anyhow::Result<Duration> {
        let action = tokio::time::timeout(PATIENCE, self.actions.recv()).await;
        let action = action.context("the server does not answer")?.context("no answer")?;
        let start = Instant::now();
        self.answer(action);
        Ok(start.elapsed())
    }

    /// Waits until no question is open.
    async fn settle(&mut self) -> anyhow::Result<()> {
        while self.open > 0 {
            let action = tokio::time::timeout(PATIENCE, self.actions.recv()).await;
            self.answer(action.context("the server does not answer")?.context("no more answers")?);
        }
        if let Some(failure) = &self.state.connection.failure {
            bail!("{failure}");
        }
        Ok(())
    }

    async fn time(&mut self, code: KeyCode) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.press(code);
        self.settle().await?;
        Ok(start.elapsed())
    }

    async fn type_in(&mut self, text: &str) -> anyhow::Result<Duration> {
        let mut last = Duration::ZERO;
        for letter in text.chars() {
            let code = if letter == '\r' { KeyCode::Enter } else { KeyCode::Char(letter) };
            last = self.time(code).await?;
        }
        Ok(last)
    }
}
