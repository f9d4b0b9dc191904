//! Changing many tasks: what is found, what is asked, what is sent, and what
//! is told of it.

use clap::Args;

use super::select::{Selected, TaskSelection};
use crate::api::ClientError;
use crate::api::task::{ChangedTasks, TaskIds, TaskView, Unfit};
use crate::cli::ask::{self, Consent};
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::{ListForm, Listing};
use crate::cli::progress::Counter;
use crate::cli::session::Session;
use crate::cli::table::{Fit, Header};
use crate::domain::TaskId;
use crate::domain::task::TaskState;

/// Tasks that one request changes at most, when they were found by a description.
pub const MOST_AT_ONCE: usize = 10_000;

/// Options of every change of tasks.
#[derive(Debug, Clone, Copy, Args)]
pub struct ChangeOptions {
    #[command(flatten)]
    pub consent: Consent,
    /// Show which tasks would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the ids of the changed tasks as JSON
    #[arg(long)]
    pub json: bool,
}

/// When a change asks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Also for a single task: something is lost.
    Always,
    /// For tasks that were found by a description.
    ForDescriptions,
}

/// A change as people read of it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What is done: `relaunch`.
    pub verb: &'a str,
    /// What was done: `relaunched`.
    pub done: &'a str,
    /// What a question adds: ` with all that require it`.
    pub with: &'a str,
    pub asks: Asks,
    /// The states of tasks with which it can do something.
    pub states: &'a [TaskState],
}

/// States in which a worker may have a task.
pub const ACTIVE: [TaskState; 4] =
    [TaskState::Assigned, TaskState::Accepted, TaskState::Running, TaskState::Paused];

/// All states in which a task has not ended.
pub const UNFINISHED: [TaskState; 6] = [
    TaskState::Waiting,
    TaskState::Pending,
    TaskState::Assigned,
    TaskState::Accepted,
    TaskState::Running,
    TaskState::Paused,
];

/// Finds the tasks, asks, and has them changed.
///
/// # Errors
/// No task fits, a person said no, or the server did.
pub async fn change_tasks(
    session: &Session,
    tasks: &TaskSelection,
    options: ChangeOptions,
    change: &Change<'_>,
    send: impl AsyncFn(TaskIds) -> Result<ChangedTasks, ClientError>,
) -> Result<(), CliError> {
    let selected = tasks.find(session, change.states).await?;
    change_selected(session, &selected, options, change, send).await
}

/// The same with tasks that were found already.
pub async fn change_selected(
    session: &Session,
    selected: &Selected,
    options: ChangeOptions,
    change: &Change<'_>,
    send: impl AsyncFn(TaskIds) -> Result<ChangedTasks, ClientError>,
) -> Result<(), CliError> {
    if options.dry_run {
        return show_selected(session, selected, options, change).await;
    }
    let is_description = matches!(selected, Selected::Fitting(_));
    if is_description || change.asks == Asks::Always {
        let question = format!("{} {}{}", change.verb, selected.describe(), change.with);
        ask::confirm(options.consent, &question)?;
    }
    let changed = match selected {
        Selected::Named(ids) => {
            let ids = TaskIds { ids: ids.clone(), unfit: Unfit::Refuse };
            send(ids).await.map_err(|e| session.explain(e))?
        }
        Selected::Fitting(fitting) => send_in_parts(session, &fitting.ids, send).await?,
    };
    tell_changed(session, options, change.done, selected.ids().len(), &changed)
}

/// Sends many ids, so many at once.
async fn send_in_parts(
    session: &Session,
    ids: &[TaskId],
    send: impl AsyncFn(TaskIds) -> Result<ChangedTasks, ClientError>,
) -> Result<ChangedTasks, CliError> {
    let counter = Counter::new(session.output.voice(), ids.len(), "tasks");
    let mut changed = ChangedTasks { ids: Vec::new() };
    for part in ids.chunks(MOST_AT_ONCE) {
        let part = TaskIds { ids: part.to_vec(), unfit: Unfit::Skip };
        let count = part.ids.len();
        let answer = send(part).await.map_err(|error| {
            let error = session.explain(error);
            match changed.ids.len() {
                0 => error,
                done => error.hint(format!("{done} tasks were changed before this")),
            }
        })?;
        changed.ids.extend(answer.ids);
        counter.advance(count);
    }
    Ok(changed)
}

/// Tells which tasks were changed: a sentence on a terminal, the ids alone
/// in a pipe.
pub fn tell_changed(
    session: &Session,
    options: ChangeOptions,
    done: &str,
    selected: usize,
    changed: &ChangedTasks,
) -> Result<(), CliError> {
    let left_out = selected.saturating_sub(changed.ids.len());
    if options.json {
        session.output.json(changed)?;
    } else if !session.output.is_terminal() {
        changed.ids.iter().try_for_each(|id| session.output.line(id))?;
    } else {
        match changed.ids.as_slice() {
            [] => session.output.status(format_args!("no task had to be {done}")),
            [id] => session.output.status(format_args!("task {id} {done}")),
            ids => session.output.status(format_args!("{} tasks {done}", ids.len())),
        }
    }
    // A cascade changes more tasks than were named.
    if left_out > 0 && !changed.ids.is_empty() {
        let tasks = format::counted(left_out as u64, "task", "tasks");
        session.output.status(format_args!("{tasks} did not have to be, or could not"));
    }
    Ok(())
}

