//! An agent's machine: its supervisor, the commands under it, and the transfers
//! of their data.

use std::collections::BTreeMap;
use std::sync::Arc;

use scitq::agent::fsm::{
    CommandEnd, Culprit, Effect, Event, Exit, NotStarted, Order, TransferFailure,
};
use scitq::api::link::{Heartbeat, Hello, PROTOCOL, Up};
use scitq::domain::signal::Signal;
use scitq::domain::worker::WorkerStats;
use scitq::domain::{Clock, ExecutionId, Timestamp};

use super::agent::{Followed, Transfer, machine};
use super::calendar::{
    AgentHappening, AgentNumber, Happening, MILLISECOND, MachineHappening, Moment, SECOND,
};
use super::chance::Chance;
use super::hands::Want;
use super::life::World;
use super::people::Style;

/// The supervisor, and all that it knows.
#[derive(Debug, Default)]
pub struct Supervisor {
    /// Killed, and no other has come yet.
    pub is_dead: bool,
    pub commands: BTreeMap<ExecutionId, Command>,
}

/// A command that was started.
#[derive(Debug, Clone)]
pub struct Command {
    pub started_at: Timestamp,
    pub end: Option<CommandEnd>,
    /// Its process lives.
    pub is_alive: bool,
    /// It stands still, with so much of its run left.
    stands: bool,
    left: Moment,
    since: Moment,
    generation: u64,
    /// What it writes in all, bytes, and what it has written when it ended.
    pub output: u64,
    pub written: Option<u64>,
    length: Moment,
    exit: i32,
    ignores_term: bool,
}

impl Command {
    /// Bytes that it has written by now.
    pub fn written_by(&self, now: Moment) -> u64 {
        if let Some(written) = self.written {
            return written;
        }
        let left = if self.stands {
            self.left
        } else {
            self.left.saturating_sub(now.saturating_sub(self.since))
        };
        let ran = self.length.saturating_sub(left);
        self.output * ran / self.length.max(1)
    }
}

impl World {
    /// Does what an agent wants.
    pub fn carry_out(&mut self, agent: AgentNumber, want: Want) {
        match want {
            Want::Follow { execution, link } => self.follow(agent, execution, link, 0),
            Want::FinishFresh { execution, link } => {
                let commands = &self.agents[agent].supervisor.commands;
                if commands.get(&execution).is_none_or(|command| command.written == Some(0)) {
                    let sizes = scitq::domain::execution::OutputSizes::default();
                    return self.agent_event(agent, Event::OutputSent { execution, link, sizes });
                }
                self.follow(agent, execution, link, 0);
                self.finish_output(agent, execution);
            }
            Want::Note { execution, suspension } => {
                self.rules.note_suspension(execution, suspension);
            }
            Want::Effect(effect) => self.perform(agent, effect),
        }
    }

