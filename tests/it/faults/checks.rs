//! What must be true when all is over, whatever happened meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use scitq::server::store::check::check;

use super::launcher::{Acknowledged, Sends};
use super::scene::open;
use super::web::Web;
use crate::harness::Server;

/// Beyond this the system's clock in hundredths of a second proves nothing.
const RESOLUTION: f64 = 0.02;

/// What a kind of fault excuses.
#[derive(Debug, Default)]
pub struct Allowed {
    /// When which worker could not be reached for so long that it counts as lost.
    pub silences: Vec<Silence>,
}

/// From when to when a server heard nothing of a worker, seconds since boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Silence {
    pub worker: String,
    pub from: f64,
    pub to: f64,
}

/// The time after which a silent worker is lost, where a test sets it.
pub const LOST_AFTER: f64 = 10.0;

/// A row of the database.
#[derive(Debug)]
struct Execution {
    task: u64,
    attempt: u64,
    state: String,
    failure: Option<String>,
    reason: String,
    worker: String,
    stdout: u64,
    had_leave: bool,
}

/// A task, and how often its name is there.
#[derive(Debug)]
struct Task {
    state: String,
    execution: Option<u64>,
    attempts: u64,
    namesakes: u64,
}

/// What a command wrote of itself: when it began and when it ended.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    task: u64,
    begun: Option<f64>,
    ended: Option<f64>,
    lines: u32,
}

/// All that is known at the end.
struct Case<'a> {
    acknowledged: &'a Acknowledged,
    allowed: &'a Allowed,
    tasks: BTreeMap<u64, Task>,
    executions: BTreeMap<u64, Execution>,
    runs: BTreeMap<u64, Run>,
    results: BTreeSet<String>,
    breaches: Vec<String>,
}

/// Checks everything. Stops the server.
///
/// # Panics
/// Something that is promised does not hold.
pub fn verify(server: &mut Server, acknowledged: &Acknowledged, allowed: &Allowed) {
    let database = server.data().join("scitq.db");
    let mut case = Case {
        acknowledged,
        allowed,
        tasks: BTreeMap::new(),
        executions: BTreeMap::new(),
        runs: read_ledger(server),
        results: read_results(server),
        breaches: Vec::new(),
    };
    case.read(&database).unwrap();
    case.check_output(&mut Web::new(server));
    assert!(server.stop().success(), "the server does not end well");
    // Once more, from what is on the disk.
    case.read(&database).unwrap();
    case.check_tasks();
    case.check_runs();
    case.check_results();
    case.breaches.extend(check(&database).unwrap());
    let count = case.breaches.len();
    let shown: Vec<&str> = case.breaches.iter().take(20).map(String::as_str).collect();
    assert!(count == 0, "{count} promises are broken:\n{}", shown.join("\n"));
}

fn read_ledger(server: &Server) -> BTreeMap<u64, Run> {
    let text = fs::read_to_string(server.path().join("ledger")).unwrap();
    let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, task, execution, _, at] = words[..] else { panic!("`{line}` in the ledger") };
        let run = runs.entry(execution.parse().unwrap()).or_default();
        run.task = task.parse().unwrap();
        run.lines += 1;
        let at = Some(at.parse().unwrap());
        if kind == "S" { run.begun = at } else { run.ended = at }
    }
    runs
}

