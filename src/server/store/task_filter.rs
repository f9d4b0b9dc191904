//! Which tasks a list or a count is of, and through which index they are found.
//!
//! Every condition is checked on every task; the index only decides how many
//! tasks are looked at. Where several would do, the one that leaves the fewest
//! is taken, counted no further than [`FEW`].

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::api::task::CountTasks;
use crate::domain::task::TaskState;
use crate::domain::{BatchId, BatchName, Timestamp, WorkerId};

/// So many tasks may be looked at and sorted for one page.
const FEW: u32 = 20_000;

/// The conditions that a task of the list meets.
#[derive(Debug, Clone)]
pub struct TaskFilter {
    /// None: all states.
    pub states: Vec<TaskState>,
    batch: Option<BatchName>,
    name: Option<NamePattern>,
    command: Option<String>,
    tag: Option<TagPattern>,
    worker: Option<WorkerId>,
    since_before: Option<Timestamp>,
    /// In the language of filters.
    words: Option<String>,
    /// [`FEW`]; fewer in tests.
    pub(super) few: u32,
}

/// A filter whose batch has been looked up, with the part of it that a list adds.
#[derive(Debug, Clone)]
pub(super) struct Conditions<'a> {
    pub filter: &'a TaskFilter,
    pub states: Vec<TaskState>,
    pub batch: Option<BatchId>,
    /// One more condition, in SQL.
    pub also: Option<&'static str>,
}

/// What is left of a filter once its batch has been looked up.
#[derive(Debug)]
pub(super) enum Resolved<'a> {
    Some(Conditions<'a>),
    /// No task can fit.
    Nothing,
}

/// The index that is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    All,
    State(TaskState),
    /// All states of the filter, in no order.
    States,
    Batch,
    FailedInBatch,
    Name,
    NameStart,
    Tag,
    TagName,
    Worker,
    /// The index of that sort.
    Order(&'static str),
}

/// A statement that grows, with its values.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub sql: String,
    pub values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum NamePattern {
    Is(String),
    /// SQLite's `GLOB`, with the text before its first wildcard.
    Fits {
        pattern: String,
        start: String,
    },
}

#[derive(Debug, Clone)]
struct TagPattern {
    name: String,
    value: Option<String>,
}

impl TaskFilter {
    /// The filter of a query whose states have been read already.
    #[must_use]
    pub fn new(query: CountTasks, states: Vec<TaskState>) -> Self {
        let CountTasks { batch, name, command, tag, worker, since_before, filter, .. } = query;
        let name = name.map(|name| match name.find(['*', '?', '[']) {
            None => NamePattern::Is(name),
            Some(end) => {
                let start = name.get(..end).unwrap_or_default().to_owned();
                NamePattern::Fits { pattern: name, start }
            }
        });
        let tag = tag.map(|tag| match tag.split_once('=') {
            Some((name, value)) => {
                TagPattern { name: name.to_owned(), value: Some(value.to_owned()) }
            }
            None => TagPattern { name: tag, value: None },
        });
        let words = filter.filter(|words| !words.trim().is_empty());
        Self { states, batch, name, command, tag, worker, since_before, words, few: FEW }
    }

    /// Looks up its batch, and whether that has such tasks at all.
    pub(super) fn resolve(&self, connection: &Connection) -> rusqlite::Result<Resolved<'_>> {
        let mut conditions =
            Conditions { filter: self, states: self.states.clone(), batch: None, also: None };
        if let Some(name) = &self.batch {
            let columns = match self.states.as_slice() {
                [] => "1".to_owned(),
                // A state's count has its name.
                states => states.iter().map(TaskState::to_string).collect::<Vec<_>>().join(" + "),
            };
            let found: Option<(i64, i64)> = connection
                .prepare_cached(&format!(
                    "SELECT id, {columns} FROM batch WHERE name = ?1 AND deleted = 0"
                ))?
                .query_row([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match found {
                Some((id, count)) if count > 0 => conditions.batch = Some(BatchId::from_sql(id)),
                _ => return Ok(Resolved::Nothing),
            }
        }
        Ok(Resolved::Some(conditions))
    }
}

impl Conditions<'_> {
    /// The same for tasks of one state.
    pub(super) fn of_state(&self, state: TaskState) -> Self {
        Self { states: vec![state], ..self.clone() }
    }

