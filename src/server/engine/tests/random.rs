//! Random lives of the whole engine. [`Bench::apply`] checks the invariants,
//! the counters and that refusals change nothing after each step; here is
//! what happens, and what must hold of executions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use strum::IntoEnumIterator;

use crate::api::batch::{DeleteBatch, DeleteRunning, Setting, UpdateBatch, WithTasks};
use crate::api::link::{Held, ReportEvent};
use crate::api::task::{Dependents, EditEnded, EditRunning, Unfit};
use crate::api::worker::UpdateWorker;
use crate::domain::batch::LostAfter;
use crate::domain::demand::Demand;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::signal::Signal;
use crate::domain::worker::WantedState;
use crate::domain::{BatchName, ExecutionId, TaskId, WorkerId};

use super::super::Command;
use super::super::command::{Connect, NewTask, Pulse, TaskEdit};
use super::bench::{Bench, finished, hello, new_task};

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(in crate::server) enum Step {
    Create {
        batch: bool,
        retry: u32,
        after: Vec<u16>,
        count: u8,
        asks: Asks,
    },
    Connect {
        name: u8,
        slots: u32,
        prefetch: u32,
        forgets: bool,
        draining: bool,
        bound: bool,
    },
    Disconnect(u8),
    Heartbeat {
        worker: u8,
        draining: bool,
        ready: u16,
    },
    /// A report of the execution, by the worker that had it or by another one.
    Report {
        execution: u16,
        what: u8,
        class: u8,
        by: Option<u8>,
    },
    Pass(u64),
    Cancel(Vec<u16>),
    Relaunch(Vec<u16>),
    Pause(Vec<u16>),
    Resume(Vec<u16>),
    Signal(Vec<u16>, u8),
    Move(Vec<u16>, bool),
    Edit {
        task: u16,
        batch: bool,
        after: Vec<u16>,
        asks: Asks,
        restart: bool,
        keep: bool,
    },
    /// Something that is done to a batch.
    Batch {
        batch: bool,
        verb: u8,
        with: bool,
    },
    Delete {
        tasks: Vec<u16>,
        dependents: u8,
    },
    Update {
        worker: u8,
        batch: Option<bool>,
        slots: Option<u32>,
        prefetch: Option<u32>,
        wanted: Option<u8>,
    },
    DeleteWorker(u8),
}

/// Priority, and cores that are asked for.
type Asks = (i32, u32);

fn asks() -> impl Strategy<Value = Asks> {
    (-1_i32..2, prop_oneof![3 => Just(0_u32), 1 => 1_u32..6])
}

pub(in crate::server) fn step() -> impl Strategy<Value = Step> {
    let few = || prop::collection::vec(any::<u16>(), 0..3);
    let one = || prop::collection::vec(any::<u16>(), 1..3);
    let worker = || 0_u8..5;
    prop_oneof![
        3 => (any::<bool>(), 0_u32..3, few(), 1_u8..4, asks()).prop_map(
            |(batch, retry, after, count, asks)| Step::Create { batch, retry, after, count, asks }
        ),
        3 => (worker(), 0_u32..4, 0_u32..3, prop::bool::weighted(0.2), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(name, slots, prefetch, forgets, draining, bound)| Step::Connect {
                name, slots, prefetch, forgets, draining, bound,
            }),
        1 => worker().prop_map(Step::Disconnect),
        2 => (worker(), prop::bool::weighted(0.2), any::<u16>())
            .prop_map(|(worker, draining, ready)| Step::Heartbeat { worker, draining, ready }),
        12 => (any::<u16>(), 0_u8..6, any::<u8>(), prop::option::weighted(0.1, worker()))
            .prop_map(|(execution, what, class, by)| Step::Report { execution, what, class, by }),
        2 => prop_oneof![Just(1), Just(5), Just(16), Just(100), Just(601)].prop_map(Step::Pass),
        1 => one().prop_map(Step::Cancel),
        2 => one().prop_map(Step::Relaunch),
        1 => one().prop_map(Step::Pause),
        1 => one().prop_map(Step::Resume),
        1 => (one(), any::<u8>()).prop_map(|(tasks, signal)| Step::Signal(tasks, signal)),
        1 => (one(), any::<bool>()).prop_map(|(tasks, batch)| Step::Move(tasks, batch)),
        2 => (any::<u16>(), any::<bool>(), few(), asks(), any::<bool>(), any::<bool>()).prop_map(
            |(task, batch, after, asks, restart, keep)| Step::Edit {
                task, batch, after, asks, restart, keep,
            }
        ),
        2 => (any::<bool>(), 0_u8..7, any::<bool>())
            .prop_map(|(batch, verb, with)| Step::Batch { batch, verb, with }),
        1 => (one(), 0_u8..3).prop_map(|(tasks, dependents)| Step::Delete { tasks, dependents }),
        1 => (
            worker(),
            prop::option::of(any::<bool>()),
            prop::option::of(0_u32..4),
            prop::option::of(0_u32..3),
            prop::option::of(0_u8..3),
        )
            .prop_map(|(worker, batch, slots, prefetch, wanted)| Step::Update {
                worker, batch, slots, prefetch, wanted,
            }),
        1 => worker().prop_map(Step::DeleteWorker),
    ]
}

