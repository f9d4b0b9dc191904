//! From options and standard input to the tasks that are sent.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::args::LaunchArgs;
use super::array::INDEX_VARIABLE;
use super::each::{Columns, Item, LineForm, Records, Separator, read_records};
use super::spec::{FromStdin, TaskTemplate};
use super::stdin::{check_readers, read_to_end};
use crate::api::task::CreateTasks;
use crate::cli::error::CliError;
use crate::cli::parse::{IdList, IdsOrStdin};
use crate::domain::TaskId;
use crate::domain::byte_string::ByteString;
use crate::domain::check::MAX_STDIN;
use crate::domain::task::TaskSpec;

/// Most bytes of standard input that the tasks of one launch carry together:
/// each has its own copy, and the server takes no larger request.
const MAX_CARRIED: usize = 128 << 20;

/// What a launch will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub request: CreateTasks,
    /// What a person should know before it is too late.
    pub warnings: Vec<String>,
}

/// Reads what is to be read and makes the tasks.
///
/// # Errors
/// Whatever the server would refuse as well, and lines that are none.
pub fn plan_launch(args: &LaunchArgs) -> Result<Plan, CliError> {
    check_columns(args)?;
    check_readers(args)?;
    let from_stdin = FromStdin { after: read_ids(args)?, data: read_data(args)? };
    if !args.many.each {
        return plan_without_lines(args, from_stdin);
    }
    let records = read_lines(args)?;
    plan_each(args, from_stdin, &records)
}

/// What says how lines are read makes sense only where lines are read.
fn check_columns(args: &LaunchArgs) -> Result<(), CliError> {
    let many = &args.many;
    let lonely =
        [("--header", many.header), ("--delimiter", many.delimiter.is_some()), ("-0", many.null)];
    match lonely.into_iter().find(|(_, is_given)| *is_given && !many.each) {
        Some((option, _)) => Err(CliError::usage(format!("{option} needs --each"))
            .hint("--each queues one task for each line of standard input")),
        None => Ok(()),
    }
}

fn plan_without_lines(args: &LaunchArgs, from_stdin: FromStdin) -> Result<Plan, CliError> {
    let carried = from_stdin.data.as_ref().map_or(0, |data| data.as_bytes().len());
    let template = TaskTemplate::without_placeholders(args, from_stdin)?;
    let spec = template.spec(&Item::none())?;
    let tasks = match args.many.array {
        None => vec![spec],
        Some(range) => {
            let numbered = |index: u64| {
                let mut numbered = spec.clone();
                numbered.env.insert(INDEX_VARIABLE.to_owned(), index.to_string());
                numbered
            };
            check_size(carried, range.indices().count())?;
            range.indices().map(numbered).collect()
        }
    };
    Ok(Plan { request: CreateTasks { tasks }, warnings: Vec::new() })
}

fn plan_each(
    args: &LaunchArgs,
    from_stdin: FromStdin,
    records: &Records,
) -> Result<Plan, CliError> {
    let carried = from_stdin.data.as_ref().map_or(0, |data| data.as_bytes().len());
    check_size(carried, records.items.len())?;
    let template = TaskTemplate::for_lines(args, from_stdin, &records.columns)?;
    let make = |item: &Item| template.spec(item).map_err(|error| error.within(item.place));
    let tasks = records.items.iter().map(make).collect::<Result<Vec<TaskSpec>, CliError>>()?;
    let mut warnings = template.warnings();
    if tasks.len() > 1 && !template.has_placeholder() {
        let count = tasks.len();
        warnings.push(format!(
            "no placeholder such as {{}} is anywhere: all {count} tasks are the same"
        ));
    }
    Ok(Plan { request: CreateTasks { tasks }, warnings })
}

fn check_size(carried: usize, tasks: usize) -> Result<(), CliError> {
    if carried.saturating_mul(tasks) <= MAX_CARRIED {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "--stdin: {carried} bytes for each of {tasks} tasks are too much for one launch"
    ))
    .hint("give it as a --resource, which each worker fetches once"))
}

fn read_lines(args: &LaunchArgs) -> Result<Records, CliError> {
    let many = &args.many;
    let bytes = read_to_end("--each")?;
    let separator = if many.null { Separator::Nul } else { Separator::Newline };
    let form = match (many.header, many.delimiter) {
        (true, delimiter) => LineForm::Header(delimiter),
        (false, Some(delimiter)) => LineForm::Columns(delimiter),
        (false, None) => LineForm::Whole,
    };
    let records = read_records(&bytes, separator, form)?;
    if records.columns == Columns::Named(Vec::new()) {
        return Err(CliError::usage("--header: standard input has no line"));
    }
    Ok(records)
}

/// The ids that standard input has for `--after -` or `--after-any -`.
fn read_ids(args: &LaunchArgs) -> Result<Vec<TaskId>, CliError> {
    let asks = |ids: &[IdsOrStdin<TaskId>]| ids.contains(&IdsOrStdin::Stdin);
    let reader = match (asks(&args.task.after), asks(&args.task.after_any)) {
        (true, _) => "--after -",
        (false, true) => "--after-any -",
        (false, false) => return Ok(Vec::new()),
    };
    let bytes = read_to_end(reader)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.trim().is_empty() {
        // A stage that queued nothing must not let the next one start.
        return Err(CliError::usage(format!("{reader}: standard input has no id"))
            .hint("the command before it in the pipe queued nothing: see what it said"));
    }
    text.parse::<IdList<TaskId>>().map(|list| list.0).map_err(|error| {
        CliError::usage(format!("{reader}: {error}"))
            .hint("it reads ids as `scitq launch` prints them in a pipe")
    })
}

/// The standard input of the task.
fn read_data(args: &LaunchArgs) -> Result<Option<ByteString>, CliError> {
    let Some(path) = &args.task.stdin else { return Ok(None) };
    if path.as_os_str() == "-" {
        return Ok(Some(ByteString::from(read_to_end("--stdin -")?)));
    }
    let bytes = read_start(path).map_err(|error| {
        CliError::usage(format!("--stdin: cannot read `{}`", path.display())).caused_by(&error)
    })?;
    if bytes.len() > MAX_STDIN {
        return Err(too_long(path));
    }
    Ok(Some(ByteString::from(bytes)))
}

/// The file, or as much of it as tells that it is too long.
fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_STDIN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_long(path: &Path) -> CliError {
    let shown = path.display();
    CliError::usage(format!("--stdin: `{shown}` has more than {MAX_STDIN} bytes"))
        .hint("give it as an --input, and read it from $INPUT")
}
