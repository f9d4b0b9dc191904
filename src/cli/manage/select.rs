//! Which tasks a verb is for: by id, by name where it names one task only, or
//! all that fit a description.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::batch::hint_of_unknown;
use super::stdin;
use super::worker::{WorkerRef, find_worker};
use crate::api::MAX_PAGE;
use crate::api::task::{ListTasks, TaskView};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::states;
use crate::cli::parse::{self, IdsOrStdin};
use crate::cli::session::Session;
use crate::clock::SystemClock;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, Clock, TaskId, Timestamp};

/// Tasks of one name that an error lists at most.
const NAMESAKES: u32 = 10;

/// Tasks that a question names one by one at most.
const FEW: usize = 8;

/// Tasks of a description whose names a question tells.
const FIRST: usize = 3;

/// One task.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct OneTask {
    /// The task
    #[arg(value_name = "ID", value_parser = parse::id::<TaskId>)]
    task: Option<TaskId>,
    /// The task, as an option
    #[arg(short, long, value_name = "ID", value_parser = parse::id::<TaskId>)]
    id: Option<TaskId>,
    /// The task of this name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
}

/// One task or several.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SomeTasks {
    /// The tasks, separated by spaces or commas; `-` reads them from standard input
    #[arg(value_name = "ID")]
    tasks: Vec<IdsOrStdin<TaskId>>,
    /// The tasks, as an option; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdsOrStdin<TaskId>>,
    /// The task of this name; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
}

/// The tasks of a change: named one by one, or all that fit.
#[derive(Debug, Default, Args)]
pub struct TaskSelection {
    /// The tasks, separated by spaces or commas; `-` reads them from standard input
    #[arg(value_name = "ID")]
    tasks: Vec<IdsOrStdin<TaskId>>,
    /// The tasks, as an option; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdsOrStdin<TaskId>>,
    /// The task of this name, or with `*`, `?` or `[a-z]` in it all of such names; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
    #[command(flatten)]
    filters: Filters,
}

/// What tasks have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Only tasks of this batch
    #[arg(short, long)]
    pub batch: Option<BatchName>,
    /// Only tasks in these states, separated by commas
    #[arg(short = 'S', long, alias = "status", value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<TaskState>())]
    pub state: Vec<TaskState>,
    /// Only tasks whose command has this in it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub command: Option<String>,
    /// Only tasks with this tag, of whatever value where none is given
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = NonEmptyStringValueParser::new())]
    pub tag: Option<String>,
    /// Only tasks whose latest execution is on this worker
    #[arg(short, long)]
    pub worker: Option<WorkerRef>,
    /// Only tasks that have been in their state for longer: 90s, 15m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub older_than: Option<Duration>,
}

/// The tasks that were found for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// A person named each of them.
    Named(Vec<TaskId>),
    /// They fit a description.
    Fitting(Fitting),
}

/// Tasks that fit a description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fitting {
    pub ids: Vec<TaskId>,
    /// How many there are of each state.
    pub states: BTreeMap<TaskState, u64>,
    /// The first of them, by name or else by id.
    first: Vec<String>,
}

impl Selected {
    #[must_use]
    pub fn ids(&self) -> &[TaskId] {
        match self {
            Self::Named(ids) => ids,
            Self::Fitting(fitting) => &fitting.ids,
        }
    }

    /// How a question names them.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Named(ids) => match ids.as_slice() {
                [id] => format!("task {id}"),
                few if few.len() <= FEW => {
                    let shown: Vec<String> = few.iter().map(ToString::to_string).collect();
                    format!("tasks {}", shown.join(", "))
                }
                ids => format!("{} tasks", ids.len()),
            },
            Self::Fitting(fitting) => fitting.describe(),
        }
    }
}

impl Fitting {
    fn add(&mut self, task: &TaskView) {
        self.ids.push(task.id);
        *self.states.entry(task.state).or_default() += 1;
        if self.first.len() < FIRST {
            let name = task.name.as_deref().map(|name| format::visible(name).into_owned());
            self.first.push(name.unwrap_or_else(|| task.id.to_string()));
        }
    }

    fn describe(&self) -> String {
        let states: Vec<String> =
            self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let states = match states.as_slice() {
            [_] => self.states.keys().next().map(ToString::to_string).unwrap_or_default(),
            several => several.join(", "),
        };
        let more = if self.ids.len() > self.first.len() { ", …" } else { "" };
        let count = format::counted(self.ids.len() as u64, "task", "tasks");
        format!("{count} ({states}): {}{more}", self.first.join(", "))
    }
}

impl Filters {
    const fn are_empty(&self) -> bool {
        self.batch.is_none()
            && self.state.is_empty()
            && self.command.is_none()
            && self.tag.is_none()
            && self.worker.is_none()
            && self.older_than.is_none()
    }

