//! `scitq manage server VERB`.

mod audit;
mod backup;
mod check;
mod status;
mod unit;

use clap::{Args, Subcommand};

use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;
use crate::cli::manage::import::{ImportArgs, cmd_import};
use crate::cli::session::Session;

/// Look at the server itself, back it up, and import what another one had
#[derive(Debug, Args)]
pub struct ServerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(status::StatusArgs),
    Audit(audit::AuditArgs),
    Backup(backup::BackupArgs),
    Import(ImportArgs),
    Check(check::CheckArgs),
    Unit(unit::UnitArgs),
}

pub async fn cmd_server(global: &GlobalArgs, args: ServerArgs) -> Result<u8, CliError> {
    match args.verb {
        Verb::Check(args) => return check::cmd_check(&global.output(), &args),
        Verb::Unit(args) => unit::cmd_unit(&global.output(), &args)?,
        Verb::Status(args) => {
            let session = Session::open(global)?;
            status::cmd_status(&session, args).await?;
            session.output.flush()?;
        }
        Verb::Audit(args) => {
            let session = Session::open(global)?;
            audit::cmd_audit(&session, args).await?;
            session.output.flush()?;
        }
        Verb::Import(args) => {
            let session = Session::open(global)?;
            cmd_import(&session, args).await?;
            session.output.flush()?;
        }
        Verb::Backup(args) => {
            let session = Session::open(global)?;
            backup::cmd_backup(&session, args).await?;
            session.output.flush()?;
        }
    }
    Ok(0)
}
