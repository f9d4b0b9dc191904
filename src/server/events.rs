//! The events hub: what changed, told to everyone who follows.
//!
//! The newest events are kept in a ring. A follower reads the ring at its own
//! pace and never holds up the one who publishes; one that falls behind the
//! ring is told to read again. Each follower gets the first event of an object
//! at once and, while the object keeps changing, its latest state every
//! [`WINDOW`].

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::api::event::{Event, EventKind, FollowEvents};
use crate::domain::{JobId, TaskId, Timestamp, WorkerId};

/// So many events are kept for those who come back.
pub const RING: usize = 100_000;

/// A follower hears of the same object once in this time.
pub const WINDOW: Duration = Duration::from_millis(50);

/// So many events are looked at while the ring is locked.
const GLANCE: usize = 256;

/// Where events are published and followed. Clones are handles of the same hub.
#[derive(Debug, Clone)]
pub struct EventHub {
    inner: Arc<Inner>,
}

/// Names the place of an event: `<server start in microseconds>-<number>`.
///
/// A follower that comes back with the last id it got misses nothing; it may
/// get a state again that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    pub server_start: Timestamp,
    /// 1 for the first event since the server started.
    pub number: u64,
}

/// A text that is no event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no event id (`<server start>-<number>`)")]
pub struct EventIdError {
    pub text: String,
}

/// One follower's way through the events.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    filter: FollowEvents,
    news: watch::Receiver<News>,
    /// Number of the last event that was looked at.
    seen: u64,
    /// Events that can go out.
    ready: VecDeque<Numbered>,
    windows: Windows,
    /// Numbers of all events that are ready or held in a window.
    undelivered: BTreeSet<u64>,
}

#[derive(Debug)]
struct Inner {
    server_start: Timestamp,
    capacity: usize,
    ring: Mutex<Ring>,
    news: watch::Sender<News>,
}

/// The newest events; the last one has the number `last`.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    last: u64,
}

/// What followers wait for.
#[derive(Debug, Clone, Copy, Default)]
struct News {
    last: u64,
    is_closed: bool,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Object {
    Task(TaskId),
    Worker(WorkerId),
    Job(JobId),
}

/// The objects that a follower heard of within the last [`WINDOW`].
#[derive(Debug, Default)]
struct Windows {
    /// The latest event since, if there was one.
    held: FxHashMap<Object, Option<Numbered>>,
    /// When which window ends, in that order.
    ends: VecDeque<(Instant, Object)>,
}

/// What becomes of an event.
#[derive(Debug)]
enum Turn {
    /// It goes out at once.
    First(Numbered),
    /// It is held, in the place of the event with this number.
    Held { replaced: Option<u64> },
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    event: Event,
}

/// What a look at the ring brought.
#[derive(Debug)]
enum Glance {
    /// All up to `seen` was looked at; these are the events that fit.
    Events { seen: u64, events: Vec<Numbered> },
    /// The ring no longer has what comes next.
    Behind { last: u64 },
}

impl EventHub {
    /// A hub without events. The start tells its ids from those of other runs.
    #[must_use]
    pub fn new(server_start: Timestamp) -> Self {
        Self::with_capacity(server_start, RING)
    }

