//! Ids and names that only the server knows.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::api::Client;
use crate::api::client::{ClientConfig, ClientError, Patience};
use crate::api::execution::ListExecutions;
use crate::api::task::ListTasks;
use crate::cli::format;
use crate::cli::settings;

/// How long a person who presses a key waits for the server.
const PATIENCE: Duration = Duration::from_millis(250);

/// So many of the newest tasks and executions are offered.
const NEWEST: u32 = 200;

/// Longest description of a candidate, characters.
const LONGEST_HELP: usize = 60;

const NOT_ENDED: &str = "waiting,pending,assigned,accepted,running,paused";

/// What a place in the command line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ids of tasks in these states, or in any.
    Tasks(Option<&'static str>),
    TaskNames,
    Workers,
    WorkerNames,
    Executions,
    Batches,
    Tokens,
}

/// A value and what it is.
type Named = (String, String);

/// The server that a command line names, or the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    server: Option<String>,
}

impl Source {
    /// Reads `--server` among the words.
    #[must_use]
    pub fn new(words: &[OsString]) -> Self {
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        let ours: Vec<&str> = words.into_iter().take_while(|word| *word != "--").collect();
        let joined = ours.iter().find_map(|word| word.strip_prefix("--server="));
        let apart = ours.windows(2).find_map(|pair| match pair {
            ["-s" | "--server", address] => Some(*address),
            _ => None,
        });
        let variable = || std::env::var_os(settings::SERVER.name)?.into_string().ok();
        let server = joined.or(apart).map(str::to_owned).or_else(variable);
        Self { server: server.filter(|address| !address.is_empty()) }
    }

    /// What the server has of this kind; nothing if it does not say so at once.
    fn ask(&self, kind: Kind) -> Vec<Named> {
        let Ok(found) = settings::load(self.server.as_deref()) else { return Vec::new() };
        let client = Client::new(ClientConfig {
            address: found.address,
            token: found.token,
            patience: Patience { limit: Some(Duration::ZERO), notice: None },
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (Ok(client), Ok(runtime)) = (client, runtime) else { return Vec::new() };
        let answer = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, load_names(&client, kind)).await });
        // A name look-up that nobody waits for any more must not keep us.
        runtime.shutdown_background();
        answer.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// The grammar, with what the server knows where it takes that.
#[must_use]
pub fn with_names(grammar: Command, source: &Source) -> Command {
    with_names_below(grammar, &[], &Arc::new(source.clone()))
}

fn with_names_below(command: Command, path: &[String], source: &Arc<Source>) -> Command {
    let command = command.mut_args(|argument| {
        let kind = kind_of(path, &argument);
        let Some(kind) = kind else { return argument };
        let source = Arc::clone(source);
        argument.add(ArgValueCompleter::new(move |typed: &OsStr| candidates(&source, kind, typed)))
    });
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        let below = [path, &[name]].concat();
        with_names_below(subcommand, &below, source)
    })
}

/// What an argument of the command at `path` takes.
fn kind_of(path: &[String], argument: &Arg) -> Option<Kind> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let value = argument.get_value_names().and_then(<[_]>::first).map(|name| name.as_str());
    let takes_value = argument.get_action().takes_values();
    match argument.get_long() {
        _ if !takes_value => return None,
        Some("batch" | "after-batch") => return Some(Kind::Batches),
        Some("after" | "after-any" | "task") => return Some(Kind::Tasks(None)),
        Some("worker") => return Some(Kind::Workers),
        _ => {}
    }
    match value {
        Some("BATCH") => return Some(Kind::Batches),
        Some("WORKER") => return Some(Kind::Workers),
        _ => {}
    }
    let is_name = argument.get_long() == Some("name");
    let is_id = value == Some("ID");
    match path.as_slice() {
        ["manage", "task", _] if is_name => Some(Kind::TaskNames),
        ["manage", "task", verb] if is_id => Some(Kind::Tasks(states_for(verb))),
        ["manage", "worker", _] if is_name => Some(Kind::WorkerNames),
        ["manage", "worker", _] if is_id => Some(Kind::Workers),
        ["manage", "execution", _] if is_id => Some(Kind::Executions),
        ["manage", "token", _] if is_id => Some(Kind::Tokens),
        ["manage", "batch", _] if is_name || value == Some("NAME") => Some(Kind::Batches),
        _ => None,
    }
}

/// The states in which a task can be what a verb makes of it.
fn states_for(verb: &str) -> Option<&'static str> {
    match verb {
        "cancel" | "pause" | "wait" => Some(NOT_ENDED),
        "stop" | "kill" | "signal" => Some("running,paused"),
        "resume" => Some("paused"),
        _ => None,
    }
}

