//! Agents: the real state machine at the real desk with the real journal, and
//! around them a machine that is not there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use scitq::agent::driver::{Desk, Next};
use scitq::agent::fsm::{AgentState, CommandState, Event, Limits};
use scitq::agent::journal::Journal;
use scitq::agent::link::ToLink;
use scitq::agent::outbox::Outbox;
use scitq::api::link::{Down, HEARTBEAT_SECONDS, Up};
use scitq::domain::worker::{Machine, WorkerSettings};
use scitq::domain::{Clock, Epoch, ExecutionId, StoreId};

use super::calendar::{
    AgentHappening, AgentNumber, ConnectionNumber, Happening, MILLISECOND, MachineHappening,
    Moment, SECOND, UpFrame,
};
use super::chance::Chance;
use super::clock::MachineClock;
use super::disturbance::Dying;
use super::hands::{AgentDisk, Hands};
use super::life::World;
use super::machine::Supervisor;
use super::plan::AgentPlan;

/// One agent's machine, and the agent on it if one runs.
#[derive(Debug)]
pub struct Agent {
    pub plan: AgentPlan,
    pub clock: MachineClock,
    /// Counts the processes of the agent.
    pub life: u64,
    /// Counts the starts of the machine.
    pub boot: u64,
    pub disk: AgentDisk,
    pub store: Option<(StoreId, Epoch)>,
    pub supervisor: Supervisor,
    pub process: Option<AgentProcess>,
    /// The machine stands still until then.
    pub asleep_until: Moment,
    /// When it was last asleep for long.
    pub slept: Option<(Moment, Moment)>,
    pub cut_until: Moment,
    /// Its disk takes nothing until then.
    pub full_until: Moment,
    pub duplicates_until: Moment,
    pub chance: Chance,
}

/// The agent's process.
#[derive(Debug)]
pub struct AgentProcess {
    pub desk: Desk,
    pub hands: Hands,
    pub events: Vec<Event>,
    frames: UnboundedReceiver<ToLink>,
    /// Number of the present or last link.
    pub link: u64,
    pub connection: Option<ConnectionNumber>,
    /// The wait before the next dial.
    wait: Moment,
    /// When the link brought something.
    pub heard_at: Moment,
    pub turn_is_due: bool,
    pub wakes_at: Moment,
    pub transfers: BTreeMap<ExecutionId, Transfer>,
    /// Output that is followed.
    pub followed: BTreeMap<ExecutionId, Followed>,
    /// Its hold on the supervisor.
    pub has_supervisor: bool,
    pub dies: Option<Dying>,
}

/// A download or upload under way.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    pub number: u64,
    pub is_upload: bool,
}

/// Output that is read and sent.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    pub link: u64,
    pub next: u64,
    pub finishes: bool,
}

const FIRST_WAIT: Moment = 100 * MILLISECOND;
const LONGEST_WAIT: Moment = 5 * SECOND;
const SILENCE: Moment = 15 * SECOND;

/// What each simulated machine is.
pub fn machine(number: AgentNumber) -> Machine {
    Machine {
        hostname: format!("host-{number}"),
        machine_id: format!("machine-{number}"),
        cores: 4,
        memory_bytes: 8 << 30,
        ..Machine::default()
    }
}

impl Agent {
    pub fn new(plan: AgentPlan, seed: u64, number: AgentNumber) -> Self {
        Self {
            clock: MachineClock::new(plan.drift, plan.ahead),
            plan,
            life: 0,
            boot: 1,
            disk: AgentDisk::default(),
            store: None,
            supervisor: Supervisor::default(),
            process: None,
            asleep_until: 0,
            slept: None,
            cut_until: 0,
            full_until: 0,
            duplicates_until: 0,
            chance: Chance::new(seed, &[3, number as u64]),
        }
    }

    fn look_at_disk(&self, now: Moment) {
        if self.full_until > now {
            self.disk.fill();
        } else {
            self.disk.free();
        }
    }

