//! `scitq manage task update`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::diff;
use super::edit::edit_task;
use super::replace::Replacement;
use super::send::{EditOptions, Edited, describe};
use super::update_args::{Changes, Status, Unset, UpdateArgs};
use crate::api::task::{ChangedTasks, TaskDetail, TaskIds};
use crate::cli::ask;
use crate::cli::error::CliError;
use crate::cli::launch::{checked_uri, joined};
use crate::cli::manage::change::{
    Asks, Change, ChangeOptions, SHOWN, change_selected, tell_changed,
};
use crate::cli::manage::select::{Selected, TaskSelection};
use crate::cli::manage::uris::read_uris;
use crate::cli::output::Paint;
use crate::cli::parse;
use crate::cli::progress::Counter;
use crate::cli::session::Session;
use crate::domain::TaskId;
use crate::domain::byte_string::ByteString;
use crate::domain::check::MAX_STDIN;
use crate::domain::task::{Command, TaskSpec};

/// Specifications that are read at the same time.
const READS: usize = 8;

pub async fn cmd_update(session: &Session, args: UpdateArgs) -> Result<(), CliError> {
    let tasks = args.tasks.selection();
    let has_changes = args.changes != Changes::default();
    match (args.status, args.edit, has_changes) {
        (None, false, false) => Err(CliError::usage("nothing is to be changed")
            .hint("name what to change, as in --retry 3 or --replace OLD NEW")),
        (Some(status), false, false) => {
            let selected = tasks.find(session, &[]).await?;
            set_status(session, &selected, args.options, status).await
        }
        (None, true, false) => {
            let selected = tasks.find(session, &[]).await?;
            let [id] = selected.ids() else {
                return Err(CliError::usage("--edit edits one task")
                    .hint("several are changed by --replace, --regex and the other options"));
            };
            edit_task(session, *id, args.edit_options, args.options).await
        }
        (None, false, true) => {
            let shown = if args.wide { usize::MAX } else { SHOWN };
            let edit = args.edit_options;
            change(session, &tasks, &args.changes, edit, args.options, shown).await
        }
        _ => Err(CliError::usage("--status, --edit and changes exclude each other")),
    }
}

/// What the original does by its `--status`.
async fn set_status(
    session: &Session,
    selected: &Selected,
    options: ChangeOptions,
    status: Status,
) -> Result<(), CliError> {
    let (verb, done, asks) = match status {
        Status::Pending => ("relaunch", "relaunched", Asks::ForDescriptions),
        Status::Paused => ("pause", "paused", Asks::ForDescriptions),
        Status::Running => ("resume", "resumed", Asks::ForDescriptions),
        Status::Failed => ("cancel", "cancelled", Asks::Always),
    };
    let change = Change { verb, done, with: "", asks, states: &[] };
    let send = async |tasks: TaskIds| match status {
        Status::Pending => session.client.relaunch_tasks(&tasks).await,
        Status::Paused => session.client.pause_tasks(&tasks).await,
        Status::Running => session.client.resume_tasks(&tasks).await,
        Status::Failed => session.client.cancel_tasks(&tasks).await,
    };
    change_selected(session, selected, options, &change, send).await
}