    fn perform(&mut self, agent: AgentNumber, effect: Effect) {
        match effect {
            Effect::Prepare { order, .. } => self.start_transfer(agent, order.execution, false),
            Effect::Upload(order) => self.start_transfer(agent, order.execution, true),
            Effect::StopTransfer(execution) => self.stop_transfer(agent, execution),
            Effect::Spawn(order) => self.ask_to_spawn(agent, order),
            Effect::Signal { execution, signal } => self.signal(agent, execution, signal),
            Effect::ForgetCommand(execution) => {
                let supervisor = &mut self.agents[agent].supervisor;
                if !supervisor.is_dead
                    && supervisor.commands.get(&execution).is_some_and(|known| known.end.is_some())
                {
                    supervisor.commands.remove(&execution);
                }
            }
            Effect::FollowOutput { execution, link, from } => {
                self.follow(agent, execution, link, from.stdout);
            }
            Effect::FinishOutput { execution } => self.finish_output(agent, execution),
            Effect::StopOutput(execution) => {
                if let Some(process) = &mut self.agents[agent].process {
                    process.followed.remove(&execution);
                }
            }
            Effect::StopAllOutput => {
                if let Some(process) = &mut self.agents[agent].process {
                    process.followed.clear();
                }
            }
            Effect::Discard { execution, .. } => {
                let commands = &self.agents[agent].supervisor.commands;
                if commands.get(&execution).is_some_and(|command| command.is_alive) {
                    self.breaks(format!("the folder of e{execution} is removed while it runs"));
                }
            }
            Effect::SendHello { link, store, held, standing } => {
                let hello = Hello {
                    protocol: PROTOCOL,
                    version: "simulated".to_owned(),
                    name: format!("agent-{agent}"),
                    machine: machine(agent),
                    instance: format!("{agent}-{}", self.agents[agent].life),
                    boot_id: self.agents[agent].boot.to_string(),
                    settings: self.agents[agent].settings(),
                    store,
                    held,
                    draining: standing.draining,
                    lease_seconds: standing.lease_seconds,
                    orphans: standing.orphans,
                };
                let named = hello.held.iter().map(|held| format!("e{}", held.execution));
                let named = named.collect::<Vec<_>>().join(" ");
                self.tell_agent(agent, format_args!("says hello and holds [{named}]"));
                if let Ok(text) = serde_json::to_string(&Up::Hello(Box::new(hello))) {
                    self.send_frame(agent, link, text);
                }
            }
            Effect::SendHeartbeat { link, number, phases, standing } => {
                let heartbeat = Heartbeat {
                    number,
                    stats: WorkerStats::default(),
                    phases,
                    pulls: Vec::new(),
                    draining: standing.draining,
                    lease_seconds: standing.lease_seconds,
                    orphans: standing.orphans,
                    transfers: Vec::new(),
                };
                // The figures are taken by another thread.
                let at = self.now + self.agents[agent].chance.spread(50, 20 * MILLISECOND);
                if let Ok(text) = serde_json::to_string(&Up::Heartbeat(Box::new(heartbeat))) {
                    self.enter_agent(agent, at, AgentHappening::SendHeartbeat { link, text });
                }
            }
            Effect::Redial { link } => self.redial(agent, link),
            Effect::RememberStore(store, epoch) => self.agents[agent].store = Some((store, epoch)),
            // No machine is taken away in these lives.
            Effect::SendEvicted { .. } | Effect::RememberToken(_) | Effect::Clean(_) => {}
            // The hands and the desk keep these.
            Effect::Journal(_)
            | Effect::FollowNewOutput { .. }
            | Effect::Restart
            | Effect::Exit => {}
        }
    }

    fn ask_to_spawn(&mut self, agent: AgentNumber, order: Arc<Order>) {
        if let Some(problem) = self.rules.on_decision(order.execution) {
            self.breaks(problem);
        }
        let entry = &mut self.agents[agent];
        let has_supervisor = entry.process.as_ref().is_some_and(|process| process.has_supervisor);
        if !has_supervisor {
            return;
        }
        let at = self.now + entry.chance.spread(50, 5 * MILLISECOND);
        let (life, boot) = (entry.life, entry.boot);
        let what = MachineHappening::Spawn { life, boot, order };
        self.calendar.enter(at, Happening::Machine { agent, what });
    }

    pub fn on_machine(&mut self, agent: AgentNumber, what: MachineHappening) {
        match what {
            MachineHappening::AgentStarts { life } => self.start_agent(agent, life),
            MachineHappening::Spawn { life, boot, order } => {
                if self.agents[agent].boot == boot && !self.agents[agent].supervisor.is_dead {
                    self.spawn(agent, life, &order);
                }
            }
            MachineHappening::CommandEnds { execution, generation } => {
                let command = self.agents[agent].supervisor.commands.get(&execution);
                if command.is_some_and(|command| command.generation == generation) {
                    let exit = command.map_or(0, |command| command.exit);
                    self.end_command(agent, execution, Exit::Code(exit));
                }
            }
        }
    }

    #[expect(clippy::similar_names, reason = "a line and a life are what they are")]
    fn spawn(&mut self, agent: AgentNumber, life: u64, order: &Order) {
        let execution = order.execution;
        let entry = &mut self.agents[agent];
        if let Some(known) = entry.supervisor.commands.get(&execution) {
            let event = match &known.end {
                Some(end) => Event::Ended { execution, end: end.clone() },
                None => Event::Started { execution, at: known.started_at },
            };
            return self.tell_from_supervisor(agent, life, event);
        }
        let line = order.spec.command.to_string();
        let style = Style::of(&line);
        let mut chance = Chance::new(self.plan.seed, &[11, style.number, u64::from(order.attempt)]);
        if style.cannot_start(&mut chance) {
            let failure = NotStarted { exit_code: Some(127), reason: "not found".to_owned() };
            self.tell_agent(agent, format_args!("cannot start e{execution}"));
            return self.tell_from_supervisor(
                agent,
                life,
                Event::NotStarted { execution, failure },
            );
        }
        let length = style.length(&mut chance);
        let command = Command {
            started_at: entry.clock.now().wall,
            end: None,
            is_alive: true,
            stands: false,
            left: length,
            since: self.now,
            generation: 0,
            output: style.output(&mut chance),
            written: None,
            length,
            exit: style.exit(&mut chance),
            ignores_term: chance.one_in(10),
        };
        let at = command.started_at;
        entry.supervisor.commands.insert(execution, command);
        let task = order.task;
        self.tell_agent(agent, format_args!("starts e{execution} of t{task}: {line}"));
        let slept = self.agents[agent].slept;
        if let Some(problem) = self.rules.on_start(self.now, agent, execution, &line, slept) {
            self.breaks(problem);
        }
        let what = MachineHappening::CommandEnds { execution, generation: 0 };
        self.calendar.enter(self.now + length, Happening::Machine { agent, what });
        self.tell_from_supervisor(agent, life, Event::Started { execution, at });
    }