    pub fn settings(&self) -> WorkerSettings {
        WorkerSettings {
            batch: "b0".parse().unwrap_or_default(),
            concurrency: self.plan.concurrency,
            prefetch: self.plan.prefetch,
        }
    }
}

impl World {
    pub fn tell_agent(&mut self, agent: AgentNumber, what: fmt::Arguments<'_>) {
        self.trace.tell(self.now, format_args!("agent {agent}"), what);
    }

    pub fn enter_agent(&mut self, agent: AgentNumber, at: Moment, what: AgentHappening) {
        let life = self.agents[agent].life;
        self.calendar.enter(at, Happening::Agent { agent, life, what });
    }

    /// Whatever manages the services of that machine starts the agent.
    pub fn start_agent(&mut self, agent: AgentNumber, life: u64) {
        let entry = &mut self.agents[agent];
        if entry.life != life || entry.process.is_some() {
            return;
        }
        entry.look_at_disk(self.now);
        let opened = Journal::over(&entry.disk.contents(), Box::new(entry.disk.clone()));
        let Ok((journal, replay)) = opened else {
            self.tell_agent(agent, format_args!("cannot start: its disk is full"));
            let what = MachineHappening::AgentStarts { life };
            let at = self.now + SECOND;
            return self.calendar.enter(at, Happening::Machine { agent, what });
        };
        let (settings, store) = (entry.settings(), entry.store.clone());
        let mut state = AgentState::new(Limits::default(), machine(agent), settings, store);
        let restored = replay.records.len();
        state.restore(replay.records);
        let (sender, frames) = unbounded_channel();
        entry.life += 1;
        let wait = FIRST_WAIT;
        entry.process = Some(AgentProcess {
            desk: Desk::new(state, Outbox::new(journal, sender)),
            hands: Hands::default(),
            events: Vec::new(),
            frames,
            link: 0,
            connection: None,
            wait,
            heard_at: self.now,
            turn_is_due: false,
            wakes_at: Moment::MAX,
            transfers: BTreeMap::new(),
            followed: BTreeMap::new(),
            has_supervisor: false,
            dies: None,
        });
        let life = entry.life;
        self.tell_agent(agent, format_args!("starts (process {life}), reads {restored} records"));
        self.on_supervisor_back(agent);
        self.enter_agent(agent, self.now + MILLISECOND, AgentHappening::Heartbeat);
        self.enter_agent(agent, self.now + MILLISECOND, AgentHappening::Dial);
    }

    pub fn kill_agent(&mut self, agent: AgentNumber, down: Moment) {
        let entry = &mut self.agents[agent];
        let Some(process) = entry.process.take() else { return };
        // Its events are of no life that follows.
        entry.life += 1;
        let life = entry.life;
        if let Some(connection) = process.connection {
            self.close_at_agent(connection);
        }
        self.tell_agent(agent, format_args!("dies"));
        let what = MachineHappening::AgentStarts { life };
        self.calendar.enter(self.now + down, Happening::Machine { agent, what });
    }

    pub fn agent_event(&mut self, agent: AgentNumber, event: Event) {
        let Some(process) = &mut self.agents[agent].process else { return };
        process.events.push(event);
        if !process.turn_is_due {
            process.turn_is_due = true;
            let at = self.now + self.agents[agent].chance.spread(20, 2 * MILLISECOND);
            self.enter_agent(agent, at, AgentHappening::Turn);
        }
    }