async fn change(
    session: &Session,
    tasks: &TaskSelection,
    changes: &Changes,
    edit: EditOptions,
    options: ChangeOptions,
    shown: usize,
) -> Result<(), CliError> {
    let replacement = changes.replacement()?;
    let selected = tasks.find(session, &[]).await?;
    let mut edits = Vec::new();
    for detail in read_all(session, selected.ids()).await? {
        let id = detail.task.id;
        let new = changes.applied(&detail.spec, replacement.as_ref())?;
        new.check().map_err(|error| CliError::usage(format!("task {id}: {error}")))?;
        edits.extend(Edited::unless_same(detail, new));
    }
    if edits.is_empty() {
        return nothing_to_do(session, replacement.as_ref(), options);
    }
    edit.check(&edits)?;
    if options.dry_run {
        // Nothing is cut in a pipe.
        let shown = if session.output.is_terminal() { shown } else { edits.len() };
        preview(session, &edits, Preview::Output, shown)?;
        session.output.status(format_args!(
            "would change {}{}",
            describe(&edits),
            edit.consequences(&edits)
        ));
        return Ok(());
    }
    let is_bulk = matches!(selected, Selected::Fitting(_));
    if is_bulk || replacement.is_some() || edits.iter().any(|edit| super::send::runs(&edit.task)) {
        if !options.consent.is_given() {
            preview(session, &edits, Preview::Question, shown)?;
        }
        let question = format!("change {}{}", describe(&edits), edit.consequences(&edits));
        ask::confirm(options.consent, &question)?;
    }
    let count = edits.len();
    let answer = edit.send(session, edits).await?;
    tell_changed(session, options, "changed", count, &answer)
}

/// Reads all about some tasks, in their order.
async fn read_all(session: &Session, ids: &[TaskId]) -> Result<Vec<TaskDetail>, CliError> {
    let counter = Counter::new(session.output.voice(), ids.len(), "tasks read");
    let read = async |id: &TaskId| {
        let detail = session.client.task(*id).await.map_err(|e| session.explain(e))?;
        counter.advance(1);
        Ok::<_, CliError>(detail)
    };
    stream::iter(ids).map(read).buffered(READS).try_collect().await
}

fn nothing_to_do(
    session: &Session,
    replacement: Option<&Replacement>,
    options: ChangeOptions,
) -> Result<(), CliError> {
    if replacement.is_some() {
        return Err(CliError::refused("no command has the text that would be replaced")
            .hint("a command that was queued word by word is looked at word by word"));
    }
    session.output.status("all of them are like that already");
    tell_changed(session, options, "changed", 0, &ChangedTasks { ids: Vec::new() })
}

/// Where changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preview {
    /// Before a question.
    Question,
    /// As what was asked for.
    Output,
}

fn preview(
    session: &Session,
    edits: &[Edited],
    preview: Preview,
    shown: usize,
) -> Result<(), CliError> {
    let voice = session.output.voice();
    for edit in edits.iter().take(shown) {
        let paint = |text: &str, paint: Paint| match preview {
            Preview::Question => voice.paint(text, paint).to_string(),
            Preview::Output => session.output.paint(text, paint).to_string(),
        };
        for line in diff::changed_fields(&edit.old, &edit.new, &paint) {
            let line = format!("{}  {line}", edit.task.id);
            match preview {
                Preview::Question => voice.status(line),
                Preview::Output => session.output.line(line)?,
            }
        }
    }
    if edits.len() > shown {
        voice.status(format_args!("and {} more", edits.len() - shown));
    }
    Ok(())
}

impl Changes {
    fn replacement(&self) -> Result<Option<Replacement>, CliError> {
        match (self.replace.as_deref(), self.regex.as_deref()) {
            (Some([old, new]), _) => Replacement::of_text(old, new).map(Some),
            (_, Some([pattern, new])) => Replacement::of_pattern(pattern, new).map(Some),
            _ => Ok(None),
        }
    }

    /// The specification with these changes.
    fn applied(
        &self,
        old: &TaskSpec,
        replacement: Option<&Replacement>,
    ) -> Result<TaskSpec, CliError> {
        let mut spec = old.clone();
        for field in &self.unset {
            unset(&mut spec, *field);
        }
        self.set_fields(&mut spec)?;
        spec.shell = self.shell.clone().or(spec.shell);
        if let Some(line) = &self.command {
            spec.command = command(line, spec.shell.as_deref());
        }
        if let Some(replacement) = replacement {
            spec.command = replacement.apply(&spec.command)?;
        }
        Ok(spec)
    }

