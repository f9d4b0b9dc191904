//! Pages of the task list, and counts.
//!
//! In the order of ids, and in every order for which there is an index, a page
//! is a walk along it that ends when the page is full. In any other order, and
//! where the filter leaves few tasks, the tasks that fit are sorted for each
//! page, which takes time in proportion to their number: by worker, by start
//! and by run time, and live tasks by the date of their state. Indexes for
//! those would have to be written at every step of every task.

use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use strum::IntoEnumIterator;

use crate::api::task::{TaskSort, TaskView};
use crate::domain::task::TaskState;
use crate::domain::{BatchId, TaskId, Timestamp};

use super::task_cursor::{Direction, Order, Position, SortKey};
use super::task_filter::{Conditions, Driver, Resolved, Statement, TaskFilter};
use super::task_view::{COLUMN_COUNT, COLUMNS, JOINS, read_view};
use super::{StoreError, count_from_sql, word};

/// What is asked of the list.
#[derive(Debug, Clone)]
pub struct TaskQuery {
    pub filter: TaskFilter,
    pub order: Order,
    pub after: Option<Position>,
    pub limit: u32,
    pub now: Timestamp,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundTasks {
    pub tasks: Vec<TaskView>,
    /// Where it ended, when there is more.
    pub next: Option<Position>,
}

/// A page that is being filled.
struct Page<'a> {
    connection: &'a Connection,
    order: Order,
    after: Option<&'a Position>,
    as_of: Timestamp,
    /// One more than asked for: it tells whether there is a next page.
    limit: usize,
    found: Vec<(SortKey, TaskView)>,
    /// Where the part begins that is being read.
    part: usize,
}

pub(super) fn list(connection: &Connection, query: &TaskQuery) -> Result<FoundTasks, StoreError> {
    // One snapshot for all its parts.
    let snapshot = connection.unchecked_transaction()?;
    let Resolved::Some(conditions) = query.filter.resolve(&snapshot)? else {
        return Ok(FoundTasks { tasks: Vec::new(), next: None });
    };
    let after = query.after.as_ref();
    let mut page = Page {
        connection: &snapshot,
        order: query.order,
        after,
        as_of: after.and_then(|position| position.as_of).unwrap_or(query.now),
        limit: query.limit as usize + 1,
        found: Vec::new(),
        part: 0,
    };
    page.fill(&conditions)?;
    let Page { mut found, as_of, .. } = page;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let next = found.last().filter(|_| more).map(|(key, view)| Position {
        key: key.clone(),
        id: view.id,
        as_of: (query.order.sort == TaskSort::Runtime).then_some(as_of),
    });
    Ok(FoundTasks { tasks: found.into_iter().map(|(_, view)| view).collect(), next })
}

/// How many tasks fit, per state; all states that the filter has are named.
/// Takes time in proportion to the tasks that the best index leaves.
pub(super) fn count(
    connection: &Connection,
    filter: &TaskFilter,
) -> Result<BTreeMap<TaskState, u64>, StoreError> {
    let mut counts: BTreeMap<TaskState, u64> = match filter.states.as_slice() {
        [] => TaskState::iter().map(|state| (state, 0)).collect(),
        states => states.iter().map(|state| (*state, 0)).collect(),
    };
    let snapshot = connection.unchecked_transaction()?;
    let Resolved::Some(conditions) = filter.resolve(&snapshot)? else { return Ok(counts) };
    let (driver, _) = conditions.driver(&snapshot)?;
    let mut statement = Statement::default();
    statement.push("SELECT task.state, count(*) FROM ");
    conditions.push_source(&mut statement, driver);
    statement.push(JOINS);
    statement.push(" WHERE task.hidden = 0");
    conditions.check(&mut statement, driver);
    statement.push(" GROUP BY task.state");
    let mut prepared = snapshot.prepare_cached(&statement.sql)?;
    let mut rows = prepared.query(params_from_iter(statement.values))?;
    while let Some(row) = rows.next()? {
        let state: String = row.get(0)?;
        counts.insert(word("task state", &state)?, count_from_sql(row.get(1)?));
    }
    Ok(counts)
}

