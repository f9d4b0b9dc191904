//! How disturbances come about.

use scitq::api::batch::WithTasks;
use scitq::api::task::{Dependents, EditEnded, EditRunning, Unfit};
use scitq::api::worker::UpdateWorker;
use scitq::domain::batch::BatchPause;
use scitq::domain::signal::Signal;
use scitq::domain::worker::WantedState;
use scitq::domain::{BatchName, TaskId, WorkerId};
use scitq::server::engine::command::{Command, TaskEdit};

use super::calendar::{AgentNumber, Happening, Moment, SECOND};
use super::disturbance::{BatchVerb, Disturbance, Dying, Verb, WorkerChange};
use super::life::World;
use super::people::{About, Style, new_task};

impl World {
    pub fn disturb(&mut self, disturbance: &Disturbance) {
        let who = if disturbance.is_fault() { "FAULT" } else { "people" };
        self.tell(who, format_args!("{disturbance}"));
        match disturbance {
            Disturbance::Queue { count, style } => self.queue(*count, *style),
            Disturbance::Tasks { verb, tasks } => self.do_to_tasks(*verb, tasks),
            Disturbance::Edit { task, style } => self.edit(*task, *style),
            Disturbance::Move { task, batch } => {
                if let Some(task) = self.known_task(*task) {
                    let command =
                        Command::MoveTasks { tasks: vec![task], batch: batch_name(*batch) };
                    self.ask(command, About::Other);
                }
            }
            Disturbance::Batch { verb, batch } => self.do_to_batch(*verb, batch_name(*batch)),
            Disturbance::Worker { agent, change } => self.change_worker(*agent, *change),
            fault => self.go_wrong(fault),
        }
    }

    fn go_wrong(&mut self, fault: &Disturbance) {
        let now = self.now;
        match *fault {
            Disturbance::KillServer { down } if self.server.process.is_some() => {
                self.kill_server();
                self.calendar.enter(now + down, Happening::ServerStarts);
            }
            Disturbance::KillAgent { agent, down, when: Dying::Idle } => {
                self.kill_agent(agent, down);
            }
            Disturbance::KillAgent { agent, when, .. } => {
                if let Some(process) = &mut self.agents[agent].process {
                    process.dies = Some(when);
                }
            }
            Disturbance::KillSupervisor { agent } => self.kill_supervisor(agent),
            Disturbance::Crash { agent, down } => self.crash(agent, down),
            Disturbance::Suspend { agent, time } => {
                let entry = &mut self.agents[agent];
                entry.asleep_until = entry.asleep_until.max(now + time);
                entry.slept = Some((now, entry.asleep_until));
            }
            Disturbance::SuspendServer { time } => {
                self.server.stopped_until = self.server.stopped_until.max(now + time);
            }
            Disturbance::Cut { agent, time } => self.cut(agent, now + time),
            Disturbance::Stall { agent, time } => self.stall(agent, now + time),
            Disturbance::Duplicate { agent, time } => {
                self.agents[agent].duplicates_until = now + time;
            }
            Disturbance::LoseReplies { time } => self.server.loses_replies_until = now + time,
            Disturbance::SlowDisk { time } => self.server.slow_until = now + time,
            Disturbance::FullDisk { time } => self.server.full_until = now + time,
            Disturbance::FailCommit => self.server.fails_once = true,
            Disturbance::FullAgentDisk { agent, time } => {
                self.agents[agent].full_until = now + time;
            }
            Disturbance::ServerDate { jump } => self.server.clock.jump(jump),
            Disturbance::AgentDate { agent, jump } => self.agents[agent].clock.jump(jump),
            _ => {}
        }
    }