    /// The same for tasks of one batch.
    pub(super) fn of_batch(&self, batch: BatchId) -> Self {
        Self { batch: Some(batch), ..self.clone() }
    }

    /// The same with one more condition.
    pub(super) fn and(&self, also: &'static str) -> Self {
        Self { also: Some(also), ..self.clone() }
    }

    /// The index by which the fewest tasks are looked at in the order of their ids.
    pub(super) fn driver_by_id(&self, connection: &Connection) -> rusqlite::Result<Driver> {
        match self.drivers().as_slice() {
            // Alone and in that order, it is the best whatever it leaves.
            [driver] if driver.is_by_id() => Ok(*driver),
            _ => self.driver(connection).map(|(driver, _)| driver),
        }
    }

    /// The index by which the fewest tasks are looked at, and how many those
    /// are where they are few. Only such as [`Driver::is_by_id`] beyond that.
    pub(super) fn driver(
        &self,
        connection: &Connection,
    ) -> rusqlite::Result<(Driver, Option<u32>)> {
        let mut drivers = self.drivers();
        // A small one is usually the most particular: later ones first.
        drivers.reverse();
        let mut best: Option<(Driver, u32)> = None;
        for driver in drivers {
            let count = self.count_few(connection, driver)?;
            let is_better = best.is_none_or(|(_, fewest)| count < fewest);
            if is_better && (count <= self.filter.few || driver.is_by_id()) {
                best = Some((driver, count));
            }
        }
        Ok(match best {
            Some((driver, count)) if count <= self.filter.few => (driver, Some(count)),
            Some((driver, _)) => (driver, None),
            None => (Driver::All, None),
        })
    }

    /// The indexes that know a part of these conditions.
    fn drivers(&self) -> Vec<Driver> {
        let mut drivers = Vec::new();
        match (self.states.as_slice(), self.batch) {
            ([], Some(_)) => drivers.push(Driver::Batch),
            ([TaskState::Failed], Some(_)) => drivers.push(Driver::FailedInBatch),
            ([], None) => {}
            (states, batch) => {
                drivers.extend(batch.map(|_| Driver::Batch));
                drivers.push(match states {
                    [state] => Driver::State(*state),
                    _ => Driver::States,
                });
            }
        }
        match &self.filter.name {
            Some(NamePattern::Is(_)) => drivers.push(Driver::Name),
            Some(NamePattern::Fits { start, .. }) if !start.is_empty() => {
                drivers.push(Driver::NameStart);
            }
            _ => {}
        }
        match &self.filter.tag {
            Some(TagPattern { value: Some(_), .. }) => drivers.push(Driver::Tag),
            Some(TagPattern { value: None, .. }) => drivers.push(Driver::TagName),
            None => {}
        }
        drivers.extend(self.filter.worker.map(|_| Driver::Worker));
        drivers
    }