fn batch_name(default: bool) -> &'static str {
    if default { "Default" } else { "other" }
}

fn asking(new: NewTask, (priority, cpu): Asks) -> NewTask {
    NewTask { priority, demand: Demand { cpu, memory_mib: 0 }, ..new }
}

fn batch_command(name: &str, verb: u8, with: bool) -> Command {
    let batch: BatchName = name.parse().unwrap();
    let tasks = WithTasks { tasks: with };
    match verb {
        0 => Command::PauseBatch { batch, with: tasks },
        1 | 2 => Command::GoBatch { batch, with: tasks },
        3 => Command::EndBatch { batch, signal: if with { Signal::Kill } else { Signal::Term } },
        4 => Command::DeleteBatch {
            batch,
            how: DeleteBatch {
                dependents: if with { Dependents::Cascade } else { Dependents::Detach },
                running: if with { DeleteRunning::Kill } else { DeleteRunning::Keep },
            },
        },
        _ => Command::UpdateBatch {
            batch,
            update: UpdateBatch {
                lost_after: Some(if with {
                    Setting::Value(LostAfter::Never)
                } else {
                    Setting::Default
                }),
                ..UpdateBatch::default()
            },
        },
    }
}

/// A hash that no other link's token has.
fn secret(link: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&link.to_be_bytes());
    hash
}

/// A bench with the agents' side, which remembers every execution there was.
#[derive(Default)]
pub(in crate::server) struct World {
    pub bench: Bench,
    given: BTreeMap<ExecutionId, (TaskId, WorkerId)>,
    ended: BTreeSet<ExecutionId>,
}

impl World {
    pub(in crate::server) fn take(&mut self, step: Step) {
        if let Step::Pass(seconds) = step {
            self.bench.pass(seconds);
        } else if let Some(command) = self.command(step) {
            // Refusals are checked to change nothing.
            let _ = self.bench.apply(command);
        }
        self.follow_executions();
    }

    /// Once over, an execution stays over; and a task has at most one that is not.
    fn follow_executions(&mut self) {
        let mut busy = BTreeSet::new();
        for (id, execution) in &self.bench.state.executions {
            assert!(busy.insert(execution.row.task), "two live executions of one task");
            assert!(!self.ended.contains(id), "execution {id} came back");
            self.given.insert(*id, (execution.row.task, execution.worker));
        }
        for (id, row) in &self.bench.changes.executions {
            if row.finished_at.is_some() {
                assert!(row.state.is_final() && row.outcome.is_some());
                self.ended.insert(*id);
                self.given.insert(*id, (row.task, row.worker.unwrap()));
            }
        }
    }

    fn command(&mut self, step: Step) -> Option<Command> {
        let tasks = |world: &Self, chosen: &[u16]| -> Vec<TaskId> {
            chosen.iter().map(|number| world.task(*number)).collect()
        };
        Some(match step {
            Step::Create { batch, retry, after, count, asks } => {
                let after = tasks(self, &after);
                let new = asking(new_task(batch_name(batch), retry, &after), asks);
                Command::CreateTasks(vec![new; count.into()])
            }
            Step::Connect { name, slots, prefetch, forgets, draining, bound } => {
                let connect = hello(self.bench.new_link(), &format!("w{name}"), slots, prefetch);
                let worker = self.worker(name);
                Command::Connect(Box::new(Connect {
                    held: worker.filter(|_| !forgets).map_or_else(Vec::new, |id| self.held(id)),
                    bound_to: worker.filter(|_| bound),
                    new_token: (!bound).then(|| secret(connect.link.0)),
                    instance: if forgets { "second" } else { "first" }.to_owned(),
                    draining,
                    ..connect
                }))
            }
            Step::Disconnect(name) => {
                let worker = self.worker(name)?;
                Command::Disconnect { worker, link: self.bench.link_of(worker) }
            }
            Step::Heartbeat { worker, draining, ready } => {
                let worker = self.worker(worker)?;
                Command::Heartbeat {
                    worker,
                    link: self.bench.link_of(worker),
                    pulse: Pulse {
                        phases: vec![(ExecutionId(u64::from(ready % 40)), Phase::Ready)],
                        draining,
                        ..self.bench.pulse(worker)
                    },
                }
            }
            Step::Report { execution, what, class, by } => {
                return self.reports(execution, what, class, by);
            }
            Step::Pass(_) => Command::Tick,
            Step::Cancel(chosen) => {
                Command::CancelTasks { tasks: tasks(self, &chosen), unfit: Unfit::Refuse }
            }
            Step::Pause(_)
            | Step::Resume(_)
            | Step::Signal(..)
            | Step::Move(..)
            | Step::Edit { .. }
            | Step::Batch { .. } => return self.control(step),
            Step::Relaunch(chosen) => {
                Command::RelaunchTasks { tasks: tasks(self, &chosen), unfit: Unfit::Refuse }
            }
            Step::Delete { tasks: chosen, dependents } => Command::DeleteTasks {
                tasks: tasks(self, &chosen),
                unfit: Unfit::Refuse,
                dependents: [Dependents::Refuse, Dependents::Cascade, Dependents::Detach]
                    [usize::from(dependents)],
            },
            Step::Update { worker, batch, slots, prefetch, wanted } => Command::UpdateWorker {
                worker: self.worker(worker)?,
                update: UpdateWorker {
                    batch: batch.map(|own| if own { "Default" } else { "new" }.parse().unwrap()),
                    concurrency: slots,
                    prefetch,
                    wanted: wanted.and_then(|nth| WantedState::iter().nth(nth.into())),
                },
            },
            Step::DeleteWorker(name) => Command::DeleteWorker(self.worker(name)?),
        })
    }