fn read_results(server: &Server) -> BTreeSet<String> {
    let folder = fs::read_dir(server.path().join("results")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

impl Case<'_> {
    fn read(&mut self, database: &std::path::Path) -> rusqlite::Result<()> {
        let connection = open(database)?;
        let mut statement = connection.prepare(
            "SELECT id, state, execution, attempts, (SELECT count(*) FROM task AS other
                 WHERE other.name = task.name AND other.name LIKE '%-%') FROM task",
        )?;
        let tasks = statement.query_map([], |row| {
            let execution = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
            let task = Task {
                state: row.get(1)?,
                execution,
                attempts: number(row, 3)?,
                namesakes: number(row, 4)?,
            };
            Ok((number(row, 0)?, task))
        })?;
        self.tasks = tasks.collect::<rusqlite::Result<_>>()?;
        let mut statement = connection.prepare(
            "SELECT id, task, attempt, state, failure, coalesce(failure_reason, ''), worker_name,
                 stdout_bytes, ended_at IS NOT NULL FROM execution",
        )?;
        let executions = statement.query_map([], |row| {
            let execution = Execution {
                task: number(row, 1)?,
                attempt: number(row, 2)?,
                state: row.get(3)?,
                failure: row.get(4)?,
                reason: row.get(5)?,
                worker: row.get(6)?,
                stdout: number(row, 7)?,
                had_leave: row.get(8)?,
            };
            Ok((number(row, 0)?, execution))
        })?;
        self.executions = executions.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn breach(&mut self, text: String) {
        self.breaches.push(text);
    }

    /// Every acknowledged task is there, once, and has one recorded execution.
    fn check_tasks(&mut self) {
        let mut found = Vec::new();
        for id in self.acknowledged.keys() {
            let Some(task) = self.tasks.get(id) else {
                found.push(format!("task {id} was acknowledged and is not there"));
                continue;
            };
            let of_task: Vec<(&u64, &Execution)> =
                self.executions.iter().filter(|(_, execution)| execution.task == *id).collect();
            let succeeded: Vec<u64> = of_task
                .iter()
                .filter(|(_, execution)| execution.state == "succeeded")
                .map(|(execution, _)| **execution)
                .collect();
            if task.state != "succeeded" {
                found.push(format!("task {id} is {}: {of_task:?}", task.state));
            } else if succeeded.len() != 1 || task.execution != succeeded.first().copied() {
                found.push(format!("task {id} has the outcomes {succeeded:?}: {of_task:?}"));
            }
            if task.attempts != of_task.len() as u64 {
                found.push(format!("task {id} counts {} attempts: {of_task:?}", task.attempts));
            }
            if task.namesakes != 1 {
                found.push(format!("task {id} was queued {} times", task.namesakes));
            }
        }
        self.breaches.extend(found);
    }

    /// What ran is what is recorded, and nothing ran beside itself.
    fn check_runs(&mut self) {
        let mut found = Vec::new();
        let mut by_task: BTreeMap<u64, Vec<(u64, Run)>> = BTreeMap::new();
        for (id, run) in &self.runs {
            by_task.entry(run.task).or_default().push((*id, *run));
            let most = u32::from(run.begun.is_some()) + u32::from(run.ended.is_some());
            if run.lines != most {
                found.push(format!("execution {id} ran more than once: {run:?}"));
            }
            match self.executions.get(id) {
                None => {
                    found.push(format!("execution {id} ran and is not recorded"));
                }
                Some(row) if row.state == "succeeded" && run.ended.is_none() => {
                    found.push(format!("execution {id} succeeded and has no end: {row:?}"));
                }
                Some(row) if row.state == "refused" => {
                    found.push(format!("execution {id} was given back and ran: {row:?}"));
                }
                _ => {}
            }
        }
        for (id, row) in &self.executions {
            let is_ours = self.acknowledged.contains_key(&row.task);
            if is_ours && row.state == "succeeded" && !self.runs.contains_key(id) {
                found.push(format!("execution {id} succeeded and never ran"));
            }
        }
        for (task, mut runs) in by_task {
            runs.sort_by(|(_, one), (_, other)| one.begun.partial_cmp(&other.begun).unwrap());
            for pair in runs.windows(2) {
                let ((first, one), (second, other)) = (pair[0], pair[1]);
                let overlaps = one
                    .ended
                    .is_none_or(|end| other.begun.is_some_and(|begun| end > begun + RESOLUTION));
                if overlaps && !self.was_silent(first, other) {
                    found.push(format!(
                        "executions {first} and {second} of task {task} ran at the same time: \
                         {one:?} {other:?} {:?}",
                        self.executions.get(&first)
                    ));
                }
            }
        }
        self.breaches.extend(found);
    }

    /// Whether the worker of the first was unreachable for longer than the
    /// leases last when the second began, and the books say so.
    fn was_silent(&self, first: u64, second: Run) -> bool {
        let Some(row) = self.executions.get(&first) else { return false };
        let is_lost = row.failure.as_deref() == Some("lost") && row.reason.contains("silent");
        is_lost
            && self.allowed.silences.iter().any(|silence| {
                let until = second.begun.unwrap_or(silence.to).min(silence.to);
                silence.worker == row.worker && until - silence.from > LOST_AFTER - RESOLUTION
            })
    }

    /// Only the recorded execution has written to the output URI. One that was
    /// lost may have, with the leave that it got while it was the active one.
    fn check_results(&mut self) {
        let mut expected = BTreeMap::new();
        for (id, queued) in self.acknowledged {
            let recorded = self.tasks.get(id).and_then(|task| task.execution);
            let recorded = recorded.and_then(|execution| self.executions.get(&execution));
            if let (Sends::Results, Some(recorded)) = (queued.sends, recorded) {
                expected.insert(format!("{id}.{}", recorded.attempt), *id);
            }
        }
        let mut found = Vec::new();
        for name in expected.keys().filter(|name| !self.results.contains(*name)) {
            found.push(format!("the results of {name} are missing"));
        }
        for name in self.results.iter().filter(|name| !expected.contains_key(*name)) {
            let (task, attempt) = name.split_once('.').unwrap();
            let (task, attempt): (u64, u64) = (task.parse().unwrap(), attempt.parse().unwrap());
            let writer =
                self.executions.values().find(|row| row.task == task && row.attempt == attempt);
            let is_excused = match writer {
                Some(row) => row.failure.as_deref() == Some("lost") && row.had_leave,
                None => false,
            };
            // Others were queued, and the client gave up before it was told.
            if self.acknowledged.contains_key(&task) && !is_excused {
                found.push(format!("results of {name} are there: {writer:?}"));
            }
        }
        self.breaches.extend(found);
    }

    /// No byte of output is missing.
    fn check_output(&mut self, web: &mut Web) {
        let mut found = Vec::new();
        for (id, queued) in self.acknowledged {
            let Some(execution) = self.tasks.get(id).and_then(|task| task.execution) else {
                continue;
            };
            let Some(row) = self.executions.get(&execution) else { continue };
            let expected = queued.mode.stdout(*id, row.attempt);
            let stdout = web.output(execution, "stdout");
            if stdout != expected.as_bytes() {
                let (have, want) = (stdout.len(), expected.len());
                found.push(format!("stdout of task {id}: {have} bytes and not the {want}"));
            }
            if row.stdout != expected.len() as u64 {
                found.push(format!("task {id} has {} bytes of stdout in the books", row.stdout));
            }
            if web.output(execution, "stderr") != format!("stderr of {id}\n").as_bytes() {
                found.push(format!("stderr of task {id} is another"));
            }
        }
        for text in found {
            self.breach(text);
        }
    }
}
