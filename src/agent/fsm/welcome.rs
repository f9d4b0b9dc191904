//! The link: hello, welcome, heartbeats, and what follows from a loss.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::link::{ReportEvent, Verdict, Welcome};
use crate::domain::execution::OutputSizes;
use crate::domain::{ExecutionId, Monotonic};

use super::effect::{Effect, Secret};
use super::execution::{Execution, Known, Order, Stage, StopReason, Upload};
use super::state::{AgentState, Link, Turn};

/// Heartbeats whose sending time is remembered: a link is given up long before.
const MAX_UNACKNOWLEDGED_HEARTBEATS: usize = 16;

impl AgentState {
    pub(super) fn on_link_up(&mut self, turn: &mut Turn, link: u64) {
        self.drop_link(turn);
        self.link = Link::Greeting { link, since: turn.now.monotonic };
        self.untold_phases.clear();
        turn.wants(Effect::SendHello {
            link,
            store: self.store.clone(),
            held: self.named_in_hello().map(Execution::held).collect(),
            standing: self.standing(),
        });
    }

    pub(super) fn on_link_down(&mut self, turn: &mut Turn, link: u64) {
        match self.link {
            Link::Greeting { link: present, .. } | Link::Up { link: present }
                if present == link =>
            {
                self.drop_link(turn);
            }
            _ => {}
        }
    }

    /// Brings both sides to one view of the world.
    pub(super) fn on_welcome(
        &mut self,
        turn: &mut Turn,
        link: u64,
        hello_sent_at: Monotonic,
        welcome: Welcome,
    ) {
        let present = (welcome.store.clone(), welcome.epoch);
        let same_store = self.store.as_ref().is_none_or(|store| *store == present);
        let same_database = self.store.as_ref().is_none_or(|(store, _)| *store == welcome.store);
        let verdicts: BTreeMap<ExecutionId, Verdict> = welcome.verdicts.into_iter().collect();
        let told: Vec<ExecutionId> = self.named_in_hello().map(Execution::id).collect();
        if self.store.as_ref() != Some(&present) {
            self.store = Some(present);
            turn.wants(Effect::RememberStore(welcome.store.clone(), welcome.epoch));
        }
        if let Some(token) = welcome.token {
            turn.wants(Effect::RememberToken(Secret(token)));
        }
        self.lease.set_lost_after(welcome.lost_after_seconds.map(Duration::from_secs));
        self.lease.renew(hello_sent_at);
        self.apply_settings(welcome.settings);
        self.wanted = welcome.wanted;
        if !same_store {
            // The hello named the executions of another database. If this one
            // has some too, the agent has to introduce itself again, with those.
            let has_untold = self.named_in_hello().next().is_some();
            if same_database {
                self.carry_over(turn, &told, &verdicts);
            }
            self.orphan_all();
            if has_untold {
                self.drop_link(turn);
                turn.wants(Effect::Redial { link });
                return;
            }
        }
        self.link = Link::Up { link };
        let output: BTreeMap<ExecutionId, OutputSizes> = welcome.output.into_iter().collect();
        let named: Vec<ExecutionId> = self.named_in_hello().map(Execution::id).collect();
        for id in named {
            let verdict = verdicts.get(&id).copied().unwrap_or(Verdict::Unknown);
            if is_knowing(verdict) {
                self.resume(turn, id, link, output.get(&id).copied().unwrap_or_default());
            }
            self.on_verdict(turn, id, verdict);
        }
        self.expect_confirmation(turn);
        self.tell_orphans(turn);
        self.tell_eviction(turn);
    }

    /// The time to loss was changed. The server waits for the word that the
    /// agent goes by the new one.
    pub(super) fn on_lost_after(&mut self, turn: &mut Turn, seconds: Option<u64>) {
        if seconds != self.lease.lost_after_seconds() {
            self.lease.set_lost_after(seconds.map(Duration::from_secs));
            self.withdraw_leave(turn);
            self.on_heartbeat_due(turn);
        }
    }