    /// The machine goes and comes back: no process is left, and the end of what
    /// was written may be missing.
    fn crash(&mut self, agent: AgentNumber, down: Moment) {
        self.excuse_losses(agent);
        self.kill_agent(agent, down);
        let now = self.now;
        let alive: Vec<_> = self.agents[agent].supervisor.commands.keys().copied().collect();
        self.agents[agent].supervisor.is_dead = true;
        for execution in alive {
            let exit = scitq::agent::fsm::Exit::Lost { reason: "the machine went".to_owned() };
            self.end_command(agent, execution, exit);
            self.rules.forgive_second_start(execution);
        }
        let entry = &mut self.agents[agent];
        let length = entry.disk.length() as u64;
        let lost = entry.chance.below(length.min(3_000) + 1);
        entry.disk.cut_to(usize::try_from(length - lost).unwrap_or(0));
        entry.boot += 1;
        entry.clock.boot(now);
        for connection in 0..self.connections.len() {
            if self.connections[connection].agent == agent {
                self.connections[connection].lose_from(now);
            }
        }
    }

    fn queue(&mut self, count: u64, style: u64) {
        let known: Vec<TaskId> = self.people.tasks.keys().copied().collect();
        let mut chance = super::chance::Chance::new(style, &[2]);
        let (mut news, mut lines) = (Vec::new(), Vec::new());
        for _ in 0..count {
            self.people.names += 1;
            let name = format!("n{}", self.people.names);
            let after = if chance.one_in(5) {
                chance.pick(&known).copied().into_iter().collect()
            } else {
                Vec::new()
            };
            let batch = if chance.one_in(5) { "b1" } else { "b0" };
            let spec = Style::new(chance.number()).spec(&name, batch, after);
            lines.push(spec.command.to_string());
            news.push(new_task(&spec));
        }
        self.ask(Command::CreateTasks(news), About::Queue(lines));
    }

    fn do_to_tasks(&mut self, verb: Verb, tasks: &[u64]) {
        let mut named: Vec<TaskId> =
            tasks.iter().filter_map(|number| self.known_task(*number)).collect();
        named.sort_unstable();
        named.dedup();
        if named.is_empty() {
            return;
        }
        let (tasks, unfit) = (named, Unfit::Skip);
        let command = match verb {
            Verb::Cancel => Command::CancelTasks { tasks, unfit },
            Verb::Kill => Command::SignalTasks { tasks, signal: Signal::Kill, unfit },
            Verb::Signal => Command::SignalTasks { tasks, signal: Signal::Usr1, unfit },
            Verb::Pause => Command::PauseTasks { tasks, unfit },
            Verb::Resume => Command::ResumeTasks { tasks, unfit },
            Verb::Relaunch => Command::RelaunchTasks { tasks, unfit },
            Verb::Delete => {
                let command =
                    Command::DeleteTasks { tasks, dependents: Dependents::Cascade, unfit };
                return self.ask(command, About::Delete);
            }
        };
        self.ask(command, About::Other);
    }

    fn edit(&mut self, task: u64, style: u64) {
        let Some(task) = self.known_task(task) else { return };
        if self.is_being_edited(task) {
            return;
        }
        let line = self.people.tasks.get(&task).cloned().unwrap_or_default();
        let name = line.split(' ').nth(1).unwrap_or("edited").to_owned();
        let mut chance = super::chance::Chance::new(style, &[4]);
        let others: Vec<TaskId> =
            self.people.tasks.keys().copied().filter(|id| *id < task).collect();
        let after = if chance.one_in(5) {
            chance.pick(&others).copied().into_iter().collect()
        } else {
            Vec::new()
        };
        let batch = if chance.one_in(5) { "b1" } else { "b0" };
        let spec = Style::new(chance.number()).spec(&name, batch, after);
        let edits = vec![TaskEdit { id: task, revision: None, new: new_task(&spec) }];
        let command =
            Command::EditTasks { edits, running: EditRunning::Restart, ended: EditEnded::Run };
        self.ask(command, About::Edit(task, spec.command.to_string()));
    }

    fn do_to_batch(&mut self, verb: BatchVerb, batch: BatchName) {
        let command = match verb {
            BatchVerb::Pause => Command::PauseBatch { batch, with: WithTasks { tasks: false } },
            BatchVerb::Freeze => Command::PauseBatch { batch, with: WithTasks { tasks: true } },
            BatchVerb::Go => Command::GoBatch { batch, with: WithTasks { tasks: true } },
            BatchVerb::End => Command::EndBatch { batch, signal: Signal::Term },
        };
        self.ask(command, About::Other);
    }

