//! The network: connections that keep the order of what is sent, and lose all of
//! the rest at once.

use scitq::agent::fsm::Event;

use super::calendar::{
    AgentHappening, AgentNumber, ConnectionNumber, Happening, MILLISECOND, Moment, SECOND, UpFrame,
};
use super::chance::Chance;
use super::life::World;
use super::session::Session;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub agent: AgentNumber,
    pub agent_life: u64,
    /// Its number at the agent.
    pub link: u64,
    /// When the latest frame of each direction arrives.
    up_last: Moment,
    down_last: Moment,
    /// Nothing arrives from then on.
    up_lost_from: Moment,
    down_lost_from: Moment,
    pub stalled_until: Moment,
    pub open_at_agent: bool,
    pub open_at_server: bool,
    chance: Chance,
}

impl Connection {
    fn delay(&mut self) -> Moment {
        if self.chance.one_in(50) {
            return self.chance.spread(10 * MILLISECOND, SECOND);
        }
        self.chance.spread(50, 10 * MILLISECOND)
    }

    /// Nothing of it arrives any more, on either side.
    pub fn lose_from(&mut self, now: Moment) {
        self.up_lost_from = self.up_lost_from.min(now);
        self.down_lost_from = self.down_lost_from.min(now);
    }

    fn next_up(&mut self, now: Moment) -> Moment {
        let at = (now + self.delay()).max(self.up_last + 1).max(self.stalled_until);
        self.up_last = at;
        at
    }

    fn next_down(&mut self, now: Moment) -> Moment {
        let at = (now + self.delay()).max(self.down_last + 1).max(self.stalled_until);
        self.down_last = at;
        at
    }
}

impl World {
    /// An agent dials; true when it gets through.
    pub fn dial(&mut self, agent: AgentNumber) -> bool {
        if !self.server.answers(self.now) || self.agents[agent].cut_until > self.now {
            return false;
        }
        let Some(process) = &mut self.server.process else { return false };
        let number = self.connections.len();
        process.sessions.insert(number, Session::new(agent));
        let Some(own) = &mut self.agents[agent].process else { return false };
        own.link += 1;
        own.connection = Some(number);
        own.heard_at = self.now;
        let link = own.link;
        self.connections.push(Connection {
            agent,
            agent_life: self.agents[agent].life,
            link,
            up_last: self.now,
            down_last: self.now,
            up_lost_from: Moment::MAX,
            down_lost_from: Moment::MAX,
            stalled_until: 0,
            open_at_agent: true,
            open_at_server: true,
            chance: Chance::new(self.plan.seed, &[7, agent as u64, number as u64]),
        });
        self.tell_agent(agent, format_args!("connects (connection {number}, link {link})"));
        self.agent_event(agent, Event::LinkUp { link });
        let what = AgentHappening::LookAtSilence { connection: number };
        self.enter_agent(agent, self.now + 15 * SECOND, what);
        true
    }

    pub fn send_up(&mut self, number: ConnectionNumber, frame: UpFrame) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        if !connection.open_at_agent {
            return;
        }
        let twice = self.agents[connection.agent].duplicates_until > now && is_repeatable(&frame);
        for _ in 0..=u8::from(twice) {
            let at = connection.next_up(now);
            let frame = frame.clone();
            self.calendar.enter(at, Happening::ArrivesUp { connection: number, frame });
        }
    }

    pub fn send_down(&mut self, number: ConnectionNumber, text: String) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        let at = connection.next_down(now);
        self.calendar.enter(at, Happening::ArrivesDown { connection: number, text });
    }

    /// Whether what arrives now arrives at all.
    pub fn is_lost_up(&self, number: ConnectionNumber) -> bool {
        self.connections.get(number).is_none_or(|connection| {
            !connection.open_at_server || connection.up_lost_from <= self.now
        })
    }

    pub fn is_lost_down(&self, number: ConnectionNumber) -> bool {
        self.connections.get(number).is_none_or(|connection| {
            !connection.open_at_agent || connection.down_lost_from <= self.now
        })
    }

    /// The server's side is closed; the agent's learns of it after all that was
    /// sent before.
    pub fn close_at_server(&mut self, number: ConnectionNumber) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        if !connection.open_at_server {
            return;
        }
        connection.open_at_server = false;
        let at = connection.next_down(now);
        if at < connection.down_lost_from {
            self.calendar.enter(at, Happening::AgentSeesEnd { connection: number });
        }
    }

    pub fn close_at_agent(&mut self, number: ConnectionNumber) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        if !connection.open_at_agent {
            return;
        }
        connection.open_at_agent = false;
        let at = connection.next_up(now);
        if at < connection.up_lost_from {
            self.calendar.enter(at, Happening::ServerSeesEnd { connection: number });
        }
    }

    /// All that an agent has open breaks. Each side learns of it in its own
    /// time, or never.
    pub fn cut(&mut self, agent: AgentNumber, until: Moment) {
        let now = self.now;
        let entry = &mut self.agents[agent];
        entry.cut_until = entry.cut_until.max(until);
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if connection.agent != agent || connection.up_lost_from < Moment::MAX {
                continue;
            }
            connection.up_lost_from = now + self.chance.below(20 * MILLISECOND);
            connection.down_lost_from = now + self.chance.below(20 * MILLISECOND);
            if self.chance.one_in(2) {
                let at = now + self.chance.spread(MILLISECOND, 60 * SECOND);
                self.calendar.enter(at, Happening::ServerSeesEnd { connection: number });
            }
            if self.chance.one_in(2) {
                let at = now + self.chance.spread(MILLISECOND, 10 * SECOND);
                self.calendar.enter(at, Happening::AgentSeesEnd { connection: number });
            }
        }
    }

    /// What an agent has under way stays there until then.
    pub fn stall(&mut self, agent: AgentNumber, until: Moment) {
        let own = self.connections.iter_mut().filter(|connection| connection.agent == agent);
        for connection in own {
            connection.stalled_until = connection.stalled_until.max(until);
        }
    }

    /// What arrives during a stall is put off to its end.
    pub fn stalled_until(&self, number: ConnectionNumber) -> Option<Moment> {
        let until = self.connections.get(number)?.stalled_until;
        (until > self.now).then_some(until)
    }
}

/// Reports and output mean the same when they come twice.
fn is_repeatable(frame: &UpFrame) -> bool {
    match frame {
        UpFrame::Text(text) => text.starts_with(r#"{"reports""#),
        UpFrame::Output(_) => true,
    }
}
