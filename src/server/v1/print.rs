//! Tasks and executions in the shapes of the original.

use serde_json::{Map, Value, json};

use crate::domain::Timestamp;
use crate::domain::execution::{FailureClass, Outcome};
use crate::domain::task::{Command, TaskSpec, TaskState};

use super::super::store::{PlainExecution, PlainTask};

/// The tag of a task that a workflow holds back to run it step by step.
pub(super) const DEBUG_TAG: &str = "scitq.debug";

/// What is told as the exit code of a task whose data could not be fetched.
pub(super) const DOWNLOAD_FAILED: i64 = -1001;
/// The same where its outputs could not be sent.
pub(super) const UPLOAD_FAILED: i64 = -1000;

pub(super) const TASK_COLUMNS: &[&str] = &[
    "task_id",
    "name",
    "status",
    "command",
    "creation_date",
    "modification_date",
    "status_date",
    "batch",
    "input",
    "output",
    "container",
    "container_options",
    "resource",
    "required_task_ids",
    "retry",
    "download_timeout",
    "run_timeout",
    "use_cache",
];

/// The output of an execution as far as it is printed.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    pub output: Option<String>,
    pub error: Option<String>,
}

/// Whether the exit code is printed: lists without output leave it out as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitCode {
    Shown,
    LeftOut,
}

pub(super) fn task(task: &PlainTask) -> Map<String, Value> {
    let spec = &task.spec;
    let container_options = container_options(spec);
    fields(json!({
        "task_id": task.id,
        "name": task.name,
        "status": task_status(task),
        "command": command_line(spec),
        "creation_date": date(task.created_at),
        "modification_date": date(task.state_since),
        "status_date": date(task.state_since),
        "batch": task.batch.as_str(),
        "input": list(&spec.input),
        "output": spec.output,
        "container": spec.container,
        // Workers split it, and Python's splitter reads the keyboard where there is nothing.
        "container_options": container_options,
        "resource": list(&spec.resource),
        "required_task_ids": task.required,
        "retry": task.retries_left,
        "download_timeout": spec.download_timeout,
        "run_timeout": spec.run_timeout,
        "use_cache": spec.use_cache,
    }))
}

pub(super) fn execution(
    execution: &PlainExecution,
    texts: &Texts,
    exit_code: ExitCode,
) -> Map<String, Value> {
    let PlainExecution { id, row, spec, latest, .. } = execution;
    let keepsake = row.keepsake.as_deref().cloned().unwrap_or_default();
    let changed = [row.accepted_at, row.started_at, row.finished_at].into_iter().flatten().max();
    let code = row.outcome.as_deref().and_then(return_code);
    fields(json!({
        "execution_id": id,
        "worker_id": row.worker,
        "task_id": row.task,
        "status": <&str>::from(row.state),
        "return_code": if exit_code == ExitCode::Shown { code } else { None },
        "pid": keepsake.pid,
        "creation_date": date(row.assigned_at),
        "modification_date": date(changed.unwrap_or(row.assigned_at)),
        "output": texts.output,
        "error": texts.error,
        "output_files": keepsake.output_files,
        "command": command_line(spec),
        "freeze": null,
        "latest": latest,
    }))
}

/// A date without a zone, as Python prints it: no fraction where that is zero.
pub(super) fn date(timestamp: Timestamp) -> String {
    let text = timestamp.to_string();
    let text = text.trim_end_matches('Z');
    text.strip_suffix(".000000").unwrap_or(text).to_owned()
}

/// The word for a task's state; there is one more than we have.
pub(super) fn task_status(task: &PlainTask) -> &'static str {
    if task.state == TaskState::Paused && task.spec.tags.contains_key(DEBUG_TAG) {
        return "debug";
    }
    <&str>::from(task.state)
}

/// The number of a state.
pub(super) const fn status_number(state: TaskState) -> u8 {
    match state {
        TaskState::Paused => 0,
        TaskState::Waiting => 1,
        TaskState::Pending => 2,
        TaskState::Assigned => 3,
        TaskState::Accepted => 4,
        TaskState::Running => 5,
        TaskState::Failed => 6,
        TaskState::Succeeded => 7,
    }
}

/// One line that an old worker can run: it knows neither shells nor variables nor
/// standard input.
pub(super) fn command_line(spec: &TaskSpec) -> String {
    let mut line = match (&spec.shell, &spec.command) {
        (Some(shell), Command::Line(line)) => format!("{shell} -c {}", quoted(line)),
        (_, command) => command.to_string(),
    };
    if let Some(stdin) = &spec.stdin {
        let script = r#"text=$1; shift; printf %s "$text" | "$@""#;
        line = format!("sh -c {} sh {} {line}", quoted(script), stdin);
    }
    if spec.container.is_none() {
        if !spec.env.is_empty() {
            let variables = spec.env.iter().map(|(name, value)| quoted(&format!("{name}={value}")));
            line = format!("env {} {line}", variables.collect::<Vec<_>>().join(" "));
        }
        if let Some(uid) = spec.uid {
            let group = spec.gid.map(|gid| format!(" -g '#{gid}'")).unwrap_or_default();
            line = format!("sudo -E -u '#{uid}'{group} {line}");
        }
    }
    line
}

/// What `docker run` is given on such a worker.
fn container_options(spec: &TaskSpec) -> String {
    let mut options = Vec::new();
    if spec.container.is_some() {
        if let Some(uid) = spec.uid {
            let group = spec.gid.map(|gid| format!(":{gid}")).unwrap_or_default();
            options.push(format!("-u {uid}{group}"));
        }
        for (name, value) in &spec.env {
            options.push(format!("-e {}", quoted(&format!("{name}={value}"))));
        }
    }
    options.extend(spec.container_options.clone());
    options.join(" ")
}

/// An exit code, or a signal as its negative number.
fn return_code(outcome: &Outcome) -> Option<i64> {
    match outcome.failure.as_ref().map(|failure| failure.class) {
        Some(FailureClass::Download) => Some(DOWNLOAD_FAILED),
        Some(FailureClass::Upload) => Some(UPLOAD_FAILED),
        _ => {
            let signal = outcome.signal.map(|signal| -i64::from(signal));
            outcome.exit_code.map(i64::from).or(signal)
        }
    }
}

fn list(uris: &[String]) -> Option<String> {
    (!uris.is_empty()).then(|| uris.join(" "))
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_no_zone_and_no_empty_fraction() {
        assert_eq!(date(Timestamp(1_795_424_969_136_877)), "2026-11-23T09:09:29.136877");
        assert_eq!(date(Timestamp(1_795_424_969_000_000)), "2026-11-23T09:09:29");
    }

    #[test]
    fn an_old_worker_is_given_one_line() {
        let mut spec = TaskSpec::new(Command::Line("echo \"$A\" | wc".to_owned()));
        spec.shell = Some("bash".to_owned());
        assert_eq!(command_line(&spec), r#"bash -c 'echo "$A" | wc'"#);
        spec.env.insert("A".to_owned(), "b c".to_owned());
        assert_eq!(command_line(&spec), r#"env 'A=b c' bash -c 'echo "$A" | wc'"#);
        spec.container = Some("alpine".to_owned());
        spec.container_options = Some("-v /x:/y".to_owned());
        assert_eq!(command_line(&spec), r#"bash -c 'echo "$A" | wc'"#);
        assert_eq!(container_options(&spec), "-e 'A=b c' -v /x:/y");
    }
}