    pub fn end_command(&mut self, agent: AgentNumber, execution: ExecutionId, exit: Exit) {
        let entry = &mut self.agents[agent];
        let ended_at = entry.clock.now().wall;
        let Some(command) = entry.supervisor.commands.get_mut(&execution) else { return };
        if !command.is_alive {
            return;
        }
        command.written = Some(match exit {
            Exit::Code(_) => command.output,
            _ => command.written_by(self.now),
        });
        command.is_alive = false;
        command.generation += 1;
        let (written, started_at) = (command.written, command.started_at);
        self.rules.on_end(execution, &exit, written.unwrap_or(0));
        self.trace.tell(
            self.now,
            format_args!("agent {agent}"),
            format_args!("e{execution} ends: {exit:?}"),
        );
        // Without a supervisor nobody sees how it ends.
        if entry.supervisor.is_dead {
            return;
        }
        let end = CommandEnd { exit, usage: None, started_at, ended_at };
        command.end = Some(end.clone());
        let life = entry.life;
        if entry.process.as_ref().is_some_and(|process| process.has_supervisor) {
            self.tell_from_supervisor(agent, life, Event::Ended { execution, end });
        }
    }

    fn tell_from_supervisor(&mut self, agent: AgentNumber, life: u64, event: Event) {
        let at = self.now + self.agents[agent].chance.spread(20, 3 * MILLISECOND);
        let what = AgentHappening::Told(Box::new(event));
        self.calendar.enter(at, Happening::Agent { agent, life, what });
    }

    fn signal(&mut self, agent: AgentNumber, execution: ExecutionId, signal: Signal) {
        let now = self.now;
        let entry = &mut self.agents[agent];
        let has_supervisor = entry.process.as_ref().is_some_and(|process| process.has_supervisor);
        let Some(command) = entry.supervisor.commands.get_mut(&execution) else { return };
        if !has_supervisor || !command.is_alive {
            return;
        }
        self.trace.tell(
            now,
            format_args!("agent {agent}"),
            format_args!("signals e{execution}: {signal}"),
        );
        match signal {
            Signal::Kill => {
                self.end_command(
                    agent,
                    execution,
                    Exit::Signal { number: 9, out_of_memory: false },
                );
            }
            Signal::Term if !command.ignores_term && !command.stands => {
                self.end_command(
                    agent,
                    execution,
                    Exit::Signal { number: 15, out_of_memory: false },
                );
            }
            Signal::Tstp | Signal::Stop if !command.stands => {
                command.stands = true;
                command.left = command.left.saturating_sub(now - command.since);
                command.generation += 1;
            }
            Signal::Cont if command.stands => {
                command.stands = false;
                command.since = now;
                command.generation += 1;
                let generation = command.generation;
                let what = MachineHappening::CommandEnds { execution, generation };
                let at = now + command.left;
                self.calendar.enter(at, Happening::Machine { agent, what });
            }
            _ => {}
        }
    }

    pub fn kill_supervisor(&mut self, agent: AgentNumber) {
        let entry = &mut self.agents[agent];
        entry.supervisor.is_dead = true;
        self.tell_agent(agent, format_args!("its supervisor dies"));
        self.excuse_losses(agent);
        let Some(process) = &mut self.agents[agent].process else { return };
        process.has_supervisor = false;
        self.agent_event(agent, Event::SupervisorDown);
        let at = self.now + self.agents[agent].chance.spread(100 * MILLISECOND, 2 * SECOND);
        self.enter_agent(agent, at, AgentHappening::SupervisorBack);
    }