/// Shows what a change would be for.
async fn show_selected(
    session: &Session,
    selected: &Selected,
    options: ChangeOptions,
    change: &Change<'_>,
) -> Result<(), CliError> {
    if options.json {
        session.output.json(&ChangedTasks { ids: selected.ids().to_vec() })?;
    } else if session.output.is_terminal() {
        let mut tasks = Vec::new();
        for id in selected.ids().iter().take(SHOWN) {
            tasks.push(session.client.task(*id).await.map_err(|e| session.explain(e))?.task);
        }
        print_tasks(session, &tasks)?;
        if let Some(more) = selected.ids().len().checked_sub(SHOWN).filter(|more| *more > 0) {
            session.output.status(format_args!("and {more} more"));
        }
    } else {
        selected.ids().iter().try_for_each(|id| session.output.line(id))?;
    }
    session.output.status(format_args!(
        "would {} {}{}",
        change.verb,
        selected.describe(),
        change.with
    ));
    Ok(())
}

/// Tasks that are shown one by one at most before a change of many.
pub const SHOWN: usize = 10;

fn print_tasks(session: &Session, tasks: &[TaskView]) -> Result<(), CliError> {
    let fields: Vec<Field<TaskView>> = super::task::brief_fields();
    let moment = Moment::present();
    let columns = fields.iter().map(Field::column).collect();
    let form = ListForm::Table { header: Header::Shown, fit: Fit::Terminal };
    let row = |task: &TaskView| fields.iter().map(|field| field.cell(task, &moment)).collect();
    let mut listing = Listing::new(&session.output, form, columns, row);
    listing.page(tasks)?;
    listing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::testing::{Script, ok};
    use crate::cli::manage::select::Filters;
    use crate::cli::testing::{session, task};

    const CHANGE: Change<'static> = Change {
        verb: "relaunch",
        done: "relaunched",
        with: "",
        asks: Asks::ForDescriptions,
        states: &[TaskState::Failed],
    };

    fn options(consent: Consent) -> ChangeOptions {
        ChangeOptions { consent, dry_run: false, json: false }
    }

    async fn fitting(count: u64) -> Selected {
        let tasks: Vec<TaskView> = (1..=count).map(task).collect();
        let page = serde_json::json!({ "tasks": tasks }).to_string();
        let server = Script::start(vec![ok(page)]).await;
        let (session, _) = session(&server);
        let tasks = TaskSelection::of(vec![], vec![], vec!["*".into()], Filters::default());
        tasks.find(&session, CHANGE.states).await.unwrap()
    }

    #[tokio::test]
    async fn tasks_of_a_description_are_changed_in_parts_and_those_that_moved_on_are_left_out() {
        let selected = fitting(10_002).await;
        let server = Script::deciding(|request| {
            assert!(request.starts_with("POST /api/v2/tasks/relaunch "));
            assert!(request.ends_with(r#""unfit":"skip"}"#));
            ok(if request.contains("[1,2,") { r#"{"ids":[1,3]}"# } else { r#"{"ids":[10001]}"# })
        })
        .await;
        let (session, kept) = session(&server);
        let send = async |ids: TaskIds| session.client.relaunch_tasks(&ids).await;
        let options = options(Consent::given());
        change_selected(&session, &selected, options, &CHANGE, send).await.unwrap();
        session.output.flush().unwrap();
        assert_eq!(kept.text(), "1\n3\n10001\n");
        assert_eq!(server.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_change_of_a_description_asks_and_a_dry_run_changes_nothing() {
        let selected = fitting(2).await;
        let server = Script::start(vec![]).await;
        let (session, kept) = session(&server);
        let send = async |ids: TaskIds| session.client.relaunch_tasks(&ids).await;
        let asking = options(Consent::default());
        let error = change_selected(&session, &selected, asking, &CHANGE, &send).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot ask whether to relaunch 2 tasks (pending): 1, 2: this is no terminal"
        );
        let dry = ChangeOptions { dry_run: true, ..asking };
        change_selected(&session, &selected, dry, &CHANGE, &send).await.unwrap();
        session.output.flush().unwrap();
        assert_eq!(kept.text(), "1\n2\n");
    }

    #[tokio::test]
    async fn a_named_task_that_does_not_fit_is_an_error() {
        let server = Script::start(vec![ok(r#"{"ids":[7]}"#)]).await;
        let (session, _) = session(&server);
        let send = async |ids: TaskIds| session.client.relaunch_tasks(&ids).await;
        let named = Selected::Named(vec![TaskId(7)]);
        change_selected(&session, &named, options(Consent::default()), &CHANGE, send)
            .await
            .unwrap();
        assert!(server.requests()[0].ends_with(r#"{"ids":[7],"unfit":"refuse"}"#));
    }
}