    /// The query for these tasks; where no state was asked for, in `states`.
    pub async fn query(
        &self,
        session: &Session,
        states: &[TaskState],
    ) -> Result<ListTasks, CliError> {
        let worker = match &self.worker {
            Some(worker) => Some(find_worker(session, worker).await?),
            None => None,
        };
        let states = if self.state.is_empty() { states } else { &self.state };
        Ok(ListTasks {
            state: states::joined(states),
            batch: self.batch.clone(),
            command: self.command.clone(),
            tag: self.tag.clone(),
            worker,
            since_before: self.older_than.map(|age| before(SystemClock.now().wall, age)),
            ..ListTasks::default()
        })
    }
}

impl TaskSelection {
    /// A selection by these words.
    #[must_use]
    pub const fn of(
        tasks: Vec<IdsOrStdin<TaskId>>,
        id: Vec<IdsOrStdin<TaskId>>,
        name: Vec<String>,
        filters: Filters,
    ) -> Self {
        Self { tasks, id, name, filters }
    }

    /// The tasks, each once. A description that names no state means tasks in
    /// `states`, those that the verb can do something with.
    ///
    /// # Errors
    /// No task is named, or none fits.
    pub async fn find(
        &self,
        session: &Session,
        states: &[TaskState],
    ) -> Result<Selected, CliError> {
        let has_ids = !self.tasks.is_empty() || !self.id.is_empty();
        let is_pattern = self.name.iter().any(|name| name.contains(['*', '?', '[']));
        let is_description = is_pattern || !self.filters.are_empty();
        match (has_ids, is_description) {
            (true, true) => {
                Err(CliError::usage("tasks are named by id and described at the same time")
                    .hint("give ids, or a description such as --batch qc --state failed"))
            }
            (false, false) if self.name.is_empty() => Err(CliError::usage("no task is named")
                .hint("give ids, or a description such as --batch qc --state failed")),
            (_, false) => {
                named_tasks(session, &self.tasks, &self.id, &self.name).await.map(Selected::Named)
            }
            (false, true) => self.fitting(session, states).await.map(Selected::Fitting),
        }
    }

    async fn fitting(&self, session: &Session, states: &[TaskState]) -> Result<Fitting, CliError> {
        let query = self.filters.query(session, states).await?;
        let mut fitting = Fitting::default();
        let mut seen = HashSet::new();
        let names: Vec<Option<&String>> =
            if self.name.is_empty() { vec![None] } else { self.name.iter().map(Some).collect() };
        for name in names {
            let mut query =
                ListTasks { name: name.cloned(), limit: Some(MAX_PAGE), ..query.clone() };
            loop {
                let page =
                    session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
                for task in page.tasks.iter().filter(|task| seen.insert(task.id)) {
                    fitting.add(task);
                }
                let Some(next) = page.next else { break };
                query.cursor = Some(next);
            }
        }
        if fitting.ids.is_empty() {
            return Err(self.nothing_fits(session, &query).await);
        }
        Ok(fitting)
    }
}

impl TaskSelection {
    /// The error of a description that no task fits, with what may be wrong with it.
    async fn nothing_fits(&self, session: &Session, query: &ListTasks) -> CliError {
        let error = CliError::refused("no task fits");
        if let Some(batch) = &self.filters.batch
            && let Some(hint) = hint_of_unknown(session, batch).await
        {
            return error.hint(hint);
        }
        match &query.state {
            Some(states) if self.filters.state.is_empty() => error.hint(format!(
                "only tasks in these states were looked at: {}",
                states.replace(',', ", ")
            )),
            _ => error.hint("`scitq manage task list` with the same options shows what does"),
        }
    }
}

impl OneTask {
    /// The task's id.
    pub async fn find(&self, session: &Session) -> Result<TaskId, CliError> {
        match (self.task.or(self.id), &self.name) {
            (Some(id), _) => Ok(id),
            (None, Some(name)) => find_task_by_name(session, name).await,
            (None, None) => Err(CliError::usage("no task is named")),
        }
    }
}

impl SomeTasks {
    /// The tasks' ids, each once, in the order in which they were named.
    pub async fn find(&self, session: &Session) -> Result<Vec<TaskId>, CliError> {
        named_tasks(session, &self.tasks, &self.id, &self.name).await
    }
}

/// The moment that lies so far back.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    // Before 1970 there was no task.
    Timestamp(now.0.saturating_sub(age).max(0))
}