/// A part of a list: which index is walked, and by what its tasks are sorted.
#[derive(Clone, Copy)]
struct Walk {
    driver: Driver,
    key: Option<&'static str>,
    /// Whether the index has the order, or what fits is sorted first.
    sorted: Sorted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sorted {
    ByIndex,
    ForThisPage,
}

impl Page<'_> {
    fn fill(&mut self, conditions: &Conditions<'_>) -> Result<(), StoreError> {
        match self.order.sort {
            TaskSort::Id => self.by_id(conditions, self.after_id(), &SortKey::None),
            TaskSort::State => self.by_state(conditions),
            TaskSort::Batch => self.by_batch(conditions),
            TaskSort::Name => {
                let walk = Driver::Order("task_by_name");
                self.by_key(conditions, "task.name", Some(walk), "task.name IS NULL")
            }
            TaskSort::Worker => self.by_key(
                conditions,
                "execution.worker_name",
                None,
                "execution.worker_name IS NULL",
            ),
            TaskSort::Started => self.by_key(
                conditions,
                "execution.started_at",
                None,
                "execution.started_at IS NULL",
            ),
            TaskSort::Runtime => {
                // The first value of every statement is the moment of the first page.
                let key = "coalesce(execution.ended_at, execution.finished_at, ?1)
                     - execution.started_at";
                self.by_key(conditions, key, None, "execution.started_at IS NULL")
            }
            TaskSort::Priority => self.by_priority(conditions),
            TaskSort::Since => self.by_since(conditions),
        }
    }

    /// In the order of ids, from behind `after`.
    fn by_id(
        &mut self,
        conditions: &Conditions<'_>,
        after: Option<TaskId>,
        key: &SortKey,
    ) -> Result<(), StoreError> {
        let driver = conditions.driver_by_id(self.connection)?;
        self.part = self.found.len();
        if driver == Driver::States {
            for state in &conditions.states {
                let walk =
                    Walk { driver: Driver::State(*state), key: None, sorted: Sorted::ByIndex };
                self.walk(&conditions.of_state(*state), walk, after, key)?;
            }
            self.merge();
            return Ok(());
        }
        let sorted = if driver.is_by_id() { Sorted::ByIndex } else { Sorted::ForThisPage };
        self.walk(conditions, Walk { driver, key: None, sorted }, after, key)
    }

    /// State after state, in the order in which a task goes through them.
    fn by_state(&mut self, conditions: &Conditions<'_>) -> Result<(), StoreError> {
        let mut states: Vec<TaskState> = match conditions.states.as_slice() {
            [] => TaskState::iter().collect(),
            states => states.to_vec(),
        };
        states.sort_unstable();
        if self.order.direction == Direction::Backward {
            states.reverse();
        }
        let keys = states.iter().map(|state| SortKey::Text(state.to_string()));
        let parts: Vec<_> = keys.zip(states.iter().map(|s| conditions.of_state(*s))).collect();
        let last = self.after.and_then(|after| parts.iter().position(|(key, _)| *key == after.key));
        self.parts(parts.into_iter().skip(last.unwrap_or(0)))
    }

    /// Batch after batch, in the order of their names.
    fn by_batch(&mut self, conditions: &Conditions<'_>) -> Result<(), StoreError> {
        let (comparison, direction) = match self.order.direction {
            Direction::Forward => (">=", "ASC"),
            Direction::Backward => ("<=", "DESC"),
        };
        let mut batches = Statement::default();
        batches.push("SELECT id, name FROM batch WHERE deleted = 0");
        if let Some(batch) = conditions.batch {
            let batch = batches.bind(Value::Integer(batch.to_sql()));
            batches.push(&format!(" AND id = {batch}"));
        }
        if let Some(Position { key: SortKey::Text(name), .. }) = self.after {
            let name = batches.bind(Value::Text(name.clone()));
            batches.push(&format!(" AND name {comparison} {name}"));
        }
        batches.push(&format!(" ORDER BY name {direction}"));
        let mut statement = self.connection.prepare_cached(&batches.sql)?;
        let mut rows = statement.query(params_from_iter(batches.values))?;
        while let Some(row) = rows.next()? {
            if self.found.len() >= self.limit {
                break;
            }
            let part = conditions.of_batch(BatchId::from_sql(row.get(0)?));
            self.parts([(SortKey::Text(row.get(1)?), part)])?;
        }
        Ok(())
    }

    /// Part after part, each in the order of ids. Only the cursor's own part
    /// begins behind its task.
    fn parts<'c>(
        &mut self,
        parts: impl IntoIterator<Item = (SortKey, Conditions<'c>)>,
    ) -> Result<(), StoreError> {
        for (key, part) in parts {
            let after = self.after.filter(|after| after.key == key).map(|after| after.id);
            self.by_id(&part, after, &key)?;
            if self.found.len() >= self.limit {
                break;
            }
        }
        Ok(())
    }

