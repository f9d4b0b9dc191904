//! People: they ask until they are answered, with the same key each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use scitq::domain::demand::Demand;
use scitq::domain::task::{Command as CommandLine, Hold, TaskSpec, Until};
use scitq::domain::{BatchName, TaskId};
use scitq::server::engine::Refusal;
use scitq::server::engine::command::{Command, NewTask, Reply};
use scitq::server::engine::service::RequestKey;
use scitq::server::engine::state::Requirement;

use super::calendar::{Happening, MILLISECOND, MINUTE, Moment, SECOND};
use super::chance::Chance;
use super::life::World;
use super::server::Pending;

/// All that people know and ask.
#[derive(Debug, Default)]
pub struct People {
    pub requests: Vec<Request>,
    /// Acknowledged tasks, each with the line that was last acknowledged for it.
    pub tasks: BTreeMap<TaskId, String>,
    /// Tasks whose deletion was acknowledged.
    pub deleted: Vec<TaskId>,
    /// Names are never used twice.
    pub names: u64,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    command: Command,
    about: About,
    /// All that was ever answered to it.
    replies: Vec<Result<Reply, Refusal>>,
    pub is_answered: bool,
}

/// What the answer means to people.
#[derive(Debug, Clone)]
pub enum About {
    Queue(Vec<String>),
    Edit(TaskId, String),
    Delete,
    Other,
}

/// How a task behaves: it follows from a number in its command line.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub number: u64,
}

impl Style {
    pub const fn new(number: u64) -> Self {
        Self { number: number % 1_000_000_000 }
    }

    pub fn of(line: &str) -> Self {
        let number = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        Self { number: number.unwrap_or(0) }
    }

    /// A specification of that style.
    pub fn spec(self, name: &str, batch: &str, after: Vec<TaskId>) -> TaskSpec {
        let chance = &mut Chance::new(self.number, &[5]);
        let line = format!("do {name} {}", self.number);
        let mut spec = TaskSpec::new(CommandLine::Line(line));
        spec.name = Some(name.to_owned());
        spec.batch = batch.parse::<BatchName>().unwrap_or_default();
        spec.output = chance.one_in(2).then(|| format!("file:///results/{name}/"));
        spec.retry = chance.one_in(2).then(|| u32::try_from(chance.below(3)).unwrap_or(0));
        spec.priority = chance.one_in(3).then(|| i32::try_from(chance.below(3)).unwrap_or(0));
        spec.cpu = chance.one_in(6).then(|| u32::try_from(chance.between(1, 4)).unwrap_or(1));
        spec.run_timeout =
            chance.one_in(10).then(|| u32::try_from(chance.between(1, 30)).unwrap_or(1));
        spec.download_timeout = chance.one_in(10).then_some(5);
        spec.after = after;
        spec
    }

    pub const fn cannot_start(self, chance: &mut Chance) -> bool {
        chance.one_in(60)
    }

    pub const fn length(self, chance: &mut Chance) -> Moment {
        if chance.one_in(3) {
            return chance.between(2 * SECOND, MINUTE);
        }
        chance.spread(MILLISECOND, 10 * SECOND)
    }

    pub const fn output(self, chance: &mut Chance) -> u64 {
        if chance.one_in(3) { 0 } else { chance.spread(1, 4_000) }
    }

    pub fn exit(self, chance: &mut Chance) -> i32 {
        if chance.one_in(8) { i32::try_from(chance.between(1, 3)).unwrap_or(1) } else { 0 }
    }
}

/// A task as the engine takes it.
pub fn new_task(spec: &TaskSpec) -> NewTask {
    let after = spec.after.iter();
    NewTask {
        name: spec.name.clone(),
        batch: spec.batch.clone(),
        retry: spec.retry.unwrap_or(0),
        priority: spec.priority.unwrap_or(0),
        demand: Demand::of(spec),
        tags: BTreeMap::new(),
        after: after.map(|task| Requirement { task: *task, until: Until::Success }).collect(),
        after_batch: Vec::new(),
        hold: Hold::No,
        spec: serde_json::to_string(spec).unwrap_or_default().into(),
    }
}

