//! Random lives against the invariants: an agent that loses its link, its
//! supervisor and itself at any moment.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::api::link::{Down, Verdict};
use crate::domain::ExecutionId;
use crate::domain::execution::Suspension;
use crate::domain::signal::Signal;

use super::super::execution::Stage;
use super::super::*;
use super::bench::*;
use super::world::{World, pick};

const VERDICTS: [Verdict; 9] = [
    Verdict::Keep,
    Verdict::Keep,
    Verdict::Keep,
    Verdict::Superseded,
    Verdict::Cancelled,
    Verdict::Killed,
    Verdict::Settled,
    Verdict::GiveBack,
    Verdict::Unknown,
];

impl World {
    /// The agent is killed, and another one takes over. It may take a while to
    /// reach the supervisor.
    fn restart(&mut self, is_late: bool) {
        self.state = AgentState::new(Limits::default(), machine(), settings(2), self.store.clone());
        self.state.restore(self.journal.clone());
        self.linked = false;
        self.frames.clear();
        self.heartbeats.clear();
        self.downloads.clear();
        for set in [&mut self.uploads, &mut self.followed, &mut self.finishing] {
            set.clear();
        }
        self.concurrency = 2;
        self.redials = false;
        // Leave that was given to the dead one does not count.
        self.seen.leave_given.clear();
        self.seen.last_word = None;
        // The next agent sees that they never ran.
        for id in std::mem::take(&mut self.seen.unread) {
            self.seen.spawned.remove(&id);
        }
        self.supervisor_is_up = false;
        if !is_late {
            self.supervisor(true);
        }
    }

    /// One of the executions that the agent holds.
    fn some_held(&self, choice: usize) -> Option<ExecutionId> {
        let held: BTreeSet<ExecutionId> = self.state.executions.keys().copied().collect();
        pick(&held, choice)
    }

    fn step(&mut self, operation: u8, choice: usize) {
        match operation {
            0 => self.dial(|_| Verdict::Keep),
            1 => self.dial(|position| VERDICTS[(choice + position * 7) % VERDICTS.len()]),
            2 => self.hang_up(),
            3..=6 => self.order_start(choice),
            7..=12 => self.acknowledge(Verdict::Keep),
            13 => self.acknowledge(VERDICTS[choice % VERDICTS.len()]),
            14..=17 => self.prepare(choice, Ok(())),
            18 => self.prepare(choice, Err(failure(false))),
            19..=22 => self.tell_start(choice, true),
            23 => self.tell_start(choice, false),
            24..=26 => self.end(choice, Exit::Code(i32::from(choice.is_multiple_of(3)))),
            27 => self.end(choice, Exit::Lost { reason: String::new() }),
            28..=29 => self.upload(choice, Ok(())),
            30 => self.upload(choice, Err(failure(choice.is_multiple_of(2)))),
            31..=33 => self.send_output(choice),
            34 => self.pass([1, 7, 30, 300, 3_000, 90_000][choice % 6]),
            35 => self.heartbeat(),
            36 => {
                // Of other databases the server knows nothing.
                let own = self.some_held(choice).filter(|id| self.linked && self.state.is_own(*id));
                if let Some(id) = own {
                    let verdict = self.fitting(id, VERDICTS[choice / 7 % VERDICTS.len()]);
                    self.told(id, verdict);
                    self.frame(Down::Order { execution: id, verdict });
                }
            }
            37 => self.supervisor(choice.is_multiple_of(3)),
            38 => self.restart(choice.is_multiple_of(3)),
            40..=48 => self.control(operation, choice),
            _ => self.set(choice),
        }
    }

    /// What people do to what runs.
    fn control(&mut self, operation: u8, choice: usize) {
        let Some(id) = self.some_held(choice) else { return };
        match operation {
            40..=42 => {
                let wanted = [Suspension::Start, Suspension::Run, Suspension::Run];
                self.suspend(id, wanted[choice / 7 % 3]);
            }
            43..=44 => self.suspend(id, Suspension::No),
            45 => self.edit(id, choice / 7),
            46 => self.frame(Down::Signal { execution: id, signal: Signal::Usr1 }),
            47 if choice.is_multiple_of(4) => self.restore_server(),
            47 => self.abandon(id),
            _ => self.adopt(vec![id]),
        }
    }

    /// Everything goes well from here on: all that was accepted comes to an end.
    fn settle(&mut self) {
        self.concurrency = 4;
        self.supervisor(true);
        // What the server does not hold back again goes on by itself.
        self.held_back.clear();
        self.dial(|_| Verdict::Keep);
        self.adopt(self.state.executions.keys().copied().collect());
        for _ in 0..10_000 {
            if self.state.executions.is_empty() {
                break;
            }
            while !self.frames.is_empty() {
                self.acknowledge(Verdict::Keep);
            }
            self.prepare(0, Ok(()));
            self.tell_start(0, true);
            self.end(0, Exit::Code(0));
            self.upload(0, Ok(()));
            self.send_output(0);
            self.pass(1);
            self.heartbeat();
        }
        let stuck: Vec<(&ExecutionId, &Stage)> =
            self.state.executions.iter().map(|(id, held)| (id, &held.stage)).collect();
        assert!(stuck.is_empty(), "stuck: {stuck:?}");
        for id in &self.seen.accepted {
            let ends = self.seen.finished.get(id).copied().unwrap_or(0);
            let expected = if self.seen.dropped.contains(id) { 0..=1 } else { 1..=1 };
            assert!(expected.contains(&ends), "{id} ended {ends} times");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_break_no_rule(
        steps in prop::collection::vec((0_u8..49, 0_usize..1_000), 0..400)
    ) {
        let mut world = World::new();
        world.dial(|_| Verdict::Keep);
        for (operation, choice) in steps {
            world.step(operation, choice);
        }
        world.settle();
    }
}