    pub fn on_agent(&mut self, agent: AgentNumber, what: AgentHappening) {
        if self.agents[agent].process.is_none() {
            return;
        }
        match what {
            AgentHappening::Turn => self.turn_agent(agent),
            AgentHappening::Wake => {
                let process = self.agents[agent].process.as_ref();
                if process.is_some_and(|process| process.wakes_at <= self.now) {
                    self.turn_agent(agent);
                }
            }
            AgentHappening::Heartbeat => {
                let at = self.now + HEARTBEAT_SECONDS * SECOND;
                self.enter_agent(agent, at, AgentHappening::Heartbeat);
                self.agent_event(agent, Event::HeartbeatDue);
            }
            AgentHappening::Dial => self.on_dial(agent),
            AgentHappening::Told(event) => self.agent_event(agent, *event),
            AgentHappening::TransferEnds { execution, transfer } => {
                self.on_transfer_ends(agent, execution, transfer);
            }
            AgentHappening::OutputStep { execution } => self.on_output_step(agent, execution),
            AgentHappening::SendHeartbeat { link, text } => self.send_frame(agent, link, text),
            AgentHappening::LookAtSilence { connection } => self.on_silence(agent, connection),
            AgentHappening::SupervisorBack => self.on_supervisor_back(agent),
        }
    }

    fn turn_agent(&mut self, agent: AgentNumber) {
        let entry = &mut self.agents[agent];
        entry.look_at_disk(self.now);
        let now = entry.clock.now();
        let written = entry.disk.length();
        let Some(process) = &mut entry.process else { return };
        process.turn_is_due = false;
        let mut events = std::mem::take(&mut process.events);
        if process.desk.is_tick_due(now.monotonic) {
            events.push(Event::Tick);
        }
        let next = process.desk.take(now, &mut events, &mut process.hands, || None);
        let wants = std::mem::take(&mut process.hands.wants);
        let dies = process.dies;
        for want in wants {
            self.carry_out(agent, want);
        }
        if dies.is_some() {
            self.agents[agent].disk.cut_to(written);
            self.tell_agent(agent, format_args!("is killed before it has written anything down"));
            self.excuse_losses(agent);
            return self.kill_agent(agent, SECOND);
        }
        self.send_frames(agent);
        match next {
            Next::GoOn => self.set_alarm(agent),
            Next::Leave => self.leave(agent, 2 * SECOND),
            Next::Restart => self.leave(agent, SECOND / 5),
        }
    }

    /// The agent goes by itself, and is started again.
    fn leave(&mut self, agent: AgentNumber, down: Moment) {
        let now = self.agents[agent].clock.now().monotonic;
        self.tell_agent(agent, format_args!("leaves"));
        let Some(process) = &mut self.agents[agent].process else { return };
        process.desk.clear(now);
        self.send_frames(agent);
        self.kill_agent(agent, down);
    }

    fn set_alarm(&mut self, agent: AgentNumber) {
        let entry = &mut self.agents[agent];
        let now = entry.clock.now().monotonic;
        let Some(process) = &mut entry.process else { return };
        let Some(rest) = process.desk.rest(now) else {
            process.wakes_at = Moment::MAX;
            return;
        };
        let rest = rest.clamp(Duration::from_micros(100), Duration::from_secs(5));
        let at = entry.clock.moment_after(self.now, rest);
        if process.wakes_at != at {
            process.wakes_at = at;
            self.enter_agent(agent, at, AgentHappening::Wake);
        }
    }

    /// What the desk has put on its way to the link.
    fn send_frames(&mut self, agent: AgentNumber) {
        loop {
            let Some(process) = &mut self.agents[agent].process else { return };
            let Ok(frame) = process.frames.try_recv() else { return };
            match frame {
                ToLink::Frame { link, frame } => {
                    if let Up::Reports { number, reports } = &frame {
                        let told = reports.iter().map(shown_report).collect::<Vec<_>>().join(", ");
                        self.tell_agent(agent, format_args!("reports #{number}: {told}"));
                    }
                    if let Ok(text) = serde_json::to_string(&frame) {
                        self.send_frame(agent, link, text);
                    }
                }
                ToLink::Redial { link } => self.redial(agent, link),
            }
        }
    }

    pub fn send_frame(&mut self, agent: AgentNumber, link: u64, text: String) {
        let Some(process) = &self.agents[agent].process else { return };
        if let Some(connection) = process.connection.filter(|_| process.link == link) {
            self.send_up(connection, UpFrame::Text(text));
        }
    }

