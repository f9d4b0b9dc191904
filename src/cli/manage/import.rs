//! `scitq manage server import`: takes over the database of the original.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use crate::api::import::{ImportTasks, ImportedExecution, ImportedTask, ImportedWorker};
use crate::api::task::ListTasks;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::execution::{Failure, FailureClass};
use crate::domain::task::{Command, TaskSpec, TaskState};
use crate::domain::{BatchName, TaskId};
use crate::server::store::{Original, OriginalExecution, OriginalTask, read_original};

/// The tag that tells the id that a task had on the original.
const OLD_ID: &str = "scitq1.id";
/// Tasks in one request.
const MOST_TASKS: usize = 1_000;
/// Bytes of output in one request.
const MOST_OUTPUT: usize = 16 << 20;
/// Problems that are told one by one.
const TOLD: usize = 20;

/// Take over tasks, executions, outputs and workers of a scitq 1 database
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage server import /var/lib/scitq1/scitq.db --dry-run
  scitq manage server import /var/lib/scitq1/scitq.db

Stop the old server first. Tasks get new ids; the old one is their tag
scitq1.id. What had not ended is queued. What was imported before is left
out, so an import that was interrupted can be repeated.")]
pub struct ImportArgs {
    /// The SQLite file of the old server, which is only read
    #[arg(value_name = "DATABASE")]
    database: PathBuf,
    /// Only say what there is and what would go wrong
    #[arg(long)]
    dry_run: bool,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Dry,
    Real,
}

pub async fn cmd_import(session: &Session, args: ImportArgs) -> Result<(), CliError> {
    let run = if args.dry_run { Run::Dry } else { Run::Real };
    if !args.database.is_file() {
        return Err(CliError::usage(format!("there is no file `{}`", args.database.display())));
    }
    let original = read_original(&args.database).map_err(|error| {
        CliError::configuration(format!("cannot read `{}`", args.database.display()))
            .caused_by(&error)
            .hint("it must be the SQLite file of scitq 1.3; of PostgreSQL make one first")
    })?;
    let mut known = known_tasks(session).await?;
    describe(session, &original, known.len());
    let mut problems = Vec::new();
    for chunk in chunks(&original, &known) {
        let mut tasks = Vec::with_capacity(chunk.len());
        for task in &chunk {
            tasks.push(convert(task, &known, &mut problems));
        }
        let request = ImportTasks { tasks, dry_run: run == Run::Dry };
        let done = session.client.import_tasks(&request).await.map_err(|e| session.explain(e))?;
        for found in done.problems {
            if let Some(task) = chunk.get(found.position) {
                problems.push(format!("task {}: {}", task.id, found.problem));
            }
        }
        for (position, task) in chunk.iter().enumerate() {
            // In a dry run others may refer to it all the same.
            known.insert(task.id, done.ids.get(position).copied().unwrap_or(TaskId(task.id)));
        }
    }
    if run == Run::Real {
        import_workers(session, &original, &mut problems).await?;
    }
    tell(session, &original, &problems, run);
    Ok(())
}

/// Tasks that were imported before: their old ids and their new ones.
async fn known_tasks(session: &Session) -> Result<BTreeMap<u64, TaskId>, CliError> {
    let mut known = BTreeMap::new();
    let mut query = ListTasks {
        tag: Some(OLD_ID.to_owned()),
        limit: Some(crate::api::MAX_PAGE),
        ..ListTasks::default()
    };
    loop {
        let page = session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
        for task in page.tasks {
            let old = task.tags.get(OLD_ID).and_then(|old| old.parse().ok());
            known.extend(old.map(|old| (old, task.id)));
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(known),
        }
    }
}

/// The tasks that are new, in parts of which none requires another one of its own.
fn chunks<'a>(original: &'a Original, known: &BTreeMap<u64, TaskId>) -> Vec<Vec<&'a OriginalTask>> {
    let mut chunks: Vec<Vec<&OriginalTask>> = Vec::new();
    let (mut chunk, mut output, mut own) = (Vec::new(), 0, BTreeSet::new());
    for task in original.tasks.iter().filter(|task| !known.contains_key(&task.id)) {
        let size: usize = task.executions.iter().map(size_of_output).sum();
        let requires_own = task.requires.iter().any(|required| own.contains(required));
        let is_full = chunk.len() >= MOST_TASKS || output + size > MOST_OUTPUT;
        if !chunk.is_empty() && (requires_own || is_full) {
            chunks.push(std::mem::take(&mut chunk));
            own.clear();
            output = 0;
        }
        output += size;
        own.insert(task.id);
        chunk.push(task);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

fn size_of_output(execution: &OriginalExecution) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    length(&execution.output) + length(&execution.error)
}

