//! The server's end of one connection. What is said and heard there is the code
//! of `scitq::server::link`; this is its socket.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};

use scitq::api::link::{Down, OutputChunk, Report, Up};
use scitq::domain::ExecutionId;
use scitq::server::engine::Refusal;
use scitq::server::engine::command::{Command, Connected, Reply};
use scitq::server::engine::service::LinkMessage;
use scitq::server::engine::state::LinkId;
use scitq::server::link::{self, Answer, Conversation, NotWelcome};

use super::calendar::{AgentNumber, ConnectionNumber, UpFrame};
use super::life::World;
use super::server::{Pending, poll};

/// One connection as the server has it.
pub struct Session {
    agent: AgentNumber,
    stage: Stage,
    /// What came while the hello was being answered.
    backlog: VecDeque<UpFrame>,
}

enum Stage {
    Accepted,
    Greeted {
        link: LinkId,
        reply: Pending<Result<Reply, Refusal>>,
        held: Vec<ExecutionId>,
        orders: UnboundedReceiver<LinkMessage>,
    },
    Open(Box<Open>),
}

struct Open {
    conversation: Conversation,
    orders: UnboundedReceiver<LinkMessage>,
    waiting: VecDeque<LinkMessage>,
    /// No more orders will come.
    is_over: bool,
    answers: VecDeque<Answer>,
    mine: BTreeSet<ExecutionId>,
}

/// Whether a session goes on.
enum Goes {
    On,
    Ends,
}

impl Session {
    pub const fn new(agent: AgentNumber) -> Self {
        Self { agent, stage: Stage::Accepted, backlog: VecDeque::new() }
    }
}

impl World {
    pub fn on_arrives_up(&mut self, connection: ConnectionNumber, frame: UpFrame) {
        let Some(process) = &mut self.server.process else { return };
        let Some(session) = process.sessions.get_mut(&connection) else { return };
        session.backlog.push_back(frame);
        self.read_session(connection);
    }

    /// The socket is closed on the other side.
    pub fn end_session(&mut self, connection: ConnectionNumber, why: &str) {
        let Some(process) = &mut self.server.process else { return };
        let Some(session) = process.sessions.remove(&connection) else { return };
        if let Stage::Open(open) = session.stage {
            let Conversation { engine, actor, worker, link } = open.conversation;
            let command = Command::Disconnect { worker, link };
            let mut pending: Pending<_> =
                Box::pin(async move { engine.apply(&actor, command, None).await });
            // The first look hands it over; nobody waits for the answer.
            let _ = poll(&mut pending);
            self.wake_engine();
        }
        let agent = session.agent;
        self.tell("server", format_args!("ends connection {connection} of agent {agent}: {why}"));
        self.close_at_server(connection);
    }

    fn read_session(&mut self, connection: ConnectionNumber) {
        loop {
            let Some(process) = &mut self.server.process else { return };
            let Some(session) = process.sessions.get_mut(&connection) else { return };
            if matches!(session.stage, Stage::Greeted { .. }) {
                return;
            }
            let Some(frame) = session.backlog.pop_front() else { return };
            let goes = match (&session.stage, frame) {
                (Stage::Accepted, UpFrame::Text(text)) => self.on_hello(connection, &text),
                (Stage::Open(_), UpFrame::Text(text)) => self.on_text(connection, &text),
                (Stage::Open(_), UpFrame::Output(frame)) => self.on_output(connection, frame),
                _ => Goes::Ends,
            };
            if matches!(goes, Goes::Ends) {
                return self.end_session(connection, "what it says cannot be taken now");
            }
        }
    }

    fn on_hello(&mut self, connection: ConnectionNumber, text: &str) -> Goes {
        let hello = match link::read_hello(text) {
            Ok(hello) => hello,
            Err(refused) => {
                self.breaks(format!("a hello is refused: {}", refused.message));
                return Goes::Ends;
            }
        };
        let Some(process) = &mut self.server.process else { return Goes::Ends };
        let link = LinkId(process.next_link);
        process.next_link += 1;
        let held = hello.held.iter().map(|held| held.execution).collect();
        let (sender, orders) = unbounded_channel();
        let command = Command::Connect(Box::new(link::connect(hello, link, None, None)));
        let engine = process.engine.clone();
        let mut reply: Pending<_> =
            Box::pin(
                async move { engine.connect(&Arc::from("agent"), command, link, sender).await },
            );
        // The first look hands it over.
        if poll(&mut reply).is_some() {
            return Goes::Ends;
        }
        if let Some(session) = process.sessions.get_mut(&connection) {
            session.stage = Stage::Greeted { link, reply, held, orders };
        }
        self.wake_engine();
        Goes::On
    }

    fn on_text(&mut self, connection: ConnectionNumber, text: &str) -> Goes {
        match serde_json::from_str(text) {
            Ok(Up::Heartbeat(heartbeat)) => {
                let Some(open) = self.open_session(connection) else { return Goes::Ends };
                let answer = open.conversation.on_heartbeat(*heartbeat);
                open.answers.push_back(answer);
                self.wake_engine();
                Goes::On
            }
            Ok(Up::Reports { number, reports }) => self.on_reports(connection, number, reports),
            // Simulated agents have no data to take over, and no machine is taken away.
            Ok(Up::Hello(_) | Up::FindCached { .. } | Up::Evicted { .. }) | Err(_) => {
                self.breaks(format!("a frame that the server does not understand: {text}"));
                Goes::Ends
            }
        }
    }