/// The candidates that begin as what was typed. Of a list, the last is completed.
fn candidates(source: &Source, kind: Kind, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let is_list = !matches!(kind, Kind::TaskNames | Kind::Batches);
    let (before, begun) = match typed.rfind(',') {
        Some(comma) if is_list => typed.split_at(comma + 1),
        _ => ("", typed),
    };
    // A worker may be named by its id as well, where names are taken.
    let kind = match kind {
        Kind::WorkerNames if begun.starts_with(|c: char| c.is_ascii_digit()) => Kind::Workers,
        kind => kind,
    };
    let fitting = source.ask(kind).into_iter().filter(|(value, _)| value.starts_with(begun));
    let candidate = |(position, (value, help)): (usize, Named)| {
        CompletionCandidate::new(format!("{before}{value}"))
            .help((!help.is_empty()).then(|| short(&help).into()))
            .display_order(Some(position))
    };
    fitting.enumerate().map(candidate).collect()
}

async fn load_names(client: &Client, kind: Kind) -> Result<Vec<Named>, ClientError> {
    match kind {
        Kind::Tasks(states) => load_tasks(client, states).await,
        Kind::TaskNames => {
            let page = client.list_tasks(&newest_tasks(None)).await?;
            let mut names: Vec<Named> = Vec::new();
            for task in page.tasks {
                let Some(name) = task.name else { continue };
                if !names.iter().any(|(other, _)| *other == name) {
                    names.push((name, format!("{}, task {}", task.state, task.id)));
                }
            }
            Ok(names)
        }
        Kind::Workers | Kind::WorkerNames => {
            let workers = client.list_workers().await?.workers.into_iter();
            let named = workers.map(|worker| match kind {
                Kind::Workers => {
                    (worker.id.to_string(), format!("{} ({})", worker.name, worker.state))
                }
                _ => (worker.name, format!("{}, batch {}", worker.state, worker.batch)),
            });
            Ok(named.collect())
        }
        Kind::Executions => {
            let query = ListExecutions { limit: Some(NEWEST), ..ListExecutions::default() };
            let executions = client.list_executions(&query).await?.executions.into_iter();
            let named = executions.map(|execution| {
                let help = format!("{}, task {}", execution.state, execution.task);
                (execution.id.to_string(), help)
            });
            Ok(named.collect())
        }
        Kind::Batches => {
            let batches = client.list_batches().await?.batches.into_iter();
            let named = batches.map(|batch| {
                let tasks: u64 = batch.tasks.values().sum();
                (batch.name.to_string(), format!("{tasks} tasks"))
            });
            Ok(named.collect())
        }
        Kind::Tokens => {
            let tokens = client.list_tokens().await?.tokens.into_iter();
            Ok(tokens.map(|token| (token.id.to_string(), token.name)).collect())
        }
    }
}

async fn load_tasks(
    client: &Client,
    states: Option<&'static str>,
) -> Result<Vec<Named>, ClientError> {
    let page = client.list_tasks(&newest_tasks(states)).await?;
    let named = page.tasks.into_iter().map(|task| {
        let what = task.name.unwrap_or(task.command);
        (task.id.to_string(), format!("{}: {what}", task.state))
    });
    Ok(named.collect())
}

fn newest_tasks(states: Option<&'static str>) -> ListTasks {
    ListTasks {
        state: states.map(str::to_owned),
        reverse: true,
        limit: Some(NEWEST),
        ..ListTasks::default()
    }
}

fn short(help: &str) -> String {
    format::visible(help).chars().take(LONGEST_HELP).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::app::command;

    fn kind(path: &[&str], argument: &str) -> Option<Kind> {
        let mut grammar = command();
        grammar.build();
        let mut found = &grammar;
        for name in path {
            found = found.find_subcommand(name).unwrap();
        }
        let named = |one: &&Arg| one.get_id() == argument || one.get_long() == Some(argument);
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        kind_of(&path, found.get_arguments().find(named).unwrap())
    }

    #[test]
    fn every_place_takes_what_it_names() {
        assert_eq!(kind(&["launch"], "after"), Some(Kind::Tasks(None)));
        assert_eq!(kind(&["launch"], "batch"), Some(Kind::Batches));
        assert_eq!(kind(&["launch"], "name"), None);
        assert_eq!(kind(&["launch"], "each"), None);
        assert_eq!(kind(&["manage", "task", "show"], "id"), Some(Kind::Tasks(None)));
        assert_eq!(kind(&["manage", "task", "cancel"], "id"), Some(Kind::Tasks(Some(NOT_ENDED))));
        assert_eq!(kind(&["manage", "task", "show"], "name"), Some(Kind::TaskNames));
        assert_eq!(kind(&["manage", "worker", "update"], "batch"), Some(Kind::Batches));
        assert_eq!(kind(&["manage", "worker", "update"], "id"), Some(Kind::Workers));
        assert_eq!(kind(&["manage", "task", "list"], "worker"), Some(Kind::WorkerNames));
        assert_eq!(kind(&["manage", "batch", "pause"], "name"), Some(Kind::Batches));
    }

    #[test]
    fn the_server_is_the_one_that_the_line_names() {
        let source = |words: &[&str]| {
            Source::new(&words.iter().map(OsString::from).collect::<Vec<_>>()).server
        };
        assert_eq!(source(&["scitq", "-s", "head", "manage"]).as_deref(), Some("head"));
        assert_eq!(source(&["scitq", "launch", "--server=h:1", "x"]).as_deref(), Some("h:1"));
    }
}
