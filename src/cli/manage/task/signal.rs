//! `scitq manage task signal`.

use clap::Args;

use crate::api::task::{SignalTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::signal::Signal;
use crate::domain::task::TaskState;

/// Send a signal to the commands of tasks that run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task signal USR1 12
  scitq manage task signal HUP --batch qc --name 'server-*'

The signal goes to all processes of the command. TERM and KILL do the same as
`manage task stop` and `kill`, STOP and TSTP as `pause`, CONT as `resume`.")]
pub struct SignalArgs {
    /// The signal by name: HUP, INT, QUIT, USR1, USR2, WINCH and others
    #[arg(value_name = "SIGNAL", value_parser = named)]
    signal: Signal,
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_signal(session: &Session, args: SignalArgs) -> Result<(), CliError> {
    let signal = args.signal;
    let ends = matches!(signal, Signal::Term | Signal::Kill);
    let change = Change {
        verb: &format!("send {signal} to"),
        done: "signalled",
        with: "",
        asks: if ends { Asks::Always } else { Asks::ForDescriptions },
        states: states(signal),
    };
    let send = async |tasks: TaskIds| {
        let TaskIds { ids, unfit } = tasks;
        session.client.signal_tasks(&SignalTasks { ids, signal, unfit }).await
    };
    change_tasks(session, &args.tasks, args.options, &change, send).await
}

fn named(text: &str) -> Result<Signal, String> {
    Signal::named(text).map_err(|error| error.to_string())
}

/// Tasks to which a signal can be sent.
const fn states(signal: Signal) -> &'static [TaskState] {
    match signal {
        Signal::Cont => &[TaskState::Paused],
        Signal::Term | Signal::Kill => &crate::cli::manage::change::ACTIVE,
        _ => &[TaskState::Running],
    }
}
