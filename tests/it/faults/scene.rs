//! A server with agents under load, to which a test does harm.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::chance::{Chance, Size};
use super::checks::{Allowed, verify};
use super::launcher::{Acknowledged, Launcher, Mode, Order, Sends, mixed};
use crate::harness::{AgentId, AgentOptions, Server, until, until_within};

/// For all of a large round on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// Tasks in one request.
const IN_ONE: usize = 40;

#[derive(Debug)]
pub struct Scene {
    pub server: Server,
    pub agents: Vec<AgentId>,
    launching: Vec<JoinHandle<Acknowledged>>,
    acknowledged: Acknowledged,
}

impl Scene {
    pub fn new(server: Server) -> Self {
        fs::create_dir(server.path().join("results")).unwrap();
        Self { server, agents: Vec::new(), launching: Vec::new(), acknowledged: BTreeMap::new() }
    }

    /// With two agents that run eight commands at once.
    pub fn start() -> Self {
        let mut scene = Self::new(Server::start());
        for name in ["a", "b"] {
            scene.agent(AgentOptions { name: name.to_owned(), ..AgentOptions::default() });
        }
        scene
    }

    pub fn agent(&mut self, options: AgentOptions) {
        let id = self.server.agent(AgentOptions { concurrency: 4, ..options });
        self.agents.push(id);
    }

    /// Queues tasks from now on, while the test goes on.
    pub fn launch_many(&mut self, tasks: usize) {
        let launcher = Launcher::new(&self.server, "many", None);
        self.launching.push(launcher.start(mixed(tasks, IN_ONE)));
    }

    /// The same over another address.
    pub fn launch_over(&mut self, address: &str, tasks: usize, in_one: usize) {
        let launcher = Launcher::new(&self.server, "over", Some(address));
        self.launching.push(launcher.start(mixed(tasks, in_one)));
    }

    /// Queues tasks that run until [`Self::go`], and waits until that is acknowledged.
    pub fn launch_waiting(&mut self, name: &'static str, tasks: usize, sends: Sends) -> Vec<u64> {
        let launcher = Launcher::new(&self.server, name, None);
        let order = Order { modes: vec![Mode::Wait; tasks], sends };
        let acknowledged = launcher.launch(0, &order).expect("the server is there");
        let ids = acknowledged.keys().copied().collect();
        self.acknowledged.extend(acknowledged);
        ids
    }

    /// Lets the waiting tasks end.
    pub fn go(&self) {
        fs::write(self.server.path().join("go"), "").unwrap();
    }

    /// Waits until some more has happened, for a random part of a round's work.
    pub fn progress(&self, chance: &mut Chance, size: Size) {
        let step = 2 * size.tasks / (size.faults + 1);
        let wanted = self.ledger().lines().count() + to_usize(chance.below(step as u64));
        until_within(PATIENCE, "tasks to start and end", || {
            let is_over = self.launching.iter().all(JoinHandle::is_finished) && self.is_idle();
            (is_over || self.ledger().lines().count() >= wanted).then_some(())
        });
        chance.pause(Duration::from_millis(30));
    }

    /// One line for each start and each end of a command.
    pub fn ledger(&self) -> String {
        fs::read_to_string(self.server.path().join("ledger")).unwrap_or_default()
    }

    /// Waits until all is done, and checks it.
    pub fn finish(&mut self, allowed: &Allowed) {
        for launching in std::mem::take(&mut self.launching) {
            let over = "the last launch";
            until_within(PATIENCE, over, || launching.is_finished().then_some(()));
            self.acknowledged.extend(launching.join().expect("the launcher ends well"));
        }
        until_within(PATIENCE, "all tasks to end", || self.is_idle().then_some(()));
        verify(&mut self.server, &self.acknowledged, allowed);
    }

    /// What the database says to a question, in the words of its rows.
    pub fn ask(&self, sql: &str) -> Option<Vec<String>> {
        ask(&self.server.data().join("scitq.db"), sql).ok()
    }

    fn is_idle(&self) -> bool {
        let left = "SELECT id FROM task WHERE state NOT IN ('succeeded', 'failed') LIMIT 1";
        self.ask(left).is_some_and(|left| left.is_empty())
    }

    /// Waits until the database says so much to a question.
    pub fn until_rows(&self, what: &str, count: usize, sql: &str) {
        until(what, || (self.ask(sql)?.len() >= count).then_some(()));
    }
}

/// The first column of all rows.
pub fn ask(database: &Path, sql: &str) -> rusqlite::Result<Vec<String>> {
    let connection = open(database)?;
    let mut statement = connection.prepare(sql)?;
    statement
        .query_map([], |row| {
            let value: rusqlite::types::Value = row.get(0)?;
            Ok(match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
        })?
        .collect()
}

pub fn open(database: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
