//! The invariants over a database: what must hold of what is on disk.
//!
//! The live state has its own ([`super::super::engine::Violation`]); those that
//! need ended tasks, or the rows beside them, are checked here.

use std::path::Path;

use rusqlite::Connection;
use strum::IntoEnumIterator;

use crate::domain::task::TaskState;
use crate::domain::{Monotonic, Now, Timestamp};

use super::super::engine::state::Policy;
use super::{StoreError, connection, load};

/// A question whose every answer names one breach.
struct Rule {
    breach: &'static str,
    sql: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        breach: "D1: a live execution whose task does not name it in an active state",
        sql: "SELECT execution.id FROM execution LEFT JOIN task ON task.id = execution.task
              WHERE execution.finished_at IS NULL AND (task.execution IS NOT execution.id
                  OR CASE execution.state WHEN 'pending' THEN 'assigned' ELSE execution.state END
                      IS NOT task.state
                  AND (task.state IS NOT 'paused' OR execution.state = 'pending'))",
    },
    Rule {
        breach: "D2: an active task whose execution has ended or is missing",
        sql: "SELECT task.id FROM task LEFT JOIN execution ON execution.id = task.execution
              WHERE task.state IN ('assigned', 'accepted', 'running')
                  AND (execution.id IS NULL OR execution.finished_at IS NOT NULL)",
    },
    Rule {
        breach: "D3: an execution of a task that does not exist",
        sql: "SELECT id FROM execution WHERE task NOT IN (SELECT id FROM task)",
    },
    Rule {
        breach: "D4: an execution that has ended in one column and not in the other",
        sql: "SELECT id FROM execution
              WHERE (finished_at IS NULL) <> (state IN ('pending', 'accepted', 'running'))",
    },
    Rule {
        breach: "D5: a live execution of a worker that does not exist",
        sql: "SELECT id FROM execution
              WHERE finished_at IS NULL AND worker NOT IN (SELECT id FROM worker)",
    },
    Rule {
        breach: "D6: a hidden task that nothing runs",
        sql: "SELECT id FROM task
              WHERE hidden = 1 AND state NOT IN ('assigned', 'accepted', 'running', 'paused')",
    },
    Rule {
        breach: "D7: a waiting task whose requirements are all met",
        sql: "SELECT task.id FROM task JOIN batch ON batch.id = task.batch AND batch.deleted = 0
              WHERE state = 'waiting' AND NOT EXISTS (
                  SELECT 1 FROM requirement LEFT JOIN task AS needed ON needed.id = required
                  WHERE requirement.task = task.id AND needed.state IS NOT 'succeeded'
                      AND (until = 'success' OR needed.state IS NOT 'failed'))",
    },
    Rule {
        breach: "D8: a requirement of a task that does not exist",
        sql: "SELECT task FROM requirement WHERE task NOT IN (SELECT id FROM task)",
    },
    Rule {
        breach: "D9: a task whose attempts are not its executions",
        sql: "SELECT id FROM task WHERE attempts <>
                  (SELECT count(*) FROM execution WHERE execution.task = task.id)",
    },
    Rule {
        breach: "D10: a token of a worker that does not exist",
        sql: "SELECT id FROM token
              WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM worker)",
    },
    Rule {
        breach: "D14: a task that is paused and held by nobody, or held and not paused",
        sql: "SELECT id FROM task WHERE (state = 'paused') <> (hold <> 'no')",
    },
    Rule {
        breach: "D15: a tag of a task that does not exist",
        sql: "SELECT task FROM tag WHERE task NOT IN (SELECT id FROM task)",
    },
    Rule {
        breach: "D11: a row with an id that is still to be given out, in table",
        sql: "SELECT name FROM (
                  SELECT 'task' AS name, max(id) AS last FROM task
                  UNION ALL SELECT 'execution', max(id) FROM execution
                  UNION ALL SELECT 'execution', max(execution) FROM garbage
                  UNION ALL SELECT 'worker', max(id) FROM worker
                  UNION ALL SELECT 'batch', max(id) FROM batch
                  UNION ALL SELECT 'token', max(id) FROM token)
              JOIN meta ON meta.key = 'next_' || name WHERE last >= CAST(meta.value AS INTEGER)",
    },
];

/// All breaches in the database at `path`, which may be in use. Costs a walk
/// over all of it: for tests and checks.
///
/// # Errors
/// The database cannot be read.
pub fn check(path: &Path) -> Result<Vec<String>, StoreError> {
    let connection = connection::open_reader(path)?;
    let snapshot = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    for rule in RULES {
        let mut statement = snapshot.prepare(rule.sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: rusqlite::types::Value = row.get(0)?;
            found.push(format!("{}: {}", rule.breach, shown(&id)));
        }
    }
    check_counters(&snapshot, &mut found)?;
    let sound: String = snapshot.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    if sound != "ok" {
        found.push(format!("D13: the file is damaged: {sound}"));
    }
    drop(snapshot);
    let any_time = Now { wall: Timestamp(0), monotonic: Monotonic(std::time::Duration::ZERO) };
    let state = load::load(&connection, Policy::default(), any_time)?;
    found.extend(state.violations().iter().map(ToString::to_string));
    Ok(found)
}

/// The counters of every batch equal a recount.
fn check_counters(connection: &Connection, found: &mut Vec<String>) -> Result<(), StoreError> {
    for state in TaskState::iter() {
        let mut statement = connection.prepare(&format!(
            "SELECT batch.id, {state}, (SELECT count(*) FROM task
                 WHERE task.batch = batch.id AND task.hidden = 0 AND task.state = '{state}')
             FROM batch WHERE deleted = 0"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, kept, counted): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if kept != counted {
                found
                    .push(format!("D12: batch {id} counts {kept} {state} tasks and has {counted}"));
            }
        }
    }
    Ok(())
}

fn shown(value: &rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