fn convert(
    task: &OriginalTask,
    known: &BTreeMap<u64, TaskId>,
    problems: &mut Vec<String>,
) -> ImportedTask {
    let mut spec = TaskSpec::new(Command::Line(task.command.clone()));
    spec.name = filled(task.name.as_ref());
    spec.batch = BatchName::try_from(task.batch.clone()).unwrap_or_else(|error| {
        problems.push(format!("task {}: {error}; its batch is `Default` now", task.id));
        BatchName::default()
    });
    spec.container = filled(task.container.as_ref());
    spec.container_options = filled(task.container_options.as_ref());
    spec.input = words(task.input.as_ref());
    spec.resource = words(task.resource.as_ref());
    spec.output = filled(task.output.as_ref())
        .map(|folder| if folder.ends_with('/') { folder } else { format!("{folder}/") });
    spec.retry = Some(task.retry).filter(|retry| *retry > 0);
    spec.download_timeout = task.download_timeout.filter(|seconds| *seconds > 0);
    spec.run_timeout = task.run_timeout.filter(|seconds| *seconds > 0);
    spec.tags.insert(OLD_ID.to_owned(), task.id.to_string());
    for required in &task.requires {
        match known.get(required) {
            Some(id) => spec.after.push(*id),
            // It comes later, or is gone: the original would wait for ever.
            None => problems.push(format!(
                "task {}: it requires task {required}, which is not there before it; left out",
                task.id
            )),
        }
    }
    let state = match task.status.as_str() {
        "succeeded" => TaskState::Succeeded,
        "failed" => TaskState::Failed,
        "paused" | "debug" => TaskState::Paused,
        _ => TaskState::Pending,
    };
    let executions = task.executions.iter().map(execution).collect();
    ImportedTask {
        spec,
        state,
        created_at: task.created_at,
        state_since: task.status_since,
        retries_left: task.retry,
        executions,
    }
}

/// What had not ended is lost with its server.
fn execution(execution: &OriginalExecution) -> ImportedExecution {
    let code = execution.return_code.and_then(|code| i32::try_from(code).ok());
    let failure = |class, reason: &str| Some(Failure { class, reason: reason.to_owned() });
    let failure = match (execution.status.as_str(), code) {
        ("succeeded", _) => None,
        ("refused", _) => failure(FailureClass::Refused, "the worker refused it"),
        ("failed", Some(-1001)) => failure(FailureClass::Download, "its data could not be fetched"),
        ("failed", Some(-1000)) => failure(FailureClass::Upload, "its outputs could not be sent"),
        ("failed", Some(code)) if code < 0 => {
            failure(FailureClass::Signal, &format!("signal {}", -i64::from(code)))
        }
        ("failed", Some(code)) => failure(FailureClass::Exit, &format!("exit code {code}")),
        ("failed", None) => failure(FailureClass::Internal, "its command could not be started"),
        _ => failure(FailureClass::Lost, "it had not ended when it was imported"),
    };
    ImportedExecution {
        worker_name: execution.worker_name.clone().unwrap_or_default(),
        assigned_at: execution.created_at,
        finished_at: execution.changed_at.max(execution.created_at),
        failure,
        exit_code: code.filter(|code| *code >= 0),
        signal: code.filter(|code| (-64..0).contains(code)).map(|code| -code),
        stdout: execution.output.clone().unwrap_or_default(),
        stderr: execution.error.clone().unwrap_or_default(),
        output_files: filled(execution.output_files.as_ref()),
    }
}

async fn import_workers(
    session: &Session,
    original: &Original,
    problems: &mut Vec<String>,
) -> Result<(), CliError> {
    for worker in &original.workers {
        let batch = match BatchName::try_from(worker.batch.clone()) {
            Ok(batch) => batch,
            Err(error) => {
                problems.push(format!("worker `{}`: {error}; left out", worker.name));
                continue;
            }
        };
        let request = ImportedWorker {
            name: worker.name.clone(),
            hostname: worker.hostname.clone().unwrap_or_default(),
            batch,
            concurrency: worker.concurrency,
            prefetch: worker.prefetch,
            flavor: worker.flavor.clone(),
        };
        session.client.import_worker(&request).await.map_err(|e| session.explain(e))?;
    }
    Ok(())
}

fn describe(session: &Session, original: &Original, known: usize) {
    let executions: usize = original.tasks.iter().map(|task| task.executions.len()).sum();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for task in &original.tasks {
        *states.entry(task.status.as_str()).or_default() += 1;
    }
    let states: Vec<String> =
        states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    session.output.status(format_args!(
        "{} tasks ({}), {executions} executions, {} workers, {} recruiters",
        original.tasks.len(),
        states.join(", "),
        original.workers.len(),
        original.recruiters.len(),
    ));
    if known > 0 {
        session.output.status(format_args!("{known} of the tasks were imported before"));
    }
}

fn tell(session: &Session, original: &Original, problems: &[String], run: Run) {
    for problem in problems.iter().take(TOLD) {
        session.output.status(format_args!("warning: {problem}"));
    }
    if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
        session.output.status(format_args!("warning: and {more} more"));
    }
    for recruiter in &original.recruiters {
        session.output.status(format_args!(
            "warning: this server does not recruit; not imported: {recruiter}"
        ));
    }
    session.output.status(match run {
        Run::Dry => "dry run: nothing was changed",
        Run::Real => "imported",
    });
}

fn filled(text: Option<&String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn words(text: Option<&String>) -> Vec<String> {
    text.map(|text| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}