impl World {
    pub fn ask(&mut self, command: Command, about: About) {
        let number = self.people.requests.len();
        self.people.requests.push(Request {
            command,
            about,
            replies: Vec::new(),
            is_answered: false,
        });
        self.send_request(number);
    }

    fn send_request(&mut self, request: usize) {
        let copies = if self.chance.one_in(12) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + self.chance.spread(100, 20 * MILLISECOND);
            self.calendar.enter(at, Happening::RequestArrives { request });
        }
        let at = self.now + self.chance.spread(2 * SECOND, 10 * SECOND);
        self.calendar.enter(at, Happening::AskAgain { request });
    }

    pub fn on_ask_again(&mut self, request: usize) {
        if !self.people.requests[request].is_answered {
            self.send_request(request);
        }
    }

    pub fn on_request_arrives(&mut self, request: usize) {
        let Some(process) = &mut self.server.process else { return };
        let command = self.people.requests[request].command.clone();
        let engine = process.engine.clone();
        let mut request_hash = [0; 32];
        request_hash[..8].copy_from_slice(&request.to_be_bytes());
        let key = RequestKey { key: format!("people/{request}").into(), request_hash };
        let mut pending: Pending<_> =
            Box::pin(async move { engine.apply(&Arc::from("people"), command, Some(key)).await });
        match super::server::poll(&mut pending) {
            Some(reply) => self.send_reply(request, reply),
            None => process.replies.push((request, pending)),
        }
        self.wake_engine();
    }

    /// The server answers; the answer may get lost on its way.
    pub fn send_reply(&mut self, request: usize, reply: Result<Reply, Refusal>) {
        let asked = &mut self.people.requests[request];
        let number = asked.replies.len();
        asked.replies.push(reply);
        let loses = self.server.loses_replies_until > self.now;
        if self.chance.one_in(if loses { 2 } else { 40 }) {
            return self.tell("network", format_args!("loses the reply to request {request}"));
        }
        let at = self.now + self.chance.spread(100, 20 * MILLISECOND);
        self.calendar.enter(at, Happening::ReplyArrives { request, reply: number });
    }

    pub fn on_reply_arrives(&mut self, request: usize, reply: usize) {
        let asked = &mut self.people.requests[request];
        let reply = asked.replies[reply].clone();
        if matches!(reply, Err(Refusal::Unavailable(_))) {
            return;
        }
        if asked.is_answered {
            return self.check_same_answer(request, &reply);
        }
        asked.is_answered = true;
        let about = asked.about.clone();
        match &reply {
            Ok(reply) => {
                self.tell("people", format_args!("are told of request {request}: {reply:?}"));
                self.learn(about, reply);
            }
            Err(refusal) => {
                self.tell("people", format_args!("are refused request {request}: {refusal}"));
            }
        }
    }

    /// A request that is done is done once.
    fn check_same_answer(&mut self, request: usize, reply: &Result<Reply, Refusal>) {
        let mut good =
            self.people.requests[request].replies.iter().filter_map(|reply| reply.as_ref().ok());
        let first = good.next();
        if let (Some(first), Ok(again)) = (first, reply)
            && first != again
        {
            let problem = format!("request {request} was done twice: {first:?} and {again:?}");
            self.breaks(problem);
        }
    }

    fn learn(&mut self, about: About, reply: &Reply) {
        match (about, reply) {
            (About::Queue(lines), Reply::Created { first, count }) => {
                if *count != lines.len() as u64 {
                    self.breaks(format!("{count} tasks were made of {}", lines.len()));
                }
                for (number, line) in (first.0..).zip(lines) {
                    self.people.tasks.insert(TaskId(number), line);
                }
            }
            (About::Edit(task, line), Reply::Tasks(_)) => {
                self.people.tasks.insert(task, line);
            }
            (About::Delete, Reply::Tasks(tasks)) => self.people.deleted.extend(tasks),
            _ => {}
        }
    }

    /// Whether an edit of that task is under way: its outcome would be anybody's.
    pub fn is_being_edited(&self, task: TaskId) -> bool {
        self.people.requests.iter().any(|request| {
            !request.is_answered
                && matches!(&request.about, About::Edit(other, _) if *other == task)
        })
    }
}
