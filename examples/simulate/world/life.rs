//! One life of a world, from its beginning to the moment at which all is done.

use std::fmt;
use std::path::{Path, PathBuf};

use scitq::domain::WorkerId;
use scitq::server::store::Store;

use super::agent::Agent;
use super::calendar::{AgentNumber, Calendar, Happening, MINUTE, Moment};
use super::chance::Chance;
use super::clock::MachineClock;
use super::people::People;
use super::plan::Plan;
use super::rules::Rules;
use super::server::Server;
use super::trace::Trace;
use super::wire::Connection;

/// Everything there is.
#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub now: Moment,
    pub calendar: Calendar,
    pub chance: Chance,
    pub trace: Trace,
    pub server: Server,
    pub agents: Vec<Agent>,
    pub connections: Vec<Connection>,
    pub people: People,
    pub rules: Rules,
    /// Workers that people wanted deleted.
    pub deleted_workers: Vec<WorkerId>,
    /// What was broken first.
    pub broken: Option<String>,
    pub is_over: bool,
    steps: u64,
}

/// What came of a life.
#[derive(Debug)]
pub struct Outcome {
    pub failure: Option<Failure>,
    pub story: Vec<String>,
    /// The same for the same life.
    pub digest: u64,
    pub steps: u64,
    pub tasks: usize,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub problem: String,
}

impl Failure {
    /// The kind of problem: what is left without numbers.
    pub fn kind(&self) -> String {
        self.problem.chars().filter(|c| !c.is_ascii_digit()).collect()
    }
}

/// A life takes no longer than this after its faults have stopped.
const PATIENCE: Moment = 120 * MINUTE;

/// Lives through a plan, with a database in that folder.
///
/// # Errors
/// The folder cannot be used.
pub fn live(plan: &Plan, folder: &Path, trace: Trace) -> std::io::Result<Outcome> {
    let database = fresh_database(folder)?;
    let agents = plan.agents.iter().enumerate();
    let mut world = World {
        now: 0,
        calendar: Calendar::default(),
        chance: Chance::new(plan.seed, &[0]),
        trace,
        server: Server::new(database, MachineClock::new(plan.drift, 0)),
        agents: agents
            .map(|(number, agent)| Agent::new(agent.clone(), plan.seed, number))
            .collect(),
        connections: Vec::new(),
        people: People::default(),
        rules: Rules::default(),
        deleted_workers: Vec::new(),
        broken: None,
        is_over: false,
        steps: 0,
        plan: plan.clone(),
    };
    world.begin();
    while world.broken.is_none() && !world.is_over {
        let Some((at, what)) = world.calendar.next() else {
            world.breaks("nothing happens any more".to_owned());
            break;
        };
        world.go_to(at);
        if at > world.plan.quiet_at + PATIENCE {
            let left = world.what_is_left();
            world.breaks(format!("not done long after all faults have stopped: {left}"));
            break;
        }
        world.happen(what);
    }
    let tasks = world.people.tasks.len();
    let failure = world.broken.take().map(|problem| Failure { problem });
    let (digest, steps) = (world.trace.digest, world.steps);
    let story = std::mem::take(&mut world.trace).into_lines();
    Ok(Outcome { failure, story, digest, steps, tasks })
}

/// A database without tasks. The first one is made, for the others its file is written
/// over: a database in another file would take itself for a copy.
fn fresh_database(folder: &Path) -> std::io::Result<PathBuf> {
    let (blank, path) = (folder.join("blank.db"), folder.join("life.db"));
    if !blank.exists() {
        let id = scitq::domain::StoreId("simulated".to_owned());
        drop(Store::open(&path, &id).map_err(std::io::Error::other)?);
        std::fs::copy(&path, &blank)?;
        return Ok(path);
    }
    for ending in ["-wal", "-shm"] {
        let mut left = path.as_os_str().to_owned();
        left.push(ending);
        if Path::new(&left).exists() {
            std::fs::remove_file(left)?;
        }
    }
    std::fs::copy(&blank, &path)?;
    Ok(path)
}