    pub fn redial(&mut self, agent: AgentNumber, link: u64) {
        let Some(process) = &self.agents[agent].process else { return };
        if let Some(connection) = process.connection.filter(|_| process.link == link) {
            self.lose_link(agent, connection, "introduces itself again");
            self.enter_agent(agent, self.now + MILLISECOND, AgentHappening::Dial);
        }
    }

    /// A frame of the server has come to an agent.
    pub fn on_arrives_down(&mut self, number: ConnectionNumber, text: &str) {
        let Some(connection) = self.connections.get(number) else { return };
        let (agent, life, link) = (connection.agent, connection.agent_life, connection.link);
        if self.agents[agent].life != life {
            return;
        }
        let Some(process) = &mut self.agents[agent].process else { return };
        if process.connection != Some(number) {
            return;
        }
        process.heard_at = self.now;
        let frame: Down = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                return self.breaks(format!("an agent cannot understand `{text}`: {error}"));
            }
        };
        match &frame {
            Down::Welcome(_) => process.wait = FIRST_WAIT,
            Down::Refused { message, .. } => {
                let why = format!("is refused: {message}");
                self.lose_link(agent, number, &why);
                return self.dial_later(agent);
            }
            Down::HeartbeatAck { .. } => {}
            _ => {}
        }
        if !matches!(frame, Down::HeartbeatAck { .. }) {
            self.tell_agent(agent, format_args!("hears {}", shown(text)));
        }
        self.agent_event(agent, Event::Frame { link, frame });
    }

    pub fn on_agent_sees_end(&mut self, number: ConnectionNumber) {
        let Some(connection) = self.connections.get(number) else { return };
        let agent = connection.agent;
        let process = self.agents[agent].process.as_ref();
        if process.is_some_and(|process| process.connection == Some(number)) {
            self.lose_link(agent, number, "finds its link closed");
            self.dial_later(agent);
        }
    }

    fn on_silence(&mut self, agent: AgentNumber, number: ConnectionNumber) {
        let Some(process) = &self.agents[agent].process else { return };
        if process.connection != Some(number) {
            return;
        }
        let at = process.heard_at + SILENCE;
        if at > self.now {
            let what = AgentHappening::LookAtSilence { connection: number };
            return self.enter_agent(agent, at, what);
        }
        self.lose_link(agent, number, "gives its silent link up");
        self.dial_later(agent);
    }

    fn lose_link(&mut self, agent: AgentNumber, number: ConnectionNumber, why: &str) {
        self.tell_agent(agent, format_args!("{why} (connection {number})"));
        self.close_at_agent(number);
        let Some(process) = &mut self.agents[agent].process else { return };
        process.connection = None;
        let link = process.link;
        self.agent_event(agent, Event::LinkDown { link });
    }

    fn dial_later(&mut self, agent: AgentNumber) {
        let entry = &mut self.agents[agent];
        let Some(process) = &mut entry.process else { return };
        let wait = entry.chance.between(process.wait / 2, process.wait);
        process.wait = (process.wait * 2).min(LONGEST_WAIT);
        self.enter_agent(agent, self.now + wait, AgentHappening::Dial);
    }

    fn on_dial(&mut self, agent: AgentNumber) {
        let is_linked =
            self.agents[agent].process.as_ref().is_some_and(|process| process.connection.is_some());
        if !is_linked && !self.dial(agent) {
            self.dial_later(agent);
        }
    }

    /// All commands that the supervisor knows, as an agent learns it.
    pub fn supervisor_up(&self, agent: AgentNumber) -> Event {
        let known = self.agents[agent].supervisor.commands.iter().map(|(id, command)| {
            let state = match &command.end {
                Some(end) => CommandState::Ended(end.clone()),
                None => CommandState::Running { started_at: command.started_at },
            };
            (*id, state)
        });
        Event::SupervisorUp(known.collect())
    }
}

/// A frame in the length of a line.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(160).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn shown_report(report: &scitq::api::link::Report) -> String {
    let event = serde_json::to_string(&report.event).unwrap_or_default();
    format!("e{} {}", report.execution, shown(&event))
}
