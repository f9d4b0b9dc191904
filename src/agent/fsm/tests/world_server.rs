//! The server of a world: what it says, and what it believes.

use crate::api::link::{Down, ReportEvent, Verdict};
use crate::domain::execution::{OutputSizes, Suspension};
use crate::domain::worker::WantedState;
use crate::domain::{Epoch, ExecutionId};

use super::super::execution::{Execution, Stage};
use super::super::*;
use super::bench::*;
use super::world::World;

pub const SPECS: [&str; 7] = [
    PLAIN,
    WITH_OUTPUT,
    WITH_LIMITS,
    WITH_OUTPUT,
    r#"{"command":"true","cpu":2,"priority":1}"#,
    r#"{"command":"true","memory":8589934592,"run_timeout":60}"#,
    r#"{"command":"true","input":["file:///in"],"priority":-1}"#,
];

impl World {
    pub fn dial(&mut self, choose: impl Fn(usize) -> Verdict) {
        loop {
            self.dial_once(&choose);
            if !std::mem::take(&mut self.redials) {
                break;
            }
            self.hang_up();
        }
        if self.state.store.as_ref().is_some_and(|store| store.1 == self.epoch) {
            for (id, suspension) in self.held_back.clone() {
                self.frame(Down::Suspend { execution: id, suspension });
            }
        }
    }

    fn dial_once(&mut self, choose: impl Fn(usize) -> Verdict) {
        self.link += 1;
        self.linked = true;
        self.frames.clear();
        self.heartbeats.clear();
        self.named.clear();
        let link = self.link;
        self.on(Event::LinkUp { link });
        let mut reply = welcome("s");
        reply.epoch = self.epoch;
        reply.settings = settings(self.concurrency);
        self.lease = Some(570);
        // Ids of another epoch mean nothing to this one.
        let is_own = self.state.store.as_ref().is_none_or(|store| store.1 == self.epoch);
        for (position, id) in self.named.clone().into_iter().enumerate().filter(|_| is_own) {
            let verdict = self.fitting(id, choose(position));
            self.told(id, verdict);
            reply.verdicts.push((id, verdict));
            reply.output.push((id, OutputSizes { stdout: 1, stderr: 1 }));
        }
        self.word(self.now.monotonic);
        self.on(Event::Frame { link, frame: Down::Welcome(Box::new(reply)) });
    }

    /// The server was restored from a backup: it has lost sight of everything.
    pub fn restore_server(&mut self) {
        self.hang_up();
        self.epoch = Epoch(self.epoch.0 + 1);
        self.held_back.clear();
        self.seen.orphans.extend(self.state.executions.keys());
        self.dial(|_| Verdict::Keep);
    }

    /// Orphans become this server's, and it knows them from then on.
    pub fn adopt(&mut self, executions: Vec<ExecutionId>) {
        self.frame(Down::Adopt { executions });
        if std::mem::take(&mut self.redials) {
            self.hang_up();
            self.dial(|_| Verdict::Keep);
        }
    }

    pub fn abandon(&mut self, id: ExecutionId) {
        if self.linked && self.seen.orphans.contains(&id) {
            self.seen.may_be_killed.insert(id);
            self.seen.dropped.insert(id);
            self.frame(Down::Abandon { executions: vec![id] });
        }
    }

    pub fn suspend(&mut self, id: ExecutionId, suspension: Suspension) {
        if !self.linked || self.seen.orphans.contains(&id) {
            return;
        }
        if suspension == Suspension::No {
            self.held_back.remove(&id);
        } else {
            self.held_back.insert(id, suspension);
        }
        self.frame(Down::Suspend { execution: id, suspension });
    }

    pub fn edit(&mut self, id: ExecutionId, choice: usize) {
        let Some(held) = self.state.executions.get(&id) else { return };
        let revision = held.order.revision + 1;
        let has_begun = !matches!(held.stage, Stage::Downloading(_) | Stage::Ready);
        let counts = self.linked
            && !has_begun
            && held.stop.is_none()
            && self.state.store.as_ref() == Some(&held.order.store);
        if counts {
            self.seen.edited.insert(id, revision);
        }
        self.frame(edit(id.0, revision, SPECS[choice % SPECS.len()]));
    }

    pub fn set(&mut self, choice: usize) {
        if !self.linked {
            return;
        }
        self.concurrency = u32::try_from(choice % 4).unwrap();
        let (lost_after_seconds, lease) =
            [(Some(600), Some(570)), (Some(60), Some(30)), (None, None)][choice / 4 % 3];
        self.lease = lease;
        let (settings, wanted) = (settings(self.concurrency), WantedState::Running);
        self.frame(Down::Settings { settings, wanted, lost_after_seconds });
    }

    /// Servers say `settled` only of what has ended.
    pub fn fitting(&self, id: ExecutionId, verdict: Verdict) -> Verdict {
        let has_ended = self.state.executions.get(&id).is_some_and(Execution::has_ended);
        if verdict == Verdict::Settled && !has_ended { Verdict::Keep } else { verdict }
    }

    pub fn told(&mut self, id: ExecutionId, verdict: Verdict) {
        if verdict == Verdict::Unknown {
            self.seen.orphans.insert(id);
        } else {
            self.seen.orphans.remove(&id);
        }
        match verdict {
            Verdict::Superseded => {
                self.seen.may_be_killed.insert(id);
                self.seen.dropped.insert(id);
            }
            Verdict::Cancelled | Verdict::Killed => {
                self.seen.may_be_killed.insert(id);
                self.seen.cancelled.insert(id);
            }
            Verdict::Settled => drop(self.seen.dropped.insert(id)),
            _ => {}
        }
    }

    pub fn hang_up(&mut self) {
        self.linked = false;
        self.frames.clear();
        self.heartbeats.clear();
        self.on(Event::LinkDown { link: self.link });
    }

    pub fn frame(&mut self, frame: Down) {
        if self.linked {
            self.on(Event::Frame { link: self.link, frame });
        }
    }

    pub fn order_start(&mut self, choice: usize) {
        if self.linked {
            let number = self.next_id;
            self.next_id += 1;
            self.frame(start(number, SPECS[choice % SPECS.len()]));
        }
    }

    pub fn acknowledge(&mut self, verdict: Verdict) {
        if self.frames.is_empty() {
            return;
        }
        let (number, sent_at, reports) = self.frames.remove(0);
        self.word(sent_at);
        let mut verdicts = Vec::new();
        for (id, event) in reports {
            let verdict = self.fitting(id, verdict);
            if verdict != Verdict::Keep && self.state.holds(id) {
                self.told(id, verdict);
                verdicts.push((id, verdict));
                continue;
            }
            match event {
                ReportEvent::Accepted | ReportEvent::Started => {
                    self.seen.acceptance_acknowledged.insert(id);
                }
                ReportEvent::Uploading { .. } => drop(self.seen.leave_given.insert(id)),
                ReportEvent::Finished { .. } => {}
            }
        }
        self.frame(Down::Ack { number, verdicts });
    }
}
