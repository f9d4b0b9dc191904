//! Which tasks a verb is for: by id, by name where it names one task only, or
//! all that fit a description.

use std::collections::HashSet;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::MAX_PAGE;
use crate::api::task::ListTasks;
use crate::cli::error::CliError;
use crate::cli::manage::states;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, TaskId};

/// Tasks of one name that an error lists at most.
const NAMESAKES: u32 = 10;

/// Tasks that a question names one by one at most.
const FEW: usize = 8;

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
    /// The tasks, separated by spaces or commas
    #[arg(value_name = "ID")]
    tasks: Vec<IdList<TaskId>>,
    /// The tasks, as an option; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdList<TaskId>>,
    /// The task of this name; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
}

/// The tasks of a change: named one by one, or all that fit.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct TaskSelection {
    /// The tasks, separated by spaces or commas
    #[arg(value_name = "ID", conflicts_with_all = ["batch", "state"])]
    tasks: Vec<IdList<TaskId>>,
    /// The tasks, as an option; repeatable
    #[arg(short, long, value_name = "ID", conflicts_with_all = ["batch", "state"])]
    id: Vec<IdList<TaskId>>,
    /// The task of this name; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["batch", "state"])]
    name: Vec<String>,
    /// All tasks of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// All tasks in these states, separated by commas
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<TaskState>())]
    state: Vec<TaskState>,
}

/// The tasks that were found for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// A person named each of them.
    Named(Vec<TaskId>),
    /// They fit a description.
    Fitting(Vec<TaskId>),
}

impl Selected {
    #[must_use]
    pub fn into_ids(self) -> Vec<TaskId> {
        match self {
            Self::Named(ids) | Self::Fitting(ids) => ids,
        }
    }

    /// How a question names them.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Named(ids) | Self::Fitting(ids) => match ids.as_slice() {
                [id] => format!("task {id}"),
                few if few.len() <= FEW => {
                    let shown: Vec<String> = few.iter().map(ToString::to_string).collect();
                    format!("tasks {}", shown.join(", "))
                }
                ids => format!("{} tasks", ids.len()),
            },
        }
    }
}

impl TaskSelection {
    /// The tasks, each once.
    pub async fn find(&self, session: &Session) -> Result<Selected, CliError> {
        if self.batch.is_none() && self.state.is_empty() {
            return named_tasks(session, &self.tasks, &self.id, &self.name)
                .await
                .map(Selected::Named);
        }
        let mut query = ListTasks {
            state: states::joined(&self.state),
            batch: self.batch.clone(),
            limit: Some(MAX_PAGE),
            ..ListTasks::default()
        };
        let mut ids = Vec::new();
        loop {
            let page = session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
            ids.extend(page.tasks.iter().map(|task| task.id));
            let Some(next) = page.next else { break };
            query.cursor = Some(next);
        }
        if ids.is_empty() {
            return Err(CliError::refused("no task fits"));
        }
        Ok(Selected::Fitting(ids))
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

async fn named_tasks(
    session: &Session,
    tasks: &[IdList<TaskId>],
    more: &[IdList<TaskId>],
    names: &[String],
) -> Result<Vec<TaskId>, CliError> {
    let mut ids = parse::flatten(tasks);
    ids.extend(parse::flatten(more));
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
    use crate::api::task::TaskView;
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
        let first = r#"{"tasks":TASKS,"next":1}"#
            .replace("TASKS", &serde_json::json!([task(1)]).to_string());
        let server = Script::start(vec![ok(first), ok(page(&[task(2)]))]).await;
        let (session, _) = session(&server);
        let selection = TaskSelection {
            tasks: vec![],
            id: vec![],
            name: vec![],
            batch: None,
            state: vec![TaskState::Failed],
        };
        let selected = selection.find(&session).await;
        assert_eq!(selected, Ok(Selected::Fitting(vec![TaskId(1), TaskId(2)])));
        let second = server.requests()[1].lines().next().unwrap().to_owned();
        assert!(second.contains("state=failed&cursor=1"), "{second}");
    }

    #[tokio::test]
    async fn each_task_is_changed_once() {
        let server = Script::start(vec![ok(page(&[task(3)]))]).await;
        let (session, _) = session(&server);
        let list = |text: &str| vec![text.parse().unwrap()];
        let ids = named_tasks(&session, &list("5,3"), &list("5"), &["n".to_owned()]).await;
        assert_eq!(ids, Ok(vec![TaskId(5), TaskId(3)]));
    }
}