    fn with_capacity(server_start: Timestamp, capacity: usize) -> Self {
        let inner = Inner {
            server_start,
            capacity,
            ring: Mutex::default(),
            news: watch::Sender::new(News::default()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tells everyone who follows. Never waits for them.
    pub fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let last = {
            let mut ring = self.inner.ring();
            for event in events {
                if ring.events.len() == self.inner.capacity {
                    ring.events.pop_front();
                }
                ring.events.push_back(event);
                ring.last += 1;
            }
            ring.last
        };
        self.inner.news.send_if_modified(|news| {
            let is_news = news.last < last;
            news.last = news.last.max(last);
            is_news
        });
    }

    /// Follows from now on, or from behind `last_event_id`. Where that is
    /// unknown or too old, the first event is [`Event::Reset`].
    #[must_use]
    pub fn subscribe(&self, filter: FollowEvents, last_event_id: Option<&str>) -> Subscription {
        let news = self.inner.news.subscribe();
        let (last, oldest) = {
            let ring = self.inner.ring();
            (ring.last, ring.last - ring.events.len() as u64)
        };
        let mut subscription = Subscription {
            inner: Arc::clone(&self.inner),
            filter,
            news,
            seen: last,
            ready: VecDeque::new(),
            windows: Windows::default(),
            undelivered: BTreeSet::new(),
        };
        if let Some(text) = last_event_id {
            match text.parse::<EventId>() {
                Ok(id)
                    if id.server_start == self.inner.server_start
                        && (oldest..=last).contains(&id.number) =>
                {
                    subscription.seen = id.number;
                }
                _ => subscription.reset(last),
            }
        }
        subscription
    }

    /// Ends all subscriptions once they have given out what is there.
    pub fn close(&self) {
        self.inner.news.send_modify(|news| news.is_closed = true);
    }
}

impl Subscription {
    /// The next event, as soon as there is one. None: the hub is closed. May be
    /// dropped while it waits; nothing is lost then.
    pub async fn next(&mut self) -> Option<(EventId, Event)> {
        loop {
            let news = *self.news.borrow_and_update();
            self.release_ended_windows();
            if self.ready.is_empty() {
                self.look();
            }
            if let Some(numbered) = self.ready.pop_front() {
                return Some(self.deliver(numbered));
            }
            if self.seen < news.last {
                continue;
            }
            if news.is_closed {
                let held = self.windows.take_any();
                return held.map(|numbered| self.deliver(numbered));
            }
            self.wait().await;
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = (EventId, Event)> + Send {
        futures_util::stream::unfold(self, |mut subscription| async move {
            let event = subscription.next().await?;
            Some((event, subscription))
        })
    }

    /// Waits for news or for the end of a window.
    async fn wait(&mut self) {
        let news = self.news.changed();
        // Whether it is news or the end of a window is seen afterwards. An error
        // is impossible: the subscription keeps the hub.
        match self.windows.next_end() {
            None => {
                let _ = news.await;
            }
            Some(end) => {
                let _ = timeout_at(end, news).await;
            }
        }
    }

    /// Takes in the next part of the ring.
    fn look(&mut self) {
        match self.inner.glance(self.seen, &self.filter) {
            Glance::Behind { last } => self.reset(last),
            Glance::Events { seen, events } => {
                self.seen = seen;
                let now = Instant::now();
                for numbered in events {
                    self.undelivered.insert(numbered.number);
                    match self.windows.on_event(now, numbered) {
                        Turn::First(numbered) => self.ready.push_back(numbered),
                        Turn::Held { replaced: Some(number) } => {
                            self.undelivered.remove(&number);
                        }
                        Turn::Held { replaced: None } => {}
                    }
                }
            }
        }
    }

    fn release_ended_windows(&mut self) {
        let now = Instant::now();
        while let Some(latest) = self.windows.take_ended(now) {
            self.ready.push_back(latest);
        }
    }

    /// Gives an event out. Its id says up to where the follower has heard of
    /// everything: nothing that has not gone out yet lies before it.
    fn deliver(&mut self, numbered: Numbered) -> (EventId, Event) {
        self.undelivered.remove(&numbered.number);
        let number = self.undelivered.first().map_or(self.seen, |first| first - 1);
        (self.id(number), numbered.event)
    }

    /// Forgets what was missed, and says so.
    fn reset(&mut self, last: u64) {
        self.seen = last;
        self.windows = Windows::default();
        self.undelivered.clear();
        self.ready.clear();
        self.ready.push_back(Numbered { number: last, event: Event::Reset });
    }

    fn id(&self, number: u64) -> EventId {
        EventId { server_start: self.inner.server_start, number }
    }
}

impl Inner {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the events behind number `seen`.
    fn glance(&self, seen: u64, filter: &FollowEvents) -> Glance {
        let ring = self.ring();
        let behind = usize::try_from(ring.last - seen).unwrap_or(usize::MAX);
        let Some(start) = ring.events.len().checked_sub(behind) else {
            return Glance::Behind { last: ring.last };
        };
        let end = ring.events.len().min(start + GLANCE);
        let numbered = (seen + 1..).zip(ring.events.range(start..end));
        let events = numbered
            .filter(|(_, event)| is_wanted(filter, event))
            .map(|(number, event)| Numbered { number, event: event.clone() })
            .collect();
        Glance::Events { seen: seen + (end - start) as u64, events }
    }
}

impl Windows {
    fn on_event(&mut self, now: Instant, numbered: Numbered) -> Turn {
        let Some(object) = object_of(&numbered.event) else { return Turn::First(numbered) };
        if let Some(held) = self.held.get_mut(&object) {
            let replaced = held.replace(numbered);
            return Turn::Held { replaced: replaced.map(|replaced| replaced.number) };
        }
        self.open(now, object);
        Turn::First(numbered)
    }

    fn open(&mut self, now: Instant, object: Object) {
        self.held.insert(object, None);
        self.ends.push_back((now + WINDOW, object));
    }

    /// Ends windows that are over, up to the first with a held event. With that
    /// the object's next window begins.
    fn take_ended(&mut self, now: Instant) -> Option<Numbered> {
        while let Some((_, object)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            if let Some(held) = self.held.remove(&object).flatten() {
                self.open(now, object);
                return Some(held);
            }
        }
        None
    }

    /// A held event before its time.
    fn take_any(&mut self) -> Option<Numbered> {
        while let Some((_, object)) = self.ends.pop_front() {
            let held = self.held.remove(&object).flatten();
            if held.is_some() {
                return held;
            }
        }
        None
    }

    fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }
}

/// What an event is about; none for those that are about no single object.
const fn object_of(event: &Event) -> Option<Object> {
    match event {
        Event::Task { id, .. } | Event::TaskDeleted { id, .. } => Some(Object::Task(*id)),
        Event::Worker { id, .. } | Event::WorkerDeleted { id, .. } => Some(Object::Worker(*id)),
        Event::Job { id, .. } | Event::JobDeleted { id, .. } => Some(Object::Job(*id)),
        Event::Batch { .. } | Event::BatchDeleted { .. } | Event::Reset => None,
    }
}

fn is_wanted(filter: &FollowEvents, event: &Event) -> bool {
    let mut left = None;
    let (kind, task, batch) = match event {
        Event::Task { id, batch, left: before, .. } => {
            left = before.as_ref();
            (EventKind::Task, Some(*id), batch)
        }
        Event::TaskDeleted { id, batch } => (EventKind::Task, Some(*id), batch),
        Event::Worker { batch, .. } | Event::WorkerDeleted { batch, .. } => {
            (EventKind::Worker, None, batch)
        }
        Event::Batch { name, .. } | Event::BatchDeleted { name } => (EventKind::Batch, None, name),
        Event::Job { batch, .. } | Event::JobDeleted { batch, .. } => (EventKind::Job, None, batch),
        Event::Reset => return true,
    };
    filter.kind.is_none_or(|wanted| wanted == kind)
        && (filter.task.is_none() || filter.task == task)
        && filter.batch.as_ref().is_none_or(|wanted| wanted == batch || Some(wanted) == left)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.server_start.0, self.number)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (start, number) = text.rsplit_once('-')?;
            let server_start = Timestamp(start.parse().ok()?);
            Some(Self { server_start, number: number.parse().ok()? })
        };
        parse().ok_or_else(|| EventIdError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