    /// The agent has found or started a supervisor. A new one ends what is left
    /// of the commands of a dead one, and tells them as lost.
    pub fn on_supervisor_back(&mut self, agent: AgentNumber) {
        if self.agents[agent].supervisor.is_dead {
            let commands = &self.agents[agent].supervisor.commands;
            let open: Vec<ExecutionId> = commands
                .iter()
                .filter(|(_, command)| command.end.is_none())
                .map(|(id, _)| *id)
                .collect();
            for execution in open {
                let exit = Exit::Lost { reason: "its supervisor died".to_owned() };
                self.end_command(agent, execution, exit.clone());
                let entry = &mut self.agents[agent];
                let ended_at = entry.clock.now().wall;
                if let Some(command) = entry.supervisor.commands.get_mut(&execution) {
                    let started_at = command.started_at;
                    command.end = Some(CommandEnd { exit, usage: None, started_at, ended_at });
                }
            }
            self.agents[agent].supervisor.is_dead = false;
        }
        let event = self.supervisor_up(agent);
        if let Some(process) = &mut self.agents[agent].process {
            process.has_supervisor = true;
            self.agent_event(agent, event);
        }
    }

    fn start_transfer(&mut self, agent: AgentNumber, execution: ExecutionId, is_upload: bool) {
        let entry = &mut self.agents[agent];
        let Some(process) = &mut entry.process else { return };
        let number = entry.chance.number();
        let time = match (is_upload, entry.chance.below(8)) {
            (_, 0) => entry.chance.spread(SECOND, 40 * SECOND),
            (true, _) => entry.chance.spread(MILLISECOND, 2 * SECOND),
            (false, _) => entry.chance.spread(MILLISECOND / 4, 500 * MILLISECOND),
        };
        process.transfers.insert(execution, Transfer { number, is_upload });
        let what = AgentHappening::TransferEnds { execution, transfer: number };
        self.enter_agent(agent, self.now + time, what);
    }

    fn stop_transfer(&mut self, agent: AgentNumber, execution: ExecutionId) {
        let entry = &mut self.agents[agent];
        let Some(process) = &mut entry.process else { return };
        let Some(transfer) = process.transfers.remove(&execution) else { return };
        let result = Err(TransferFailure {
            reason: "it was stopped".to_owned(),
            transient: true,
            culprit: Culprit::Data,
        });
        let event = if transfer.is_upload {
            Event::Uploaded { execution, result }
        } else {
            Event::Prepared { execution, result }
        };
        let at = self.now + entry.chance.spread(MILLISECOND, 300 * MILLISECOND);
        self.enter_agent(agent, at, AgentHappening::Told(Box::new(event)));
    }

    pub fn on_transfer_ends(&mut self, agent: AgentNumber, execution: ExecutionId, number: u64) {
        let entry = &mut self.agents[agent];
        let Some(process) = &mut entry.process else { return };
        let Some(transfer) = process.transfers.get(&execution).copied() else { return };
        if transfer.number != number {
            return;
        }
        process.transfers.remove(&execution);
        let fails = entry.chance.one_in(30);
        let result = if fails {
            let reason = "the peer went away".to_owned();
            Err(TransferFailure { reason, transient: true, culprit: Culprit::Data })
        } else {
            Ok(())
        };
        if !transfer.is_upload {
            return self.agent_event(agent, Event::Prepared { execution, result });
        }
        let slept = entry.slept;
        if result.is_ok() {
            self.tell_agent(agent, format_args!("has uploaded e{execution}"));
            if let Some(problem) = self.rules.on_upload(self.now, execution, slept) {
                self.breaks(problem);
            }
        }
        self.agent_event(agent, Event::Uploaded { execution, result });
    }

    fn follow(&mut self, agent: AgentNumber, execution: ExecutionId, link: u64, from: u64) {
        let Some(process) = &mut self.agents[agent].process else { return };
        process.followed.insert(execution, Followed { link, next: from, finishes: false });
        self.enter_agent(agent, self.now + MILLISECOND, AgentHappening::OutputStep { execution });
    }

    fn finish_output(&mut self, agent: AgentNumber, execution: ExecutionId) {
        let Some(process) = &mut self.agents[agent].process else { return };
        if let Some(followed) = process.followed.get_mut(&execution) {
            followed.finishes = true;
            let what = AgentHappening::OutputStep { execution };
            self.enter_agent(agent, self.now + MILLISECOND / 2, what);
        }
    }
}