    /// How many tasks the index leaves; one more than few stands for many.
    fn count_few(&self, connection: &Connection, driver: Driver) -> rusqlite::Result<u32> {
        let mut statement = Statement::default();
        match driver {
            Driver::TagName => {
                let name = self.filter.tag.as_ref().map(|tag| tag.name.clone());
                let name = statement.bind(Value::Text(name.unwrap_or_default()));
                statement.push(&format!("SELECT 1 FROM tag WHERE name = {name}"));
            }
            Driver::Tag | Driver::Worker => {
                statement.push("SELECT 1 FROM ");
                self.push_driver_alone(&mut statement, driver);
            }
            _ => {
                statement.push("SELECT 1 FROM ");
                self.push_source(&mut statement, driver);
                statement.push(" WHERE 1");
                self.only_indexed(&mut statement, driver);
            }
        }
        let sql = format!("SELECT count(*) FROM ({} LIMIT {})", statement.sql, self.filter.few + 1);
        connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(statement.values), |row| row.get(0))
    }

    /// What comes after `FROM`: the index, and the tasks that it leads to.
    pub(super) fn push_source(&self, statement: &mut Statement, driver: Driver) {
        match driver {
            Driver::All => statement.push("task NOT INDEXED"),
            Driver::State(_) | Driver::States => statement.push("task INDEXED BY task_by_state"),
            Driver::Batch => statement.push("task INDEXED BY task_by_batch"),
            Driver::FailedInBatch => statement.push("task INDEXED BY task_failed"),
            Driver::Name | Driver::NameStart => statement.push("task INDEXED BY task_by_name"),
            Driver::Order(index) => statement.push(&format!("task INDEXED BY {index}")),
            Driver::Tag => {
                statement.push("tag AS driver CROSS JOIN task ON task.id = driver.task");
            }
            Driver::TagName => {
                let name = self.filter.tag.as_ref().map(|tag| tag.name.clone());
                let name = statement.bind(Value::Text(name.unwrap_or_default()));
                statement.push(&format!(
                    "(SELECT DISTINCT task FROM tag WHERE name = {name}) AS driver
                     CROSS JOIN task ON task.id = driver.task"
                ));
            }
            Driver::Worker => statement.push(
                "execution AS driver INDEXED BY execution_by_worker
                 CROSS JOIN task ON task.id = driver.task AND task.execution = driver.id",
            ),
        }
    }

    /// The rows of the other table that leads to tasks.
    fn push_driver_alone(&self, statement: &mut Statement, driver: Driver) {
        statement.push(match driver {
            Driver::Worker => "execution AS driver INDEXED BY execution_by_worker",
            _ => "tag AS driver",
        });
        statement.push(" WHERE 1");
        self.only_indexed(statement, driver);
    }

    /// The conditions that the index answers.
    fn only_indexed(&self, statement: &mut Statement, driver: Driver) {
        match driver {
            Driver::All | Driver::TagName | Driver::Order(_) => {}
            Driver::State(state) => statement.push(&format!(" AND task.state = '{state}'")),
            Driver::States => self.check_states(statement),
            Driver::Batch => self.check_batch(statement),
            Driver::FailedInBatch => {
                self.check_batch(statement);
                statement.push(" AND task.state = 'failed'");
            }
            Driver::Name => self.check_name(statement),
            Driver::NameStart => self.check_name_start(statement),
            Driver::Tag => {
                if let Some(TagPattern { name, value }) = &self.filter.tag {
                    let name = statement.bind(Value::Text(name.clone()));
                    let value = statement.bind(Value::Text(value.clone().unwrap_or_default()));
                    statement
                        .push(&format!(" AND driver.name = {name} AND driver.value = {value}"));
                }
            }
            Driver::Worker => {
                let worker = self.filter.worker.map_or(Value::Null, |id| id.to_sql().into());
                let worker = statement.bind(worker);
                statement.push(&format!(" AND driver.worker = {worker}"));
            }
        }
    }

    /// All conditions, after a `WHERE` that has one already.
    pub(super) fn check(&self, statement: &mut Statement, driver: Driver) {
        match driver {
            Driver::Tag | Driver::Worker => self.only_indexed(statement, driver),
            _ => {}
        }
        self.check_states(statement);
        self.check_batch(statement);
        self.check_name(statement);
        let filter = self.filter;
        if let Some(TagPattern { name, value }) = &filter.tag
            && driver != Driver::Tag
            && driver != Driver::TagName
        {
            let name = statement.bind(Value::Text(name.clone()));
            statement.push(&format!(
                " AND EXISTS (SELECT 1 FROM tag WHERE tag.task = task.id AND tag.name = {name}"
            ));
            if let Some(value) = value {
                let value = statement.bind(Value::Text(value.clone()));
                statement.push(&format!(" AND tag.value = {value}"));
            }
            statement.push(")");
        }
        if let Some(worker) = filter.worker.filter(|_| driver != Driver::Worker) {
            let worker = statement.bind(worker.to_sql().into());
            statement.push(&format!(" AND execution.worker = {worker}"));
        }
        if let Some(date) = filter.since_before {
            let date = statement.bind(date.0.into());
            statement.push(&format!(" AND task.state_since < {date}"));
        }
        if let Some(text) = &filter.command {
            let stands_as_it_is = is_stored_as_shown(text);
            let text = statement.bind(Value::Text(text.clone()));
            if stands_as_it_is {
                // Spares most tasks the reading of their specification.
                statement.push(&format!(
                    " AND (instr(task.spec, {text}) > 0 OR instr(task.spec, '\"bytes\"') > 0)"
                ));
            }
            statement.push(&format!(" AND instr(shown_command(task.spec), {text}) > 0"));
        }
        if let Some(words) = &filter.words {
            let words = statement.bind(Value::Text(words.clone()));
            statement.push(&format!(
                " AND fits_words({words}, task.name, task.state, batch.name,
                     execution.worker_name, task.spec)"
            ));
        }
        if let Some(also) = self.also {
            statement.push(" AND ");
            statement.push(also);
        }
    }

    fn check_states(&self, statement: &mut Statement) {
        match self.states.as_slice() {
            [] => {}
            // Words of ours, and not bound, so that partial indexes are seen to fit.
            [state] => statement.push(&format!(" AND task.state = '{state}'")),
            states => {
                let words: Vec<String> = states.iter().map(|state| format!("'{state}'")).collect();
                statement.push(&format!(" AND task.state IN ({})", words.join(", ")));
            }
        }
    }

    fn check_batch(&self, statement: &mut Statement) {
        if let Some(batch) = self.batch {
            let batch = statement.bind(batch.to_sql().into());
            statement.push(&format!(" AND task.batch = {batch}"));
        }
    }

    fn check_name(&self, statement: &mut Statement) {
        match &self.filter.name {
            None => {}
            Some(NamePattern::Is(name)) => {
                let name = statement.bind(Value::Text(name.clone()));
                statement.push(&format!(" AND task.name = {name}"));
            }
            Some(NamePattern::Fits { pattern, .. }) => {
                self.check_name_start(statement);
                let pattern = statement.bind(Value::Text(pattern.clone()));
                statement.push(&format!(" AND task.name GLOB {pattern}"));
            }
        }
    }

    fn check_name_start(&self, statement: &mut Statement) {
        if let Some(NamePattern::Fits { start, .. }) = &self.filter.name
            && !start.is_empty()
        {
            // Texts are compared by their bytes, and no byte of UTF-8 is 0xff.
            let end = [start.as_bytes(), b"\xff"].concat();
            let start = statement.bind(Value::Text(start.clone()));
            let end = statement.bind(Value::Blob(end));
            statement
                .push(&format!(" AND task.name >= {start} AND task.name < CAST({end} AS TEXT)"));
        }
    }
}

/// Whether neither JSON nor a shell writes the text otherwise, unless in an
/// argument that is not UTF-8.
fn is_stored_as_shown(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:,+-".contains(&byte))
}

impl Driver {
    /// Whether it gives tasks in the order of their ids.
    pub(super) const fn is_by_id(self) -> bool {
        !matches!(self, Self::NameStart | Self::TagName | Self::Worker | Self::Order(_))
    }

    /// The column that holds the id of the task.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Tag => "driver.task",
            _ => "task.id",
        }
    }
}

impl Statement {
    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Takes a value and returns the name of its place.
    pub(super) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}