impl World {
    pub fn tell(&mut self, who: &str, what: fmt::Arguments<'_>) {
        self.trace.tell(self.now, who, what);
    }

    /// A rule is broken: the life ends here.
    pub fn breaks(&mut self, problem: String) {
        if self.broken.is_none() {
            self.trace.tell(self.now, "BROKEN", format_args!("{problem}"));
            self.broken = Some(problem);
        }
    }

    fn begin(&mut self) {
        self.go_to(0);
        self.start_server();
        for agent in 0..self.agents.len() {
            self.start_agent(agent, 0);
        }
        for (number, (at, _)) in self.plan.disturbances.iter().enumerate() {
            self.calendar.enter(*at, Happening::Disturb(number));
        }
        self.calendar.enter(self.plan.quiet_at, Happening::LookAtEnd);
    }

    fn go_to(&mut self, at: Moment) {
        self.now = at;
        self.server.clock.set(at);
        for agent in &self.agents {
            agent.clock.set(at);
        }
    }

    fn happen(&mut self, what: Happening) {
        if let Some(until) = self.put_off(&what) {
            return self.calendar.enter(until, what);
        }
        self.steps += 1;
        match what {
            Happening::Disturb(number) => {
                if let Some((_, disturbance)) = self.plan.disturbances.get(number).cloned() {
                    self.disturb(&disturbance);
                }
            }
            Happening::ServerStarts => self.start_server(),
            Happening::ServerTurn { life } if life == self.server.life => self.on_server_turn(),
            Happening::ServerTick { life } if life == self.server.life => self.on_server_tick(),
            Happening::CommitEnds { life } if life == self.server.life => self.on_commit_ends(),
            // Of a process that is gone.
            Happening::ServerTurn { .. }
            | Happening::ServerTick { .. }
            | Happening::CommitEnds { .. } => {}
            Happening::ArrivesUp { connection, frame } => {
                if !self.is_lost_up(connection) {
                    self.on_arrives_up(connection, frame);
                }
            }
            Happening::ArrivesDown { connection, text } => {
                if !self.is_lost_down(connection) {
                    self.on_arrives_down(connection, &text);
                }
            }
            Happening::ServerSeesEnd { connection } => {
                self.end_session(connection, "the other side is gone");
            }
            Happening::AgentSeesEnd { connection } => self.on_agent_sees_end(connection),
            Happening::RequestArrives { request } => self.on_request_arrives(request),
            Happening::ReplyArrives { request, reply } => self.on_reply_arrives(request, reply),
            Happening::AskAgain { request } => self.on_ask_again(request),
            Happening::Agent { agent, life, what } => {
                if self.agents[agent].life == life {
                    self.on_agent(agent, what);
                }
            }
            Happening::Machine { agent, what } => self.on_machine(agent, what),
            Happening::LookAtEnd => self.look_at_end(),
        }
    }

    /// Until when that cannot happen, if it cannot.
    fn put_off(&self, what: &Happening) -> Option<Moment> {
        let asleep = |agent: AgentNumber| {
            let until = self.agents[agent].asleep_until;
            (until > self.now).then_some(until)
        };
        let stopped = (self.server.stopped_until > self.now).then_some(self.server.stopped_until);
        match what {
            Happening::ServerTurn { .. }
            | Happening::ServerTick { .. }
            | Happening::CommitEnds { .. }
            | Happening::RequestArrives { .. } => stopped,
            Happening::ArrivesUp { connection, .. } => {
                self.stalled_until(*connection).into_iter().chain(stopped).max()
            }
            Happening::ServerSeesEnd { .. } => stopped,
            Happening::ArrivesDown { connection, .. } => {
                let agent = self.connections.get(*connection)?.agent;
                self.stalled_until(*connection).into_iter().chain(asleep(agent)).max()
            }
            Happening::AgentSeesEnd { connection } => {
                asleep(self.connections.get(*connection)?.agent)
            }
            Happening::Agent { agent, .. } | Happening::Machine { agent, .. } => asleep(*agent),
            _ => None,
        }
    }
}