    fn change_worker(&mut self, agent: AgentNumber, change: WorkerChange) {
        let Some(worker) = self.worker_of(agent) else { return };
        let update = match change {
            WorkerChange::Slots { concurrency, prefetch } => UpdateWorker {
                concurrency: Some(concurrency),
                prefetch: Some(prefetch),
                ..UpdateWorker::default()
            },
            WorkerChange::Pause => {
                UpdateWorker { wanted: Some(WantedState::Paused), ..UpdateWorker::default() }
            }
            WorkerChange::Run => {
                UpdateWorker { wanted: Some(WantedState::Running), ..UpdateWorker::default() }
            }
            WorkerChange::Batch(batch) => {
                UpdateWorker { batch: Some(batch_name(batch)), ..UpdateWorker::default() }
            }
            WorkerChange::Restart => return self.ask(Command::RestartWorker(worker), About::Other),
            WorkerChange::Delete => {
                self.deleted_workers.push(worker);
                return self.ask(Command::DeleteWorker(worker), About::Other);
            }
        };
        self.ask(Command::UpdateWorker { worker, update }, About::Other);
    }

    /// The worker under which an agent is known.
    fn worker_of(&self, agent: AgentNumber) -> Option<WorkerId> {
        let name = format!("agent-{agent}");
        let state = self.engine_state()?;
        state.workers.iter().find(|(_, worker)| *worker.name == *name).map(|(id, _)| *id)
    }

    /// What an agent has may be lost from here on.
    pub fn excuse_losses(&mut self, agent: AgentNumber) {
        self.rules.excuse_losses(&format!("agent-{agent}"));
    }

    fn known_task(&self, number: u64) -> Option<TaskId> {
        let count = self.people.tasks.len() as u64;
        let position = usize::try_from(number.checked_rem(count)?).ok()?;
        self.people.tasks.keys().nth(position).copied()
    }

    /// No more faults, and people want all to be done.
    pub fn calm_down(&mut self) {
        self.tell("people", format_args!("faults have stopped: all shall be done now"));
        for batch in ["b0", "b1"] {
            self.do_to_batch(BatchVerb::Go, batch.parse().unwrap_or_default());
        }
        self.calendar.enter(self.now + SECOND, Happening::LookAtEnd);
    }

    /// Whatever people held back they let go on, all of it in one batch.
    pub fn let_all_go_on(&mut self) {
        let Some(state) = self.engine_state() else { return };
        let home = batch_name(0);
        let is_home = |batch| state.batch_ids.get(&home) == Some(&batch);
        let live = || state.tasks.iter().filter(|(_, task)| !task.hidden);
        let mut held: Vec<TaskId> =
            live().filter(|(_, task)| task.life.is_paused()).map(|(id, _)| id).collect();
        let mut away: Vec<TaskId> = live()
            .filter(|(_, task)| !is_home(task.batch) && !task.life.state().is_final())
            .map(|(id, _)| id)
            .collect();
        held.sort_unstable();
        away.sort_unstable();
        let stopped: Vec<WorkerId> = state
            .workers
            .iter()
            .filter(|(_, worker)| {
                worker.wanted != WantedState::Running
                    || worker.failure.is_some()
                    || worker.settings.concurrency != 4
                    || !is_home(worker.batch)
            })
            .map(|(id, _)| *id)
            .collect();
        // What people asked for late may have come after all else.
        let is_paused = state.find_batch(&home).is_some_and(|home| home.pause != BatchPause::No);
        if is_paused {
            self.do_to_batch(BatchVerb::Go, home.clone());
        }
        if !held.is_empty() {
            self.ask(Command::ResumeTasks { tasks: held, unfit: Unfit::Skip }, About::Other);
        }
        if !away.is_empty() {
            let command = Command::MoveTasks { tasks: away, batch: home.clone() };
            self.ask(command, About::Other);
        }
        for worker in stopped {
            let update = UpdateWorker {
                batch: Some(home.clone()),
                concurrency: Some(4),
                prefetch: Some(1),
                wanted: Some(WantedState::Running),
            };
            self.ask(Command::UpdateWorker { worker, update }, About::Other);
        }
    }
}

fn batch_name(number: u64) -> BatchName {
    format!("b{number}").parse().unwrap_or_default()
}