    fn on_reports(
        &mut self,
        connection: ConnectionNumber,
        number: u64,
        reports: Vec<Report>,
    ) -> Goes {
        let ended = link::ended(&reports);
        let mut safe = FxHashMap::default();
        if !ended.is_empty() {
            if self.server.is_full(self.now) && self.server.output.has_unsynced(&ended) {
                return Goes::Ends;
            }
            self.server.output.sync(&ended);
            safe.extend(ended.iter().map(|id| (*id, self.server.output.sizes(*id))));
        }
        let Some(open) = self.open_session(connection) else { return Goes::Ends };
        let Ok(received) = link::receive(reports, &safe, |id| open.mine.contains(&id)) else {
            return Goes::Ends;
        };
        for execution in &ended {
            open.mine.remove(execution);
        }
        let answer = open.conversation.on_reports(number, received);
        open.answers.push_back(answer);
        self.wake_engine();
        Goes::On
    }

    fn on_output(&mut self, connection: ConnectionNumber, frame: Vec<u8>) -> Goes {
        let Some(chunk) = OutputChunk::decode(&Bytes::from(frame)) else { return Goes::Ends };
        let is_full = self.server.is_full(self.now);
        let Some(open) = self.open_session(connection) else { return Goes::Ends };
        if !open.mine.contains(&chunk.execution) {
            return Goes::On;
        }
        if is_full {
            return Goes::Ends;
        }
        let execution = chunk.execution;
        match self.server.output.append(execution, chunk.offset, &chunk.bytes) {
            Ok(true) => {}
            Ok(false) => {
                let have = self.server.output.sizes(execution);
                let Some(open) = self.open_session(connection) else { return Goes::Ends };
                let down = Down::OutputFrom { execution, have };
                open.answers.push_back(Box::pin(async move { Ok(down) }));
                self.pump_session(connection);
            }
            Err(problem) => self.breaks(problem),
        }
        Goes::On
    }

    fn open_session(&mut self, connection: ConnectionNumber) -> Option<&mut Open> {
        let process = self.server.process.as_mut()?;
        match &mut process.sessions.get_mut(&connection)?.stage {
            Stage::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Says what can be said.
    pub fn pump_session(&mut self, connection: ConnectionNumber) {
        let Some(process) = &mut self.server.process else { return };
        let Some(session) = process.sessions.get_mut(&connection) else { return };
        if let Stage::Greeted { reply, .. } = &mut session.stage {
            let Some(reply) = poll(reply) else { return };
            self.on_connect_reply(connection, reply);
            self.read_session(connection);
        }
        loop {
            let Some(open) = self.open_session(connection) else { return };
            let Some(said) = open.next_said() else { return };
            match said {
                Some(text) => self.send_down(connection, text),
                None => return self.end_session(connection, "the engine closes it"),
            }
        }
    }

    fn on_connect_reply(&mut self, connection: ConnectionNumber, reply: Result<Reply, Refusal>) {
        match reply {
            Ok(Reply::Connected(connected)) => self.welcome(connection, *connected),
            Ok(_) => self.end_session(connection, "the engine's answer makes no sense"),
            Err(refusal) => match link::on_refusal(&refusal) {
                None => self.end_session(connection, "changes cannot be stored"),
                Some(NotWelcome { reason, message }) => {
                    let down = Down::Refused { reason, message };
                    self.say(connection, &down);
                    self.end_session(connection, "the agent is refused");
                }
            },
        }
    }

    fn welcome(&mut self, connection: ConnectionNumber, connected: Connected) {
        let Some(process) = &mut self.server.process else { return };
        let state = process.stepped.state();
        let identity = (state.store.clone(), state.epoch);
        let Some(session) = process.sessions.get_mut(&connection) else { return };
        let Stage::Greeted { link, held, orders, .. } =
            std::mem::replace(&mut session.stage, Stage::Accepted)
        else {
            return;
        };
        let mine = link::still_wanted(&connected).into_iter().collect();
        let conversation = Conversation {
            engine: process.engine.clone(),
            actor: Arc::from("agent"),
            worker: connected.worker,
            link,
        };
        session.stage = Stage::Open(Box::new(Open {
            conversation,
            orders,
            waiting: VecDeque::new(),
            is_over: false,
            answers: VecDeque::new(),
            mine,
        }));
        let sizes = held.into_iter().map(|id| (id, self.server.output.sizes(id))).collect();
        let welcome = link::welcome(connected, None, identity, sizes);
        self.say(connection, &Down::Welcome(Box::new(welcome)));
    }

    fn say(&mut self, connection: ConnectionNumber, down: &Down) {
        if let Ok(text) = serde_json::to_string(down) {
            self.send_down(connection, text);
        }
    }
}

impl Open {
    /// The next frame down; an inner none is the end. Orders go before answers,
    /// as the real writer has it.
    fn next_said(&mut self) -> Option<Option<String>> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.waiting.push_back(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_over = true;
                    break;
                }
            }
        }
        if self.waiting.is_empty()
            && let Some(answer) = self.answers.front_mut().and_then(poll)
        {
            self.answers.pop_front();
            return Some(answer.ok().and_then(|down| serde_json::to_string(&down).ok()));
        }
        self.next_order()
    }

    fn next_order(&mut self) -> Option<Option<String>> {
        let Some(order) = self.waiting.pop_front() else {
            return self.is_over.then_some(None);
        };
        if let LinkMessage::Start { execution, .. } = &order {
            self.mine.insert(*execution);
        }
        Some(link::order_frame(order).and_then(Result::ok))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("agent", &self.agent).finish_non_exhaustive()
    }
}
