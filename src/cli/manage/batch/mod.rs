//! `scitq manage batch VERB`.

mod delete;
mod end;
mod go;
mod kill;
mod list;
mod move_to;
mod pause;
mod retry;
mod select;
mod show;
mod stop;
mod update;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::BatchName;

pub use select::hint_of_unknown;

/// List, show and change batches
#[derive(Debug, Args)]
pub struct BatchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(Box<update::UpdateArgs>),
    Pause(pause::PauseArgs),
    Go(go::GoArgs),
    Stop(stop::StopArgs),
    Kill(kill::KillArgs),
    Retry(retry::RetryArgs),
    Move(move_to::MoveArgs),
    Delete(delete::DeleteArgs),
}

pub async fn cmd_batch(session: &Session, args: BatchArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Show(args) => show::cmd_show(session, args).await,
        Verb::Update(args) => update::cmd_update(session, *args).await,
        Verb::Pause(args) => pause::cmd_pause(session, args).await,
        Verb::Go(args) => go::cmd_go(session, args).await,
        Verb::Stop(args) => stop::cmd_stop(session, args).await,
        Verb::Kill(args) => kill::cmd_kill(session, args).await,
        Verb::Retry(args) => retry::cmd_retry(session, args).await,
        Verb::Move(args) => move_to::cmd_move(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
    }
}

/// Tells how many tasks a change of a batch reached: a sentence on a terminal,
/// the number alone in a pipe.
fn tell(session: &Session, name: &BatchName, done: &str, tasks: u64) -> Result<(), CliError> {
    if !session.output.is_terminal() {
        return session.output.line(tasks);
    }
    session.output.status(format_args!("batch {name} {done} {tasks}"));
    Ok(())
}