    /// By a value that some tasks lack: those come last, in the order of ids.
    fn by_key(
        &mut self,
        conditions: &Conditions<'_>,
        key: &'static str,
        index: Option<Driver>,
        without: &'static str,
    ) -> Result<(), StoreError> {
        let is_behind = self.after.is_some_and(|after| after.key == SortKey::None);
        if !is_behind {
            let (driver, few) = conditions.driver(self.connection)?;
            let walk = match (few, index) {
                (None, Some(index)) => {
                    Walk { driver: index, key: Some(key), sorted: Sorted::ByIndex }
                }
                _ => Walk { driver, key: Some(key), sorted: Sorted::ForThisPage },
            };
            self.walk(conditions, walk, self.after_id(), &SortKey::None)?;
        }
        if self.found.len() < self.limit {
            let after = self.after_id().filter(|_| is_behind);
            self.by_id(&conditions.and(without), after, &SortKey::None)?;
        }
        Ok(())
    }

    /// Most tasks have the priority 0, and only the others are in the index.
    fn by_priority(&mut self, conditions: &Conditions<'_>) -> Result<(), StoreError> {
        const KEY: Option<&str> = Some("task.priority");
        let (driver, few) = conditions.driver(self.connection)?;
        if few.is_some() {
            let walk = Walk { driver, key: KEY, sorted: Sorted::ForThisPage };
            return self.walk(conditions, walk, self.after_id(), &SortKey::None);
        }
        let walk =
            Walk { driver: Driver::Order("task_by_priority"), key: KEY, sorted: Sorted::ByIndex };
        let low = conditions.and("task.priority <> 0 AND task.priority < 0");
        let high = conditions.and("task.priority <> 0 AND task.priority > 0");
        let (first, first_sign, last, last_sign) = match self.order.direction {
            Direction::Forward => (low, -1, high, 1),
            Direction::Backward => (high, 1, low, -1),
        };
        let sign = match self.after {
            Some(Position { key: SortKey::Number(priority), .. }) => Some(priority.signum()),
            _ => None,
        };
        if sign.is_none_or(|sign| sign == first_sign) {
            self.walk(&first, walk, self.after_id(), &SortKey::None)?;
        }
        if self.found.len() < self.limit && sign != Some(last_sign) {
            let after = self.after_id().filter(|_| sign == Some(0));
            self.by_id(&conditions.and("task.priority = 0"), after, &SortKey::Number(0))?;
        }
        if self.found.len() < self.limit {
            self.part = self.found.len();
            self.walk(&last, walk, self.after_id(), &SortKey::None)?;
        }
        Ok(())
    }

    /// Ended tasks have an index; the others are sorted.
    fn by_since(&mut self, conditions: &Conditions<'_>) -> Result<(), StoreError> {
        const KEY: Option<&str> = Some("task.state_since");
        let (driver, few) = conditions.driver(self.connection)?;
        let sorting = Walk { driver, key: KEY, sorted: Sorted::ForThisPage };
        if few.is_some() {
            return self.walk(conditions, sorting, self.after_id(), &SortKey::None);
        }
        let (ended, live): (Vec<TaskState>, Vec<TaskState>) = TaskState::iter()
            .filter(|state| conditions.states.is_empty() || conditions.states.contains(state))
            .partition(|state| state.is_final());
        let index =
            Walk { driver: Driver::Order("task_by_end"), key: KEY, sorted: Sorted::ByIndex };
        for state in ended {
            let part = conditions.and("task.state IN ('succeeded', 'failed')").of_state(state);
            self.walk(&part, index, self.after_id(), &SortKey::None)?;
        }
        if !live.is_empty() {
            let part = Conditions { states: live, ..conditions.clone() };
            let driver = if driver == Driver::All { Driver::States } else { driver };
            self.walk(&part, Walk { driver, ..sorting }, self.after_id(), &SortKey::None)?;
        }
        self.merge();
        Ok(())
    }