    fn set_fields(&self, spec: &mut TaskSpec) -> Result<(), CliError> {
        spec.name = self.new_name.clone().or(spec.name.take());
        if let Some(batch) = &self.batch {
            spec.batch.clone_from(batch);
        }
        if !self.input.is_empty() {
            spec.input = read_uris("--input", &self.input)?;
        }
        if !self.resource.is_empty() {
            spec.resource = read_uris("--resource", &self.resource)?;
        }
        if let Some(output) = &self.output {
            spec.output = Some(checked_uri("--output", output.clone())?);
        }
        spec.use_cache |= self.use_cache;
        if !self.after.is_empty() {
            spec.after = parse::flatten(&self.after);
        }
        if !self.after_any.is_empty() {
            spec.after_any = parse::flatten(&self.after_any);
        }
        if !self.after_batch.is_empty() {
            spec.after_batch.clone_from(&self.after_batch);
        }
        spec.env.extend(self.env.iter().cloned());
        spec.tags.extend(self.tag.iter().cloned());
        if let Some(path) = &self.stdin {
            spec.stdin = Some(stdin_of(path)?);
        }
        spec.container = self.docker.clone().or(spec.container.take());
        spec.container_options = joined(&self.container_option).or(spec.container_options.take());
        spec.pull = self.pull.or(spec.pull);
        spec.priority = self.priority.or(spec.priority);
        spec.cpu = self.cpu.or(spec.cpu);
        spec.memory = self.mem.or(spec.memory);
        spec.retry = self.retry.or(spec.retry);
        spec.run_timeout = self.run_timeout.or(spec.run_timeout);
        spec.download_timeout = self.download_timeout.or(spec.download_timeout);
        spec.upload_timeout = self.upload_timeout.or(spec.upload_timeout);
        spec.output_limit = self.output_limit.or(spec.output_limit);
        spec.uid = self.uid.or(spec.uid);
        spec.gid = self.gid.or(spec.gid);
        Ok(())
    }
}

fn unset(spec: &mut TaskSpec, field: Unset) {
    match field {
        Unset::NewName => spec.name = None,
        Unset::Input => spec.input.clear(),
        Unset::Resource => spec.resource.clear(),
        Unset::Output => (spec.output, spec.use_cache) = (None, false),
        Unset::UseCache => spec.use_cache = false,
        Unset::After => spec.after.clear(),
        Unset::AfterAny => spec.after_any.clear(),
        Unset::AfterBatch => spec.after_batch.clear(),
        Unset::Shell => spec.shell = None,
        Unset::Docker => {
            (spec.container, spec.container_options, spec.pull) = (None, None, None);
        }
        Unset::Option => spec.container_options = None,
        Unset::Pull => spec.pull = None,
        Unset::Env => spec.env.clear(),
        Unset::Tag => spec.tags.clear(),
        Unset::Stdin => spec.stdin = None,
        Unset::Priority => spec.priority = None,
        Unset::Cpu => spec.cpu = None,
        Unset::Mem => spec.memory = None,
        Unset::Retry => spec.retry = None,
        Unset::RunTimeout => spec.run_timeout = None,
        Unset::DownloadTimeout => spec.download_timeout = None,
        Unset::UploadTimeout => spec.upload_timeout = None,
        Unset::OutputLimit => spec.output_limit = None,
        Unset::Uid => spec.uid = None,
        Unset::Gid => spec.gid = None,
    }
}

/// One word without blanks is a program; anything else is a command line, as
/// with `scitq launch`.
fn command(line: &str, shell: Option<&str>) -> Command {
    if shell.is_some() || line.contains(char::is_whitespace) {
        return Command::Line(line.to_owned());
    }
    Command::Arguments(vec![line.into()])
}

fn stdin_of(path: &Path) -> Result<ByteString, CliError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte too much tells a file that is too long.
        let most = MAX_STDIN as u64 + 1;
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(ByteString::from).map_err(|error| {
        CliError::usage(format!("--stdin: cannot read `{}`", path.display())).caused_by(&error)
    })
}