    /// What people do to tasks and batches that are there.
    fn control(&self, step: Step) -> Option<Command> {
        let tasks = |chosen: &[u16]| -> Vec<TaskId> {
            chosen.iter().map(|number| self.task(*number)).collect()
        };
        Some(match step {
            Step::Pause(chosen) => {
                Command::PauseTasks { tasks: tasks(&chosen), unfit: Unfit::Skip }
            }
            Step::Resume(chosen) => {
                Command::ResumeTasks { tasks: tasks(&chosen), unfit: Unfit::Skip }
            }
            Step::Signal(chosen, signal) => Command::SignalTasks {
                tasks: tasks(&chosen),
                signal: Signal::iter().cycle().nth(signal.into())?,
                unfit: Unfit::Skip,
            },
            Step::Move(chosen, batch) => Command::MoveTasks {
                tasks: tasks(&chosen),
                batch: batch_name(batch).parse().unwrap(),
            },
            Step::Edit { task, batch, after, asks, restart, keep } => {
                let after = tasks(&after);
                let new = asking(new_task(batch_name(batch), 1, &after), asks);
                Command::EditTasks {
                    edits: vec![TaskEdit { id: self.task(task), revision: None, new }],
                    running: if restart { EditRunning::Restart } else { EditRunning::Refuse },
                    ended: if keep { EditEnded::Keep } else { EditEnded::Run },
                }
            }
            Step::Batch { batch, verb, with } => batch_command(batch_name(batch), verb, with),
            _ => return None,
        })
    }

    fn reports(&mut self, execution: u16, what: u8, class: u8, by: Option<u8>) -> Option<Command> {
        use super::super::command::Received;
        use crate::api::link::Report;
        use crate::domain::execution::OutputSizes;

        // Mostly of the latest executions: those are live.
        let back = usize::from(execution) % self.given.len().clamp(1, 6);
        let (id, (task, owner)) = self.given.iter().rev().nth(back).map(|(id, of)| (*id, *of))?;
        let worker = by.and_then(|name| self.worker(name)).unwrap_or(owner);
        let event = match what {
            0 => ReportEvent::Accepted,
            1 => ReportEvent::Started,
            2 => ReportEvent::Uploading { exit_code: Some(0) },
            3 => finished(None),
            _ => finished(FailureClass::iter().nth(usize::from(class) % 11)),
        };
        let report = Report { execution: id, task, revision: 0, at: self.bench.now.wall, event };
        let received = Received { report, output: OutputSizes { stdout: 3, stderr: 0 } };
        let link = self.bench.link_of(worker);
        Some(Command::Report { worker, link, reports: vec![received.clone(), received] })
    }

    /// A task that exists, most often; sometimes one that does not.
    fn task(&self, number: u16) -> TaskId {
        TaskId(u64::from(number) % self.bench.state.next.task.0 + 1)
    }

    fn worker(&self, name: u8) -> Option<WorkerId> {
        let name = format!("w{name}");
        let mut workers = self.bench.state.workers.iter();
        workers.find(|(_, worker)| *worker.name == *name).map(|(id, _)| *id)
    }

    /// What the agent of a worker holds, if it took all that it was given.
    fn held(&self, worker: WorkerId) -> Vec<Held> {
        let live = |id: &ExecutionId| self.bench.state.executions.get(id);
        let own = self.given.iter().filter(|(_, (_, owner))| *owner == worker);
        own.map(|(id, (task, _))| Held {
            execution: *id,
            task: *task,
            revision: 0,
            phase: Phase::Running,
            accepted_at: Some(self.bench.now.wall),
            started_at: live(id)
                .is_some_and(|live| live.row.state == ExecutionState::Running || id.0 % 2 == 0)
                .then_some(self.bench.now.wall),
            ended: id.0 % 5 == 0,
        })
        .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::default();
        for step in steps {
            world.take(step);
        }
    }
}
