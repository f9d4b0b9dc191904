//! The state as a whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::tz::TimeZone;

use super::feed::Feeds;
use super::list::{Item, List};
use super::log::LogScreen;
use super::popup::Popup;
use super::tasks::TaskScreen;
use super::toast::Toasts;
use crate::api::batch::BatchView;
use crate::api::event::FollowEvents;
use crate::api::hiring::{FlavorView, JobView, RecruiterView};
use crate::api::server::ServerStatus;
use crate::api::task::{TaskDetail, TaskView};
use crate::api::worker::WorkerView;
use crate::domain::filter::Filter;
use crate::domain::time::{Monotonic, Now};
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};
use crate::tui::config::{Config, Memory};
use crate::tui::keymap::{Keymap, Scope};
use crate::tui::theme::Theme;

/// Lines of the jobs below the workers, and those that a screen must have for it.
const JOBS: usize = 3;
const ENOUGH: usize = 14;

/// Whether changes are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    #[default]
    Full,
    ReadOnly,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Screen {
    #[default]
    Workers,
    Tasks,
    Batches,
    Jobs,
    Recruiters,
    Overview,
    /// All about one task.
    Task,
    Output,
}

/// A screen that one comes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub screen: Screen,
    pub task_filter: String,
}

/// How the stream of events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stream {
    #[default]
    Opening,
    Up,
    Down,
}

/// What is known of the line to the server.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    pub stream: Stream,
    /// Which of its events the server is asked for.
    pub follows: FollowEvents,
    /// Microseconds by which the server's clock is ahead of ours.
    pub skew: i64,
    /// When the server last answered or said something.
    pub heard: Option<Monotonic>,
    /// Why the last request came to nothing; none once one was answered.
    pub failure: Option<String>,
}

/// Succeeded and failed tasks at one moment, for the sparkline.
#[derive(Debug, Clone, Copy)]
pub struct Marker {
    pub at: Monotonic,
    pub succeeded: u64,
    pub failed: u64,
}

/// The list of workers, with what belongs to it alone.
#[derive(Debug, Clone, Default)]
pub struct WorkerScreen {
    pub list: List<WorkerView>,
    /// CPU figures of each worker lately, for the trend.
    pub trends: BTreeMap<WorkerId, VecDeque<f64>>,
    /// Concurrency and prefetch that were asked for: they are shown until a list
    /// comes that was asked for after the server had answered.
    pub wanted: BTreeMap<WorkerId, (u32, u32)>,
    pub answered: Option<Monotonic>,
    /// Tasks that succeeded and failed in their latest execution, on the
    /// workers on screen. None: all executions are counted, retries as well.
    pub latest: Option<BTreeMap<WorkerId, (u64, u64)>>,
}

#[derive(Debug, Clone, Default)]
pub struct BatchScreen {
    pub list: List<BatchView>,
}

#[derive(Debug, Clone, Default)]
pub struct DetailScreen {
    pub task: Option<TaskId>,
    pub detail: Option<TaskDetail>,
    pub error: Option<String>,
    pub offset: usize,
    /// The chosen execution, from the latest one.
    pub execution: usize,
    pub files: Files,
}

/// What a task has put where its outputs go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Files {
    /// It has put nothing there yet, or nowhere at all.
    #[default]
    None,
    /// They are looked for, for this execution.
    Asked(ExecutionId),
    Found(ExecutionId, Result<OutputFiles, String>),
}

/// Some files, and how many there are with how many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputFiles {
    /// Names below the address; none: its size is not known.
    pub some: Vec<(String, Option<u64>)>,
    pub count: u64,
    pub bytes: u64,
}

/// What the terminal UI starts with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub address: String,
    pub now: Now,
    pub zone: TimeZone,
    pub size: (u16, u16),
    pub access: Access,
    pub config: Config,
    pub keymap: Keymap,
    pub theme: Theme,
    pub memory: Memory,
}

#[derive(Debug, Clone)]
pub struct State {
    pub address: String,
    pub now: Now,
    pub zone: TimeZone,
    pub size: (u16, u16),
    pub access: Access,
    pub config: Config,
    pub keymap: Keymap,
    pub theme: Theme,
    pub screen: Screen,
    pub trail: Vec<Place>,
    pub popup: Option<Popup>,
    pub toasts: Toasts,
    pub connection: Connection,
    pub feeds: Feeds,
    pub server: Option<ServerStatus>,
    /// One for each ten seconds at most, the last hour.
    pub markers: VecDeque<Marker>,
    pub workers: WorkerScreen,
    pub tasks: TaskScreen,
    pub batches: BatchScreen,
    pub detail: DetailScreen,
    pub log: Option<LogScreen>,
    /// The last failed tasks, with the last line of their stderr.
    pub failures: Option<Vec<(TaskView, String)>>,
    /// What can be hired, as the server's providers tell; nothing without any.
    pub flavors: Vec<FlavorView>,
    pub jobs: List<JobView>,
    pub recruiters: List<RecruiterView>,
    /// What was typed into the recruiting form last.
    pub recruit: Vec<String>,
    /// What was typed at `:` lately.
    pub past_commands: BTreeSet<String>,
}