async fn named_tasks(
    session: &Session,
    tasks: &[IdsOrStdin<TaskId>],
    more: &[IdsOrStdin<TaskId>],
    names: &[String],
) -> Result<Vec<TaskId>, CliError> {
    let mut ids = Vec::new();
    for word in tasks.iter().chain(more) {
        match word {
            IdsOrStdin::Ids(list) => ids.extend(&list.0),
            IdsOrStdin::Stdin => ids.extend(stdin::ids::<TaskId>()?),
        }
    }
    for name in names {
        ids.push(find_task_by_name(session, name).await?);
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

/// The only task of this name.
pub async fn find_task_by_name(session: &Session, name: &str) -> Result<TaskId, CliError> {
    let query = ListTasks {
        name: Some(name.to_owned()),
        reverse: true,
        limit: Some(NAMESAKES),
        ..ListTasks::default()
    };
    let page = session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
    match page.tasks.as_slice() {
        [] => Err(CliError::refused(format!("no task has the name `{name}`"))
            .hint("`scitq manage task list` shows the tasks and their names")),
        [task] => Ok(task.id),
        tasks => {
            let shown: Vec<String> = tasks
                .iter()
                .map(|task| format!("{} ({}, batch {})", task.id, task.state, task.batch))
                .collect();
            let more = if page.next.is_some() { ", and more" } else { "" };
            let error = CliError::refused(format!("several tasks have the name `{name}`"));
            Err(error.hint(format!("give the id of one: {}{more}", shown.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::testing::{Script, ok};
    use crate::cli::testing::{session, task};

    /// A page of tasks that all have one name.
    fn page(tasks: &[TaskView]) -> String {
        serde_json::json!({ "tasks": tasks }).to_string()
    }

    #[tokio::test]
    async fn a_name_that_fits_several_tasks_is_an_error_that_lists_them() {
        let several = page(&[task(9), task(4)]);
        let server = Script::start(vec![ok(page(&[task(4)])), ok(several), ok(page(&[]))]).await;
        let (session, _) = session(&server);
        assert_eq!(find_task_by_name(&session, "n").await, Ok(TaskId(4)));
        let error = find_task_by_name(&session, "n").await.unwrap_err();
        assert_eq!(error.to_string(), "several tasks have the name `n`");
        assert_eq!(
            error.hints(),
            ["give the id of one: 9 (pending, batch Default), 4 (pending, batch Default)"]
        );
        let error = find_task_by_name(&session, "n").await.unwrap_err();
        assert_eq!(error.to_string(), "no task has the name `n`");
    }

    #[tokio::test]
    async fn all_that_fit_are_selected_page_by_page() {
        let first = r#"{"tasks":TASKS,"next":"c1"}"#
            .replace("TASKS", &serde_json::json!([task(1)]).to_string());
        let named = TaskView { name: Some("b\n".into()), state: TaskState::Failed, ..task(2) };
        let server = Script::start(vec![ok(first), ok(page(&[named])), ok(page(&[task(1)]))]).await;
        let (session, _) = session(&server);
        let selection =
            TaskSelection { name: vec!["a*".into(), "b".into()], ..TaskSelection::default() };
        let states = [TaskState::Failed, TaskState::Pending];
        let selected = selection.find(&session, &states).await.unwrap();
        assert_eq!(selected.ids(), [TaskId(1), TaskId(2)]);
        assert_eq!(selected.describe(), "2 tasks (1 pending, 1 failed): 1, b\\n");
        let lines: Vec<String> =
            server.requests().iter().map(|r| r.lines().next().unwrap().to_owned()).collect();
        assert!(lines[1].contains("state=failed%2Cpending&name=a*"), "{lines:?}");
        assert!(lines[1].contains("cursor=c1"), "{lines:?}");
        assert!(lines[2].contains("name=b&"), "{lines:?}");
    }

    #[tokio::test]
    async fn tasks_are_named_or_described() {
        let server = Script::start(vec![ok(page(&[]))]).await;
        let (session, _) = session(&server);
        let nothing = TaskSelection::default();
        let error = nothing.find(&session, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "no task is named");
        let filters = Filters { state: vec![TaskState::Failed], ..Filters::default() };
        let both = TaskSelection {
            tasks: vec!["1".parse().unwrap()],
            filters: filters.clone(),
            ..TaskSelection::default()
        };
        assert!(both.find(&session, &[]).await.is_err());
        let none = TaskSelection { filters, ..TaskSelection::default() };
        assert_eq!(none.find(&session, &[]).await.unwrap_err().to_string(), "no task fits");
    }

    #[tokio::test]
    async fn each_task_is_changed_once() {
        let server = Script::start(vec![ok(page(&[task(3)]))]).await;
        let (session, _) = session(&server);
        let list = |text: &str| vec![text.parse().unwrap()];
        let ids = named_tasks(&session, &list("5,3"), &list("5"), &["n".to_owned()]).await;
        assert_eq!(ids, Ok(vec![TaskId(5), TaskId(3)]));
    }

    #[test]
    fn an_age_counts_back_from_now() {
        let now = Timestamp(10_000_000);
        assert_eq!(before(now, Duration::from_secs(3)), Timestamp(7_000_000));
        assert_eq!(before(now, Duration::MAX), Timestamp(0));
    }
}