    pub(super) fn on_heartbeat_due(&mut self, turn: &mut Turn) {
        let Link::Up { link } = self.link else { return };
        self.last_heartbeat += 1;
        self.heartbeats.push_back((self.last_heartbeat, turn.now.monotonic));
        if self.heartbeats.len() > MAX_UNACKNOWLEDGED_HEARTBEATS {
            self.heartbeats.pop_front();
        }
        let phases = std::mem::take(&mut self.untold_phases)
            .into_iter()
            .filter_map(|id| self.executions.get(&id))
            .filter(|held| !held.orphaned && held.stop != Some(StopReason::Superseded))
            .map(|held| (held.id(), held.phase()))
            .collect();
        turn.wants(Effect::SendHeartbeat {
            link,
            number: self.last_heartbeat,
            phases,
            standing: self.standing(),
        });
    }

    pub(super) fn on_heartbeat_ack(&mut self, turn: &mut Turn, number: u64) {
        self.release_unconfirmed(turn);
        while let Some((sent, sent_at)) = self.heartbeats.front().copied()
            && sent <= number
        {
            self.heartbeats.pop_front();
            self.lease.renew(sent_at);
        }
    }

    /// The executions that come from the database that last welcomed the
    /// agent. Ids of another one mean something else to it.
    fn named_in_hello(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().filter(|held| {
            Some(&held.order.store) == self.store.as_ref()
                && held.stop != Some(StopReason::Superseded)
        })
    }

    pub(super) fn drop_link(&mut self, turn: &mut Turn) {
        if self.link == Link::Down {
            return;
        }
        self.link = Link::Down;
        self.reports.clear();
        self.heartbeats.clear();
        self.unconfirmed.clear();
        for held in self.executions.values_mut() {
            if let Stage::Ending(ending) = &mut held.stage {
                ending.output = None;
            }
        }
        turn.wants(Effect::StopAllOutput);
    }

    /// Tells again what the server has not acknowledged, and sends output from
    /// where the server has it.
    pub(super) fn resume(
        &mut self,
        turn: &mut Turn,
        id: ExecutionId,
        link: u64,
        have: OutputSizes,
    ) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        held.orphaned = false;
        let accepted_at = held.accepted_at;
        let untold_start = held.started_at.filter(|_| held.known < Known::Started);
        let untold_acceptance = held.known < Known::Accepted;
        let exit_code = match &held.stage {
            Stage::Ending(ending) if matches!(ending.upload, Upload::AwaitingLeave { .. }) => {
                Some(ending.outcome.exit_code)
            }
            _ => None,
        };
        if let Some(started_at) = untold_start {
            self.report(id, started_at, ReportEvent::Started);
        } else if untold_acceptance {
            self.report(id, accepted_at, ReportEvent::Accepted);
        }
        if let Some(exit_code) = exit_code {
            self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code });
        }
        self.refresh_startable(id);
        self.send_output(turn, id, link, have);
    }

    /// The server shows people what it does not know: not only with the next
    /// heartbeat.
    fn tell_orphans(&mut self, turn: &mut Turn) {
        if self.has_orphans() {
            self.on_heartbeat_due(turn);
        }
    }

    /// The database is the one from before, copied or restored. What it knows of
    /// those that the hello named is its own still; it may have forgotten how
    /// far they had got.
    fn carry_over(
        &mut self,
        turn: &mut Turn,
        told: &[ExecutionId],
        verdicts: &BTreeMap<ExecutionId, Verdict>,
    ) {
        let Some(store) = self.store.clone() else { return };
        for id in told {
            let is_known = verdicts.get(id).copied().is_some_and(is_knowing);
            let Some(held) = self.executions.get_mut(id).filter(|_| is_known) else { continue };
            held.known = Known::Nothing;
            let order = Order { store: store.clone(), ..(*held.order).clone() };
            self.replace_order(turn, *id, order);
        }
    }

    fn orphan_all(&mut self) {
        for held in self.executions.values_mut() {
            held.orphaned = Some(&held.order.store) != self.store.as_ref();
        }
        let ids: Vec<ExecutionId> = self.executions.keys().copied().collect();
        for id in ids {
            self.refresh_startable(id);
        }
    }
}

/// Whether the server knows the execution, and wants to hear of it.
const fn is_knowing(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Keep | Verdict::Cancelled | Verdict::Killed | Verdict::GiveBack)
}