impl State {
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut tasks = TaskScreen::default();
        tasks.filter = Filter::parse(&setup.memory.filter).unwrap_or_default();
        tasks.sort = setup.memory.sort;
        tasks.is_reversed = setup.memory.is_reversed;
        let mut state = Self {
            address: setup.address,
            now: setup.now,
            zone: setup.zone,
            size: setup.size,
            access: setup.access,
            config: setup.config,
            keymap: setup.keymap,
            theme: setup.theme,
            screen: setup.memory.screen,
            trail: Vec::new(),
            popup: None,
            toasts: Toasts::default(),
            connection: Connection::default(),
            feeds: Feeds::default(),
            server: None,
            markers: VecDeque::new(),
            workers: WorkerScreen::default(),
            tasks,
            batches: BatchScreen::default(),
            detail: DetailScreen::default(),
            log: None,
            failures: None,
            flavors: Vec::new(),
            jobs: List::default(),
            recruiters: List::default(),
            recruit: setup.memory.recruit,
            past_commands: BTreeSet::new(),
        };
        state.feeds.mark_all();
        state
    }

    /// What is worth remembering for the next time.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let screen = match self.screen {
            Screen::Task | Screen::Output => Screen::Tasks,
            screen => screen,
        };
        Memory {
            screen,
            filter: self.tasks.filter.text().to_owned(),
            sort: self.tasks.sort,
            is_reversed: self.tasks.is_reversed,
            recruit: self.recruit.clone(),
        }
    }

    /// The scopes whose keys count on this screen, the narrowest first.
    #[must_use]
    pub const fn scopes(&self) -> &'static [Scope] {
        match self.screen {
            Screen::Workers => &[Scope::Workers, Scope::Lists, Scope::Everywhere],
            Screen::Tasks => &[Scope::Tasks, Scope::Lists, Scope::Everywhere],
            Screen::Batches => &[Scope::Batches, Scope::Lists, Scope::Everywhere],
            Screen::Jobs => &[Scope::Jobs, Scope::Lists, Scope::Everywhere],
            Screen::Recruiters => &[Scope::Recruiters, Scope::Lists, Scope::Everywhere],
            Screen::Overview => &[Scope::Everywhere],
            Screen::Task => &[Scope::Detail, Scope::Everywhere],
            Screen::Output => &[Scope::Log, Scope::Everywhere],
        }
    }

    /// Lines between the head and the foot of the frame.
    #[must_use]
    pub fn body_height(&self) -> usize {
        usize::from(self.size.1).saturating_sub(4)
    }

    /// Rows of a list that fit, below its heading and above what else is there.
    #[must_use]
    pub fn list_height(&self) -> usize {
        self.body_height().saturating_sub(1 + self.jobs_height())
    }

    /// Lines that the jobs take below the workers.
    #[must_use]
    pub fn jobs_height(&self) -> usize {
        let has_room = self.body_height() >= ENOUGH;
        if self.screen == Screen::Workers && has_room { JOBS } else { 0 }
    }

    /// The columns of the screen.
    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.size.0)
    }

    /// How many tasks the filter lets through, where that is known.
    #[must_use]
    pub fn task_total(&self) -> Option<u64> {
        self.tasks.total(self.server.as_ref().map(|server| &server.tasks))
    }

    /// How long ago the server was last heard of, seconds.
    #[must_use]
    pub fn silence(&self) -> Option<f64> {
        let heard = self.connection.heard?;
        Some(self.now.monotonic.since(heard).as_secs_f64())
    }

    /// Whether what is on screen may no longer be true.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.connection.stream != Stream::Up
            && self.connection.failure.is_some()
            && self.connection.heard.is_some()
    }

    /// What the server's clock shows: those of machines differ, and all dates
    /// are the server's.
    #[must_use]
    pub const fn wall(&self) -> Timestamp {
        Timestamp(self.now.wall.0.saturating_add(self.connection.skew))
    }
}

impl Item for WorkerView {
    type Key = crate::domain::WorkerId;

    fn key(&self) -> Self::Key {
        self.id
    }

    fn fits(&self, filter: &Filter) -> bool {
        filter.fits(&crate::domain::filter::Subject {
            name: &self.name,
            state: self.state.into(),
            batch: self.batch.as_str(),
            worker: &self.name,
            text: &self.machine.hostname,
            tags: &[],
        })
    }

    fn cmp_by(&self, other: &Self, column: usize) -> std::cmp::Ordering {
        crate::tui::view::workers::COLUMNS
            .get(column)
            .map_or(std::cmp::Ordering::Equal, |(_, compare)| compare(self, other))
    }
}

impl Item for BatchView {
    type Key = crate::domain::BatchName;

    fn key(&self) -> Self::Key {
        self.name.clone()
    }

    fn fits(&self, filter: &Filter) -> bool {
        filter.fits(&crate::domain::filter::Subject {
            name: self.name.as_str(),
            state: if self.pause == crate::domain::batch::BatchPause::No {
                "running"
            } else {
                "paused"
            },
            batch: self.name.as_str(),
            ..crate::domain::filter::Subject::default()
        })
    }

    fn cmp_by(&self, other: &Self, column: usize) -> std::cmp::Ordering {
        crate::tui::view::batches::COLUMNS
            .get(column)
            .map_or(std::cmp::Ordering::Equal, |(_, compare)| compare(self, other))
    }
}
