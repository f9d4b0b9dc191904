//! The command line as a whole: global options, subcommands, and the way from
//! the arguments to an exit code.

use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::agent::{AgentArgs, cmd_agent};
use super::complete::{CompleteArgs, CompletionsArgs, cmd_complete, cmd_completions};
use super::enter_group::{EnterGroupArgs, cmd_enter_group};
use super::error::{self, CliError};
use super::launch::{LaunchArgs, cmd_launch};
use super::man::{ManArgs, cmd_man};
use super::manage::{ManageArgs, cmd_manage};
use super::output::{self, ColorChoice, ErrorFormat, Output, Verbosity, Voice};
use super::parse::{self, Wait};
use super::serve::{ServeArgs, cmd_serve};
use super::supervise::{SuperviseArgs, cmd_supervise};
use super::tui::{TuiArgs, cmd_tui};
use super::usage::usage_error;
use super::watch_container::{WatchContainerArgs, cmd_watch_container};

const MANAGE_EXAMPLES: &str = "\
Examples:
  scitq manage task list --batch qc --state failed
  scitq manage task show 7
  scitq manage task output --follow 7
  scitq manage worker list

`scitq manage OBJECT --help` names what can be done with an object, and
`scitq manage OBJECT VERB --help` how.";

/// Queue heavy scientific tasks and run them on many machines
#[derive(Debug, Parser)]
#[command(
    name = "scitq",
    version,
    about,
    disable_help_subcommand = true,
    after_help = "Begin with `scitq serve --with-agent`, then `scitq launch --follow echo hello`"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: CliCommand,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    #[arg(
        short,
        long,
        help = "Talk to this HOST, HOST:PORT or URL",
        value_name = "ADDRESS",
        env = "SCITQ_SERVER",
        hide_env = true,
        global = true
    )]
    pub server: Option<String>,
    /// Wait for the server, so long or for ever
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "ever",
        value_parser = parse::wait,
        global = true
    )]
    pub wait_server: Option<Wait>,
    /// Tell nothing but warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Use colours
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true,
        global = true
    )]
    pub color: ColorChoice,
}

/// The subcommands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    Serve(ServeArgs),
    Agent(AgentArgs),
    Launch(Box<LaunchArgs>),
    Manage(ManageArgs),
    Tui(Box<TuiArgs>),
    #[command(hide = true)]
    Completions(CompletionsArgs),
    #[command(hide = true)]
    Complete(CompleteArgs),
    #[command(hide = true)]
    Man(ManArgs),
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    #[command(hide = true)]
    WatchContainer(WatchContainerArgs),
    #[command(hide = true)]
    EnterGroup(EnterGroupArgs),
}

impl CliCommand {
    /// How many of the last arguments are not ours but a task's command.
    fn words_of_a_task(&self) -> usize {
        match self {
            Self::Launch(args) => args.command.len(),
            _ => 0,
        }
    }
}

impl GlobalArgs {
    /// Where a command prints.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(self.verbosity(), self.color)
    }

    #[must_use]
    pub const fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// The program: reads its arguments, does as they say, and gives the exit code.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|defect| output::panicked(&defect)));
    let code = panic::catch_unwind(|| run(&std::env::args_os().collect::<Vec<_>>()));
    ExitCode::from(code.unwrap_or(70))
}

/// Runs one command line.
fn run(arguments: &[OsString]) -> u8 {
    let parsed = command().try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return on_parser_message(&error, arguments),
    };
    let format = error_format(&arguments[..arguments.len() - cli.command.words_of_a_task()]);
    let voice = Voice::new(cli.global.verbosity(), cli.global.color);
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            if error.kind() != error::ErrorKind::StdoutClosed {
                voice.error(&error, format);
            }
            error.kind().exit_code()
        }
    }
}

/// The whole grammar, with a variable for each option of the commands that
/// scripts use most.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
        .mut_subcommand("serve", |serve| with_variables(serve, "SCITQ_SERVE"))
        .mut_subcommand("agent", |agent| with_variables(agent, "SCITQ_AGENT"))
        .mut_subcommand("launch", |launch| with_variables(launch, "SCITQ_LAUNCH"))
        .mut_subcommand("manage", |manage| manage.after_help(MANAGE_EXAMPLES))
}

/// Gives each option its variable: `--run-timeout` is `PREFIX_RUN_TIMEOUT`.
fn with_variables(command: clap::Command, prefix: &'static str) -> clap::Command {
    command.mut_args(|argument| match argument.get_long() {
        Some(long) => {
            let name = format!("{prefix}_{}", long.replace('-', "_").to_uppercase());
            argument.env(name).hide_env(true)
        }
        None => argument,
    })
}

fn dispatch(cli: Cli) -> Result<u8, CliError> {
    let global = cli.global;
    match cli.command {
        CliCommand::Serve(args) => cmd_serve(&global, args),
        CliCommand::Agent(args) => wait_for(cmd_agent(&global, args)),
        CliCommand::Launch(args) => wait_for(cmd_launch(&global, *args)),
        CliCommand::Manage(args) => wait_for(cmd_manage(&global, args)),
        CliCommand::Tui(args) => wait_for(cmd_tui(&global, *args)),
        CliCommand::Completions(args) => cmd_completions(&global, &args),
        CliCommand::Complete(args) => cmd_complete(&global, args),
        CliCommand::Man(args) => cmd_man(&global, &args),
        CliCommand::Supervise(args) => cmd_supervise(&args),
        CliCommand::WatchContainer(args) => wait_for(cmd_watch_container(args)),
        CliCommand::EnterGroup(args) => Ok(cmd_enter_group(args)),
    }
}

/// Runs a command on one thread: it starts fastest.
fn wait_for(command: impl Future<Output = Result<u8, CliError>>) -> Result<u8, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start").caused_by(&error))?;
    let result = runtime.block_on(command);
    // A name look-up that nobody waits for any more must not keep us.
    runtime.shutdown_background();
    result
}

/// Prints help or version, or tells a usage error.
fn on_parser_message(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || is_help {
        output::parser_message(error);
        return if is_help { 2 } else { 0 };
    }
    let told = usage_error(error, arguments);
    let voice = Voice::new(Verbosity::Normal, ColorChoice::Auto);
    voice.error(&told, error_format(arguments));
    told.kind().exit_code()
}

/// Errors are JSON where the answer is asked for as JSON.
fn error_format(arguments: &[OsString]) -> ErrorFormat {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    let is_json = ours.into_iter().any(|word| word == "--json" || word == "--json-lines");
    if is_json { ErrorFormat::Json } else { ErrorFormat::Text }
}
