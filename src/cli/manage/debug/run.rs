//! `scitq manage debug run`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use crate::agent::by_hand::{ByHand, ByHandError};
use crate::agent::runner::docker::EngineError;
use crate::agent::runner::docker::pull::PullProgress;
use crate::cli::app::GlobalArgs;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::manage::select::OneTask;
use crate::cli::session::Session;
use crate::cli::{format, settings, site};
use crate::domain::task::TaskState;
use crate::storage::Transfer;

/// Run a task by hand, on this machine and at this terminal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage debug run 12
  scitq manage debug run 12 --shell=bash

The task's inputs and resources are fetched into a folder, and its command is run
there, in its container where it has one, with the variables that it would have.
Its output is kept in that folder and sent nowhere, and the server is told nothing:
the task stays as it is. Run once more, it fetches only what has changed. The exit
code is that of the command.")]
pub struct RunArgs {
    #[command(flatten)]
    task: OneTask,
    /// Keep the task's folders here [default: scitq-task-ID]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Start a shell in the task's place instead of its command [default: sh]
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true,
        default_missing_value = "sh")]
    shell: Option<String>,
    /// Fetch no inputs
    #[arg(long)]
    no_input: bool,
    /// Fetch no resources
    #[arg(long)]
    no_resource: bool,
}

pub async fn cmd_run(
    global: &GlobalArgs,
    session: &Session,
    args: RunArgs,
) -> Result<u8, CliError> {
    let id = args.task.find(session).await?;
    let detail = session.client.task(id).await.map_err(|error| session.explain(error))?;
    let voice = session.output.voice();
    let state = detail.task.state;
    if !matches!(state, TaskState::Waiting | TaskState::Pending) && !state.is_final() {
        voice.warning(format_args!("task {id} is {state}: this is one more run of it"));
    }
    let mut spec = detail.spec;
    if args.no_input {
        spec.input.clear();
    }
    if args.no_resource {
        spec.resource.clear();
    }
    site::use_storage_settings();
    let server = settings::load(global.server.as_deref())?.address.to_string();
    let folder = args.workdir.unwrap_or_else(|| PathBuf::from(format!("scitq-task-{id}")));
    let by_hand = ByHand::begin(id, spec, server, &folder).map_err(|error| explain(&error))?;
    let is_told = AtomicBool::new(false);
    let tell = |_: &PullProgress| {
        if !is_told.swap(true, Ordering::Relaxed) {
            voice.status("fetching the task's image");
        }
    };
    let staged = by_hand.fetch(&Transfer::default(), &tell).await;
    let staged = staged.map_err(|error| explain(&error))?;
    for note in &staged.notes {
        let path = note.path.display().to_string();
        voice.warning(format_args!("`{}` was left out: {}", format::visible(&path), note.reason));
    }
    if staged.files > 0 {
        let (files, bytes) = (staged.files, format::bytes(staged.bytes));
        voice.status(format_args!("fetched {files} files, {bytes}"));
    }
    session.output.flush()?;
    let code = by_hand.run(args.shell.as_deref()).await.map_err(|error| explain(&error))?;
    let place = by_hand.folder().display();
    voice.status(format_args!(
        "exit code {code}; its files are in `{place}`; nothing was sent, and task {id} is as it was"
    ));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

fn explain(error: &ByHandError) -> CliError {
    let told = CliError::of(ErrorKind::Refused, error);
    match error {
        ByHandError::Taken { .. } => told.hint("name another folder with --workdir"),
        ByHandError::Engine(EngineError::None | EngineError::Silent { .. }) => {
            told.hint("start a container engine here, or name its socket in DOCKER_HOST")
        }
        _ => told,
    }
}
