//! The loop that feeds the state machine.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::agent::config::{Departure, Stop};
use crate::agent::error::AgentError;
use crate::agent::fsm::{AgentState, Event};
use crate::agent::link::LinkError;
use crate::agent::outbox::Outbox;
use crate::api::link::{Down, HEARTBEAT_SECONDS, SiteStorage, Verdict, Welcome};
use crate::clock::SystemClock;
use crate::domain::{Clock, Monotonic};
use crate::storage::Remotes;

use super::hands::{Hands, Next};

/// Most events between two looks at the rest of the world.
const MAX_EVENTS: usize = 1_000;

/// How often old files are looked for.
const CLEAN: Duration = Duration::from_mins(1);

/// Longest sleep for a deadline: the timer does not see a suspended machine.
const MAX_SLEEP: Duration = Duration::from_secs(5);

/// How long that which can be done for many executions at once waits for more.
const LATE: Duration = Duration::from_millis(100);

/// How long the sending of the last reports may take when the agent leaves.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the removal of files may take when the agent leaves for good.
const LAST_REMOVALS: Duration = Duration::from_mins(1);

/// An agent at work.
#[derive(Debug)]
pub struct Driver {
    pub state: AgentState,
    pub hands: Hands,
    pub outbox: Outbox,
    pub events: UnboundedReceiver<Event>,
    pub link: JoinHandle<Result<(), LinkError>>,
    /// When what was put off is done.
    pub late_at: Option<Monotonic>,
}

impl Driver {
    /// Works until the agent shall leave, and says what comes next.
    ///
    /// # Errors
    /// The server refuses this agent for good.
    pub async fn drive(
        mut self,
        first: Event,
        stops: &mut Receiver<Stop>,
    ) -> Result<Departure, AgentError> {
        let mut heartbeats = every(Duration::from_secs(HEARTBEAT_SECONDS));
        let mut cleanings = every(CLEAN);
        let mut events = vec![first];
        loop {
            match self.take(&mut events) {
                Next::GoOn => {}
                Next::Leave => {
                    self.leave(Some(LAST_REMOVALS)).await;
                    return Ok(Departure::Left);
                }
                Next::Restart => {
                    self.leave(None).await;
                    return Ok(Departure::Restart);
                }
            }
            let rest = self.rest();
            tokio::select! {
                biased;
                stop = stops.recv() => match stop {
                    Some(Stop::Drain) => {
                        tracing::info!("draining: leaving after the last execution");
                        events.push(Event::Drain);
                    }
                    Some(Stop::Detach) | None => {
                        self.leave(None).await;
                        return Ok(Departure::Left);
                    }
                },
                end = &mut self.link => return Err(why_no_link(end)),
                // Before the events, which may never be at an end.
                _ = heartbeats.tick() => events.push(Event::HeartbeatDue),
                _ = cleanings.tick() => self.hands.folders.clean(),
                event = self.hands.commands.next_event() => events.push(event),
                _ = self.events.recv_many(&mut events, MAX_EVENTS) => {}
                () = sleep(rest.unwrap_or(MAX_SLEEP)), if rest.is_some() => {}
            }
            self.take_what_is_ready(&mut events);
        }
    }

    /// What is there already is dealt with in the same turn, so that reports
    /// that are ready together go in one frame.
    fn take_what_is_ready(&mut self, events: &mut Vec<Event>) {
        while events.len() < MAX_EVENTS {
            let Some(event) =
                self.events.try_recv().ok().or_else(|| self.hands.commands.ready_event())
            else {
                break;
            };
            events.push(event);
        }
        let now = SystemClock.now().monotonic;
        if self.state.next_deadline().is_some_and(|deadline| deadline <= now) {
            events.push(Event::Tick);
        }
    }

    /// Reacts to the events.
    fn take(&mut self, events: &mut Vec<Event>) -> Next {
        let now = SystemClock.now();
        let mut next = Next::GoOn;
        while !events.is_empty() {
            for event in events.drain(..) {
                self.notice(&event);
                for effect in self.state.on(now, event) {
                    let concurrency = self.state.concurrency();
                    let wanted = self.hands.perform(effect, concurrency, &mut self.outbox);
                    next = if wanted == Next::GoOn { next } else { wanted };
                }
            }
            // Some effects are answered on the spot.
            events.extend(std::iter::from_fn(|| self.events.try_recv().ok()));
        }
        while let Some((link, frame)) = self.state.next_reports(now) {
            self.outbox.post(link, frame);
        }
        self.write(now.monotonic);
        next
    }

    /// Writes and sends what cannot wait, and the rest when it is time.
    fn write(&mut self, now: Monotonic) {
        let is_late = self.late_at.is_some_and(|at| at <= now);
        let may_try_again = self.outbox.retry_at().is_some_and(|at| at <= now);
        if self.outbox.is_urgent() || may_try_again || (is_late && !self.outbox.is_empty()) {
            self.outbox.write(now);
        }
        if is_late || self.hands.has_much() {
            self.late_at = None;
            self.hands.do_late();
        }
        if self.late_at.is_none() && (self.hands.has_late() || !self.outbox.is_empty()) {
            self.late_at = Some(now.after(LATE));
        }
    }

