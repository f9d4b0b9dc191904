//! The loop that feeds the state machine.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::agent::config::{Departure, Stop};
use crate::agent::error::AgentError;
use crate::agent::fsm::Event;
use crate::agent::link::LinkError;
use crate::api::link::HEARTBEAT_SECONDS;
use crate::clock::SystemClock;
use crate::domain::Clock;

use super::desk::{Carrier, Desk, Next};
use super::hands::Hands;

/// Most events between two looks at the rest of the world.
const MAX_EVENTS: usize = 1_000;

/// How often old files are looked for.
const CLEAN: Duration = Duration::from_mins(1);

/// Longest sleep for a deadline: the timer does not see a suspended machine.
const MAX_SLEEP: Duration = Duration::from_secs(5);

/// How long the sending of the last reports may take when the agent leaves.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the removal of files may take when the agent leaves for good.
const LAST_REMOVALS: Duration = Duration::from_mins(1);

/// An agent at work.
#[derive(Debug)]
pub struct Driver {
    pub desk: Desk,
    pub hands: Hands,
    pub events: UnboundedReceiver<Event>,
    pub link: JoinHandle<Result<(), LinkError>>,
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
            let now = SystemClock.now();
            let more = || self.events.try_recv().ok();
            match self.desk.take(now, &mut events, &mut self.hands, more) {
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
            let rest = self.desk.rest(SystemClock.now().monotonic).map(|rest| rest.min(MAX_SLEEP));
            tokio::select! {
                biased;
                stop = stops.recv() => match stop {
                    Some(Stop::Drain) => {
                        tracing::info!("draining: leaving after the last execution");
                        events.push(Event::Drain);
                    }
                    Some(Stop::Evict(reason)) => {
                        tracing::warn!(%reason, "the machine is taken away: giving all back");
                        events.push(Event::Evict { reason });
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
        if self.desk.is_tick_due(SystemClock.now().monotonic) {
            events.push(Event::Tick);
        }
    }

    /// Hands on what can be handed on; commands run on under the supervisor.
    async fn leave(mut self, patience: Option<Duration>) {
        tracing::info!("leaving");
        self.hands.stop_all_transfers();
        self.desk.clear(SystemClock.now().monotonic);
        self.hands.do_late();
        drop(self.desk);
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
