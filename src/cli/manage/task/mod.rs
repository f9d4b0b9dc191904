//! `scitq manage task VERB`.

mod cancel;
mod delete;
mod dependents;
mod diff;
mod edit;
mod hold;
mod kill;
mod list;
mod move_to;
mod output;
mod pause;
mod prune;
mod relaunch;
mod replace;
mod resume;
mod retry_upload;
mod send;
mod show;
mod signal;
mod spec_file;
mod stop;
mod update;
mod update_args;
mod wait;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

pub use dependents::DependentsOptions;
pub use list::brief_fields;

/// List, show, read and change tasks
#[derive(Debug, Args)]
pub struct TaskArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Output(output::OutputArgs),
    Wait(wait::WaitArgs),
    Relaunch(relaunch::RelaunchArgs),
    RetryUpload(retry_upload::RetryUploadArgs),
    Update(Box<update_args::UpdateArgs>),
    Edit(edit::EditArgs),
    Pause(pause::PauseArgs),
    Hold(hold::HoldArgs),
    Resume(resume::ResumeArgs),
    Stop(stop::StopArgs),
    Kill(kill::KillArgs),
    Signal(signal::SignalArgs),
    Cancel(cancel::CancelArgs),
    Move(move_to::MoveArgs),
    Delete(delete::DeleteArgs),
    Prune(prune::PruneArgs),
}

pub async fn cmd_task(session: &Session, args: TaskArgs) -> Result<u8, CliError> {
    let done = match args.verb {
        // The only verb whose exit code tells how the tasks have ended.
        Verb::Wait(args) => return wait::cmd_wait(session, args).await,
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Show(args) => show::cmd_show(session, args).await,
        Verb::Output(args) => output::cmd_output(session, args).await,
        Verb::Relaunch(args) => relaunch::cmd_relaunch(session, args).await,
        Verb::RetryUpload(args) => retry_upload::cmd_retry_upload(session, args).await,
        Verb::Update(args) => update::cmd_update(session, *args).await,
        Verb::Edit(args) => edit::cmd_edit(session, args).await,
        Verb::Pause(args) => pause::cmd_pause(session, args).await,
        Verb::Hold(args) => hold::cmd_hold(session, args).await,
        Verb::Resume(args) => resume::cmd_resume(session, args).await,
        Verb::Stop(args) => stop::cmd_stop(session, args).await,
        Verb::Kill(args) => kill::cmd_kill(session, args).await,
        Verb::Signal(args) => signal::cmd_signal(session, args).await,
        Verb::Cancel(args) => cancel::cmd_cancel(session, args).await,
        Verb::Move(args) => move_to::cmd_move(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
        Verb::Prune(args) => prune::cmd_prune(session, args).await,
    };
    done.map(|()| 0)
}
