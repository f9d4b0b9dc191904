//! Which tasks a verb is for: by id, or by name where it names one task only.

use std::collections::HashSet;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::task::ListTasks;
use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::TaskId;

/// Tasks of one name that an error lists at most.
const NAMESAKES: u32 = 10;

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
        let mut ids = parse::flatten(&self.tasks);
        ids.extend(parse::flatten(&self.id));
        for name in &self.name {
            ids.push(find_task_by_name(session, name).await?);
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id));
        Ok(ids)
    }
}

/// The only task of this name.
pub async fn find_task_by_name(session: &Session, name: &str) -> Result<TaskId, CliError> {
    let query = ListTasks {
        name: Some(name.to_owned()),
        newest_first: true,
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
