//! `scitq manage task edit`.

use clap::Args;

use super::send::{self, EditOptions, Edited};
use super::{diff, spec_file};
use crate::api::ErrorCode;
use crate::api::task::TaskDetail;
use crate::cli::ask;
use crate::cli::editor::EditedFile;
use crate::cli::error::CliError;
use crate::cli::manage::change::{ChangeOptions, tell_changed};
use crate::cli::manage::select::OneTask;
use crate::cli::output::Paint;
use crate::cli::session::Session;
use crate::domain::TaskId;
use crate::domain::task::TaskSpec;

/// Edit all that a task is made of, in your editor
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task edit 12
  EDITOR='nano -w' scitq manage task edit --no-run --name align-1

The editor is that of VISUAL or EDITOR. What cannot be understood comes back
with what is wrong with it on top. A task that has ended runs again as edited;
one that runs is refused unless --restart-running is given. If somebody else
has edited it meanwhile, nothing is changed and your text is kept.")]
pub struct EditArgs {
    #[command(flatten)]
    task: OneTask,
    #[command(flatten)]
    edit: EditOptions,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_edit(session: &Session, args: EditArgs) -> Result<(), CliError> {
    let id = args.task.find(session).await?;
    edit_task(session, id, args.edit, args.options).await
}

/// Lets a person edit one task.
pub async fn edit_task(
    session: &Session,
    id: TaskId,
    edit: EditOptions,
    options: ChangeOptions,
) -> Result<(), CliError> {
    let detail = session.client.task(id).await.map_err(|e| session.explain(e))?;
    let untouched =
        Edited { task: detail.task.clone(), old: detail.spec.clone(), new: detail.spec.clone() };
    edit.check(&[untouched])?;
    let state = detail.task.state.to_string();
    let mut text = spec_file::write(id, &state, &detail.spec)?;
    let mut file = EditedFile::new(&format!("task-{id}.toml"), &text)?;
    let mut problem = None;
    loop {
        let spec = ask_for_spec(session, &file, &mut text, &mut problem)?;
        let edited = spec.and_then(|spec| Edited::unless_same(detail.clone(), spec));
        let Some(edited) = edited else {
            session.output.status("nothing was changed");
            return Ok(());
        };
        if options.dry_run {
            return show(session, &edited);
        }
        confirm(edit, options, &detail, &edited)?;
        let error = match edit.send(session, vec![edited]).await {
            Ok(changed) => return tell_changed(session, options, "edited", 1, &changed),
            Err(error) => error,
        };
        if error.code() != Some(ErrorCode::Invalid) {
            let path = file.keep().display().to_string();
            return Err(error.hint(format!("your text is kept in {path}")));
        }
        file.rewrite(&spec_file::with_message(&text, &error.to_string()))?;
        problem = Some(error);
    }
}

/// Opens the editor until what it leaves can be understood. None: it was left
/// as it is.
///
/// # Errors
/// A person gives up on a text with a problem.
fn ask_for_spec(
    session: &Session,
    file: &EditedFile,
    text: &mut String,
    problem: &mut Option<CliError>,
) -> Result<Option<TaskSpec>, CliError> {
    loop {
        let edited = spec_file::without_message(&file.edit()?);
        if edited == *text || edited.trim().is_empty() {
            return match problem.take() {
                Some(problem) => Err(problem.hint("nothing was changed")),
                None => Ok(None),
            };
        }
        text.clone_from(&edited);
        match spec_file::read(&edited) {
            Ok(spec) => return Ok(Some(spec)),
            Err(message) => {
                session.output.status(format_args!("this is no task: {message}"));
                file.rewrite(&spec_file::with_message(&edited, &message))?;
                *problem = Some(CliError::refused(format!("this is no task: {message}")));
            }
        }
    }
}

/// Asks where a command is ended by the edit.
fn confirm(
    edit: EditOptions,
    options: ChangeOptions,
    detail: &TaskDetail,
    edited: &Edited,
) -> Result<(), CliError> {
    if !send::runs(&detail.task) {
        return Ok(());
    }
    let consequences = edit.consequences(std::slice::from_ref(edited));
    ask::confirm(options.consent, &format!("edit task {}{consequences}", detail.task.id))
}

fn show(session: &Session, edited: &Edited) -> Result<(), CliError> {
    let paint = |text: &str, paint: Paint| session.output.paint(text, paint).to_string();
    for line in diff::changed_fields(&edited.old, &edited.new, &paint) {
        session.output.line(line)?;
    }
    Ok(())
}