    /// Runs one statement for what the page still lacks.
    fn walk(
        &mut self,
        conditions: &Conditions<'_>,
        walk: Walk,
        after: Option<TaskId>,
        constant_key: &SortKey,
    ) -> Result<(), StoreError> {
        let mut statement = Statement::default();
        statement.bind(Value::Integer(self.as_of.0));
        match walk.sorted {
            Sorted::ByIndex => self.walk_index(&mut statement, conditions, walk, after),
            Sorted::ForThisPage => self.sort_all(&mut statement, conditions, walk, after),
        }
        let mut prepared = self.connection.prepare_cached(&statement.sql)?;
        let mut rows = prepared.query(params_from_iter(statement.values))?;
        while let Some(row) = rows.next()? {
            let key = match walk.key {
                Some(_) => read_key(row)?,
                None => constant_key.clone(),
            };
            self.found.push((key, read_view(row)?));
        }
        Ok(())
    }

    fn walk_index(
        &self,
        statement: &mut Statement,
        conditions: &Conditions<'_>,
        walk: Walk,
        after: Option<TaskId>,
    ) {
        let key = walk.key.unwrap_or("NULL");
        statement.push(&format!("SELECT {COLUMNS}, {key} FROM "));
        self.fitting(statement, conditions, walk, after);
    }

    /// Sorts ids and keys only, and reads the tasks of the page.
    fn sort_all(
        &self,
        statement: &mut Statement,
        conditions: &Conditions<'_>,
        walk: Walk,
        after: Option<TaskId>,
    ) {
        let (key, direction) = (walk.key.unwrap_or("NULL"), self.direction());
        statement.push(&format!(
            "SELECT {COLUMNS}, page.key FROM (SELECT task.id AS id, {key} AS key FROM "
        ));
        self.fitting(statement, conditions, walk, after);
        statement.push(&format!(
            ") AS page CROSS JOIN task ON task.id = page.id {JOINS}
             ORDER BY page.key {direction}, page.id {direction}"
        ));
    }

    /// What fits behind the cursor, in order, as many as the page lacks.
    fn fitting(
        &self,
        statement: &mut Statement,
        conditions: &Conditions<'_>,
        walk: Walk,
        after: Option<TaskId>,
    ) {
        let (id, direction) = (walk.driver.id(), self.direction());
        let comparison = match self.order.direction {
            Direction::Forward => ">",
            Direction::Backward => "<",
        };
        conditions.push_source(statement, walk.driver);
        statement.push(JOINS);
        statement.push(" WHERE task.hidden = 0");
        conditions.check(statement, walk.driver);
        if let Some(key) = walk.key {
            statement.push(&format!(" AND {key} IS NOT NULL"));
        }
        if let Some(after_id) = after {
            let last = statement.bind(Value::Integer(after_id.to_sql()));
            match (walk.key, self.after.map(|after| &after.key)) {
                (Some(key), Some(SortKey::Number(value))) => {
                    let value = statement.bind(Value::Integer(*value));
                    statement.push(&format!(" AND ({key}, {id}) {comparison} ({value}, {last})"));
                }
                (Some(key), Some(SortKey::Text(value))) => {
                    let value = statement.bind(Value::Text(value.clone()));
                    statement.push(&format!(" AND ({key}, {id}) {comparison} ({value}, {last})"));
                }
                _ => statement.push(&format!(" AND {id} {comparison} {last}")),
            }
        }
        statement.push(" ORDER BY ");
        if let Some(key) = walk.key {
            statement.push(&format!("{key} {direction}, "));
        }
        let lacking = i64::try_from(self.limit.saturating_sub(self.part)).unwrap_or(i64::MAX);
        let limit = statement.bind(Value::Integer(lacking));
        statement.push(&format!("{id} {direction} LIMIT {limit}"));
    }

    /// Puts the walks of one part together, and keeps what the page holds.
    fn merge(&mut self) {
        let backward = self.order.direction == Direction::Backward;
        let rest = self.found.get_mut(self.part..).unwrap_or_default();
        rest.sort_by(|(a_key, a), (b_key, b)| {
            let forward = (a_key, a.id).cmp(&(b_key, b.id));
            if backward { forward.reverse() } else { forward }
        });
        self.found.truncate(self.limit);
    }

    fn after_id(&self) -> Option<TaskId> {
        self.after.map(|after| after.id)
    }

    const fn direction(&self) -> &'static str {
        match self.order.direction {
            Direction::Forward => "ASC",
            Direction::Backward => "DESC",
        }
    }
}

fn read_key(row: &Row<'_>) -> Result<SortKey, StoreError> {
    Ok(match row.get_ref(COLUMN_COUNT)? {
        ValueRef::Integer(number) => SortKey::Number(number),
        ValueRef::Text(text) => SortKey::Text(String::from_utf8_lossy(text).into_owned()),
        _ => SortKey::None,
    })
}