    /// What people read of an event, and what it means for transfers.
    fn notice(&mut self, event: &Event) {
        match event {
            Event::Prepared { execution, .. } | Event::Uploaded { execution, .. } => {
                self.hands.on_transfer_over(*execution);
            }
            Event::LinkDown { .. } => self.hands.desk.on_link(None),
            Event::Frame { link, frame: Down::Welcome(welcome) } => {
                self.hands.desk.on_link(Some(*link));
                learn(welcome.storage.as_ref());
                self.notice_welcome(welcome);
            }
            Event::Frame { frame: Down::HeartbeatAck { storage, .. }, .. } => {
                learn(storage.as_ref());
            }
            Event::Frame { frame: Down::Cached { execution, found }, .. } => {
                self.hands.desk.on_found(*execution, found.clone());
            }
            Event::Frame { frame, .. } => self.notice_frame(frame),
            Event::Started { execution, .. } => tracing::debug!(%execution, "started"),
            Event::Ended { execution, end } => {
                tracing::debug!(%execution, exit = ?end.exit, "ended");
            }
            Event::NotStarted { execution, failure } => {
                tracing::debug!(%execution, reason = %failure.reason, "not started");
            }
            Event::SupervisorDown => tracing::error!("lost the supervisor of the commands"),
            _ => {}
        }
    }

    fn notice_frame(&self, frame: &Down) {
        match frame {
            Down::Start(start) => tracing::debug!(execution = %start.execution, "ordered"),
            Down::Order { execution, verdict } => {
                tracing::info!(%execution, ?verdict, "the server decided");
            }
            Down::Settings { settings, wanted, lost_after_seconds } => {
                tracing::info!(
                    ?settings, %wanted, lost_after_seconds, "the settings were changed"
                );
            }
            Down::Suspend { execution, suspension } => {
                tracing::info!(%execution, ?suspension, "held back as the server wants");
            }
            Down::Edit(edit) => {
                let (execution, revision) = (edit.execution, edit.revision);
                tracing::info!(%execution, revision, "the task was edited");
            }
            Down::Adopt { executions } => tracing::info!(?executions, "adopted by the server"),
            Down::Abandon { executions } => {
                tracing::warn!(?executions, "ending what nobody wants any more");
            }
            Down::Clean { what } => tracing::info!(?what, "cleaning as the server wants"),
            Down::Restart => tracing::info!("restarting as the server wants; commands run on"),
            Down::Resend(resend) => {
                tracing::info!(execution = %resend.start.execution, "sending its outputs once more");
            }
            _ => {}
        }
    }

    fn notice_welcome(&self, welcome: &Welcome) {
        let (worker, store) = (&welcome.worker, &welcome.store);
        tracing::info!(%worker, %store, "welcomed by the server");
        for (execution, verdict) in &welcome.verdicts {
            match verdict {
                Verdict::Unknown => {
                    tracing::warn!(%execution, "the server does not know it: it runs on unreported");
                }
                verdict => tracing::debug!(%execution, ?verdict, "the server decided"),
            }
        }
        if welcome.known && welcome.settings != self.hands.identity.settings {
            let settings = &welcome.settings;
            tracing::info!(?settings, "the server knows this worker: its settings count");
        }
    }

    /// How long nothing is due.
    fn rest(&self) -> Option<Duration> {
        let next = self.state.next_deadline().into_iter().chain(self.late_at).min()?;
        Some(next.since(SystemClock.now().monotonic).min(MAX_SLEEP))
    }

    /// Hands on what can be handed on; commands run on under the supervisor.
    async fn leave(mut self, patience: Option<Duration>) {
        tracing::info!("leaving");
        self.hands.stop_all_transfers();
        self.outbox.write(SystemClock.now().monotonic);
        self.hands.do_late();
        drop(self.outbox);
        let Hands { commands, folders, link, .. } = self.hands;
        drop(link);
        if tokio::time::timeout(LAST_WORDS, &mut self.link).await.is_err() {
            self.link.abort();
        }
        commands.leave().await;
        let Some(patience) = patience else { return };
        let removed = tokio::task::spawn_blocking(move || folders.finish());
        if tokio::time::timeout(patience, removed).await.is_err() {
            tracing::warn!("leaving files behind for the next agent to remove");
        }
    }
}

/// Lets transfers find the storage that the server tells of. It is nowhere but
/// in memory.
fn learn(storage: Option<&SiteStorage>) {
    let Some(SiteStorage(text)) = storage else { return };
    match Remotes::default().learn(text) {
        Ok(()) => tracing::info!("the server has told of the site's storage"),
        Err(error) => tracing::error!(%error, "cannot understand the site's storage"),
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn why_no_link(end: Result<Result<(), LinkError>, tokio::task::JoinError>) -> AgentError {
    match end {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) | Err(_) => AgentError::Internal { what: "the link" },
    }
}
