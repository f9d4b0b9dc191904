//! `scitq manage worker VERB`.

mod clean;
mod delete;
mod deploy;
mod drain;
mod list;
mod orphans;
mod pause;
mod restart;
mod resume;
mod select;
mod show;
mod unit;
mod update;
mod want;
mod why;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

pub use select::{WorkerRef, find_worker, find_workers, parse_worker};

/// List, show and change workers
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Deploy(deploy::DeployArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Pause(pause::PauseArgs),
    Resume(resume::ResumeArgs),
    Drain(drain::DrainArgs),
    Clean(clean::CleanArgs),
    Restart(restart::RestartArgs),
    Delete(delete::DeleteArgs),
    AdoptOrphans(orphans::AdoptArgs),
    AbandonOrphans(orphans::AbandonArgs),
    Unit(unit::UnitArgs),
}

pub async fn cmd_worker(session: &Session, args: WorkerArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Deploy(args) => deploy::cmd_deploy(session, args).await,
        Verb::Show(args) => show::cmd_show(session, args).await,
        Verb::Update(args) => update::cmd_update(session, args).await,
        Verb::Pause(args) => pause::cmd_pause(session, args).await,
        Verb::Resume(args) => resume::cmd_resume(session, args).await,
        Verb::Drain(args) => drain::cmd_drain(session, args).await,
        Verb::Clean(args) => clean::cmd_clean(session, args).await,
        Verb::Restart(args) => restart::cmd_restart(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
        Verb::AdoptOrphans(args) => orphans::cmd_adopt(session, args).await,
        Verb::AbandonOrphans(args) => orphans::cmd_abandon(session, args).await,
        Verb::Unit(args) => unit::cmd_unit(&session.output, &args),
    }
}
